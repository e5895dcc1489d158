"""`upgrade` makes the tables from whatever it is given, once, however many ask for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from session_store import (
    AsyncSessionStore,
    SchemaOutOfDate,
    SessionStore,
    StoreError,
    StoreUnavailable,
    migrations,
)
from session_store.database import locks, revisions
from tests.conftest import Database
from tests.hosts import ASYNC_DRIVERS, host_engine
from tests.migrations.steps import HELLO, KEY, OURS, configured, tables

BINDS: dict[str, Callable[[Database, Engine], None]] = {
    "engine": lambda _, engine: migrations.upgrade(engine),
    "connection": lambda _, engine: upgrade_in_a_transaction(engine),
    "url": lambda database, _: migrations.upgrade(database.url),
    "text": lambda database, _: migrations.upgrade(str(database)),
}


def upgrade_in_a_transaction(engine: Engine) -> None:
    """Upgrade within a transaction, and commit it."""
    with engine.begin() as db:
        migrations.upgrade(db)


@pytest.mark.parametrize("bind", BINDS)
def test_python_does_what_the_command_does(empty_database: Database, empty: Engine, bind: str) -> None:
    """``upgrade`` makes the tables from whatever it is given, once; Alembic's command then has nothing to do."""
    BINDS[bind](empty_database, empty)
    with SessionStore(empty_database.url) as store:
        store.append(KEY, HELLO)
        BINDS[bind](empty_database, empty)
        assert store.load(KEY) == [HELLO]

    assert tables(empty) == OURS | {revisions.VERSION_TABLE}
    assert migrations.check(empty) == []
    command.upgrade(configured(empty_database), "head")
    command.downgrade(configured(empty_database), "base")
    BINDS[bind](empty_database, empty)
    assert tables(empty) == OURS | {revisions.VERSION_TABLE}


def test_the_caller_s_transaction_decides(empty: Engine) -> None:
    """Given a connection, ``upgrade`` is part of its transaction: a rollback leaves no table, nor a revision."""
    with empty.begin() as db:
        db.execute(text("CREATE TABLE host_notes (note text)"))
    with empty.connect() as db:
        db.execute(text("INSERT INTO host_notes VALUES ('undone')"))
        migrations.upgrade(db)
        assert revisions.current(db) == revisions.HEAD
        assert tables(empty) == {"host_notes"}
        db.rollback()
    assert tables(empty) == {"host_notes"}
    with empty.connect() as db:
        assert db.scalars(text("SELECT note FROM host_notes")).all() == []
        migrations.upgrade(db)
        SessionStore(empty).joined_to(db).append(KEY, HELLO)
        db.commit()

    assert SessionStore(empty).load(KEY) == [HELLO]


@pytest.mark.parametrize("level", [None, "REPEATABLE READ", "SERIALIZABLE"])
def test_a_connection_without_a_transaction_gets_one(empty_database: Database, level: str | None) -> None:
    """It is committed, as Alembic does it, or rolled back as a whole; the connection is then as it was."""
    options = {} if level is None or empty_database.name == "sqlite" else {"isolation_level": level}
    engine = host_engine(empty_database, poolclass=NullPool, **options)
    with engine.connect() as db:
        migrations.upgrade(db)
        assert not db.in_transaction()
        for ask, told in ((migrations.current, revisions.HEAD), (migrations.check, [])):
            assert ask(db) == told
            assert not db.in_transaction()
    assert SessionStore(engine).health().schema == revisions.HEAD


def test_a_failure_is_undone(empty: Engine) -> None:
    """What stands in the way is told, nothing of ours is left, and the next try does it."""
    with empty.begin() as db:
        db.execute(text("CREATE TABLE session_store_states (stray text)"))
    for _ in range(2):
        with empty.connect() as db:
            with pytest.raises(StoreError, match="session_store_states"):
                migrations.upgrade(db)
            assert not db.in_transaction()
    assert tables(empty) == {"session_store_states"}
    with empty.begin() as db:
        db.execute(text("DROP TABLE session_store_states"))
    migrations.upgrade(empty)
    assert migrations.check(empty) == []


def test_tables_without_a_revision_are_left_alone(engine: Engine) -> None:
    """Copied without their version table, they are not made a second time, nor stamped; if they differ, it is said."""
    with engine.begin() as db:
        db.execute(text(f"DROP TABLE {revisions.VERSION_TABLE}"))
    migrations.upgrade(engine)
    assert migrations.current(engine) == revisions.HEAD
    with engine.begin() as db:
        db.execute(text("DROP INDEX session_store_sessions_recency"))
    with pytest.raises(StoreError, match="no version table"):
        migrations.upgrade(engine)
    assert tables(engine) == OURS


