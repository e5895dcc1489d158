"""Files as the programs make them whose sessions are imported, written by hand."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

METADATA = {
    "session_key": "TEXT PRIMARY KEY",
    "created_at": "TEXT",
    "last_activity": "TEXT",
    "message_count": "INTEGER NOT NULL DEFAULT 0",
    "name": "TEXT",
    "state": "TEXT NOT NULL DEFAULT 'idle'",
    "turn_id": "TEXT",
    "turn_started_at": "TEXT",
    "agent_alias": "TEXT",
    "channel_id": "TEXT",
    "room_id": "TEXT",
    "sender_id": "TEXT",
}
"""The columns of zeroclaw's ``session_metadata``, in the order in which they were added."""

Row = Sequence[object]


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection as these programs open theirs; what is done on it is committed at the end."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        yield db


def zeroclaw(
    path: Path, messages: Iterable[Row] = (), metadata: Iterable[Mapping[str, object]] = (), *, without: str = ""
) -> Path:
    """Make or continue a ``sessions.db``.

    Args:
        path: The file.
        messages: Each a session_key, role, content and created_at.
        metadata: Rows about sessions.
        without: A column of these that the file lacks; ``session_key``: all of them.
    """
    path.parent.mkdir(exist_ok=True)
    columns = {name: kind for name, kind in METADATA.items() if name != without}
    with writing(path) as db:
        db.execute(
            "CREATE TABLE IF NOT EXISTS sessions (id INTEGER PRIMARY KEY AUTOINCREMENT, session_key TEXT, role TEXT,"
            " content TEXT, created_at TEXT)"
        )
        db.executemany("INSERT INTO sessions (session_key, role, content, created_at) VALUES (?, ?, ?, ?)", messages)
        if "session_key" in columns:
            declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            db.execute(f"CREATE TABLE IF NOT EXISTS session_metadata ({declared})")
            for row in metadata:
                given = {name: value for name, value in row.items() if name in columns}
                values = ", ".join(f":{name}" for name in given)
                db.execute(f"INSERT INTO session_metadata ({', '.join(given)}) VALUES ({values})", given)  # noqa: S608
    return path


def jsonl(path: Path, *lines: object) -> Path:
    """Make or continue a ``KEY.jsonl``: bytes are a line as they are, anything else is written as JSON."""
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        for line in lines:
            file.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
    return path


def agents(
    path: Path,
    sessions: Mapping[str, Iterable[Any]],
    *,
    at: str = "2026-03-05 09:12:03",
    tables: tuple[str, str] = ("agent_sessions", "agent_messages"),
) -> Path:
    """Make or continue a file of the OpenAI Agents SDK.

    Args:
        path: The file.
        sessions: The items of each.
        at: The time of all of it.
        tables: What they are called.
    """
    named, said = ('"' + table.replace('"', '""') + '"' for table in tables)
    with writing(path) as db:
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {named} (session_id TEXT PRIMARY KEY,"
            " created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"
        )
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {said} (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL,"
            " message_data TEXT, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"
        )
        upsert = f"INSERT INTO {named} VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET updated_at = excluded.updated_at"  # noqa: S608
        insert = f"INSERT INTO {said} (session_id, message_data, created_at) VALUES (?, ?, ?)"  # noqa: S608
        for key, items in sessions.items():
            db.execute(upsert, (key, at, at))
            db.executemany(insert, [(key, json.dumps(item), at) for item in items])
    return path
