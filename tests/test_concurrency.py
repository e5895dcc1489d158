"""Whoever works on one session at once: nothing is lost, nothing doubled, and nobody gets an error."""

import asyncio
import itertools
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from session_store import AsyncSessionStore, ChatMessage, NewMessage, SessionStore, StoreError
from session_store.models.models import STATES
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import async_host_engine, disagreements
from tests.processes import at_once, workers

HELLO = ChatMessage.user("Hello")
KEY = "telegram_ann"
MANY = 8

on_each_driver = pytest.mark.parametrize(
    ("driver", "database"),
    [("aiosqlite", "sqlite"), ("psycopg", "postgresql"), ("asyncpg", "postgresql")],
    indirect=["database"],
    ids=["aiosqlite", "psycopg", "asyncpg"],
)


@pytest.fixture
def blocking(database: Database) -> Iterator[SessionStore]:
    """A store whose clock runs."""
    with SessionStore(database.url) as store:
        yield store


def in_threads(*works: Callable[[], Any]) -> list[Any]:
    """What each piece of work returns, all begun at once in threads of their own."""
    barrier = threading.Barrier(len(works))

    def begin(work: Callable[[], Any]) -> Any:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return [future.result() for future in [threads.submit(begin, work) for work in works]]


def wrong_heads(store: SessionStore) -> list[str]:
    """The sessions whose head and logs disagree."""
    with store.engine.connect() as db:
        return disagreements(db)


def assert_complete(database: Database, seqs: list[int], number: int) -> None:
    """Everybody's messages are there, numbered from one without a gap, and counted."""
    assert sorted(seqs) == list(range(1, number + 1))
    with SessionStore(database.url) as store:
        assert [message.seq for message in store.history(KEY)] == list(range(1, number + 1))
        metadata = store.get_session_metadata(KEY)
        assert metadata is not None
        assert (metadata.message_count, metadata.last_seq) == (number, number)


# One session, many writers.


@pytest.mark.once
def test_processes_append(database: Database) -> None:
    """8 processes that append 200 messages each to one new session make seqs 1 to 1,600."""
    with workers(["append", str(database), KEY, "200"], MANY) as started:
        told = at_once(started)
        assert [worker.process.wait() for worker in started] == [0] * MANY

    assert_complete(database, list(itertools.chain(*told)), 1600)


def test_threads_append(database: Database, blocking: SessionStore) -> None:
    """8 threads on one store do as well."""

    def work() -> list[int]:
        return [blocking.append(KEY, HELLO).seq for _ in range(200)]

    assert_complete(database, list(itertools.chain(*in_threads(*[work] * MANY))), 1600)


@on_each_driver
def test_tasks_append(driver: str, database: Database) -> None:
    """50 tasks of one event loop do as well."""

    async def main() -> list[int]:
        store = AsyncSessionStore(async_host_engine(database, driver))

        async def work() -> list[int]:
            return [(await store.append(KEY, HELLO)).seq for _ in range(32)]

        seqs = await asyncio.gather(*(work() for _ in range(50)))
        await store.engine.dispose()
        return list(itertools.chain(*seqs))

    assert_complete(database, asyncio.run(main()), 1600)


@pytest.mark.parametrize("take", ["pop_last", "remove_last"])
def test_each_message_is_taken_once(take: str, blocking: SessionStore) -> None:
    """8 threads that take 200 messages get each exactly once, and then nothing."""
    blocking.append_many(KEY, [ChatMessage.user(str(n)) for n in range(200)])

    def work() -> list[Any]:
        return list(iter(lambda: getattr(blocking, take)(KEY) or None, None))

    taken = list(itertools.chain(*in_threads(*[work] * MANY)))

    assert len(taken) == 200
    assert take == "remove_last" or sorted(message.seq for message in taken) == list(range(1, 201))
    assert blocking.load(KEY) == []
    assert wrong_heads(blocking) == []


