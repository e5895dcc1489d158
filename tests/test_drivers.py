"""The same answers from every driver, pool and isolation level a host may bring."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import pytest
from sqlalchemy import URL, NullPool, StaticPool, create_engine, event, text

from session_store import (
    AsyncSessionStore,
    ChatMessage,
    Compaction,
    IdempotencyConflict,
    InvalidQuery,
    NewMessage,
    SessionQuery,
    SessionStore,
    StoreError,
    StoreUnavailable,
    migrations,
)
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import async_host_engine, disagreements, host_engine
from tests.sync_adapter import SyncAdapter

KEY = "telegram_ann"
HELLO = ChatMessage.user("Hello")
ODD = ChatMessage.tool(
    "nul \0, lone \ud800, sub \x1a, 你好 👋", {"n": 10**30, "f": 0.1, "s": "\0\udfff", "l": [None, True]}
)

DRIVERS = [
    ("pysqlite", "sqlite"),
    ("aiosqlite", "sqlite"),
    ("psycopg", "postgresql"),
    ("psycopg2", "postgresql"),
    ("psycopg_async", "postgresql"),
    ("asyncpg", "postgresql"),
]
AWAITED = {"aiosqlite", "psycopg_async", "asyncpg"}
on_each_driver = pytest.mark.parametrize(
    ("driver", "database"), DRIVERS, indirect=["database"], ids=[driver for driver, _ in DRIVERS]
)
on_each_server_driver = pytest.mark.parametrize(
    ("driver", "database"), DRIVERS[2:], indirect=["database"], ids=[driver for driver, _ in DRIVERS[2:]]
)


@contextmanager
def store_on(database: Database, driver: str, clock: Clock, **options: Any) -> Iterator[SessionStore]:
    """A store on a host's engine of this driver, called without awaiting."""
    if driver not in AWAITED:
        engine = host_engine(database, driver, **options)
        yield SessionStore(engine, clock=clock)
        engine.dispose()
        return
    awaited = async_host_engine(database, driver, **options)
    with asyncio.Runner() as runner:
        yield cast("SessionStore", SyncAdapter(AsyncSessionStore(awaited, clock=clock), runner.run))
        runner.run(awaited.dispose())


