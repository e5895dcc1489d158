"""Behind PgBouncer in transaction mode: each transaction may be on another connection to the server."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from session_store import AsyncSessionStore, ChatMessage, NewMessage, SessionQuery, SessionStore, migrations
from session_store.database import revisions
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import ORDERS
from tests.servers import PGBOUNCER, Server, start_pgbouncer
from tests.sync_adapter import SyncAdapter
from tests.test_drivers import use
from tests.test_pools import assert_complete, work, work_on_a_loop

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed; Debian's package is pgbouncer")

HELLO = ChatMessage.user("Hello")
OTHER = ChatMessage.assistant("Other", {"n": 1})
CONNECTIONS = 2
"""How many the pooler keeps to a database: fewer than there are callers."""

THREADS = 8
TASKS = 50

UNPREPARED: dict[str, Any] = {"connect_args": {"prepare_threshold": None}}
BLOCKING: dict[str, dict[str, Any]] = {
    "psycopg": UNPREPARED,
    "psycopg, no pool": {**UNPREPARED, "poolclass": NullPool},
    "psycopg2": {},
}
AWAITED: dict[str, dict[str, Any]] = {
    "psycopg": UNPREPARED,
    "asyncpg, named": {
        "connect_args": {
            "prepared_statement_name_func": lambda: f"__asyncpg_{uuid4()}__",
            "statement_cache_size": 0,
        },
        "poolclass": NullPool,
    },
    "asyncpg, unnamed": {
        "connect_args": {
            "prepared_statement_name_func": lambda: "",
            "prepared_statement_cache_size": 0,
            "statement_cache_size": 0,
        },
    },
}
"""What SQLAlchemy documents for asyncpg is the named one; nothing is left on the server's connections by the other."""

each_blocking = pytest.mark.parametrize("driver", BLOCKING)
each_awaited = pytest.mark.parametrize("driver", AWAITED)
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def pgbouncer(postgresql_server: Server) -> Iterator[Server]:
    """The pooler before the server."""
    with start_pgbouncer(postgresql_server, CONNECTIONS) as pooler:
        yield pooler


@dataclass(frozen=True)
class Pooled:
    """The way to a database through the pooler."""

    url: URL

    @contextmanager
    def engine(self, driver: str = "psycopg") -> Iterator[Engine]:
        """An engine of the host's that is set up for a pooler."""
        engine = create_engine(self._of(driver), **BLOCKING[driver])
        yield engine
        engine.dispose()

    def async_engine(self, driver: str) -> AsyncEngine:
        """The same for an event loop."""
        return create_async_engine(self._of(driver), **AWAITED[driver])

    def _of(self, driver: str) -> URL:
        return self.url.set(drivername=f"postgresql+{driver.partition(',')[0]}")


@pytest.fixture
def pooled(database: Database, pgbouncer: Server) -> Pooled:
    """The way to a database with the newest schema."""
    return Pooled(pgbouncer.url.set(database=database.url.database))


CONNECTION = """
    SELECT pg_backend_pid(), (SELECT count(*) FROM pg_prepared_statements),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
        (SELECT array_agg(name || '=' || setting ORDER BY name) FROM pg_settings
        WHERE source = 'session' AND name NOT IN ('client_encoding', 'transaction_isolation'))
"""
"""The encoding is set by the pooler, as each client asked for it; the isolation is the current transaction's."""


def connections_of(pooled: Pooled) -> dict[int, tuple[Any, ...]]:
    """What each of the server's connections holds: statements prepared, advisory locks, and what was set in it."""
    with pooled.engine() as engine, ExitStack() as stack:
        # In as many transactions at once as there are connections, so that each is seen.
        asked = [stack.enter_context(engine.connect()) for _ in range(CONNECTIONS)]
        rows = [db.execute(text(CONNECTION)).one() for db in asked]
        return {row[0]: tuple(row[1:]) for row in rows}


@contextmanager
def nothing_left(pooled: Pooled, *, but_statements: bool = False) -> Iterator[None]:
    """When this ends the server's connections are the same and as they were."""
    before = connections_of(pooled)
    assert len(before) == CONNECTIONS
    yield
    after = connections_of(pooled)
    if but_statements:
        before, after = ({pid: held[1:] for pid, held in seen.items()} for seen in (before, after))

    assert after == before


@only_postgresql
def test_transactions_change_their_connection(pooled: Pooled) -> None:
    """Two transactions in a row of one client are on different connections: what is tested here is tested."""
    connections_of(pooled)
    with pooled.engine() as engine, engine.connect() as db:
        pids = []
        for _ in range(4):
            with db.begin():
                pids.append(db.scalar(text("SELECT pg_backend_pid()")))

    assert len(set(pids)) == CONNECTIONS
    assert all(one != next_one for one, next_one in itertools.pairwise(pids))


