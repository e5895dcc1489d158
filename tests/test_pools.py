"""The host's pool: asked for a connection when one is needed, given it back at once, content with one."""

import asyncio
import io
import itertools
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    NullPool,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
    create_engine,
    event,
    insert,
    orm,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession

from session_store import AsyncSessionStore, ChatMessage, SchemaOutOfDate, SessionStore, migrations
from session_store.testing import Clock
from session_store.transfer import import_jsonl
from tests.conftest import Database
from tests.hosts import ORDERS, async_host_engine, disagreements, host_engine
from tests.test_cancellation import CALLS

HELLO = ChatMessage.user("Hello")
KEY = "telegram_ann"
MANY = 50
FEW = 8
"""How many call at once: many for one connection; few where each has its own, and on SQLite waits for a lock."""

APPENDS = 6
"""How many messages each caller adds to the one session."""

ONE: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 20}
"""A pool of one connection, in which a call that took a second one would wait for itself."""

NONE: dict[str, Any] = {"poolclass": NullPool}
"""No pool, as behind a pooler of the host's: a connection for each call."""

Driver = tuple[str, str, dict[str, Any]]
SYNC: dict[str, Driver] = {
    "pysqlite": ("pysqlite", "sqlite", ONE),
    "pysqlite, no pool": ("pysqlite", "sqlite", NONE),
    "psycopg": ("psycopg", "postgresql", ONE),
    "psycopg, no pool": ("psycopg", "postgresql", NONE),
    "psycopg, unprepared": ("psycopg", "postgresql", ONE | {"connect_args": {"prepare_threshold": None}}),
    "psycopg2": ("psycopg2", "postgresql", ONE),
}
ASYNC: dict[str, Driver] = {
    "aiosqlite": ("aiosqlite", "sqlite", ONE),
    "aiosqlite, no pool": ("aiosqlite", "sqlite", NONE),
    "psycopg": ("psycopg", "postgresql", ONE),
    "psycopg, unprepared": ("psycopg", "postgresql", ONE | {"connect_args": {"prepare_threshold": None}}),
    "asyncpg": ("asyncpg", "postgresql", ONE),
    "asyncpg, no pool": ("asyncpg", "postgresql", NONE),
    "asyncpg, uncached": ("asyncpg", "postgresql", ONE | {"connect_args": {"prepared_statement_cache_size": 0}}),
}


def on_each(drivers: dict[str, Driver]) -> pytest.MarkDecorator:
    """Run a test on each of these drivers, with each of these pools."""
    names = ("driver", "database", "options")
    return pytest.mark.parametrize(names, drivers.values(), indirect=["database"], ids=drivers.keys())


# Between calls.


def test_no_call_keeps_its_connection(store: SessionStore, connections: set[object]) -> None:
    """When a call has returned, the connection it used is in its pool again, whatever the call was."""
    store.append_many(KEY, [HELLO, HELLO, HELLO])
    store.set_session_state(KEY, "running", "turn-1")
    kept = []
    for name, call in CALLS.items():
        if name != "iter_history":
            call(store)
        kept += [name] if connections else []

    assert kept == []


def test_no_connection_is_held_between_pages(store: SessionStore, connections: set[object]) -> None:
    """Whoever goes through a history and stops to think, or for ever, keeps nobody waiting meanwhile."""
    store.append_many(KEY, [ChatMessage.user(str(n)) for n in range(10)])
    messages = store.iter_history(KEY, batch=3)
    for message in messages:
        assert not connections
        if message.seq == 4:
            store.append(KEY, HELLO)

    assert message.seq == 11
    assert next(iter(store.iter_history(KEY, batch=3))).seq == 1
    assert not connections


