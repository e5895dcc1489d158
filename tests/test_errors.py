"""Each error by a real cause: what went wrong is told by its class, and the driver's error is the cause."""

import asyncio
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, Connection, create_engine, event, orm, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from session_store import (
    AsyncSessionStore,
    ChatMessage,
    Conflict,
    IdempotencyConflict,
    InvalidKey,
    InvalidMessage,
    InvalidQuery,
    SchemaOutOfDate,
    SessionInUse,
    SessionQuery,
    SessionStore,
    StoreError,
    StoreUnavailable,
)
from session_store.migrations import views_v1
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import async_host_engine, host_engine

PROGRAMS = Path(__file__).parent / "programs"
HELLO = ChatMessage.user("Hello")
KEY = "telegram_ann"

READS: dict[str, Callable[[Any], Any]] = {
    "health": lambda store: store.health(),
    "count_sessions": lambda store: store.count_sessions(),
    "get_session_metadata": lambda store: store.get_session_metadata(KEY),
    "get_session_name": lambda store: store.get_session_name(KEY),
    "get_session_state": lambda store: store.get_session_state(KEY),
    "history": lambda store: store.history(KEY),
    "list_running_sessions": lambda store: store.list_running_sessions(),
    "list_sessions": lambda store: store.list_sessions(),
    "list_sessions_with_metadata": lambda store: store.list_sessions_with_metadata(),
    "list_stuck_sessions": lambda store: store.list_stuck_sessions(0),
    "load": lambda store: store.load(KEY),
    "search": lambda store: store.search(SessionQuery(keyword="hello")),
    "session_exists": lambda store: store.session_exists(KEY),
}
TOMORROW = Clock().advance(24 * 3600)
WRITES: dict[str, Callable[[Any], Any]] = {
    "append": lambda store: store.append(KEY, HELLO),
    "append_once": lambda store: store.append(KEY, HELLO, idempotency_key="one"),
    "append_many": lambda store: store.append_many(KEY, [HELLO, HELLO]),
    "cleanup_stale": lambda store: store.cleanup_stale(1),
    "clear_messages": lambda store: store.clear_messages(KEY),
    "compact": lambda store: store.compact(KEY),
    "create_session": lambda store: store.create_session(KEY),
    "delete_session": lambda store: store.delete_session(KEY),
    "delete_sessions": lambda store: store.delete_sessions(owner="ann"),
    "pop_last": lambda store: store.pop_last(KEY),
    "prune_states": lambda store: store.prune_states(TOMORROW),
    "recover_stuck": lambda store: store.recover_stuck(0),
    "remove_last": lambda store: store.remove_last(KEY),
    "set_session_attributes": lambda store: store.set_session_attributes(KEY, {"room": 7}),
    "set_session_name": lambda store: store.set_session_name(KEY, "Ann"),
    "set_session_owner": lambda store: store.set_session_owner(KEY, "ann"),
    "set_session_state": lambda store: store.set_session_state(KEY, "running", "turn-1"),
    "trim": lambda store: store.trim(KEY, keep_last=1),
    "update_last": lambda store: store.update_last(KEY, HELLO),
}
LONG = ChatMessage.user("x" * 1_000_000)
NEEDS_ROOM: dict[str, Callable[[Any], Any]] = {
    "append": lambda store: store.append(KEY, LONG),
    "append_once": lambda store: store.append(KEY, LONG, idempotency_key="one"),
    "append_many": lambda store: store.append_many(KEY, [HELLO, LONG]),
    "update_last": lambda store: store.update_last(KEY, LONG),
    "set_session_attributes": lambda store: store.set_session_attributes(KEY, {"note": LONG.content}),
}

