"""What happens in a host's savepoint ends with it: writes, errors, and two stores in one transaction."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    Session,
)

from session_store import Conflict, SchemaOutOfDate, SessionStore, StoreError, StoreUnavailable, models
from session_store.testing import Clock
from tests.conftest import Database
from tests.guest.shop import (
    ANSWER,
    HELLO,
    KEY,
    Customer,
    Ticket,
    on_each_driver,
    store_of_a_host,
)
from tests.hosts import ORDERS, contents, disagreements, host_engine
from tests.test_joined import REFUSED, prepare

# Savepoints.


def seen_by(db: Session | Connection) -> list[list[tuple[Any, ...]]]:
    """Every row of ours as one transaction sees it."""
    return contents(db.connection() if isinstance(db, Session) else db)


def write_more(joined: Any) -> None:
    """Change everything about a session that a host's object shows."""
    joined.append_many(KEY, [ANSWER, HELLO])
    joined.pop_last(KEY)
    joined.set_session_state(KEY, "running", "turn-9")
    joined.set_session_attributes(KEY, {"room": 9})
    joined.append("telegram_new", HELLO)


@pytest.mark.parametrize("kind", [Session, Engine.connect], ids=["session", "connection"])
def test_the_inner_of_two_savepoints_is_undone(kind: Callable[[Engine], Any], engine: Engine, clock: Clock) -> None:
    """Rolled back to the inner of two savepoints, heads and logs say what they said there; the outer one is kept."""
    store = SessionStore(engine, clock=clock)
    store.append(KEY, HELLO)
    with kind(engine) as db:
        joined = store.joined_to(db)
        joined.append(KEY, HELLO)
        with db.begin_nested():
            joined.append(KEY, ANSWER)
            outer = seen_by(db)
            inner = db.begin_nested()
            write_more(joined)
            assert seen_by(db) != outer
            inner.rollback()
            assert seen_by(db) == outer
            joined.set_session_name(KEY, "Ann")
        joined.append(KEY, HELLO)
        db.commit()

    assert [message.seq for message in store.history(KEY)] == [1, 2, 3, 4]
    assert store.get_session_name(KEY) == "Ann"
    assert not store.session_exists("telegram_new")
    with engine.connect() as connection:
        assert disagreements(connection) == []


@pytest.mark.parametrize("kind", [Session, Engine.connect], ids=["session", "connection"])
def test_the_outer_of_two_savepoints_takes_the_inner(
    kind: Callable[[Engine], Any], engine: Engine, store: SessionStore
) -> None:
    """Rolled back to the outer savepoint, what the inner one had kept is gone as well."""
    store.append(KEY, HELLO)
    with kind(engine) as db:
        joined = store.joined_to(db)
        joined.append(KEY, HELLO)
        before = seen_by(db)
        outer = db.begin_nested()
        joined.append(KEY, ANSWER)
        with db.begin_nested():
            write_more(joined)
        outer.rollback()
        assert seen_by(db) == before
        db.commit()

    assert store.load(KEY) == [HELLO, HELLO]


def test_a_held_object_follows_through_two_savepoints(engine: Engine, store: SessionStore) -> None:
    """Held objects say at every level what the row says there."""
    store.append(KEY, HELLO)
    with Session(engine) as db:
        joined = store.joined_to(db)
        held = db.get_one(models.Session, KEY)

        def told() -> tuple[int, int, str, str | None, dict[str, Any]]:
            return held.message_count, held.last_seq, held.state, held.turn_id, held.attributes

        with db.begin_nested():
            joined.append(KEY, ANSWER)
            assert told() == (2, 2, "idle", None, {})
            inner = db.begin_nested()
            write_more(joined)
            assert told() == (3, 4, "running", "turn-9", {"room": 9})
            inner.rollback()
            assert told() == (2, 2, "idle", None, {})
            joined.append(KEY, HELLO)
            assert told() == (3, 3, "idle", None, {})
        assert told() == (3, 3, "idle", None, {})
        db.commit()
        assert told() == (3, 3, "idle", None, {})


def test_an_object_of_a_session_that_was_undone_cannot_be_had(engine: Engine, store: SessionStore) -> None:
    """A session that a joined call made and a savepoint undid is not found again, though the host had loaded it."""
    with Session(engine) as db:
        savepoint = db.begin_nested()
        store.joined_to(db).append(KEY, HELLO)
        made = db.get_one(models.Session, KEY)
        store.joined_to(db).append(KEY, HELLO)
        assert made.message_count == 2
        savepoint.rollback()

        assert db.get(models.Session, KEY) is None
        assert made not in db


