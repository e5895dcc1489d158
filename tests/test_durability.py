"""What a call has returned is on the disk: after a kill, and by what SQLite is told on every connection."""

import asyncio
import random
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from session_store import (
    AsyncSessionStore,
    ChatMessage,
    InvalidQuery,
    SessionStore,
    configure_sqlite,
    migrations,
)
from tests.conftest import Database
from tests.hosts import disagreements
from tests.processes import workers

pytestmark = pytest.mark.once

HELLO = ChatMessage.user("Hello")
KEY = "telegram_ann"
KILLS = 5

OURS = {
    "synchronous": 2,
    "journal_mode": "wal",
    "foreign_keys": 1,
    "busy_timeout": 5000,
    "auto_vacuum": 2,
    "journal_size_limit": 64 * 1024 * 1024,
}
"""What every connection of ours is told; 2 is FULL of ``synchronous``, and INCREMENTAL of ``auto_vacuum``."""

SQLITES = {
    "synchronous": 2,
    "journal_mode": "delete",
    "foreign_keys": 0,
    "busy_timeout": 5000,
    "auto_vacuum": 0,
    "journal_size_limit": -1,
}
"""What a connection is told by nobody."""


def pragmas_of(connection: Any) -> dict[str, Any]:
    """What a connection of SQLite goes by."""
    found: dict[str, Any] = {}
    for name in OURS:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA {name}")
        found[name] = cursor.fetchone()[0]
        cursor.close()
    return found


def pragmas_of_many(engine: Engine, number: int) -> list[dict[str, Any]]:
    """What so many connections of a pool, all out at once, go by."""
    connections = [engine.connect() for _ in range(number)]
    found = [pragmas_of(db.connection) for db in connections]
    for db in connections:
        db.close()
    return found


async def pragmas_of_many_async(engine: AsyncEngine, number: int) -> list[dict[str, Any]]:
    """The same on an event loop."""
    connections = [await engine.connect() for _ in range(number)]
    found = [await db.run_sync(lambda sync: pragmas_of(sync.connection)) for db in connections]
    for db in connections:
        await db.close()
    return found


# Killed.


def found(database: Database, directory: Path) -> Database:
    """The database as it is found; of a SQLite file a copy, without what processes share in memory."""
    if database.name == "postgresql":
        return database
    directory.mkdir(exist_ok=True)
    for file in Path(str(database.url.database)).parent.glob("sessions.db*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, directory)
    return Database("sqlite", database.url.set(database=str(directory / "sessions.db")))


def test_a_killed_writer_loses_nothing_it_was_told(database: Database, tmp_path: Path) -> None:
    """After SIGKILL at any moment every seq the process had been told is there, and the head agrees with the log."""
    told = 0
    for _ in range(KILLS):
        with workers(["write", str(database), KEY]) as [writer]:
            assert writer.hears() == "ready"
            writer.go()
            first = writer.hears()
            time.sleep(random.uniform(0, 0.15))  # noqa: S311 - any moment
            writer.process.kill()
            heard = [first, *writer.hears_the_rest()]
            assert writer.process.wait() == -9
        assert heard[0] > told
        told = heard[-1]
        with SessionStore(found(database, tmp_path / "found").url) as store:
            seqs = [message.seq for message in store.history(KEY)]
            assert seqs == list(range(1, len(seqs) + 1))
            assert set(heard) <= set(seqs)
            # The server may still be at the last statement of the dead: look at one moment.
            with store.engine.connect() as db:
                assert disagreements(db.execution_options(isolation_level="SERIALIZABLE")) == []

    with SessionStore(database.url) as store:
        assert store.append(KEY, HELLO).seq > told


# What SQLite is told.


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("relaxed", 1)])
def test_every_connection_is_tuned(durability: Any, synchronous: int, tmp_path: Path) -> None:
    """Each pooled connection to a new file waits for the disk, or not if told so, and has all else it needs."""
    with SessionStore.open(tmp_path / "sessions.db", durability=durability) as store:
        assert pragmas_of_many(store.engine, 8) == [OURS | {"synchronous": synchronous}] * 8


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("relaxed", 1)])
def test_every_connection_is_tuned_on_a_loop(durability: Any, synchronous: int, tmp_path: Path) -> None:
    """The asynchronous store's are too."""

    async def main() -> list[dict[str, Any]]:
        async with AsyncSessionStore.open(tmp_path / "sessions.db", durability=durability) as store:
            return await pragmas_of_many_async(store.engine, 8)

    assert asyncio.run(main()) == [OURS | {"synchronous": synchronous}] * 8


def test_a_file_in_use_is_left_in_its_mode(tmp_path: Path) -> None:
    """A file that has a write-ahead log already is opened while somebody else writes to it."""
    path = tmp_path / "sessions.db"
    SessionStore.open(path).close()
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")

    with SessionStore(path) as store:
        assert store.load(KEY) == []
    writer.close()


def test_a_host_s_engine_is_left_alone(tmp_path: Path) -> None:
    """A store on a host's engine changes no setting of its connections, and closing it closes none."""
    path = tmp_path / "sessions.db"
    host = create_engine(f"sqlite:///{path}")
    assert pragmas_of_many(host, 3) == [SQLITES] * 3
    with SessionStore(host) as store:
        migrations.upgrade(host)
        store.append(KEY, HELLO)
        with store.begin() as transaction:
            transaction.append(KEY, HELLO)
    assert host.pool.checkedin() == 3
    assert pragmas_of_many(host, 3) == [SQLITES] * 3
    host.dispose()


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_a_host_can_ask_for_our_tuning(durability: Any, tmp_path: Path) -> None:
    """After ``configure_sqlite`` every new connection of a host's engine is tuned as ours are."""
    host = create_engine(f"sqlite:///{tmp_path / 'sessions.db'}")
    configure_sqlite(host, durability=durability)
    expected = OURS | {"synchronous": {"full": 2, "relaxed": 1}[durability]}

    assert pragmas_of_many(host, 3) == [expected] * 3
    host.dispose()


def test_a_host_can_ask_for_our_tuning_on_a_loop(tmp_path: Path) -> None:
    """So it is with an asynchronous engine."""

    async def main() -> list[dict[str, Any]]:
        host = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'sessions.db'}")
        configure_sqlite(host)
        found = await pragmas_of_many_async(host, 3)
        await host.dispose()
        return found

    assert asyncio.run(main()) == [OURS] * 3


@pytest.mark.parametrize(("url", "durability"), [("postgresql+psycopg://", "full"), ("sqlite://", "none")])
def test_what_cannot_be_tuned_is_refused(url: str, durability: Any) -> None:
    """Another database, or another word for durability, is refused."""
    with pytest.raises(InvalidQuery):
        configure_sqlite(create_engine(url), durability=durability)


@pytest.mark.parametrize("store", [SessionStore, AsyncSessionStore])
def test_another_word_for_durability_is_refused_by_the_store(store: Any, tmp_path: Path) -> None:
    """So it is when a store is made."""
    with pytest.raises(InvalidQuery):
        store(tmp_path / "sessions.db", durability="none")
