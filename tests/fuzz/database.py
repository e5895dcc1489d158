"""The database under a fuzzed store: what is in it to begin with, what it holds, and back to the beginning.

By SQL on a connection of its own. Every example begins with the same sessions, so that one that fails fails again.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from session_store import ChatMessage, NewMessage, SessionStore
from session_store.models.models import METADATA, SESSIONS
from session_store.search import fts5
from session_store.testing import Clock
from tests.conftest import Database
from tests.fuzz.hostile import KEYS, NOW
from tests.hosts import ORDERS

ANN, BO, EMPTY, LONG, _ = KEYS
IN_USE: Final = BO
"""The session a row of a host's table refers to."""

TABLES: Final = tuple(METADATA.tables)
_VACUUM_EVERY: Final = 200


def begin_with_sessions(store: SessionStore, clock: Clock) -> None:
    """Put sessions there: one that runs, one a host refers to, one without messages, one at its largest."""
    clock.set(NOW)
    store.create_session(ANN, name="Ann", owner="ann", attributes={"channel": "telegram", "n": 1})
    store.append(ANN, ChatMessage.user("hello", {"a": 1}), idempotency_key="once")
    store.set_session_state(ANN, "running", "t1")
    store.append_many(ANN, [ChatMessage.user("same"), ChatMessage.user("same"), NewMessage(ChatMessage.user("Porto"))])
    store.append(BO, ChatMessage.tool("umbrella \0 \ud800 Porto", {"\0": "\ud800"}))
    store.create_session(EMPTY)
    store.create_session(LONG, owner="x" * 512)
    store.append(LONG, ChatMessage("x" * 64, "hello 你好"), idempotency_key="x" * 512)
    store.set_session_state(LONG, "running", "x" * 512)
    with store.engine.begin() as db:
        ORDERS.create(db, checkfirst=True)
        db.execute(ORDERS.insert(), {"id": 1, "session_key": IN_USE})
    clock.advance(3600)


class Tables:
    """Our tables, seen from outside."""

    def __init__(self, run: Any, run_all: Any) -> None:
        self._run = run
        self._run_all = run_all
        self._restored = 0
        run_all(";".join(f"CREATE TABLE start_{table} AS SELECT * FROM {table}" for table in (*TABLES, ORDERS.name)))  # noqa: S608

    def contents(self) -> list[Any]:
        """Return every row."""
        return [self._run(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES]  # noqa: S608

    def restore(self) -> None:
        """Put back what was there to begin with."""
        children = [table for table in TABLES if table != SESSIONS.name]
        order = [ORDERS.name, *children, SESSIONS.name]
        self._run_all(
            ";".join(
                [
                    *("BEGIN",),
                    *(f"DELETE FROM {table}" for table in order),  # noqa: S608
                    *(f"INSERT INTO {table} SELECT * FROM start_{table}" for table in reversed(order)),  # noqa: S608
                    *("COMMIT",),
                ]
            )
        )
        self._restored += 1
        if self._restored % _VACUUM_EVERY == 0:
            self._run_all("VACUUM")

    def check_search_index(self) -> None:
        """Let SQLite compare its search index with the messages."""
        if isinstance(getattr(self._run, "__self__", None), sqlite3.Connection):
            self._run(fts5.INTEGRITY_CHECK)


@contextmanager
def tables_of(database: Database) -> Iterator[Tables]:
    """Look at the tables of a database from outside."""
    if database.name == "sqlite":
        path = str(database.url.database)
        raw = sqlite3.connect(path, isolation_level=None, timeout=30)
        raw.execute("PRAGMA synchronous = OFF")
        try:
            yield Tables(raw.execute, raw.executescript)
        finally:
            raw.close()
    else:
        url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as db:
            yield Tables(db.execute, db.execute)