@only_postgresql
def test_what_is_left_is_seen(pooled: Pooled) -> None:
    """A setting, a lock and a prepared statement that outlive their transaction are found."""
    for left in ("SET search_path = pg_catalog", "SELECT pg_advisory_lock(7)", "PREPARE this AS SELECT 1"):
        with pytest.raises(AssertionError), nothing_left(pooled), pooled.engine() as engine, engine.begin() as db:
            db.execute(text(left))


@only_postgresql
@each_blocking
def test_the_main_calls(driver: str, pooled: Pooled, clock: Clock) -> None:
    """The main calls keep their promises through a pooler."""
    with nothing_left(pooled), pooled.engine(driver) as engine:
        use(SessionStore(engine, clock=clock), clock)


@only_postgresql
@each_awaited
def test_the_main_calls_on_a_loop(driver: str, pooled: Pooled, clock: Clock) -> None:
    """So they do on an event loop."""
    with nothing_left(pooled, but_statements=driver == "asyncpg, named"), asyncio.Runner() as runner:
        engine = pooled.async_engine(driver)
        use(cast("SessionStore", SyncAdapter(AsyncSessionStore(engine, clock=clock), runner.run)), clock)
        runner.run(engine.dispose())


# Many callers.


LIFE: list[tuple[Callable[[Any, str], Any], Callable[[Any, str], bool]]] = [
    (lambda store, key: store.create_session(key, owner=key), lambda made, _: made is True),
    (
        lambda store, key: store.append_many(key, [HELLO, NewMessage(OTHER, None, "one"), HELLO]),
        lambda stored, _: [message.seq for message in stored] == [1, 2, 3],
    ),
    (lambda store, key: store.append(key, OTHER, idempotency_key="one"), lambda stored, _: stored.seq == 2),
    (lambda store, key: store.load(key), lambda messages, _: messages == [HELLO, OTHER, HELLO]),
    (lambda store, key: store.update_last(key, OTHER, seq=3), lambda done, _: done is True),
    (
        lambda store, key: store.history(key, after_seq=1),
        lambda stored, _: [message.message for message in stored] == [OTHER, OTHER],
    ),
    (lambda store, key: store.pop_last(key), lambda popped, _: (popped.seq, popped.message) == (3, OTHER)),
    (lambda store, key: store.append(key, ChatMessage.user(f"<{key}>")), lambda stored, _: stored.seq == 4),
    (
        lambda store, key: store.search(SessionQuery(keyword=f"<{key}>")),
        lambda found, key: [session.key for session in found] == [key],
    ),
    (lambda store, key: store.compact(key), lambda compaction, _: not compaction.head_repaired),
    (lambda store, key: store.set_session_state(key, "running", "turn-1", if_turn=None), lambda done, _: done is True),
    (
        lambda store, _: store.list_running_sessions(),
        lambda running, key: key in [session.key for session in running],
    ),
    (lambda store, _: store.recover_stuck(3600), lambda recovered, _: recovered == []),
    (
        lambda store, key: store.set_session_state(key, "error", "turn-1", if_turn="turn-1"),
        lambda done, _: done is True,
    ),
    (lambda store, key: store.get_session_state(key), lambda state, _: state.state == "error"),
    (lambda store, key: store.set_session_attributes(key, {"room": key}), lambda nothing, _: nothing is None),
    (
        lambda store, key: store.list_sessions_with_metadata(SessionQuery(owner=key, attributes={"room": key})),
        lambda listed, key: [(head.key, head.message_count, head.last_seq) for head in listed] == [(key, 3, 4)],
    ),
    (lambda store, _: store.cleanup_stale(1), lambda deleted, _: deleted == 0),
    (lambda store, _: store.health(), lambda health, _: health.schema == revisions.HEAD),
    (lambda store, key: store.clear_messages(key), lambda cleared, _: cleared == 3),
    (lambda store, key: store.delete_sessions(owner=key), lambda deleted, _: deleted == 1),
]
"""The life of one caller's own session: each call, and whether it answered rightly."""


def live(store: SessionStore, name: int) -> list[int]:
    """Live, and append to the session of all in each way there is; return the seqs there."""
    for call, is_right in LIFE:
        answer = call(store, f"web_{name}")
        assert is_right(answer, f"web_{name}"), answer
    return work(store, name)


async def live_on_a_loop(store: AsyncSessionStore, name: int) -> list[int]:
    """The same, awaited."""
    for call, is_right in LIFE:
        answer = await call(store, f"web_{name}")
        assert is_right(answer, f"web_{name}"), answer
    return await work_on_a_loop(store, name)


