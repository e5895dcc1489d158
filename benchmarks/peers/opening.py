"""What the adapters share: drivers, a database made ready, engines, and a transaction to fill it in."""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, insert
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.measuring import on_loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine, orm
    from sqlalchemy.ext.asyncio import AsyncEngine

_BLOCKING: Final = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}
_AWAITABLE: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


def blocking(url: URL) -> URL:
    """Return the URL of the same database on sqlite3 or psycopg."""
    return url.set(drivername=_BLOCKING[url.get_backend_name()])


def awaitable(url: URL) -> URL:
    """Return the URL of the same database on the driver the peers' own pages name: aiosqlite or asyncpg."""
    return url.set(drivername=_AWAITABLE[url.get_backend_name()])


def use_wal(url: URL) -> None:
    """Switch a SQLite file to a write-ahead log, which the file remembers; ``synchronous`` is FULL unless changed."""
    if url.get_backend_name() == "sqlite":
        with contextlib.closing(sqlite3.connect(str(url.database))) as connection:
            connection.execute("PRAGMA journal_mode = WAL")


@contextmanager
def engine_opened(url: URL) -> Iterator[Engine]:
    """Lend an engine for blocking code."""
    engine = create_engine(blocking(url))
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def async_engine_opened(url: URL) -> Iterator[AsyncEngine]:
    """Lend an engine to the event loop of the measurements."""
    engine = create_async_engine(awaitable(url))
    try:
        yield engine
    finally:
        on_loop(engine.dispose())


@contextmanager
def filling(url: URL) -> Iterator[Connection]:
    """Lend a transaction for many rows."""
    with engine_opened(url) as engine, engine.begin() as connection:
        yield connection


def insert_all(db: Connection | orm.Session, target: Any, rows: list[dict[str, Any]]) -> None:
    """Insert rows, of which there may be none."""
    if rows:
        db.execute(insert(target), rows)
