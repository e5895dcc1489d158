"""A call that is cancelled has happened as a whole or not at all, and nothing it used is lost."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from session_store import AsyncSessionStore, ChatMessage, NewMessage, SessionQuery, SessionStore
from session_store.models.models import MESSAGES, SESSIONS, STATES
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import async_host_engine, disagreements, host_engine

CANCELLATIONS = int(os.environ.get("SESSION_STORE_TEST_CANCELLATIONS", "10"))
AT_ONCE_SECS = 2.0
"""A write that had to wait for a lock nobody will give back takes 5 seconds."""

HELLO = ChatMessage.user("Hello")
KEY = "telegram_ann"
TOMORROW = Clock().advance(24 * 3600)


async def whole_history(store: AsyncSessionStore) -> list[Any]:
    """Every message by pages of one."""
    return [message async for message in store.iter_history(KEY, batch=1)]


CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "append": lambda store: store.append(KEY, HELLO),
    "append_many": lambda store: store.append_many(KEY, [HELLO, NewMessage(HELLO, None, "new")]),
    "health": lambda store: store.health(),
    "cleanup_stale": lambda store: store.cleanup_stale(0, include_running=True),
    "clear_messages": lambda store: store.clear_messages(KEY),
    "compact": lambda store: store.compact(KEY),
    "count_sessions": lambda store: store.count_sessions(),
    "create_session": lambda store: store.create_session("telegram_bob", name="Bob"),
    "delete_session": lambda store: store.delete_session(KEY),
    "delete_sessions": lambda store: store.delete_sessions(owner="ann"),
    "get_session_metadata": lambda store: store.get_session_metadata(KEY),
    "get_session_name": lambda store: store.get_session_name(KEY),
    "get_session_state": lambda store: store.get_session_state(KEY),
    "history": lambda store: store.history(KEY),
    "iter_history": whole_history,
    "list_running_sessions": lambda store: store.list_running_sessions(),
    "list_sessions": lambda store: store.list_sessions(),
    "list_sessions_with_metadata": lambda store: store.list_sessions_with_metadata(),
    "list_stuck_sessions": lambda store: store.list_stuck_sessions(0),
    "load": lambda store: store.load(KEY),
    "pop_last": lambda store: store.pop_last(KEY),
    "prune_states": lambda store: store.prune_states(TOMORROW),
    "recover_stuck": lambda store: store.recover_stuck(0),
    "remove_last": lambda store: store.remove_last(KEY),
    "search": lambda store: store.search(SessionQuery(keyword="hello")),
    "search_messages": lambda store: store.search_messages("hello"),
    "session_exists": lambda store: store.session_exists(KEY),
    "set_session_attributes": lambda store: store.set_session_attributes(KEY, {"room": 7}),
    "set_session_name": lambda store: store.set_session_name(KEY, "Ann"),
    "set_session_owner": lambda store: store.set_session_owner(KEY, None),
    "set_session_state": lambda store: store.set_session_state(KEY, "error", "turn-2", if_turn="turn-1"),
    "trim": lambda store: store.trim(KEY, keep_last=1),
    "update_last": lambda store: store.update_last(KEY, ChatMessage.assistant("Other")),
}

each_call = pytest.mark.parametrize("call", CALLS)


on_each_driver = pytest.mark.parametrize(
    ("driver", "database"),
    [("aiosqlite", "sqlite"), ("psycopg", "postgresql"), ("asyncpg", "postgresql")],
    indirect=["database"],
    ids=["aiosqlite", "psycopg", "asyncpg"],
)
each_call = pytest.mark.parametrize("name", CALLS)


class Moments:
    """How often something is cancelled, and how often that came in time."""

    def __init__(self, number: int, record: Callable[[int, int], None]) -> None:
        self.number = number
        self._record = record
        self._landed = 0

    async def cancel_at_one(self, work: Callable[[], Awaitable[Any]], within_secs: float) -> None:
        """Start work and cancel it at a moment that is as likely as any other, sometimes twice."""

        async def worker() -> None:
            await work()

        task = asyncio.create_task(worker())
        for _ in range(random.choice((1, 1, 2))):  # noqa: S311
            moment = time.perf_counter() + random.uniform(0, within_secs)  # noqa: S311
            while time.perf_counter() < moment and not task.done():  # noqa: ASYNC110 - a moment is no event
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        self._landed += task.cancelled()
        if not task.cancelled():
            task.result()

    def end(self, acknowledged: int = 0) -> None:
        """Tell how many calls ended cancelled, and how many messages others were told of meanwhile."""
        self._record(self._landed, acknowledged)


@pytest.fixture
def moments(record_property: Callable[[str, object], None]) -> Moments:
    """As many as SESSION_STORE_TEST_CANCELLATIONS asks for."""
    return Moments(CANCELLATIONS, lambda landed, _: record_property("cancelled", landed))


class Witness:
    """Somebody with a connection of their own, who sees what is in the database and puts it back as it was.

    Past SQLAlchemy, and from copies in the database: what is seen and put back after each moment is most of the time
    that all of this takes.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self._engine: Engine = host_engine(database, isolation_level="AUTOCOMMIT")
        self._db = self._engine.connect()
        self._selects = [
            f"SELECT {', '.join(table.c.keys())} FROM {table.name} ORDER BY {', '.join(table.primary_key.c.keys())}"  # noqa: S608
            for table in (SESSIONS, MESSAGES, STATES)
        ]
        self._run(f"CREATE TABLE kept_{table} AS SELECT * FROM {table};" for table in (SESSIONS, MESSAGES, STATES))  # noqa: S608
        self.before = self.sees()

    def sees(self) -> list[list[Any]]:
        """Every row of the three tables, as the driver has them."""
        cursor = self._db.connection.cursor()
        rows = []
        for statement in self._selects:
            cursor.execute(statement)
            rows.append(cursor.fetchall())
        cursor.close()
        return rows

    def restores(self) -> None:
        """Put the rows there that were there at first."""
        gone = (f"DELETE FROM {table};" for table in (STATES, MESSAGES, SESSIONS))  # noqa: S608
        back = (f"INSERT INTO {table} SELECT * FROM kept_{table};" for table in (SESSIONS, MESSAGES, STATES))  # noqa: S608
        self._run(["BEGIN;", *gone, *back, "COMMIT;"])

    def _run(self, statements: Iterable[str]) -> None:
        cursor = self._db.connection.cursor()
        # Each driver has its own way to be sent several at once.
        (cursor.executescript if self.database.name == "sqlite" else cursor.execute)("\n".join(statements))
        cursor.close()

    def backends(self) -> int:
        """How many connections the server has from others, 0 where there is no server."""
        if self.database.name == "sqlite":
            return 0
        others = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        return int(self._db.scalar(others))

    def disagreements(self) -> list[str]:
        """The sessions whose head and logs disagree."""
        return disagreements(self._db)

    def close(self) -> None:
        """Go home."""
        self._db.close()
        self._engine.dispose()