@on_each_driver
def test_two_savepoints_on_a_loop(driver: str, database: Database, clock: Clock) -> None:
    """So it is on an event loop; after a rollback the host refreshes its object with an ``await``."""

    async def main() -> None:
        async with store_of_a_host(database, driver, clock) as store:
            await store.append(KEY, HELLO)
            async with AsyncSession(store.engine) as db:
                joined = store.joined_to(db)
                held = await db.get_one(models.Session, KEY)
                async with db.begin_nested():
                    await joined.append(KEY, ANSWER)
                    inner = await db.begin_nested()
                    await joined.append_many(KEY, [HELLO, HELLO])
                    assert (held.message_count, held.last_seq) == (4, 4)
                    await inner.rollback()
                    await db.refresh(held)
                    assert (held.message_count, held.last_seq) == (2, 2)
                    await joined.append(KEY, HELLO)
                    assert (held.message_count, held.last_seq) == (3, 3)
                await db.commit()
            assert [message.seq for message in await store.history(KEY)] == [1, 2, 3]

    asyncio.run(main())


def test_a_savepoint_may_come_first(engine: Engine, store: SessionStore) -> None:
    """A joined call within a savepoint that is the first thing in the host's transaction goes with a rollback of it."""
    for kind in (Session, Engine.connect):
        with kind(engine) as db:
            with db.begin_nested():
                store.joined_to(db).append(KEY, HELLO)
            assert seen_by(db)[1]
            db.rollback()
        assert store.load(KEY) == []
        with kind(engine) as db:
            assert store.joined_to(db).load(KEY) == []
            with db.begin_nested():
                store.joined_to(db).append(KEY, HELLO, idempotency_key="one")
            db.rollback()
        assert store.load(KEY) == []


# Errors within a savepoint.


