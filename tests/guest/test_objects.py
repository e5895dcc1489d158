"""Objects of ours in a host's session: flushed in the right order, carried around, brought up to date."""

import asyncio
import pickle

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    Session,
    joinedload,
)

from session_store import ChatMessage, SessionStore, StoreError, models
from session_store.testing import Clock
from tests.conftest import Database
from tests.guest.shop import (
    ANSWER,
    HELLO,
    KEY,
    Ticket,
    on_each_driver,
    store_of_a_host,
)
from tests.hosts import statements_of
from tests.test_joined import columns_of, prepare

# Flushed.


def test_a_row_may_refer_to_a_session_made_in_the_same_transaction(engine: Engine, store: SessionStore) -> None:
    """A ticket added after a joined append finds its session's row there at the flush, as a key or as an object."""
    with Session(engine) as db:
        store.joined_to(db).append(KEY, HELLO)
        db.add(Ticket(id=1, session_key=KEY))
        db.add(Ticket(id=2, session=db.get_one(models.Session, KEY)))
        db.commit()
        keys = db.scalars(select(Ticket.session_key).order_by(Ticket.id)).all()

    assert keys == [KEY, KEY]


def test_a_flush_of_the_host_s_that_fails_is_the_host_s(engine: Engine, store: SessionStore) -> None:
    """A ticket added before its session is there fails at the joined call's flush as at any other, and is undone so."""
    with Session(engine) as db:
        savepoint = db.begin_nested()
        db.add(Ticket(id=1, session_key=KEY))
        with pytest.raises(IntegrityError):
            store.joined_to(db).append(KEY, HELLO)
        savepoint.rollback()
        store.joined_to(db).append(KEY, HELLO)
        db.add(Ticket(id=1, session_key=KEY))
        db.commit()

    assert store.load(KEY) == [HELLO]


def test_a_session_object_is_flushed_before_the_row_that_refers_to_it(
    engine: Engine, store: SessionStore, clock: Clock
) -> None:
    """A new `Session` object given to a ticket is written before it, across the two bases, and appended to."""
    now = clock()
    with Session(engine) as db:
        made = models.Session(key=KEY, created_at=now, last_activity=now, active_minute=now)
        db.add(Ticket(id=1, session=made))
        assert store.joined_to(db).append(KEY, HELLO).seq == 1
        assert made.message_count == 1
        db.commit()

    assert store.load(KEY) == [HELLO]
    assert store.get_session_metadata(KEY) is not None


def test_without_expiry_a_commit_leaves_the_new_head(engine: Engine, store: SessionStore, clock: Clock) -> None:
    """With ``expire_on_commit=False`` a held object goes on saying what the joined call wrote, asking nobody."""
    store.append(KEY, HELLO)
    with Session(engine, expire_on_commit=False) as db:
        held = db.get_one(models.Session, KEY)
        clock.advance(1)
        store.joined_to(db).append(KEY, HELLO)
        db.commit()
        with statements_of(engine) as statements:
            assert (held.message_count, held.last_activity) == (2, clock())
        assert statements == []
        store.joined_to(db).append(KEY, HELLO)
        db.rollback()
        assert (held.message_count, held.last_seq) == (2, 2)
        store.append(KEY, HELLO)
        assert held.message_count == 2, "read in the transaction that the host has open, or not again"


@on_each_driver
def test_without_expiry_nothing_is_waited_for_after_a_commit(driver: str, database: Database, clock: Clock) -> None:
    """So it does on an event loop, where a new read would need an ``await``, and the detached object still tells."""

    async def main() -> None:
        async with store_of_a_host(database, driver, clock) as store:
            await store.append(KEY, HELLO)
            async with AsyncSession(store.engine, expire_on_commit=False) as db:
                held = await db.get_one(models.Session, KEY)
                await store.joined_to(db).append(KEY, HELLO)
                await db.commit()
            with statements_of(store.engine) as statements:
                assert (held.message_count, held.last_seq, held.state) == (2, 2, "idle")
            assert statements == []

    asyncio.run(main())


# Carried around.


def test_objects_are_pickled(engine: Engine, store: SessionStore, clock: Clock) -> None:
    """Our objects go through a pickle, with what was loaded to them and without a database."""
    prepare(store, clock)
    store.append(KEY, ChatMessage.tool("nul \0, lone \ud800", {"n": 10**20}))
    with Session(engine) as db:
        options = joinedload(models.Message.session)
        message = db.scalars(select(models.Message).filter_by(session_key=KEY, seq=4).options(options)).one()
        head = columns_of(message.session)
        pickled = pickle.dumps(message)
    with statements_of(engine) as statements:
        unpickled = pickle.loads(pickled)  # noqa: S301 - our own
        assert (unpickled.content, unpickled.payload) == ("nul \0, lone \ud800", {"n": 10**20})
        assert columns_of(unpickled.session) == head
    assert statements == []


def test_an_object_is_merged_and_then_follows(engine: Engine, store: SessionStore, clock: Clock) -> None:
    """An object of an earlier transaction, unpickled and merged, is as good as one that was loaded."""
    prepare(store, clock)
    with Session(engine) as db:
        pickled = pickle.dumps(db.get_one(models.Session, KEY))
    for load in (True, False):
        with Session(engine) as db:
            held = db.merge(pickle.loads(pickled), load=load)  # noqa: S301 - our own
            assert not db.is_modified(held)
            store.joined_to(db).append(KEY, HELLO)
            assert held.message_count == 4
            db.rollback()
            assert held.message_count == 3

    assert store.append(KEY, HELLO).seq == 4


def test_an_object_is_refreshed(engine: Engine, store: SessionStore, clock: Clock) -> None:
    """What a joined call changed in a message shows when the host refreshes its object or populates it by a query."""
    store.append(KEY, HELLO)
    with Session(engine) as db:
        message = db.get_one(models.Message, (KEY, 1))
        clock.advance(60)
        store.joined_to(db).update_last(KEY, ANSWER)
        db.refresh(message)
        assert (message.content, message.payload) == (ANSWER.content, ANSWER.payload)
        store.joined_to(db).update_last(KEY, HELLO)
        db.scalars(select(models.Message).execution_options(populate_existing=True)).all()
        assert (message.content, message.payload) == (HELLO.content, None)
        held = db.get_one(models.Session, KEY)
        db.commit()
        clock.advance(60)
        store.append(KEY, ANSWER)
        db.refresh(held)
        assert (held.message_count, held.last_activity) == (2, clock())
        assert held not in db.dirty


def test_counts_of_long_ago_are_not_written_back(engine: Engine, store: SessionStore) -> None:
    """An object from a cache, merged after others appended, is refused: the next number would be one that is taken."""
    store.append(KEY, HELLO)
    with Session(engine) as db:
        stale = db.get_one(models.Session, KEY)
        db.expunge(stale)
    store.append(KEY, HELLO)
    with Session(engine) as db:
        db.merge(stale)
        with pytest.raises(StoreError, match=r"message_count, last_seq of session 'telegram_ann'"):
            db.commit()
    with Session(engine) as db:
        merged = db.merge(stale)
        db.refresh(merged)
        merged.name = "Ann"
        db.commit()

    assert store.append(KEY, HELLO).seq == 3
    assert store.get_session_name(KEY) == "Ann"