@pytest.fixture
def witness(database: Database, clock: Clock) -> Iterator[Witness]:
    """A witness of a database with two sessions, one of them running, made a second ago."""
    with SessionStore(database.url, clock=clock) as store:
        store.append_many(KEY, [HELLO, NewMessage(HELLO, None, "old"), HELLO])
        store.set_session_owner(KEY, "ann")
        store.set_session_state(KEY, "error")
        store.set_session_state(KEY, "running", "turn-1")
        store.set_session_name("telegram_zoe", "Zoe")
    clock.advance(1)
    witness = Witness(database, clock)
    yield witness
    witness.close()


@asynccontextmanager
async def store_on(witness: Witness, driver: str) -> AsyncIterator[AsyncSessionStore]:
    """A store on this driver that has two connections at most."""
    engine = async_host_engine(witness.database, driver, pool_size=2, max_overflow=0, pool_timeout=5)
    yield AsyncSessionStore(engine, clock=witness.clock)
    await engine.dispose()


async def writes_at_once(store: AsyncSessionStore) -> None:
    """Write, which must not have to wait."""
    started = time.perf_counter()
    await store.set_session_name("telegram_zoe", "Zoe")
    assert time.perf_counter() - started < AT_ONCE_SECS


async def cancel_again_and_again(
    work: Callable[[AsyncSessionStore], Awaitable[Any]], store: AsyncSessionStore, witness: Witness, moments: Moments
) -> None:
    """Cancel work as often as asked for; each time all of it has happened or nothing."""
    await work(store)
    witness.restores()
    started = time.perf_counter()
    await work(store)
    took = time.perf_counter() - started
    after = witness.sees()
    witness.restores()
    for _ in range(moments.number):
        await moments.cancel_at_one(partial(work, store), 1.2 * took)
        await is_whole(store, witness, after)
    assert witness.backends() <= 2


async def is_whole(store: AsyncSessionStore, witness: Witness, after: list[list[Any]]) -> None:
    """See that all of what was cancelled has happened, or nothing; then nothing has."""
    seen = witness.sees()
    assert seen in (witness.before, after)
    assert store.engine.pool.checkedout() == 0
    await writes_at_once(store)
    if seen != witness.before:
        witness.restores()


