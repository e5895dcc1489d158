"""Hold the write lock of a SQLite file until standard input ends."""

import sqlite3
import sys

db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)  # noqa: T201 - whoever started this waits for it
sys.stdin.read()
