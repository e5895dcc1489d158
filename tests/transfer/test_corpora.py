"""Real conversations from one database to the other, and what that takes.

The corpora stay outside the repository: beside it, or where ``SESSION_STORE_TEST_CORPORA`` says.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from session_store import SessionStore
from session_store.transfer import import_jsonl
from tests.conftest import Database
from tests.documents import ROOT

FOLDER = Path(os.environ.get("SESSION_STORE_TEST_CORPORA") or ROOT.parent / "shared" / "corpus")
FILES = sorted(FOLDER.glob("*.jsonl.gz"))
MOST_MEMORY = 150 * 1000
"""Kilobytes that an export may take, all of Python included."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.once,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not FILES, reason="the corpora are not here: see SESSION_STORE_TEST_CORPORA"),
]

MEASURED = """
from session_store.cli import main
code = main()
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
raise SystemExit(code)
"""


class Ran(NamedTuple):
    """What a command printed, and what it took."""

    said: str
    kilobytes: int
    seconds: float


def run(*arguments: object) -> Ran:
    """Run a command in a process of its own."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, arguments)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    *said, kilobytes = done.stdout.splitlines()
    return Ran("\n".join(said), int(kilobytes), time.monotonic() - begun)


def lines_of(path: Path) -> Iterator[Any]:
    """What the lines of a file say."""
    with path.open() as lines:
        yield from map(json.loads, lines)


def test_there_and_back(
    database: Database, other: SessionStore, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The copy is exported as the first one was, a row of Parquet for each message; and memory stays low."""
    with SessionStore(database.url) as store:
        import_jsonl(store, FILES)
        sessions = store.count_sessions()
        messages = sum(session.message_count for session in store.list_sessions_with_metadata())
    target = other.engine.url.render_as_string(hide_password=False)
    file = {name: tmp_path / name for name in ("first.jsonl", "second.jsonl", "rows.csv", "rows.parquet")}
    ran = {
        "export": run("export", "--db", database, "--out", file["first.jsonl"]),
        "import": run("import", "--db", target, file["first.jsonl"]),
        "import again": run("import", "--db", target, file["first.jsonl"]),
        "export of the copy": run("export", "--db", target, "--out", file["second.jsonl"]),
        "export to CSV": run("export", "--db", target, "--format", "csv", "--out", file["rows.csv"]),
        "export to Parquet": run("export", "--db", target, "--format", "parquet", "--out", file["rows.parquet"]),
    }
    table = [f"{messages:,} messages of {sessions:,} sessions, {database.name} first" + f"{'seconds':>10}{'MB':>8}"]
    table += [f"{what:48}{each.seconds:10.1f}{each.kilobytes / 1000:8.0f}" for what, each in ran.items()]
    record_property("table", "\n".join(["", *table]))

    assert f"{messages:,} messages added, 0 already there, 0 broken; {sessions:,} sessions" in ran["import"].said
    assert f"0 messages added, {messages:,} already there" in ran["import again"].said
    assert all(one == two for one, two in zip_longest(lines_of(file["first.jsonl"]), lines_of(file["second.jsonl"])))
    of_messages = (line for line in lines_of(file["first.jsonl"]) if line["kind"] == "message")
    rows = pq.ParquetFile(file["rows.parquet"])
    read = (row for batch in rows.iter_batches() for row in batch.to_pylist())
    for line, row in zip_longest(of_messages, read):
        assert [row[name] for name in ("session_key", "seq", "role", "content", "turn_id")] == [
            line[name] for name in ("session_key", "seq", "role", "content", "turn_id")
        ]
        assert row["created_at"].isoformat(timespec="microseconds") == line["created_at"]
        assert (row["payload"] and json.loads(row["payload"])) == line["payload"]
    assert rows.metadata.num_rows == messages
    assert all(each.kilobytes < MOST_MEMORY for what, each in ran.items() if what.startswith("export"))