def use(store: SessionStore, clock: Clock) -> None:
    """Make the main calls and hold each to what it promises."""
    made = datetime(2025, 7, 1, 23, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    first = store.append(KEY, HELLO, created_at=made)
    assert (first.seq, first.created_at, first.created_at.tzinfo) == (1, made, UTC)
    assert store.set_session_state(KEY, "running", "turn-1")
    once = store.append(KEY, ODD, idempotency_key="one")
    assert once == store.append(KEY, ODD, idempotency_key="one") == store.history(KEY, after_seq=1)[0]
    with pytest.raises(IdempotencyConflict):
        store.append(KEY, HELLO, idempotency_key="one")
    many = store.append_many(KEY, [HELLO, NewMessage(ODD, None, "one"), NewMessage(HELLO, made, "two")])
    assert [message.seq for message in many] == [3, 2, 4]
    assert store.load(KEY) == [HELLO, ODD, HELLO, HELLO]
    assert [message.turn_id for message in store.iter_history(KEY, batch=1)] == [None, "turn-1", "turn-1", "turn-1"]
    assert store.update_last(KEY, ChatMessage.assistant("Other"), seq=4)
    popped = store.pop_last(KEY)
    assert popped is not None
    assert (popped.message.content, popped.created_at) == ("Other", made)
    store.set_session_name(KEY, "\0 Ann")
    store.set_session_owner(KEY, "ann")
    store.set_session_attributes(KEY, {"room": 7, "tag": "\ud800"})
    [session] = store.list_sessions_with_metadata(SessionQuery(owner="ann", attributes={"room": 7, "tag": "\ud800"}))
    assert (session.name, session.attributes) == ("\0 Ann", {"room": 7, "tag": "\ud800"})
    assert (session.message_count, session.last_seq, session.created_at) == (3, 4, made)
    assert session.last_activity == clock()
    assert store.search(SessionQuery(keyword="你好")) == [session]
    assert store.list_running_sessions() == [session]
    clock.advance(10)
    assert store.list_stuck_sessions(5) == [session]
    assert store.recover_stuck(5) == [KEY]
    state = store.get_session_state(KEY)
    assert state is not None
    assert (state.state, state.turn_id, state.entered_at) == ("error", "turn-1", clock())
    assert store.compact(KEY) == Compaction(0, head_repaired=False)
    with store.begin() as transaction:
        assert transaction.clear_messages(KEY) == 3
        assert transaction.append(KEY, HELLO).seq == 5
    assert store.health().schema == "ss_0003"
    store.create_session("telegram_bob", owner="ann")
    clock.advance(7200)
    assert store.cleanup_stale(1, dry_run=True) == 2
    assert store.delete_session(KEY)
    assert store.delete_sessions(owner="ann") == 1
    assert store.list_sessions() == []


@on_each_driver
def test_every_driver_gives_the_same_answers(driver: str, database: Database, clock: Clock) -> None:
    """The main calls keep their promises on every driver."""
    with store_on(database, driver, clock) as store:
        use(store, clock)


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@on_each_driver
def test_every_isolation_level_gives_the_same_answers(
    driver: str, database: Database, clock: Clock, level: str
) -> None:
    """Whatever isolation level a host's engine is at, calls are right, and what fails leaves nothing behind."""
    if database.name == "sqlite":
        level = {"READ COMMITTED": "READ UNCOMMITTED", "REPEATABLE READ": "SERIALIZABLE"}.get(level, level)
    with store_on(database, driver, clock, isolation_level=level) as store:
        use(store, clock)
        with pytest.raises(KeyError):
            fail_within_begin(store)
        assert store.list_sessions() == []
        refuse_messages(database)
        for call in (store.append, lambda key, message: store.append_many(key, [message] * 2)):
            with pytest.raises(StoreError):
                call(KEY, HELLO)
            assert store.list_sessions() == []


def fail_within_begin(store: SessionStore) -> None:
    """Append a message, and then raise what rolls it back."""
    with store.begin() as transaction:
        transaction.append("undone", HELLO)
        raise KeyError


async def fail_within_begin_on_a_loop(store: AsyncSessionStore) -> None:
    """The same on an event loop, while others run."""
    async with store.begin() as transaction:
        await transaction.append("undone", HELLO)
        await asyncio.sleep(0)
        raise KeyError


def refuse_messages(database: Database) -> None:
    """Let the database refuse every message, which is written after the head."""
    engine = host_engine(database)
    with engine.begin() as db:
        if database.name == "sqlite":
            db.exec_driver_sql(
                "CREATE TRIGGER refuse BEFORE INSERT ON session_store_messages "
                "BEGIN SELECT json('this is no JSON'); END"
            )
        else:
            db.exec_driver_sql("ALTER TABLE session_store_messages ADD CHECK (seq < 0) NOT VALID")
    engine.dispose()


@pytest.mark.parametrize(
    "pool",
    [{"poolclass": NullPool}, {"poolclass": StaticPool}, {"pool_pre_ping": True}],
    ids=["null", "static", "ping"],
)
@on_each_driver
def test_every_pool_gives_the_same_answers(driver: str, database: Database, clock: Clock, pool: dict[str, Any]) -> None:
    """So they do with any pool of the host's."""
    with store_on(database, driver, clock, **pool) as store:
        use(store, clock)


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("psycopg", {"prepare_threshold": None}),
        ("psycopg", {"prepare_threshold": 0}),
        ("psycopg_async", {"prepare_threshold": None}),
        ("asyncpg", {"prepared_statement_cache_size": 0}),
        ("asyncpg", {"statement_cache_size": 0}),
        ("psycopg", {"options": "-c timezone=America/St_Johns"}),
        ("psycopg2", {"options": "-c timezone=America/St_Johns"}),
        ("asyncpg", {"server_settings": {"timezone": "America/St_Johns"}}),
    ],
    ids=["unprepared", "prepared at once", "unprepared async", "uncached", "uncached too", "zone", "zone 2", "zone 3"],
)
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_every_setting_of_a_connection_gives_the_same_answers(
    driver: str, database: Database, clock: Clock, options: dict[str, Any]
) -> None:
    """Prepared statements on or off, and a session in any time zone, make no difference."""
    with store_on(database, driver, clock, connect_args=options) as store:
        use(store, clock)


def test_a_plain_url_names_our_drivers(database: Database) -> None:
    """A URL without a driver means sqlite3 or aiosqlite, and psycopg."""
    with SessionStore(str(database)) as store:
        assert store.engine.driver == {"sqlite": "pysqlite", "postgresql": "psycopg"}[database.name]

    async def main() -> str:
        async with AsyncSessionStore(str(database)) as store:
            return store.engine.driver

    assert asyncio.run(main()) == {"sqlite": "aiosqlite", "postgresql": "psycopg"}[database.name]


@pytest.mark.parametrize(("asked", "passed"), [("none", None), ("0", 0), ("7", 7)])
def test_a_url_says_when_to_prepare(asked: str, passed: int | None, clock: Clock) -> None:
    """``prepare_threshold`` of a URL reaches psycopg as the number or None that it takes, blocking or awaited."""
    given: list[object] = []

    def refuse(_dialect: object, _record: object, _args: object, options: dict[str, object]) -> None:
        given.append(options.get("prepare_threshold", "nothing"))
        raise StoreUnavailable

    url = f"postgresql://nobody@localhost/none?prepare_threshold={asked}"
    blocking, awaited = SessionStore(url, clock=clock), AsyncSessionStore(url, clock=clock)
    for engine in (blocking.engine, awaited.engine.sync_engine):
        event.listen(engine, "do_connect", refuse)
    with pytest.raises(StoreUnavailable):
        blocking.list_sessions()
    with pytest.raises(StoreUnavailable):
        asyncio.run(awaited.list_sessions())

    assert given == [passed, passed]


def test_a_url_that_says_it_wrongly_is_refused() -> None:
    """Neither a number nor none."""
    with pytest.raises(InvalidQuery, match="'never'"):
        SessionStore("postgresql://localhost/none?prepare_threshold=never")


