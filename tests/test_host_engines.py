"""Engines a host made in its own way: the store leaves them so, and its calls stay whole."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import StaticPool, create_engine, event, orm, text

from session_store import ChatMessage, NewMessage, SessionStore, StoreError, migrations
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import REFUSING_TRIGGER, begins_by_event, host_engine

HELLO = ChatMessage.user("hello")

only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@only_sqlite
def test_a_host_that_begins_by_itself(database: Database, empty_database: Database, clock: Clock) -> None:
    """Where an event begins the host's transactions, calls, begin() and upgrade() take part in that."""
    engine = begins_by_event(host_engine(database, tuned=False))
    store = SessionStore(engine, clock=clock)
    store.append("a", HELLO)
    with store.begin() as tx:
        tx.append("a", HELLO)
    with engine.connect() as db:
        store.joined_to(db).append("a", HELLO)
        db.rollback()

    assert store.load("a") == [HELLO, HELLO]

    with ThreadPoolExecutor(1) as thread:
        with store.begin() as tx:
            assert len(tx.load("a")) == 2
            other = thread.submit(SessionStore(database.url, clock=clock).append, "a", HELLO)
            time.sleep(0.1)
            tx.append("a", HELLO)
            assert not other.done(), "begin() has the lock from its beginning"
        assert other.result().seq == 4

    new = begins_by_event(host_engine(empty_database, tuned=False))
    migrations.upgrade(new)

    assert SessionStore(new).health().schema == "ss_0003"
    engine.dispose()
    new.dispose()


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_an_engine_in_autocommit_still_writes_all_or_nothing(empty_database: Database, clock: Clock) -> None:
    """A call is one transaction on an engine on which the host has none."""
    engine = host_engine(empty_database, tuned=False, isolation_level="AUTOCOMMIT")
    migrations.upgrade(engine)
    store = SessionStore(engine, clock=clock)
    with engine.connect() as db:
        db.exec_driver_sql(REFUSING_TRIGGER)

    with pytest.raises(StoreError, match="refused"):
        store.append_many("a", [HELLO, ChatMessage.user("refused")])

    assert not store.session_exists("a")
    engine.dispose()


def test_a_connection_in_autocommit_cannot_be_joined(database: Database, clock: Clock) -> None:
    """To join a connection that has no transaction is refused, for nothing could be undone there."""
    engine = host_engine(database)
    store = SessionStore(engine, clock=clock)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db, pytest.raises(StoreError):
        store.joined_to(db).append("a", HELLO)

    assert not store.session_exists("a")
    engine.dispose()


def test_a_maker_of_sessions_cannot_be_joined(database: Database, clock: Clock) -> None:
    """Only an open session can be joined: one made here would be committed by nobody."""
    engine = host_engine(database)
    store = SessionStore(engine, clock=clock)

    with pytest.raises(StoreError, match="sessionmaker"):
        store.joined_to(orm.sessionmaker(engine))
    engine.dispose()


@pytest.mark.parametrize(
    "call", [lambda store: store.load("a"), lambda store: store.append("b", HELLO)], ids=["a read", "a write"]
)
def test_a_transaction_on_the_only_connection_is_not_ended(call: Any, clock: Clock) -> None:
    """In memory all share one connection: a call of the store's own is refused while a host's transaction is open."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    migrations.upgrade(engine)
    store = SessionStore(engine, clock=clock)
    with engine.begin() as db:
        store.joined_to(db).append("a", HELLO)
        with pytest.raises(StoreError, match="joined_to"):
            call(store)

    assert store.load("a") == [HELLO]
    engine.dispose()


@only_postgresql
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize("year", [1, 9999])
def test_times_at_the_edges_are_readable_in_every_zone(database: Database, clock: Clock, zone: str, year: int) -> None:
    """A time that is accepted can be read back, whatever zone the server gives it in."""
    engine = host_engine(database, connect_args={"options": f"-c TimeZone={zone}"})
    store = SessionStore(engine, clock=clock)
    made = clock().replace(year=year, month=1 if year == 1 else 12, day=2 if year == 1 else 29)
    store.append_many("a", [NewMessage(HELLO, made)])

    assert [message.created_at for message in store.history("a")] == [made]
    assert len(store.list_sessions_with_metadata()) == 1
    engine.dispose()


@only_postgresql
def test_a_query_that_took_too_long_is_not_asked_again(database: Database, clock: Clock) -> None:
    """A statement timeout is the host's limit on one question; the store does not multiply it."""
    engine = host_engine(database, connect_args={"options": "-c statement_timeout=50ms"})
    store = SessionStore(engine, clock=clock)
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _db, _cursor, statement, *_: asked.append(statement))
    neighbour = host_engine(database)
    with neighbour.connect() as other:
        other.execute(text("LOCK TABLE session_store_sessions"))
        with pytest.raises(StoreError):
            store.list_sessions()

    assert len(asked) == 1
    engine.dispose()
    neighbour.dispose()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3 has this mode from Python 3.12 on")
@pytest.mark.parametrize("tuned", [True, False], ids=["tuned", "as it is"])
@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_an_engine_whose_transaction_is_always_open(empty_database: Database, clock: Clock, tuned: bool) -> None:  # noqa: FBT001
    """SQLAlchemy's documentation recommends this mode of sqlite3: all is as elsewhere, tuned or not."""
    engine = host_engine(empty_database, tuned=tuned, connect_args={"autocommit": False})
    migrations.upgrade(engine)
    store = SessionStore(engine, clock=clock)
    store.append("a", HELLO)
    with store.begin() as transaction:
        assert transaction.load("a") == [HELLO]
        transaction.append("a", HELLO)
    with orm.Session(engine) as db:
        with db.begin_nested():
            store.joined_to(db).append("a", HELLO)
        db.rollback()

    assert store.load("a") == [HELLO, HELLO]
    assert migrations.check(engine) == []
    engine.dispose()