def test_every_call_is_cancelled() -> None:
    """No public call is left out below."""
    others = {"begin", "close", "joined_to", "open"}
    public = {name for name in vars(AsyncSessionStore) | vars(AsyncSessionStore.__base__) if name[0] != "_"}

    assert set(CALLS) == public - others


@on_each_driver
@each_call
def test_a_cancelled_call_is_all_or_nothing(name: str, driver: str, witness: Witness, moments: Moments) -> None:
    """Cancelled at any moment a call has happened or not, its connection is back, and the next write does not wait."""

    async def main() -> None:
        async with store_on(witness, driver) as store:
            await cancel_again_and_again(CALLS[name], store, witness, moments)

    asyncio.run(main())
    moments.end()


@on_each_driver
def test_a_cancelled_transaction_is_all_or_nothing(driver: str, witness: Witness, moments: Moments) -> None:
    """Cancelled within ``begin()``, everything in it is rolled back, unless it had been committed."""

    async def several(store: AsyncSessionStore) -> None:
        async with store.begin() as transaction:
            for name in ("append", "set_session_state", "append_many", "pop_last", "set_session_attributes"):
                await CALLS[name](transaction)

    async def main() -> None:
        async with store_on(witness, driver) as store:
            for _ in range(3):
                await cancel_again_and_again(several, store, witness, moments)

    asyncio.run(main())
    moments.end()


@pytest.mark.once
@on_each_driver
@each_call
def test_a_cancelled_joined_call_leaves_the_transaction_usable(
    name: str, driver: str, witness: Witness, moments: Moments
) -> None:
    """A host whose joined call was cancelled can go on, and its commit keeps the whole call or nothing of it."""

    async def in_a_host(store: AsyncSessionStore, *, cancel_within: float | None) -> None:
        async with AsyncSession(store.engine) as host:
            joined = store.joined_to(host)
            if cancel_within is None:
                await CALLS[name](joined)
            else:
                await moments.cancel_at_one(partial(CALLS[name], joined), cancel_within)
            assert await host.scalar(select(func.count()).select_from(SESSIONS)) is not None
            await host.commit()

    async def main() -> None:
        async with store_on(witness, driver) as store:
            await in_a_host(store, cancel_within=None)
            witness.restores()
            started = time.perf_counter()
            await in_a_host(store, cancel_within=None)
            took, after = time.perf_counter() - started, witness.sees()
            witness.restores()
            for _ in range(moments.number // 2):
                await in_a_host(store, cancel_within=took)
                await is_whole(store, witness, after)

    asyncio.run(main())
    moments.end()


@on_each_driver
def test_cancelled_callers_do_not_disturb_the_others(driver: str, witness: Witness, moments: Moments) -> None:
    """Of tasks that all append to one session, half of them cancelled, the others' messages are all there."""
    rounds = max(1, moments.number // 4)

    async def main() -> None:
        async with store_on(witness, driver) as store:
            for _ in range(rounds):
                kept = [asyncio.create_task(store.append(KEY, ChatMessage.user(f"kept {n}"))) for n in range(8)]
                others = [moments.cancel_at_one(partial(store.append, KEY, HELLO), 0.02) for _ in range(8)]
                await asyncio.gather(*others)
                seqs = [(await task).seq for task in kept]
                stored = {message.seq: message.message.content for message in await store.history(KEY)}
                assert [stored[seq] for seq in seqs] == [f"kept {n}" for n in range(8)]
                assert witness.disagreements() == []
                assert store.engine.pool.checkedout() == 0
            assert witness.backends() <= 2

    asyncio.run(main())
    moments.end(acknowledged=8 * rounds)


@on_each_driver
def test_a_loop_that_ends_amid_calls_leaves_whole_messages(driver: str, witness: Witness, moments: Moments) -> None:
    """When all calls under way are cancelled and the loop ends, heads and logs agree and a new store writes at once."""

    async def abandon() -> None:
        engine = async_host_engine(witness.database, driver, pool_size=2, max_overflow=0)
        store = AsyncSessionStore(engine, clock=witness.clock)
        tasks = [asyncio.create_task(store.append(KEY, HELLO)) for _ in range(10)]
        await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311
        for task in tasks:
            task.cancel()
        try:
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        finally:
            await store.engine.dispose()

    async def main() -> None:
        async with store_on(witness, driver) as store:
            await writes_at_once(store)

    for _ in range(max(1, moments.number // 4)):
        asyncio.run(abandon())
        asyncio.run(main())
        assert witness.disagreements() == []