class Watched(io.BytesIO):
    """A file that notes how many connections are out whenever it is read."""

    def __init__(self, content: bytes, connections: set[object]) -> None:
        super().__init__(content)
        self._connections = connections
        self.noted: list[int] = []

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on."""
        self.noted.append(len(self._connections))
        return super().read(size)


def test_no_connection_is_held_while_a_file_is_read(database: Database, connections: set[object]) -> None:
    """An import reads its file, which may come slowly, without a connection, and writes in between."""
    line = {"session_key": KEY, "role": "user"}
    content = b"".join(json.dumps({**line, "content": f"{n}" * 2**20}).encode() + b"\n" for n in range(10))
    file = Watched(content, connections)
    written: list[int] = []
    with SessionStore(database.url) as store:
        event.listen(store.engine, "commit", lambda _: written.append(len(file.noted)))
        import_jsonl(store, [file])
        assert store.count_sessions() == 1

    assert set(file.noted) == {0}
    assert len(set(written)) > 1, "all was read before anything was written"


# Few connections, many callers.


@contextmanager
def opened_by(engine: Engine) -> Iterator[list[object]]:
    """The connections an engine opens while this lasts."""
    opened: list[object] = []

    def note(connection: object, _record: object) -> None:
        opened.append(connection)

    event.listen(engine, "connect", note)
    yield opened
    event.remove(engine, "connect", note)


@contextmanager
def store_on(database: Database, driver: str, **options: Any) -> Iterator[SessionStore]:
    """A store on an engine of the host's, with a table of the host's."""
    engine = host_engine(database, driver, **options)
    ORDERS.create(engine)
    yield SessionStore(engine)
    engine.dispose()


@asynccontextmanager
async def store_on_a_loop(database: Database, driver: str, **options: Any) -> AsyncIterator[AsyncSessionStore]:
    """The same for an event loop."""
    engine = async_host_engine(database, driver, **options)
    async with engine.begin() as db:
        await db.run_sync(ORDERS.create)
    yield AsyncSessionStore(engine)
    await engine.dispose()


def work(store: SessionStore, name: int) -> list[int]:
    """Append to the one session in each way there is, and read in between; return the seqs."""
    seqs = [store.append(KEY, HELLO).seq]
    assert store.load(KEY, last=1) == [HELLO]
    with store.begin() as transaction:
        seqs.append(transaction.append(KEY, HELLO).seq)
        assert transaction.session_exists(KEY)
    with orm.Session(store.engine) as host, host.begin():
        host.execute(insert(ORDERS).values(note=str(name)))
        seqs.append(store.joined_to(host).append(KEY, HELLO).seq)
    with store.engine.begin() as host:
        seqs.append(store.joined_to(host).append(KEY, HELLO, idempotency_key=f"{name}").seq)
    seqs += [message.seq for message in store.append_many(KEY, [HELLO, HELLO])]
    mine = f"{KEY}-{name}"
    store.set_session_state(mine, "running", "turn-1")
    store.set_session_attributes(mine, {"caller": name})
    assert sum(1 for _ in store.iter_history(KEY, after_seq=seqs[0] - 1, batch=100)) >= APPENDS
    assert store.delete_session(mine)
    return seqs


async def work_on_a_loop(store: AsyncSessionStore, name: int) -> list[int]:
    """The same, awaited."""
    seqs = [(await store.append(KEY, HELLO)).seq]
    assert await store.load(KEY, last=1) == [HELLO]
    async with store.begin() as transaction:
        seqs.append((await transaction.append(KEY, HELLO)).seq)
        assert await transaction.session_exists(KEY)
    async with AsyncSession(store.engine) as host, host.begin():
        await host.execute(insert(ORDERS).values(note=str(name)))
        seqs.append((await store.joined_to(host).append(KEY, HELLO)).seq)
    async with store.engine.begin() as host:
        seqs.append((await store.joined_to(host).append(KEY, HELLO, idempotency_key=f"{name}")).seq)
    seqs += [message.seq for message in await store.append_many(KEY, [HELLO, HELLO])]
    mine = f"{KEY}-{name}"
    await store.set_session_state(mine, "running", "turn-1")
    await store.set_session_attributes(mine, {"caller": name})
    assert len([message async for message in store.iter_history(KEY, after_seq=seqs[0] - 1, batch=100)]) >= APPENDS
    assert await store.delete_session(mine)
    return seqs


def assert_complete(database: Database, seqs: list[int], callers: int) -> None:
    """Everybody's messages are there, numbered from one without a gap, the host's rows with them."""
    assert sorted(seqs) == list(range(1, callers * APPENDS + 1))
    with SessionStore(database.url) as store, store.engine.connect() as db:
        assert [message.seq for message in store.history(KEY)] == sorted(seqs)
        assert store.list_sessions() == [KEY]
        assert disagreements(db) == []
        assert sorted(db.scalars(select(ORDERS.c.note))) == sorted(map(str, range(callers)))


@on_each(SYNC)
def test_threads_share_few_connections(driver: str, database: Database, options: dict[str, Any]) -> None:
    """50 threads that read, append, begin and join are served by one connection, and few without a pool as well."""
    callers = FEW if options.get("poolclass") is NullPool else MANY
    with (
        store_on(database, driver, **options) as store,
        ThreadPoolExecutor(callers) as threads,
        opened_by(store.engine) as opened,
    ):
        seqs = list(itertools.chain(*threads.map(work, [store] * callers, range(callers))))
        if isinstance(store.engine.pool, QueuePool):
            assert (store.engine.pool.checkedout(), opened) == (0, [])

    assert_complete(database, seqs, callers)


@on_each(ASYNC)
def test_tasks_share_few_connections(driver: str, database: Database, options: dict[str, Any]) -> None:
    """So are 50 tasks of an event loop."""
    callers = FEW if options.get("poolclass") is NullPool else MANY

    async def main() -> list[int]:
        async with store_on_a_loop(database, driver, **options) as store:
            with opened_by(store.engine.sync_engine) as opened:
                seqs = await asyncio.gather(*(work_on_a_loop(store, name) for name in range(callers)))
            if isinstance(store.engine.pool, QueuePool):
                assert (store.engine.pool.checkedout(), opened) == (0, [])
            return list(itertools.chain(*seqs))

    assert_complete(database, asyncio.run(main()), callers)


# One connection, and one for each thread.


@pytest.mark.parametrize("joined", [False, True], ids=["its own", "joined"])
def test_a_host_s_static_pool_in_memory_serves_threads(clock: Clock, *, joined: bool) -> None:
    """8 threads take turns on the one connection of a host's database in memory, made as SQLAlchemy documents it."""
    engine = create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool)
    migrations.upgrade(engine)
    store = SessionStore(engine, clock=clock)
    turns = threading.Lock()

    def append(_: int) -> int:
        if not joined:
            return store.append(KEY, HELLO).seq
        with turns, engine.begin() as db:
            return store.joined_to(db).append(KEY, HELLO).seq

    with ThreadPoolExecutor(8) as threads:
        seqs = list(threads.map(append, range(200)))
    assert sorted(seqs) == list(range(1, 201))
    assert store.get_session_metadata(KEY) is not None
    engine.dispose()


def test_in_memory_without_a_shared_connection_each_thread_is_told(clock: Clock) -> None:
    """With the pool SQLAlchemy chooses in memory each thread has a database of its own, which has no tables."""
    engine = create_engine("sqlite://", poolclass=SingletonThreadPool)
    migrations.upgrade(engine)
    store = SessionStore(engine, clock=clock)
    store.append(KEY, HELLO)

    def elsewhere(call: Callable[[], Any]) -> Any:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(call).result()

    with pytest.raises(SchemaOutOfDate):
        elsewhere(lambda: store.load(KEY))
    with pytest.raises(SchemaOutOfDate):
        elsewhere(lambda: store.append(KEY, HELLO))

    assert store.load(KEY) == [HELLO]
    engine.dispose()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_connection_for_each_thread_serves_a_file(database: Database) -> None:
    """On a file that pool is one more that serves, with a connection for each thread."""
    # With more threads than its size this pool closes connections that are in use.
    with store_on(database, "pysqlite", poolclass=SingletonThreadPool, pool_size=MANY) as store:
        with ThreadPoolExecutor(FEW) as threads:
            seqs = list(itertools.chain(*threads.map(work, [store] * FEW, range(FEW))))

        assert_complete(database, seqs, FEW)
