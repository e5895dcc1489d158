"""How a call reaches the database: in how many statements and round trips, compiled once, begun with a write."""

import asyncio
import re
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg.pq import Trace
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text

from session_store import AsyncSessionStore, ChatMessage, NewMessage, SessionInUse, SessionQuery, SessionStore
from tests.conftest import Database
from tests.hosts import async_host_engine, host_engine, statements_of

HELLO = ChatMessage.user("Hello")
KEY = "telegram_ann"
TIMES = 20

READS: dict[str, Callable[[Any], Any]] = {
    "count_sessions": lambda store: store.count_sessions(),
    "get_session_metadata": lambda store: store.get_session_metadata(KEY),
    "get_session_name": lambda store: store.get_session_name(KEY),
    "get_session_state": lambda store: store.get_session_state(KEY),
    "history": lambda store: store.history(KEY, after_seq=1, limit=5),
    "history before": lambda store: store.history(KEY, before_seq=9, limit=5),
    "list_running_sessions": lambda store: store.list_running_sessions(),
    "list_sessions": lambda store: store.list_sessions(SessionQuery(limit=50)),
    "list_sessions_with_metadata": lambda store: store.list_sessions_with_metadata(SessionQuery(owner="ann")),
    "list_stuck_sessions": lambda store: store.list_stuck_sessions(1),
    "load": lambda store: store.load(KEY),
    "load last": lambda store: store.load(KEY, last=10),
    "session_exists": lambda store: store.session_exists(KEY),
}
"""Calls that read; each is one statement."""

SEARCHES: dict[str, Callable[[Any], Any]] = {
    "search": lambda store: store.search(SessionQuery(keyword="hello", attributes={"room": 7})),
    "search newest": lambda store: store.search(SessionQuery(keyword="hello", limit=5)),
    "search_messages": lambda store: store.search_messages("hello", order="relevance"),
}
"""Calls that ask which engine serves, and perhaps how many messages an index lists, before they read."""

AT_ONCE: dict[str, Callable[[Any], Any]] = {
    "append": lambda store: store.append(KEY, ChatMessage("user", "Hello", {"n": 1})),
    "append to a new session": lambda store: store.append(f"{KEY}{fresh()}", HELLO),
    "append once": lambda store: store.append(KEY, HELLO, idempotency_key=fresh()),
    "create_session": lambda store: store.create_session(f"{KEY}{fresh()}", name="Ann", attributes={"room": 7}),
    "create_session again": lambda store: store.create_session(KEY),
    "set_session_name": lambda store: store.set_session_name(KEY, "Ann"),
    "set_session_owner": lambda store: store.set_session_owner(KEY, "ann"),
    "set_session_state": lambda store: store.set_session_state(KEY, "running", fresh()),
    "set_session_state again": lambda store: store.set_session_state(KEY, "idle"),
}
"""Calls that write; on PostgreSQL each is one statement."""

AT_ONCE_ON_SQLITE = {"append": 2, "append to a new session": 2, "append once": 2, "set_session_state": 2}
"""How many statements those take that write to two tables, where one statement writes to one; the others take one."""

WRITES: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "append again": (2, lambda store: store.append(KEY, HELLO, idempotency_key="known")),
    "append_many": (2, lambda store: store.append_many(KEY, [HELLO] * 100)),
    "append_many once": (4, lambda store: store.append_many(KEY, [NewMessage(HELLO, None, fresh())] * 2)),
    "cleanup_stale": (2, lambda store: store.cleanup_stale(1000)),
    "clear_messages": (2, lambda store: (store.append(KEY, HELLO), store.clear_messages(KEY))[-1:]),
    "compact": (12, lambda store: store.compact(KEY)),
    "delete_session": (7, lambda store: store.delete_session(KEY)),
    "pop_last": (2, lambda store: store.pop_last(KEY)),
    "recover_stuck": (5, lambda store: (store.set_session_state(KEY, "running", fresh()), store.recover_stuck(0))),
    "remove_last": (2, lambda store: store.remove_last(KEY)),
    "set_session_attributes": (3, lambda store: store.set_session_attributes(KEY, {"room": 7})),
    "update_last": (2, lambda store: store.update_last(KEY, HELLO)),
}
"""Other calls that write, and how many statements they take at most; a savepoint's two count as well."""

numbers = iter(range(1_000_000))


