"""Processes that upgrade one empty database at the same moment: one makes the tables, and all succeed."""

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from sqlalchemy import NullPool, inspect, text

from session_store import AsyncSessionStore, ChatMessage, SessionStore, migrations
from session_store.database import revisions
from session_store.models.models import METADATA
from session_store.search import fts5
from tests.conftest import Database
from tests.hosts import async_host_engine, begins_by_event, host_engine

PROCESSES = 8
ROUNDS = 6
NOT_READY_SECS = 90.0
"""After so long a process that waits for the others gives up: one of them has died."""

TABLES = {*METADATA.tables, revisions.VERSION_TABLE}
CHAT = "chat"


# What each process does.


def by_engine(database: Database, schema: str | None) -> None:
    """Upgrade through an engine of the host's."""
    engine = host_engine(database, poolclass=NullPool)
    migrations.upgrade(engine, schema=schema)


def by_connection(database: Database, schema: str | None) -> None:
    """Upgrade in the host's transaction."""
    engine = host_engine(database, poolclass=NullPool)
    with engine.begin() as db:
        migrations.upgrade(db, schema=schema)


def by_idle_connection(database: Database, schema: str | None) -> None:
    """Upgrade on a connection on which the host has no transaction."""
    engine = host_engine(database, poolclass=NullPool)
    with engine.connect() as db:
        migrations.upgrade(db, schema=schema)


def by_beginning_host(database: Database, schema: str | None) -> None:
    """Upgrade through an engine that begins by itself, as SQLAlchemy's documentation has it for SQLite."""
    engine = host_engine(database, poolclass=NullPool, tuned=False)
    if database.name == "sqlite":
        begins_by_event(engine)
    migrations.upgrade(engine, schema=schema)


def by_async_connection(database: Database, schema: str | None) -> None:
    """Upgrade in the transaction of a host on an event loop."""

    async def main() -> None:
        async with async_host_engine(database, poolclass=NullPool).begin() as db:
            await db.run_sync(partial(migrations.upgrade, schema=schema))

    asyncio.run(main())


def by_store(database: Database, schema: str | None) -> None:
    """Open a store on the URL."""
    SessionStore.open(database.url, schema=schema).close()


def by_async_store(database: Database, schema: str | None) -> None:
    """Open a store on the URL on an event loop."""

    async def main() -> None:
        async with AsyncSessionStore.open(database.url, schema=schema):
            pass

    asyncio.run(main())


WAYS: list[Callable[[Database, str | None], None]] = [
    by_engine,
    by_beginning_host,
    by_connection,
    by_idle_connection,
    by_async_connection,
    by_store,
    by_async_store,
]

pytestmark = pytest.mark.once

barriers: list[Barrier] = []
"""In each process the one at which it waits for the others."""


def meet_at(barrier: Barrier) -> None:
    """Be told when the process starts: a barrier cannot be sent to one that runs."""
    barriers.append(barrier)


def upgrade_and_append(way: Callable[[Database, str | None], None], database: Database, schema: str | None) -> int:
    """Upgrade when all are ready, then append a message and return its seq."""
    (barrier,) = barriers
    barrier.wait(NOT_READY_SECS)
    way(database, schema)
    with SessionStore(database.url, schema=schema) as store:
        return store.append("telegram_ann", ChatMessage.user("Hello")).seq


# What they must find and leave.


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Processes of their own memory, started once for all tests here."""
    spawning = multiprocessing.get_context("spawn")
    barrier = spawning.Barrier(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, spawning, initializer=meet_at, initargs=(barrier,)) as started:
        yield started


def tables_of(database: Database, schema: str | None) -> set[str]:
    """The tables there are, but for those of the search index."""
    return set(inspect(host_engine(database, poolclass=NullPool)).get_table_names(schema)) - set(fts5.TABLES)


def revisions_of(database: Database, schema: str | None) -> list[str]:
    """What stands in the version table."""
    prefix = f"{schema}." if schema else ""
    with host_engine(database, poolclass=NullPool).connect() as db:
        return list(db.scalars(text(f"SELECT version_num FROM {prefix}session_store_alembic_version")))  # noqa: S608


def empty(database: Database) -> None:
    """Make the database brand-new again."""
    if database.name == "sqlite":
        path = Path(str(database.url.database))
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        return
    with host_engine(database, poolclass=NullPool).begin() as db:
        db.execute(text(f"DROP SCHEMA IF EXISTS {CHAT} CASCADE"))
        db.execute(text("DROP SCHEMA public CASCADE"))
        db.execute(text("CREATE SCHEMA public"))


@pytest.mark.parametrize(
    ("empty_database", "schema_name"),
    [("sqlite", None), ("postgresql", None), ("postgresql", CHAT)],
    indirect=["empty_database"],
    ids=["sqlite", "postgresql", "postgresql-schema"],
)
@pytest.mark.parametrize("way", [WAYS[0], *(pytest.param(way, marks=pytest.mark.long) for way in WAYS[1:])])
def test_all_succeed(
    way: Callable[[Database, str | None], None],
    empty_database: Database,
    schema_name: str | None,
    processes: ProcessPoolExecutor,
) -> None:
    """8 processes at once, round after round: all 48 upgrade and append, the tables are made once, at one revision."""
    succeeded = 0
    for _ in range(ROUNDS):
        empty(empty_database)
        works = [processes.submit(upgrade_and_append, way, empty_database, schema_name) for _ in range(PROCESSES)]
        seqs = [work.result() for work in works]
        assert sorted(seqs) == list(range(1, PROCESSES + 1))
        assert revisions_of(empty_database, schema_name) == [revisions.HEAD]
        assert tables_of(empty_database, schema_name) == TABLES
        assert schema_name is None or tables_of(empty_database, None) == set()
        assert migrations.check(empty_database.url, schema=schema_name) == []
        succeeded += len(seqs)

    assert succeeded == 48