@pytest.mark.parametrize(("error", "call"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_within_a_savepoint_ends_there(
    error: type[StoreError], call: Callable[[Any], Any], engine: Engine, store: SessionStore, clock: Clock
) -> None:
    """A typed error that leaves a savepoint undoes what was done within it, and the transaction around it commits."""
    prepare(store, clock)
    with engine.begin() as connection:
        connection.execute(insert(ORDERS).values(id=1, session_key="telegram_used"))
    with Session(engine) as db:
        held = db.get_one(models.Session, KEY)
        joined = store.joined_to(db)
        joined.append(KEY, HELLO)
        db.add(Ticket(id=1, session_key=KEY))
        db.flush()
        before = seen_by(db)
        with pytest.raises(error):
            append_and(call, joined, db)
        assert seen_by(db) == before
        assert held.message_count == 4
        joined.append(KEY, ANSWER)
        db.add(Ticket(id=2, session_key=KEY))
        db.commit()

    assert store.load(KEY, last=2) == [HELLO, ANSWER]
    assert tickets(engine) == [1, 2]


def append_and(call: Callable[[Any], Any], joined: Any, db: Session) -> None:
    """Within a savepoint add a row of the host's and one of ours, and then make a call that raises."""
    with db.begin_nested():
        db.add(Ticket(id=3, session_key=KEY))
        joined.append(KEY, ANSWER)
        call(joined)


def tickets(engine: Engine) -> list[int]:
    """The tickets there are."""
    with engine.connect() as connection:
        return list(connection.scalars(select(Ticket.id).order_by(Ticket.id)))


@on_each_driver
@pytest.mark.parametrize("name", ["other message", "key", "message", "attributes"])
def test_a_refusal_within_a_savepoint_ends_there_on_a_loop(
    name: str, driver: str, database: Database, clock: Clock
) -> None:
    """So it is on an event loop."""
    error, call = REFUSED[name]

    async def fail(joined: Any, db: AsyncSession) -> None:
        async with db.begin_nested():
            await joined.append(KEY, ANSWER)
            await call(joined)

    async def main() -> None:
        async with store_of_a_host(database, driver, clock) as store:
            await store.append(KEY, HELLO, idempotency_key="old")
            async with AsyncSession(store.engine) as db:
                joined = store.joined_to(db)
                await joined.append(KEY, HELLO)
                with pytest.raises(error):
                    await fail(joined, db)
                await joined.append(KEY, ANSWER)
                await db.commit()
            assert await store.load(KEY) == [HELLO, HELLO, ANSWER]

    asyncio.run(main())


def test_an_old_schema_is_told_within_a_savepoint(empty_database: Database, clock: Clock) -> None:
    """Where our tables are missing the host is told so, and what it wrote around the savepoint is committed."""
    engine = host_engine(empty_database)
    Customer.metadata.tables[Customer.__tablename__].create(engine)
    with Session(engine) as db:
        db.add(Customer(id=1, name="Ann"))
        db.flush()
        with pytest.raises(SchemaOutOfDate), db.begin_nested():
            SessionStore(engine, clock=clock).joined_to(db).append(KEY, HELLO)
        db.add(Customer(id=2, name="Bo"))
        db.commit()
        assert list(db.scalars(select(Customer.name).order_by(Customer.id))) == ["Ann", "Bo"]
    engine.dispose()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("setting", "error"), [("lock_timeout", Conflict), ("statement_timeout", StoreUnavailable)], ids=["lock", "time"]
)
def test_a_wait_that_was_too_long_ends_with_its_savepoint(
    setting: str, error: type[StoreError], engine: Engine, store: SessionStore
) -> None:
    """A joined call that PostgreSQL gave up on while it waited can be made again when the savepoint is undone."""
    store.append(KEY, HELLO)
    with engine.connect() as other, Session(engine) as db:
        store.joined_to(other).append(KEY, HELLO)
        joined = store.joined_to(db)
        joined.append("web_bo", HELLO)
        db.execute(text(f"SET LOCAL {setting} = '50ms'"))
        with pytest.raises(error), db.begin_nested():
            joined.append(KEY, ANSWER)
        db.execute(text(f"SET LOCAL {setting} = 0"))
        other.commit()
        assert joined.append(KEY, ANSWER).seq == 3
        db.commit()

    assert store.load("web_bo") == [HELLO]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_database_that_may_only_be_read_is_told_within_a_savepoint(engine: Engine, store: SessionStore) -> None:
    """A connection the host made read-only refuses a joined write, answers reads, and writes when it may again."""
    with Session(engine) as db:
        joined = store.joined_to(db)
        joined.append(KEY, HELLO)
        db.execute(text("PRAGMA query_only = ON"))
        with pytest.raises(StoreUnavailable), db.begin_nested():
            joined.append(KEY, ANSWER)
        assert joined.load(KEY) == [HELLO]
        db.execute(text("PRAGMA query_only = OFF"))
        joined.append(KEY, ANSWER)
        db.commit()

    assert store.load(KEY) == [HELLO, ANSWER]


# Two stores.


@pytest.mark.parametrize("kind", [Session, Engine.connect], ids=["session", "connection"])
def test_two_stores_join_one_transaction(kind: Callable[[Engine], Any], engine: Engine, store: SessionStore) -> None:
    """Two stores joined to one transaction go on with each other's sessions, each by its own clock, and end as one."""
    later = Clock()
    later.advance(3600)
    other = SessionStore(engine, clock=later)
    for end in ("rollback", "commit"):
        with kind(engine) as db:
            first, second = store.joined_to(db), other.joined_to(db)
            written = [joined.append(KEY, HELLO) for joined in (first, second, first, second)]
            assert [message.seq for message in written] == [1, 2, 3, 4]
            assert written[1].created_at - written[2].created_at == timedelta(hours=1)
            assert second.append(KEY, HELLO, idempotency_key="one") == first.append(KEY, HELLO, idempotency_key="one")
            getattr(db, end)()
        assert store.session_exists(KEY) == (end == "commit")

    metadata = other.get_session_metadata(KEY)
    assert metadata is not None
    assert (metadata.message_count, metadata.last_seq, metadata.last_activity) == (5, 5, later())


def test_two_stores_bring_one_held_object_up_to_date(engine: Engine, store: SessionStore) -> None:
    """Whichever store wrote, the host's object follows, and both find it flushed."""
    other = SessionStore(engine)
    store.append(KEY, HELLO)
    with Session(engine) as db:
        held = db.get_one(models.Session, KEY)
        store.joined_to(db).append(KEY, HELLO)
        assert held.message_count == 2
        other.joined_to(db).append(KEY, HELLO)
        assert held.message_count == 3
        held.name = "Ann"
        assert other.joined_to(db).get_session_name(KEY) == "Ann"
        db.commit()