each_call = pytest.mark.parametrize("call", (READS | WRITES).values(), ids=(READS | WRITES).keys())
only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@contextmanager
def held_by_another_process(database: Database) -> Iterator[None]:
    """The write lock of a SQLite file is somebody else's."""
    command = [sys.executable, PROGRAMS / "hold_lock.py", str(database.url.database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate()


# The schema.


@each_call
def test_missing_tables_are_told(empty_database: Database, call: Callable[[Any], Any]) -> None:
    """Every call on a database without our tables says that the tables are at revision none and which one is needed."""
    with SessionStore(empty_database.url) as store, pytest.raises(SchemaOutOfDate, match="upgrade") as told:
        call(store)

    assert (told.value.current, told.value.head) == (None, "ss_0003")


@each_call
def test_missing_tables_are_told_to_a_host(empty_database: Database, call: Callable[[Any], Any]) -> None:
    """So it does in a host's connection and in its ORM session."""
    engine = host_engine(empty_database)
    store = SessionStore(engine)
    with engine.connect() as db, pytest.raises(SchemaOutOfDate) as told_connection:
        call(store.joined_to(db))
    with orm.Session(engine) as db, pytest.raises(SchemaOutOfDate) as told_session:
        call(store.joined_to(db))
    engine.dispose()

    assert told_connection.value.args == told_session.value.args == (None, "ss_0003", None)


@pytest.mark.parametrize(
    "call", [READS["load"], WRITES["append"], WRITES["cleanup_stale"]], ids=["load", "append", "cleanup"]
)
def test_missing_tables_are_told_on_an_event_loop(
    empty_database: Database, call: Callable[[Any], Awaitable[Any]]
) -> None:
    """So it does in the asynchronous store, on its own and joined."""

    async def main() -> None:
        engine = async_host_engine(empty_database)
        store = AsyncSessionStore(engine)
        with pytest.raises(SchemaOutOfDate):
            await call(store)
        with pytest.raises(SchemaOutOfDate):
            async with store.begin() as transaction:
                await call(transaction)
        async with AsyncSession(engine) as host:
            with pytest.raises(SchemaOutOfDate):
                await call(store.joined_to(host))
        await engine.dispose()

    asyncio.run(main())


def drop_column(db: Connection, name: str) -> None:
    """Take a column from the heads, and before it what reads it."""
    for statement in (*views_v1.drop(db.dialect.name), f"ALTER TABLE session_store_sessions DROP COLUMN {name}"):
        db.execute(text(statement))


def test_an_old_schema_is_told(database: Database) -> None:
    """Tables of an older revision give that revision, the one needed, and the command to run."""
    engine = host_engine(database)
    with engine.begin() as db:
        db.execute(text("UPDATE session_store_alembic_version SET version_num = 'ss_0000'"))
        drop_column(db, "name")

    with pytest.raises(SchemaOutOfDate, match=r"session_store\.migrations upgrade") as told:
        SessionStore(engine).get_session_name(KEY)
    with pytest.raises(SchemaOutOfDate):
        SessionStore(engine).health()
    engine.dispose()

    assert (told.value.current, told.value.head) == ("ss_0000", "ss_0003")


@pytest.mark.parametrize("joined", [False, True], ids=["store", "joined"])
def test_a_dropped_column_is_an_error(database: Database, *, joined: bool) -> None:
    """A column that is missing though the revision is right is told as an error, with the driver's as its cause."""
    engine = host_engine(database)
    with engine.begin() as db:
        drop_column(db, "name")

    store = SessionStore(engine)
    with engine.connect() as db, pytest.raises(StoreError) as told:
        (store.joined_to(db) if joined else store).list_sessions_with_metadata()
    engine.dispose()

    assert "name" in str(told.value.__cause__)
    assert isinstance(told.value.__cause__, sqlite3.OperationalError | psycopg.errors.UndefinedColumn)


@pytest.mark.parametrize("name", sorted(READS.keys() - {"health"}))
def test_a_database_error_is_never_an_empty_answer(database: Database, name: str) -> None:
    """No reading call takes a table that cannot be read for one that holds nothing."""
    engine = host_engine(database)
    with engine.begin() as db:
        for table in ("messages", "states", "sessions"):
            db.execute(text(f"ALTER TABLE session_store_{table} RENAME TO moved_{table}"))

    with pytest.raises(StoreError):
        READS[name](SessionStore(engine))
    engine.dispose()


# SQLite.


@pytest.mark.once
@only_sqlite
def test_a_lock_held_too_long_is_unavailable(database: Database) -> None:
    """While another process holds the write lock, reads serve and writes give up after the busy timeout."""

    async def appended() -> None:
        async with AsyncSessionStore(database.url) as store:
            await store.append(KEY, HELLO)

    with SessionStore(database.url) as store, ThreadPoolExecutor() as threads, held_by_another_process(database):
        one = threads.submit(store.append, KEY, HELLO)
        other = threads.submit(asyncio.run, appended())
        assert store.load(KEY) == []
        for told in (one.exception(), other.exception()):
            assert isinstance(told, StoreUnavailable)
            assert isinstance(told.__cause__, sqlite3.OperationalError)

    with SessionStore(database.url) as store:
        assert store.append(KEY, HELLO).seq == 1


@only_sqlite
def test_a_lock_in_a_host_s_transaction_is_a_conflict(database: Database) -> None:
    """A joined write that cannot have the lock tells the host to run its transaction again."""
    engine = host_engine(database, tuned=False, connect_args={"timeout": 0.05})
    store = SessionStore(engine)
    with engine.begin() as db:
        with held_by_another_process(database), pytest.raises(Conflict):
            store.joined_to(db).append(KEY, HELLO)
        assert store.joined_to(db).append(KEY, HELLO).seq == 1
    engine.dispose()


@only_sqlite
def test_a_stale_snapshot_of_a_host_is_a_conflict(database: Database) -> None:
    """A host that has read, and then writes after somebody else did, is told to run its transaction again."""
    engine = host_engine(database, tuned=False)
    with SessionStore(database.url) as store, engine.connect() as db:
        db.exec_driver_sql("BEGIN")
        joined = store.joined_to(db)
        assert joined.load(KEY) == []
        store.append(KEY, HELLO)
        with pytest.raises(Conflict) as told:
            joined.append(KEY, HELLO)
    engine.dispose()

    assert getattr(told.value.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY_SNAPSHOT


@only_sqlite
def test_a_read_only_file_can_be_read(database: Database) -> None:
    """A file opened read-only serves reads; a write is told as unavailable, and at once."""
    with SessionStore(database.url) as store:
        store.append(KEY, HELLO)
        url = URL.create("sqlite", database=f"file:{database.url.database}", query={"mode": "ro", "uri": "true"})
        with SessionStore(url) as readonly:
            assert readonly.load(KEY) == [HELLO]
            with pytest.raises(StoreUnavailable) as told:
                readonly.append(KEY, HELLO)

    assert getattr(told.value.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY


@only_sqlite
@pytest.mark.parametrize("write", NEEDS_ROOM.values(), ids=NEEDS_ROOM.keys())
def test_a_full_disk_is_unavailable(database: Database, write: Callable[[Any], Any]) -> None:
    """A write for which there is no room is told as unavailable and changes nothing; with room it works."""
    engine = host_engine(database)
    most_pages = [1]

    @event.listens_for(engine, "checkout")
    def limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {most_pages[0]}")

    with SessionStore(database.url) as other:
        other.append(KEY, HELLO)
        before = other.get_session_metadata(KEY)
        store = SessionStore(engine)
        with pytest.raises(StoreUnavailable) as told:
            write(store)
        assert getattr(told.value.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        assert other.get_session_metadata(KEY) == before
        most_pages[0] = 1_000_000
        write(store)
        assert other.get_session_metadata(KEY) != before
    engine.dispose()


@only_sqlite
@pytest.mark.parametrize("damage", ["not a database", "no such directory"])
def test_a_file_that_is_no_database_is_unavailable(damage: str, database: Database, tmp_path: Path) -> None:
    """What is no database, or cannot be made, is told as unavailable."""
    path = tmp_path / "other" / "sessions.db"
    if damage == "not a database":
        path = tmp_path / "letter.txt"
        path.write_text("Dear Ann, this is no database. " * 100)

    with pytest.raises(StoreUnavailable) as opened:
        SessionStore.open(path)
    with SessionStore(path) as store, pytest.raises(StoreUnavailable) as read:
        store.load(KEY)

    assert isinstance(opened.value.__cause__, sqlite3.Error)
    assert isinstance(read.value.__cause__, sqlite3.Error)
    assert database.url.database != str(path)


# Any database.


def test_all_connections_taken_is_unavailable(database: Database) -> None:
    """When no connection of the pool comes free in its time, that is told, and not waited for longer."""
    engine = host_engine(database, pool_size=1, max_overflow=0, pool_timeout=0.1)
    with engine.connect(), pytest.raises(StoreUnavailable):
        SessionStore(engine).load(KEY)
    engine.dispose()


def raise_within_begin(store: SessionStore, error: Exception) -> None:
    """Append a message, and raise within the transaction."""
    with store.begin() as transaction:
        transaction.append(KEY, HELLO)
        raise error


async def raise_within_begin_on_a_loop(store: AsyncSessionStore, error: Exception) -> None:
    """The same on an event loop."""
    async with store.begin() as transaction:
        await transaction.append(KEY, HELLO)
        raise error


@pytest.mark.parametrize("error", [FileNotFoundError("a file of the host's"), TimeoutError(), KeyError("x")], ids=repr)
def test_a_host_s_own_error_comes_out_of_begin(database: Database, error: Exception) -> None:
    """What the caller raises within ``begin()`` rolls back and comes out as it is: it is no error of ours."""
    with SessionStore(database.url) as store:
        with pytest.raises(type(error)) as told:
            raise_within_begin(store, error)
        assert store.load(KEY) == []

    assert told.value is error


def test_another_database_s_error_comes_out_of_begin(database: Database) -> None:
    """So does the error of another database that the caller uses meanwhile."""
    other = create_engine("sqlite://")
    with SessionStore(database.url) as store:
        with other.connect() as db, pytest.raises(OperationalError) as from_elsewhere:
            db.execute(text("SELECT * FROM not_ours"))
        with pytest.raises(OperationalError) as told:
            raise_within_begin(store, from_elsewhere.value)
        assert store.load(KEY) == []
    other.dispose()

    assert told.value is from_elsewhere.value


def test_a_host_s_own_error_comes_out_of_begin_on_a_loop(database: Database) -> None:
    """And so it does on an event loop."""

    async def main() -> None:
        async with AsyncSessionStore(database.url) as store:
            with pytest.raises(ConnectionError, match="the model's"):
                await raise_within_begin_on_a_loop(store, ConnectionError("the model's server"))
            assert await store.load(KEY) == []

    asyncio.run(main())


@pytest.mark.parametrize(
    "error",
    [
        StoreError("said"),
        InvalidKey("said"),
        InvalidMessage("said"),
        InvalidQuery("said"),
        IdempotencyConflict(KEY, "one"),
        SessionInUse(KEY),
        SessionInUse(),
        Conflict("said"),
        SchemaOutOfDate(None, "ss_0003"),
        StoreUnavailable("said"),
    ],
    ids=lambda error: f"{type(error).__name__}{len(error.args)}{error.args[0]}",
)
def test_errors_travel_between_processes(error: StoreError) -> None:
    """Every error can be pickled, with its facts and its words."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301

    assert type(copy) is type(error)
    assert (copy.args, str(copy), vars(copy)) == (error.args, str(error), vars(error))