@pytest.mark.parametrize("driver", ["aiosqlite", "psycopg", "asyncpg"])
@pytest.mark.parametrize("begin", [AsyncEngine.begin, AsyncEngine.connect], ids=["begin", "connect"])
def test_an_asynchronous_host_can_upgrade(empty_database: Database, driver: str, begin: Callable[..., Any]) -> None:
    """On an event loop a host upgrades through ``run_sync``, in its own transaction or in one made for it."""
    if driver not in ASYNC_DRIVERS[empty_database.name]:
        driver = ASYNC_DRIVERS[empty_database.name][0]

    async def main() -> None:
        engine = create_async_engine(empty_database.url.set(drivername=f"{empty_database.name}+{driver}"))
        async with begin(engine) as db:
            await db.run_sync(migrations.upgrade)
        await engine.dispose()

    asyncio.run(main())
    with SessionStore(empty_database.url) as store:
        assert store.health().schema == revisions.HEAD


def test_a_url_for_an_event_loop_is_that_of_the_same_database(empty_database: Database) -> None:
    """A host's setting may name a driver that only an event loop can use; upgrading uses one that blocks."""
    for driver in ASYNC_DRIVERS[empty_database.name]:
        url = empty_database.url.set(drivername=f"{empty_database.name}+{driver}")
        migrations.upgrade(url)
        assert migrations.current(url) == revisions.HEAD


def test_a_host_s_version_table_is_used(empty: Engine) -> None:
    """Where a host carries our branch in its own run, its version table tells, and none of ours is made."""
    with empty.begin() as db:
        migrations.upgrade(db)
        db.execute(text(f"ALTER TABLE {revisions.VERSION_TABLE} RENAME TO alembic_version"))
        db.execute(text("INSERT INTO alembic_version VALUES ('host_0007')"))
    migrations.upgrade(empty)

    assert tables(empty) == OURS | {"alembic_version"}
    with empty.connect() as db:
        assert set(db.scalars(text("SELECT version_num FROM alembic_version"))) == {"host_0007", revisions.HEAD}
    assert SessionStore(empty).health().schema == revisions.HEAD


def test_a_host_s_own_revisions_are_none_of_ours(empty: Engine) -> None:
    """A host's version table without our branch is left alone, and our own is made beside it."""
    with empty.begin() as db:
        db.execute(text("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL PRIMARY KEY)"))
        db.execute(text("INSERT INTO alembic_version VALUES ('0007')"))
    with pytest.raises(SchemaOutOfDate):
        SessionStore(empty).load(KEY)
    migrations.upgrade(empty)

    assert tables(empty) == OURS | {"alembic_version", revisions.VERSION_TABLE}
    with empty.connect() as db:
        assert db.scalars(text("SELECT version_num FROM alembic_version")).all() == ["0007"]


def test_what_cannot_be_reached_is_unavailable(tmp_path: Path) -> None:
    """A database that cannot be opened is told as unavailable, with the driver's error as its cause."""
    with pytest.raises(StoreUnavailable) as told:
        migrations.upgrade(f"sqlite:///{tmp_path / 'none' / 'sessions.db'}")

    assert getattr(told.value.__cause__, "sqlite_errorname", None) == "SQLITE_CANTOPEN"


def test_threads_migrate_their_own_databases(tmp_path: Path) -> None:
    """Each of eight threads gets its tables in its own database, though Alembic has one name for the operations."""
    files = [tmp_path / f"{number}.db" for number in range(8)]
    with ThreadPoolExecutor(len(files)) as threads:
        list(threads.map(migrations.upgrade, files))

    assert [migrations.check(file) for file in files] == [[]] * len(files)


def test_a_thread_is_not_let_to_wait_for_itself(tmp_path: Path) -> None:
    """Called past the loop on its own thread, while one awaited is under way, it says so at once."""

    async def main() -> None:
        with locks.migration_lock():
            with pytest.raises(StoreError, match="run this one with run_sync"):
                migrations.upgrade(tmp_path / "sync.db")
            opening = asyncio.create_task(AsyncSessionStore.open(tmp_path / "async.db")._migrated())
            await asyncio.sleep(0.05)
            assert not opening.done()
        await (await opening).close()

    asyncio.run(main())
    migrations.upgrade(tmp_path / "sync.db")


def test_tasks_migrate_their_own_databases(tmp_path: Path) -> None:
    """So do eight tasks of one event loop, of which none may wait for another by blocking the loop."""

    async def main() -> list[str | None]:
        opening = (AsyncSessionStore.open(tmp_path / f"{number}.db") for number in range(8))
        stores = await asyncio.gather(*opening)
        found = [(await store.health()).schema for store in stores]
        for store in stores:
            await store.close()
        return found

    assert asyncio.run(main()) == [revisions.HEAD] * 8
