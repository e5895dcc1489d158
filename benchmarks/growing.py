"""The databases that growth is measured on: one of each size, there at the same time, and warmed up."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from sqlalchemy import URL

from benchmarks import filling
from benchmarks.databases import psycopg_url
from benchmarks.floors.blocking import expression, on_psycopg, on_sqlite3
from session_store import SessionStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.contestants import Contestant


class Database(NamedTuple):
    """A database of so many sessions."""

    sessions: int
    url: URL
    store: SessionStore
    floor: Contestant
    search_by_hand: Callable[[str, int], object]
    """Right for a word that few messages have."""

    def a_key(self) -> str:
        """Choose a session that is as it was made."""
        return filling.key(random.randrange(1, self.sessions, 2))

    def a_changing_key(self) -> str:
        """Choose one of the others."""
        return a_changing_key(self.sessions)

    def a_new_key(self) -> str:
        """Make one up that comes between others."""
        return f"{self.a_key()}_{time.time_ns()}"


class Databases(NamedTuple):
    """What is measured on one kind of database."""

    sizes: Sequence[Database]
    long: URL
    """Has one session of very many messages."""
    version: str | None
    """Of the server, if there is one."""


def a_changing_key(sessions: int) -> str:
    """Choose one of those that are written to: every second one, none of them running, so that the others stay."""
    return filling.key(random.randrange(0, sessions, 2))


@contextmanager
def sqlite_files(place: Path, sizes: Sequence[int], long: int, very_long: int) -> Iterator[Databases]:
    """Open a file of each size, filled unless it is there."""
    with ExitStack() as stack:
        databases = []
        for size in sizes:
            path = place / f"sessions_{size}.db"
            filling.fill_sqlite(path, filling.Contents(size, long))
            _read(path)
            url = URL.create("sqlite", database=str(path))
            store = stack.enter_context(SessionStore(url))
            floor = stack.enter_context(on_sqlite3(url))
            databases.append(Database(size, url, store, floor, floor.calls["search"]))
        path = place / f"long_{very_long}.db"
        filling.fill_sqlite(path, filling.Contents(0, very_long))
        yield Databases(databases, URL.create("sqlite", database=str(path)), None)


@contextmanager
def postgresql_databases(place: Path, sizes: Sequence[int], long: int, very_long: int) -> Iterator[Databases]:
    """Start a server with a database of each size, filled unless it is there."""
    with filling.kept_server(place) as server, ExitStack() as stack:
        databases = []
        for size in sizes:
            url = server.set(database=f"sessions_{size}")
            filling.fill_postgresql(url, filling.Contents(size, long))
            store = stack.enter_context(SessionStore(url))
            floor = stack.enter_context(on_psycopg(url))
            raw = stack.enter_context(psycopg.connect(psycopg_url(url), autocommit=True))
            databases.append(Database(size, url, store, floor, partial(_found_among_few, raw, expression(url))))
        walked = server.set(database=f"long_{very_long}")
        filling.fill_postgresql(walked, filling.Contents(0, very_long))
        for path in place.joinpath("postgresql", "base").rglob("*"):
            _read(path)
        with psycopg.connect(psycopg_url(server)) as db:
            version = db.info.parameter_status("server_version")
        yield Databases(databases, walked, version)


def _found_among_few(db: psycopg.Connection[Any], indexed: str, word: str, number: int) -> list[Any]:
    # Written so that no plan reads a table, whatever is believed of the word: sure of that is only who says so.
    statement = f"""
        WITH few AS MATERIALIZED (
            SELECT m.session_key FROM session_store_messages AS m
            WHERE {indexed.replace("%", "%%")} @@ to_tsquery('simple', %s) LIMIT 2000
        )
        SELECT key, name, owner, attributes, created_at, last_activity, message_count, last_seq, state, turn_id,
            state_entered_at
        FROM (SELECT DISTINCT session_key FROM few) AS found
        CROSS JOIN LATERAL (SELECT * FROM session_store_sessions WHERE key = session_key OFFSET 0) AS s
        ORDER BY active_minute DESC, last_activity DESC, key DESC LIMIT %s
    """
    return db.execute(statement, [word, number]).fetchall()


def _read(path: Path) -> None:
    """Let the machine have a file in memory."""
    if path.is_file():
        with path.open("rb") as file:
            while file.read(2**24):
                pass