def fresh() -> str:
    """A word that was never used before."""
    return str(next(numbers))


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """One connection, so that it is known which one is used."""
    engine = host_engine(database, pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


def prepare(store: SessionStore) -> None:
    """Make a session with a few messages."""
    store.append_many(KEY, [HELLO, NewMessage(HELLO, None, "known"), HELLO])


# Statements.


@pytest.mark.parametrize("name", READS)
def test_a_read_is_one_statement(name: str, engine: Engine) -> None:
    """Each reading call is one SELECT."""
    store = SessionStore(engine)
    prepare(store)
    with statements_of(engine) as statements:
        READS[name](store)

    assert [statement.split()[0] for statement in statements] == ["SELECT"]


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_only_reads(name: str, engine: Engine) -> None:
    """A searching call is a few statements, none of which writes or begins a transaction."""
    store = SessionStore(engine)
    prepare(store)
    with statements_of(engine) as statements:
        SEARCHES[name](store)

    assert {statement.split()[0] for statement in statements} <= {"SELECT", "WITH", "PRAGMA", "EXPLAIN"}
    assert len(statements) <= 5


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_small_write_is_one_statement(name: str, engine: Engine) -> None:
    """A small writing call is one statement on PostgreSQL, and on SQLite one for each table it writes to."""
    store = SessionStore(engine)
    prepare(store)
    with statements_of(engine) as statements:
        AT_ONCE[name](store)

    assert len(statements) == (AT_ONCE_ON_SQLITE.get(name, 1) if engine.dialect.name == "sqlite" else 1)


@pytest.mark.parametrize("name", WRITES)
def test_a_write_takes_few_statements(name: str, engine: Engine) -> None:
    """Other writing calls take a number of statements that does not grow with the messages."""
    store = SessionStore(engine)
    prepare(store)
    most, call = WRITES[name]
    with statements_of(engine) as statements:
        call(store)

    assert len(statements) <= most + (2 if name == "clear_messages" else 0)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_on_sqlite_a_write_takes_the_lock_first(database: Database) -> None:
    """On SQLite the first statement of a write begins with INSERT, UPDATE or DELETE, behind BEGIN IMMEDIATE."""
    with SessionStore(database.url) as store:
        seen: list[str] = []

        @event.listens_for(store.engine, "connect")
        def trace(connection: sqlite3.Connection, _record: object) -> None:
            connection.set_trace_callback(seen.append)

        for call in [*AT_ONCE.values(), *(call for _, call in WRITES.values())]:
            prepare(store)
            seen.clear()
            call(store)
            begun = [number for number, statement in enumerate(seen) if statement.startswith("BEGIN")]
            assert begun[0] == 0
            assert {seen[number].strip() for number in begun} == {"BEGIN IMMEDIATE"}
            assert all(re.match("INSERT|UPDATE|DELETE", seen[number + 1]) for number in begun)
            assert seen[-1] == "COMMIT"
        for call in READS.values():
            seen.clear()
            call(store)
            assert [statement for statement in seen if not statement.startswith("SELECT")] == []
        seen.clear()
        with store.begin() as transaction:
            transaction.load(KEY)
        assert [seen[0], seen[-1]] == ["BEGIN IMMEDIATE", "COMMIT"]


# A commit that fails.


def delete_on_its_own(store: SessionStore) -> None:
    """Delete in a transaction of the call's own."""
    store.delete_session(KEY)


def delete_within_begin(store: SessionStore) -> None:
    """Delete in a transaction that the caller ends."""
    with store.begin() as transaction:
        transaction.append("undone", HELLO)
        transaction.delete_session(KEY)


@pytest.mark.parametrize("delete", [delete_on_its_own, delete_within_begin])
def test_a_commit_that_fails_is_undone(delete: Callable[[SessionStore], None], store: SessionStore) -> None:
    """When the database refuses the COMMIT nothing has happened, for others and for the store, and no lock is held."""
    # What a host lets be checked late, SQLite finds at the COMMIT.
    late = "key text REFERENCES session_store_sessions (key) DEFERRABLE INITIALLY DEFERRED"
    engine = store.engine
    store.append(KEY, HELLO)
    with another(engine) as db:
        db.exec_driver_sql(f"CREATE TABLE host_late ({late})")
        db.execute(text("INSERT INTO host_late VALUES (:key)"), {"key": KEY})
    with pytest.raises(SessionInUse):
        delete(store)
    assert store.load(KEY) == [HELLO]
    assert store.list_sessions() == [KEY]

    with another(engine) as db:
        db.exec_driver_sql("UPDATE session_store_sessions SET name = 'Ann'")
    assert store.get_session_name(KEY) == "Ann"


@contextmanager
def another(engine: Any) -> Iterator[Connection]:
    """A transaction of somebody else's, who does not wait for locks."""
    sqlite = engine.dialect.name == "sqlite"
    url = engine.url.set(drivername="sqlite+pysqlite" if sqlite else "postgresql+psycopg")
    hasty = create_engine(url, poolclass=NullPool, connect_args={"timeout": 0.1} if sqlite else {})
    with hasty.begin() as db:
        yield db


# Compilations.


def cache_misses(engine: Engine, call: Callable[[], Any]) -> list[str]:
    """The statements of a call that SQLAlchemy had to compile."""
    compiled: list[str] = []

    def note(_db: object, _cursor: object, statement: str, _values: object, context: Any, _many: object) -> None:
        # A savepoint's statements have no cache, in SQLAlchemy.
        savepoint = statement.startswith(("SAVEPOINT", "RELEASE"))
        if context.compiled is not None and not savepoint and context.cache_hit.name != "CACHE_HIT":
            compiled.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    call()
    event.remove(engine, "before_cursor_execute", note)
    return compiled


ALL = READS | SEARCHES | AT_ONCE | {name: call for name, (_, call) in WRITES.items()}


@pytest.mark.parametrize("name", ALL)
def test_a_call_compiles_nothing_after_its_first_use(name: str, engine: Engine) -> None:
    """No call compiles its statements again, however often it is made, on its own, in ``begin()`` or joined."""
    store = SessionStore(engine)
    call = ALL[name]
    prepare(store)
    assert cache_misses(engine, lambda: (prepare(store), call(store)))
    for _ in range(TIMES):
        prepare(store)
        assert cache_misses(engine, lambda: call(store)) == []

    def joined() -> None:
        with engine.begin() as db:
            call(store.joined_to(db))

    joined()
    for _ in range(TIMES):
        prepare(store)
        assert cache_misses(engine, joined) == []


# Round trips.


SENT = re.compile(r"^([FB])\t\d+\t(\w+)", re.MULTILINE)
ON_THE_WIRE = READS | AT_ONCE


class Wire:
    """What goes over the wire of a psycopg connection, by libpq's own trace."""

    def __init__(self, connection: Any) -> None:
        self._pgconn = connection.pgconn

    @contextmanager
    def traced(self) -> Iterator[Counter[str]]:
        """Count the messages by name, ``F`` for those to the server and ``B`` for those back."""
        seen: Counter[str] = Counter()
        with tempfile.TemporaryFile("w+") as file:
            self._pgconn.trace(file.fileno())
            self._pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
            yield seen
            self._pgconn.untrace()
            file.seek(0)
            seen.update("".join(found) for found in SENT.findall(file.read()))


only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@only_postgresql
@pytest.mark.parametrize("name", ON_THE_WIRE)
def test_a_call_is_one_round_trip(name: str, database: Database) -> None:
    """On PostgreSQL such a call executes one statement and waits once for the server to be ready."""
    engine = host_engine(database, pool_size=1, max_overflow=0, connect_args={"prepare_threshold": None})
    store = SessionStore(engine)
    prepare(store)
    with engine.connect() as db:
        wire = Wire(db.connection.driver_connection)
    for _ in range(2):
        with wire.traced() as seen:
            ON_THE_WIRE[name](store)
        assert (seen["FQuery"] + seen["FExecute"], seen["BReadyForQuery"]) == (1, 1)
    engine.dispose()


@only_postgresql
@pytest.mark.parametrize("name", ["append", "append once", "set_session_state", "load", "list_sessions"])
def test_a_call_stays_one_round_trip(name: str, database: Database) -> None:
    """So it stays as the driver comes: that prepares a statement at its sixth use, which takes one more, once."""
    with SessionStore(database.url) as store:
        prepare(store)
        with store.engine.connect() as db:
            wire = Wire(db.connection.driver_connection)
        counted = []
        for _ in range(TIMES):
            with wire.traced() as seen:
                ON_THE_WIRE[name](store)
            assert seen["FQuery"] + seen["FExecute"] == 1
            counted.append(seen["BReadyForQuery"])

    assert sorted(counted) == [1] * (TIMES - 1) + [2]
    assert counted.index(2) == 5


@only_postgresql
@pytest.mark.parametrize("name", ["append", "append once", "set_session_state", "load", "list_sessions"])
def test_a_call_is_one_round_trip_on_a_loop(name: str, database: Database) -> None:
    """So it is in the asynchronous store."""

    async def main() -> None:
        connect_args = {"prepare_threshold": None}
        engine = async_host_engine(database, pool_size=1, max_overflow=0, connect_args=connect_args)
        store = AsyncSessionStore(engine)
        await store.append(KEY, HELLO)
        async with engine.connect() as db:
            wire = Wire((await db.get_raw_connection()).driver_connection)
        with wire.traced() as seen:
            await ON_THE_WIRE[name](store)
        assert (seen["FQuery"] + seen["FExecute"], seen["BReadyForQuery"]) == (1, 1)
        await engine.dispose()

    asyncio.run(main())