def test_threads_flip_the_state(blocking: SessionStore) -> None:
    """8 threads that flip the state leave a log without gap, times that never go back, and a head that agrees."""

    def work(name: int) -> None:
        for n in range(40):
            blocking.set_session_state(KEY, ("running", "error", "idle")[n % 3], f"turn-{name}-{n}")

    in_threads(*[partial(work, name) for name in range(MANY)])

    with blocking.engine.connect() as db:
        log = db.execute(select(STATES).where(STATES.c.session_key == KEY).order_by(STATES.c.seq)).all()
    times = [row.entered_at for row in log]
    state = blocking.get_session_state(KEY)
    assert state is not None
    assert len(log) > 40
    assert [row.seq for row in log] == list(range(1, len(log) + 1))
    assert times == sorted(times)
    assert (log[-1].state, log[-1].turn_id, log[-1].entered_at) == (state.state, state.turn_id, state.entered_at)


def test_one_turn_wins(blocking: SessionStore) -> None:
    """Of 8 threads that start a turn only if there is none, one is told that it has, each time."""

    def start(turn: str) -> bool:
        return blocking.set_session_state(KEY, "running", turn, if_turn=None)

    for n in range(10):
        turns = [f"{n}-{name}" for name in range(MANY)]
        won = in_threads(*(partial(start, turn) for turn in turns))
        state = blocking.get_session_state(KEY)
        assert state is not None
        assert (won.count(True), state.turn_id) == (1, turns[won.index(True)])
        blocking.set_session_state(KEY, "idle")


@pytest.mark.parametrize("way", ["append", "begin", "append_many"])
def test_one_idempotency_key_is_one_row(way: str, blocking: SessionStore) -> None:
    """8 threads that append under one idempotency key get the same message, and there is one row."""

    def work(key: str) -> Any:
        if way == "append_many":
            message = NewMessage(HELLO, None, "one")
            return blocking.append_many(key, [message, message])[1].seq
        if way == "append":
            return blocking.append(key, HELLO, idempotency_key="one").seq
        with blocking.begin() as transaction:
            return transaction.append(key, HELLO, idempotency_key="one").seq

    for n in range(10):
        assert in_threads(*[partial(work, f"{KEY}{n}")] * MANY) == [1] * MANY
        assert blocking.load(f"{KEY}{n}") == [HELLO]


def test_attributes_merge(blocking: SessionStore) -> None:
    """8 threads that each set attributes of their own lose none of them."""

    def work(name: int) -> None:
        for n in range(20):
            blocking.set_session_attributes(KEY, {f"{name}-{n}": n})

    in_threads(*[partial(work, name) for name in range(MANY)])

    metadata = blocking.get_session_metadata(KEY)
    assert metadata is not None
    assert metadata.attributes == {f"{name}-{n}": n for name in range(MANY) for n in range(20)}


def test_everything_at_once(blocking: SessionStore) -> None:
    """Whatever 8 threads do to three sessions at once, no call fails, and heads and logs agree."""
    acts: list[Callable[[str], Any]] = [
        lambda key: blocking.append(key, HELLO),
        lambda key: blocking.append(key, HELLO, idempotency_key=str(random.randrange(5))),  # noqa: S311
        lambda key: blocking.append_many(key, [HELLO, HELLO]),
        blocking.pop_last,
        lambda key: blocking.update_last(key, HELLO),
        blocking.clear_messages,
        lambda key: blocking.set_session_state(key, "running", str(random.randrange(3))),  # noqa: S311
        lambda _: blocking.recover_stuck(0),
        blocking.compact,
        lambda key: blocking.set_session_attributes(key, {"n": random.random()}),  # noqa: S311
        lambda key: blocking.set_session_owner(key, "ann"),
        blocking.delete_session,
        lambda _: blocking.delete_sessions(owner="ann"),
        lambda _: blocking.cleanup_stale(0, include_running=True, batch_size=2),
        lambda _: blocking.list_sessions_with_metadata(),
    ]

    def work() -> None:
        for _ in range(60):
            random.choice(acts)(random.choice("abc"))  # noqa: S311

    in_threads(*[work] * MANY)

    assert wrong_heads(blocking) == []


# The ends of sessions.


