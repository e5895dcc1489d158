"""The floor for code that blocks: sqlite3 and psycopg, and the same statements through SQLAlchemy Core."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import create_engine, text

from benchmarks.contestants import Contestant
from benchmarks.databases import psycopg_url
from benchmarks.floors import operations, sql
from benchmarks.stores import filled
from session_store import configure_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import URL, Connection

    from session_store.database.engines import Durability

    Rows = Callable[[sql.Sql, Any], list[Any]]
    Begin = Callable[[], AbstractContextManager[Any]]

PRAGMAS = {"full": "FULL", "relaxed": "NORMAL"}


def tune(durability: Durability) -> Iterator[str]:
    """Give what a connection to a SQLite file is told, the same as the store's."""
    yield "PRAGMA busy_timeout = 5000"
    yield f"PRAGMA synchronous = {PRAGMAS[durability]}"
    yield "PRAGMA foreign_keys = ON"
    yield "PRAGMA journal_size_limit = 67108864"
    yield "PRAGMA cache_size = -16384"


@contextmanager
def on_sqlite3(url: URL, durability: Durability = "full") -> Iterator[Contestant]:
    """SQL on sqlite3."""
    with closing(sqlite3.connect(str(url.database), isolation_level=None, check_same_thread=False)) as db:
        for pragma in tune(durability):
            db.execute(pragma)

        def rows(statement: sql.Sql, values: Any) -> list[Any]:
            if isinstance(values, list):
                db.executemany(statement.qmark, map(statement.in_order, values))
                return []
            return db.execute(statement.qmark, statement.in_order(values)).fetchall()

        @contextmanager
        def begin() -> Iterator[Rows]:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield rows
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

        done = operations.reads(sql.SQLITE), operations.writes_on_sqlite()
        yield Contestant("sqlite3", calls(rows, begin, *done), filled(url))


@contextmanager
def on_psycopg(url: URL) -> Iterator[Contestant]:
    """SQL on psycopg, which prepares by itself what comes again."""
    with psycopg.connect(psycopg_url(url), autocommit=True) as db:

        def rows(statement: sql.Sql, values: Any) -> list[Any]:
            cursor = db.execute(statement.format, statement.in_order(values))
            return cursor.fetchall()

        @contextmanager
        def begin() -> Iterator[Rows]:
            with db.transaction():
                yield rows

        done = operations.reads(sql.postgresql(expression(url))), operations.writes_on_postgresql()
        yield Contestant("psycopg", calls(rows, begin, *done), filled(url))


@contextmanager
def on_core(url: URL, durability: Durability = "full") -> Iterator[Contestant]:
    """The same statements through an engine of SQLAlchemy, each compiled once."""
    is_sqlite = url.get_backend_name() == "sqlite"
    engine = create_engine(url if is_sqlite else url.set(drivername="postgresql+psycopg"))
    if is_sqlite:
        configure_sqlite(engine, durability=durability)
    autocommit = engine if is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
    compiled: dict[sql.Sql, Any] = {}

    def on(db: Connection, statement: sql.Sql, values: Any) -> Any:
        clause = compiled.get(statement)
        if clause is None:
            clause = compiled[statement] = text(statement.named)
        result = db.execute(clause, values)
        return result.fetchall() if result.returns_rows else []

    def rows(statement: sql.Sql, values: Any) -> Any:
        with autocommit.connect() as db:
            return on(db, statement, values)

    @contextmanager
    def begin() -> Iterator[Rows]:
        with engine.begin() as db:
            yield partial(on, db)

    reading = sql.SQLITE if is_sqlite else sql.postgresql(expression(url))
    writing = operations.writes_on_sqlite() if is_sqlite else operations.writes_on_postgresql()
    try:
        yield Contestant("Core", calls(rows, begin, operations.reads(reading), writing), filled(url))
    finally:
        engine.dispose()


def calls(
    rows: Rows, begin: Begin, reads: dict[str, operations.Read], writes: dict[str, operations.Write]
) -> dict[str, Callable[..., Any]]:
    """Return the operations as calls that block."""
    return {name: _read(rows, read) for name, read in reads.items()} | {
        name: _write(rows, begin, write) for name, write in writes.items()
    }


def _read(rows: Rows, read: operations.Read) -> Callable[..., Any]:
    statement, values, made = read
    return lambda *args: made(rows(statement, values(*args)))


def _write(rows: Rows, begin: Begin, write: operations.Write) -> Callable[..., Any]:
    def made(steps: operations.Steps, rows: Rows) -> Any:
        found = None
        try:
            while True:
                found = rows(*steps.send(found))
        except StopIteration as end:
            return end.value

    def call(*args: Any) -> Any:
        if not write.in_transaction:
            return made(write.steps(*args), rows)
        with begin() as rows_in_it:
            return made(write.steps(*args), rows_in_it)

    return call


def expression(url: URL) -> str:
    """Return what the search index of a PostgreSQL database is on; nothing is found where there is none."""
    with psycopg.connect(psycopg_url(url)) as db:
        row = db.execute("SELECT pg_get_indexdef(to_regclass(%s)::oid, 1, true)", [sql.INDEX]).fetchone()
    return str(row and row[0])
