"""A host of the store's: its engines on any driver, its own tables, and what it sees of ours by SQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from session_store import configure_sqlite
from session_store.models.models import IDENTIFIER, MESSAGES, SESSIONS, STATES
from session_store.models.types import ExactJson, ExactText, UtcDateTime
from tests.conftest import Database

SYNC_DRIVERS = {"sqlite": ["pysqlite"], "postgresql": ["psycopg", "psycopg2"]}
ASYNC_DRIVERS = {"sqlite": ["aiosqlite"], "postgresql": ["psycopg", "asyncpg"]}

HOST = MetaData()
ORDERS = Table(
    "host_orders",
    HOST,
    Column("id", Integer, primary_key=True),
    Column("session_key", IDENTIFIER, ForeignKey(SESSIONS.c.key)),
    Column("note", Text),
)
"""A table of the host's that refers to our sessions."""

NOTES = MetaData()
Table(
    "host_notes",
    NOTES,
    Column("id", Integer, primary_key=True),
    Column("text", ExactText, nullable=False),
    Column("plain", Text),
    Column("labels", ExactJson),
    Column("made_at", UtcDateTime),
)
"""A host that uses our column types for its own."""

REFUSING_TRIGGER = """CREATE TRIGGER refuse BEFORE INSERT ON session_store_messages WHEN new.content = 'refused'
    BEGIN SELECT RAISE(ABORT, 'refused'); END"""
"""Makes a SQLite database refuse the message ``refused``, in the middle of a call."""


def host_engine(database: Database, driver: str | None = None, *, tuned: bool = True, **options: Any) -> Engine:
    """An engine the host made; on SQLite tuned as the store would, unless told not to."""
    driver = driver or SYNC_DRIVERS[database.name][0]
    engine = create_engine(database.url.set(drivername=f"{database.name}+{driver}"), **options)
    if database.name == "sqlite" and tuned:
        configure_sqlite(engine)
    return engine


def async_host_engine(database: Database, driver: str | None = None, **options: Any) -> AsyncEngine:
    """The same for an event loop."""
    driver = (driver or ASYNC_DRIVERS[database.name][0]).removesuffix("_async")
    engine = create_async_engine(database.url.set(drivername=f"{database.name}+{driver}"), **options)
    if database.name == "sqlite":
        configure_sqlite(engine)
    return engine


def begins_by_event(engine: Engine) -> Engine:
    """Let SQLAlchemy begin transactions on SQLite, as its documentation shows."""

    @event.listens_for(engine, "connect")
    def leave_it_to_us(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


@contextmanager
def host_of(database: Database, **options: Any) -> Iterator[Engine]:
    """An engine of the host's, with its table, closed at the end."""
    engine = host_engine(database, **options)
    ORDERS.create(engine, checkfirst=True)
    yield engine
    engine.dispose()


@contextmanager
def statements_of(engine: Engine | AsyncEngine) -> Iterator[list[str]]:
    """Every statement an engine sends while this lasts."""
    seen: list[str] = []

    def note(_db: Connection, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    sync_engine: Engine = getattr(engine, "sync_engine", engine)
    event.listen(sync_engine, "before_cursor_execute", note)
    yield seen
    event.remove(sync_engine, "before_cursor_execute", note)


def disagreements(db: Connection) -> list[str]:
    """The keys of the sessions whose head says something else than their logs do."""
    wrong: list[str] = []
    for head in db.execute(select(SESSIONS)):
        mine = MESSAGES.c.session_key == head.key
        count, last = db.execute(select(func.count(), func.max(MESSAGES.c.seq)).where(mine)).one()
        log = db.execute(select(STATES).where(STATES.c.session_key == head.key).order_by(STATES.c.seq)).all()
        current = log and (log[-1].seq, log[-1].state, log[-1].turn_id, log[-1].entered_at)
        if (
            (head.message_count, head.last_seq >= (last or 0)) != (count, True)
            or [row.seq for row in log] != list(range(1, head.state_seq + 1))
            or (current and current != (head.state_seq, head.state, head.turn_id, head.state_entered_at))
        ):
            wrong.append(head.key)
    return wrong


def contents(db: Connection) -> list[list[tuple[Any, ...]]]:
    """All rows of our three tables."""
    return [
        [tuple(row) for row in db.execute(select(table).order_by(*table.primary_key))]
        for table in (SESSIONS, MESSAGES, STATES)
    ]