def test_two_cleanups_share_the_work(database: Database, clock: Clock) -> None:
    """Two that clean up at once delete each stale session once, and between them all."""
    with SessionStore(database.url, clock=clock) as store:
        for n in range(200):
            store.append(f"{KEY}{n}", HELLO)
        clock.advance(7200)

        deleted = in_threads(*[lambda: store.cleanup_stale(1, batch_size=7)] * 2)

        assert sum(deleted) == 200
        assert store.count_sessions() == 0


def test_two_recoveries_share_the_work(database: Database, clock: Clock) -> None:
    """Two that recover at once move each stuck session once, and between them all."""
    with SessionStore(database.url, clock=clock) as store:
        keys = [f"{KEY}{n:03}" for n in range(100)]
        for key in keys:
            store.set_session_state(key, "running", "turn-1")
        clock.advance(60)

        first, second = in_threads(*[lambda: store.recover_stuck(1)] * 2)

        assert sorted(first + second) == keys
        assert wrong_heads(store) == []


def test_cleanup_keeps_what_is_touched(database: Database, clock: Clock) -> None:
    """No message that an append has returned is lost to a cleanup that runs at the same time."""
    with SessionStore(database.url, clock=clock) as store:
        keys = [f"{KEY}{n}" for n in range(100)]
        for key in keys:
            store.append(key, HELLO)
        clock.advance(7200)

        def touch(part: int) -> list[str]:
            touched = keys[part::3]
            random.shuffle(touched)
            for key in touched:
                store.append(key, ChatMessage.user("still here"))
            return touched

        def clean() -> list[str]:
            store.cleanup_stale(1, batch_size=3)
            return []

        touched = itertools.chain(*in_threads(lambda: touch(0), lambda: touch(1), clean, clean))

        assert [key for key in touched if store.load(key)[-1].content != "still here"] == []
        assert wrong_heads(store) == []


def test_a_session_is_deleted_under_appends(blocking: SessionStore) -> None:
    """Deleting a session that others append to fails for nobody, and what is left agrees with itself."""

    def append() -> None:
        for _ in range(60):
            blocking.append(KEY, HELLO)

    def delete() -> None:
        for _ in range(30):
            blocking.delete_session(KEY)

    in_threads(append, append, append, delete, delete)
    assert wrong_heads(blocking) == []
    last = blocking.append(KEY, HELLO).seq

    assert [message.seq for message in blocking.history(KEY)] == list(range(1, last + 1))


# Nesting.


def test_a_nested_write_is_refused(blocking: SessionStore) -> None:
    """A write past the transaction that ``begin()`` gave is refused at once, and that transaction goes on."""
    neighbour = SessionStore(blocking.engine)
    with blocking.begin() as transaction:
        for store in (blocking, neighbour):
            with pytest.raises(StoreError, match=r"begin\(\)"):
                store.append(KEY, HELLO)
            with pytest.raises(StoreError, match=r"begin\(\)"):
                store.cleanup_stale(1)
            with pytest.raises(StoreError, match=r"begin\(\)"), store.begin():
                pass
            assert store.load(KEY) == []
        transaction.append(KEY, HELLO)
    blocking.append(KEY, HELLO)

    assert blocking.load(KEY) == [HELLO, HELLO]


@on_each_driver
def test_a_nested_write_is_refused_on_a_loop(driver: str, database: Database) -> None:
    """So it is on an event loop, while other tasks wait for their turn and get it."""

    async def main() -> None:
        store = AsyncSessionStore(async_host_engine(database, driver))
        async with store.begin() as transaction:
            await transaction.append(KEY, HELLO)
            other = asyncio.create_task(store.append(KEY, HELLO))
            await asyncio.sleep(0.01)
            with pytest.raises(StoreError, match=r"begin\(\)"):
                await store.append(KEY, HELLO)
            with pytest.raises(StoreError, match=r"begin\(\)"):
                async with store.begin():
                    pass
        assert (await other).seq == 2
        assert await store.load(KEY) == [HELLO, HELLO]
        await store.engine.dispose()

    asyncio.run(main())