@only_postgresql
@each_blocking
def test_threads(driver: str, database: Database, pooled: Pooled) -> None:
    """8 threads on two connections of the server's: nothing is lost, doubled, or left behind."""
    with pooled.engine(driver) as engine, ThreadPoolExecutor(THREADS) as threads:
        ORDERS.create(engine)
        store = SessionStore(engine)
        with nothing_left(pooled):
            seqs = list(itertools.chain(*threads.map(live, [store] * THREADS, range(THREADS))))

    assert_complete(database, seqs, THREADS)


@only_postgresql
@each_awaited
def test_tasks(driver: str, database: Database, pooled: Pooled) -> None:
    """So it is with 50 tasks of an event loop."""

    async def main() -> list[int]:
        engine = pooled.async_engine(driver)
        async with engine.begin() as db:
            await db.run_sync(ORDERS.create)
        store = AsyncSessionStore(engine)
        seqs = await asyncio.gather(*(live_on_a_loop(store, name) for name in range(TASKS)))
        await engine.dispose()
        return list(itertools.chain(*seqs))

    with nothing_left(pooled, but_statements=driver == "asyncpg, named"):
        seqs = asyncio.run(main())

    assert_complete(database, seqs, TASKS)


# Migrations.


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_threads_upgrade(driver: str, empty_database: Database, pgbouncer: Server) -> None:
    """8 that upgrade an empty database at once through a pooler all succeed, and leave no lock."""
    pooled = Pooled(pgbouncer.url.set(database=empty_database.url.database))

    def upgrade(_: int) -> int:
        with pooled.engine(driver) as engine:
            migrations.upgrade(engine)
            return SessionStore(engine).append("telegram_ann", HELLO).seq

    with nothing_left(pooled), ThreadPoolExecutor(THREADS) as threads:
        assert sorted(threads.map(upgrade, range(THREADS))) == list(range(1, THREADS + 1))


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
@each_awaited
def test_a_loop_upgrades(driver: str, empty_database: Database, pgbouncer: Server) -> None:
    """So it is in a transaction of an asynchronous host's."""
    pooled = Pooled(pgbouncer.url.set(database=empty_database.url.database))

    async def main() -> None:
        engine = pooled.async_engine(driver)
        for _ in range(2):
            async with engine.begin() as db:
                await db.run_sync(migrations.upgrade)
        assert (await AsyncSessionStore(engine).health()).schema == revisions.HEAD
        await engine.dispose()

    with nothing_left(pooled, but_statements=driver == "asyncpg, named"):
        asyncio.run(main())


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
@each_blocking
def test_a_schema_of_its_own(driver: str, empty_database: Database, pgbouncer: Server, clock: Clock) -> None:
    """A schema is made, checked and used through a pooler, and no search path stays behind."""
    pooled = Pooled(pgbouncer.url.set(database=empty_database.url.database))
    with nothing_left(pooled), pooled.engine(driver) as engine:
        migrations.upgrade(engine, schema="chat")
        assert migrations.check(engine, schema="chat") == []
        use(SessionStore(engine, clock=clock, schema="chat"), clock)
        assert inspect(engine).get_table_names() == []


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_a_url_may_name_a_driver_that_prepares_nothing(empty_database: Database, pgbouncer: Server) -> None:
    """`open` goes through a pooler by a URL alone, with psycopg2."""
    url = pgbouncer.url.set(database=empty_database.url.database, drivername="postgresql+psycopg2")
    with nothing_left(Pooled(url)), SessionStore.open(url) as store:
        assert [store.append("telegram_ann", HELLO).seq for _ in range(20)] == list(range(1, 21))


@only_postgresql
def test_a_url_is_enough(pooled: Pooled) -> None:
    """A store made from a URL can say there that nothing is to be prepared."""
    url = pooled.url.update_query_dict({"prepare_threshold": "none"})
    with SessionStore.open(url.set(drivername="postgresql")) as store, ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda _: [store.append("a", HELLO) for _ in range(10)], range(THREADS)))
        assert [message.seq for message in store.history("a")] == list(range(1, 10 * THREADS + 1))

    async def main() -> None:
        async with AsyncSessionStore.open(url.set(drivername="postgresql")) as awaited:
            await asyncio.gather(*(awaited.append("b", HELLO) for _ in range(TASKS)))
            assert [message.seq for message in await awaited.history("b")] == list(range(1, TASKS + 1))

    asyncio.run(main())
    assert [prepared for prepared, *_ in connections_of(pooled).values()] == [0] * CONNECTIONS
