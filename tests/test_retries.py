"""Who runs again what the database gave up on: the store its own calls, the host its transactions."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from psycopg import errors
from sqlalchemy import Engine, event, orm, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from session_store import AsyncSessionStore, ChatMessage, Conflict, SessionStore, StoreUnavailable, models
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import async_host_engine, disagreements, host_engine

HELLO = ChatMessage.user("Hello")
KEY = "telegram_ann"

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
"""SQLite has one writer: there is nothing to give up on."""


@contextmanager
def engine_with(database: Database, **settings: str) -> Iterator[Engine]:
    """An engine whose connections have settings of their own."""
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    engine = host_engine(database, connect_args={"options": options})
    yield engine
    engine.dispose()


def waiting(engine: Engine) -> int:
    """How many others wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with engine.connect() as db:
        return int(db.scalar(text(query)) or 0)


def until(happened: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# The store's own transactions.


def test_a_call_that_loses_a_deadlock_runs_again(database: Database) -> None:
    """A call the server ends in favour of a host's transaction waits for that, runs again and succeeds."""
    with (
        engine_with(database, deadlock_timeout="10s") as patient,
        engine_with(database, deadlock_timeout="500ms") as victim,
        ThreadPoolExecutor() as threads,
    ):
        lost: list[BaseException] = []
        event.listen(victim, "handle_error", lambda context: lost.append(context.original_exception))
        # Of one minute, so that the last key comes first.
        store = SessionStore(victim, clock=Clock())
        for key in ("a", "b"):
            store.create_session(key, owner="ann")
        with patient.begin() as db:
            joined = SessionStore(patient).joined_to(db)
            joined.append("a", HELLO)
            # It takes b, and waits for a.
            deleted = threads.submit(store.delete_sessions, owner="ann")
            until(lambda: waiting(patient))
            joined.append("b", HELLO)
        assert deleted.result() == 2
        assert store.list_sessions() == []

    assert {type(error) for error in lost} == {errors.DeadlockDetected}


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_call_that_cannot_be_serialized_runs_again(database: Database, level: str) -> None:
    """Where a server makes every transaction serializable, 8 threads on one session do all of each call or nothing.

    What they do is done once, whether the store ran it again or said `Conflict` and the caller did.
    """
    with engine_with(database, default_transaction_isolation=level.replace(" ", r"\ ")) as engine:
        with engine.connect() as db:
            assert db.scalar(text("SHOW transaction_isolation")) == level
        store = SessionStore(engine)

        def insist(call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
            for _ in range(20):
                with suppress(Conflict):
                    call(*args, **kwargs)
                    return
            pytest.fail("Conflict, 20 times")

        def work(name: int) -> None:
            for n in range(10):
                insist(store.append, KEY, HELLO)
                insist(store.append, KEY, HELLO, idempotency_key=f"{n}")
                insist(store.set_session_state, KEY, "running", f"{name}-{n}")
                insist(store.set_session_attributes, KEY, {f"{name}-{n}": n})

        with ThreadPoolExecutor(8) as threads:
            for future in [threads.submit(work, name) for name in range(8)]:
                future.result()
        with engine.connect() as db:
            assert disagreements(db) == []
        metadata = store.get_session_metadata(KEY)
        assert metadata is not None
        assert len(metadata.attributes) == 80
        assert metadata.message_count == metadata.last_seq == 90


@pytest.mark.once
def test_a_lock_held_too_long_is_unavailable(database: Database) -> None:
    """A call that may not wait for a lock longer than the host allows tries for 5 seconds, and then gives up."""
    with engine_with(database, lock_timeout="100ms") as hasty, engine_with(database) as other:
        store = SessionStore(hasty)
        store.append(KEY, HELLO)
        with other.begin() as db:
            SessionStore(other).joined_to(db).append(KEY, HELLO)
            started = time.monotonic()
            with pytest.raises(StoreUnavailable) as told:
                store.append(KEY, HELLO)
            assert 4 < time.monotonic() - started < 8
        assert store.append(KEY, HELLO).seq == 3

    assert isinstance(told.value.__cause__, errors.LockNotAvailable)


def test_a_call_waits_for_a_host(database: Database) -> None:
    """A call waits for a host that has the session, and then goes on from what the host left."""
    with engine_with(database) as engine, ThreadPoolExecutor() as threads:
        store = SessionStore(engine)
        with engine.begin() as db:
            store.joined_to(db).append(KEY, HELLO, idempotency_key="one")
            seqs = [threads.submit(store.append, KEY, HELLO, idempotency_key=key) for key in ("one", "two")]
            until(lambda: waiting(engine) == 2)
        assert [future.result().seq for future in seqs] == [1, 2]


# A host's transactions.


def test_a_deadlock_of_two_begins_is_a_conflict(database: Database) -> None:
    """Of two transactions that want each other's sessions one commits and the other is told `Conflict`."""
    with engine_with(database, deadlock_timeout="20ms") as engine:
        store, barrier = SessionStore(engine), threading.Barrier(2)

        def work(first: str, second: str) -> str:
            with store.begin() as transaction:
                transaction.append(first, HELLO)
                barrier.wait()
                transaction.append(second, HELLO)
            return first

        with ThreadPoolExecutor() as threads:
            futures = [threads.submit(work, "a", "b"), threads.submit(work, "b", "a")]
            told = [future.exception() for future in futures]
        [conflict] = [error for error in told if error is not None]
        assert isinstance(conflict, Conflict)
        assert isinstance(conflict.__cause__, errors.DeadlockDetected)
        assert [store.load(key) for key in ("a", "b")] == [[HELLO], [HELLO]]


@pytest.mark.parametrize(
    "write",
    [
        lambda joined: joined.append(KEY, HELLO),
        lambda joined: joined.append(KEY, HELLO, idempotency_key="one"),
        lambda joined: joined.pop_last(KEY),
        lambda joined: joined.set_session_state(KEY, "running", "turn-1"),
        lambda joined: joined.delete_session(KEY),
    ],
    ids=["append", "append once", "pop_last", "set_session_state", "delete_session"],
)
def test_a_stale_snapshot_of_a_host_is_a_conflict(database: Database, write: Callable[[Any], Any]) -> None:
    """A host at REPEATABLE READ that writes to what others have changed is told to run its transaction again."""
    engine = host_engine(database, isolation_level="REPEATABLE READ")
    with SessionStore(database.url) as store:
        store.append(KEY, HELLO)
        with orm.Session(engine) as db:
            held = db.get_one(models.Session, KEY)
            store.append(KEY, HELLO)
            assert held.message_count == 1
            with pytest.raises(Conflict) as told:
                write(store.joined_to(db))
            db.rollback()
            write(store.joined_to(db))
            db.commit()
    engine.dispose()

    assert isinstance(told.value.__cause__, errors.SerializationFailure)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_stale_snapshot_of_a_host_is_a_conflict_on_a_loop(database: Database, driver: str) -> None:
    """So it is on an event loop."""

    async def main() -> None:
        engine = async_host_engine(database, driver, isolation_level="REPEATABLE READ")
        store = AsyncSessionStore(engine)
        await store.append(KEY, HELLO)
        async with AsyncSession(engine) as db:
            await db.execute(select(models.Session))
            await store.append(KEY, HELLO)
            with pytest.raises(Conflict):
                await store.joined_to(db).append(KEY, HELLO)
            await db.rollback()
            assert (await store.joined_to(db).append(KEY, HELLO)).seq == 3
            await db.commit()
        await engine.dispose()

    asyncio.run(main())