# In memory.


def test_threads_share_a_database_in_memory(clock: Clock) -> None:
    """A store in memory has one database for all threads, and what they do at once stays apart."""
    with SessionStore.open("sqlite://", clock=clock) as store, ThreadPoolExecutor(8) as threads:
        use(store, clock)

        def work(_: int) -> None:
            store.append(KEY, HELLO)
            with store.begin() as transaction:
                transaction.append(KEY, HELLO)
                assert len(transaction.load(KEY)) >= 2
            with pytest.raises(KeyError):
                fail_within_begin(store)
            assert not store.session_exists("undone")

        list(threads.map(work, range(40)))
        assert [message.seq for message in store.history(KEY)] == list(range(1, 81))
        with store.engine.connect() as db:
            assert disagreements(db) == []


def test_tasks_share_a_database_in_memory(clock: Clock) -> None:
    """So it is with the tasks of an event loop."""

    async def main() -> list[int]:
        async with AsyncSessionStore.open("sqlite://", clock=clock) as store:

            async def work() -> None:
                await store.append(KEY, HELLO)
                async with store.begin() as transaction:
                    await transaction.append(KEY, HELLO)
                with pytest.raises(KeyError):
                    await fail_within_begin_on_a_loop(store)
                assert not await store.session_exists("undone")

            await asyncio.gather(*(work() for _ in range(40)))
            return [message.seq for message in await store.history(KEY)]

    assert asyncio.run(main()) == list(range(1, 81))


def test_a_host_s_database_in_memory(clock: Clock) -> None:
    """A host's own engine in memory serves, migrated through it."""
    engine = create_engine("sqlite://")
    migrations.upgrade(engine)
    use(SessionStore(engine, clock=clock), clock)
    engine.dispose()


# A server that goes away.


def begin_and_end(store: SessionStore) -> None:
    """A transaction in which nothing is done."""
    with store.begin():
        pass


@pytest.mark.parametrize("driver", [driver for driver, _ in DRIVERS[2:]])
@pytest.mark.parametrize(
    "call",
    [lambda store: store.append(KEY, HELLO), lambda store: store.load(KEY), begin_and_end],
    ids=["append", "load", "begin"],
)
def test_a_server_that_is_not_there_is_unavailable(
    driver: str, call: Callable[[SessionStore], Any], clock: Clock
) -> None:
    """Where nobody listens every call is told so, with the driver's error as its cause."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = URL.create("postgresql", "ann", "secret", "127.0.0.1", unused.getsockname()[1], "sessions")
        with store_on(Database("postgresql", url), driver, clock) as store, pytest.raises(StoreUnavailable) as told:
            call(store)

    assert told.value.__cause__ is not None
    assert "secret" not in str(told.value)


@on_each_server_driver
def test_a_database_that_is_not_there_is_unavailable(driver: str, database: Database, clock: Clock) -> None:
    """So is a database the server does not know."""
    elsewhere = Database("postgresql", database.url.set(database="not_there"))
    with store_on(elsewhere, driver, clock) as store, pytest.raises(StoreUnavailable):
        store.append(KEY, HELLO)


def end_the_others(database: Database) -> int:
    """Let the server end everybody's connections to a database, and say how many there were."""
    engine = host_engine(database, poolclass=NullPool)
    others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    query = f"SELECT count(pg_terminate_backend(pid, 5000)) FROM {others}"  # noqa: S608 - both are written here
    with engine.connect() as db:
        return int(db.scalar(text(query)) or 0)


@on_each_server_driver
@pytest.mark.parametrize("call", ["append", "append_many", "load"])
def test_an_ended_connection_is_told_once(driver: str, call: str, database: Database, clock: Clock) -> None:
    """After the server has ended the pool's connections one call is told, and the next one works."""
    calls: dict[str, Callable[[SessionStore], Any]] = {
        "append": lambda store: store.append(KEY, HELLO),
        "append_many": lambda store: store.append_many(KEY, [HELLO] * 2),
        "load": lambda store: store.load(KEY),
    }
    with store_on(database, driver, clock) as store:
        with store.begin() as transaction:
            transaction.append(KEY, HELLO)
            store.load(KEY)
        assert end_the_others(database) == 2
        with pytest.raises(StoreUnavailable):
            calls[call](store)
        assert store.load(KEY) == [HELLO]
        calls[call](store)


@on_each_server_driver
@pytest.mark.parametrize("last", ["commit", "append"])
def test_a_connection_ended_within_begin_is_told(driver: str, last: str, database: Database, clock: Clock) -> None:
    """A transaction whose connection was ended is told as unavailable, leaves nothing, and the next one works."""

    def begin(*, ended: bool) -> None:
        with store.begin() as transaction:
            transaction.append(KEY, HELLO)
            if ended:
                assert end_the_others(database) == 1
            if last == "append":
                transaction.append(KEY, HELLO)

    with store_on(database, driver, clock) as store:
        with pytest.raises(StoreUnavailable):
            begin(ended=True)
        assert store.load(KEY) == []
        begin(ended=False)
        assert store.load(KEY, last=1) == [HELLO]
