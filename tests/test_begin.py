"""What begin() promises, and what a call that is run again may not lose."""

import asyncio
import sqlite3
from collections.abc import Iterator
from enum import Enum

import pytest
from sqlalchemy import StaticPool, create_engine, event, text

from session_store import (
    AsyncSessionStore,
    ChatMessage,
    Conflict,
    IdempotencyConflict,
    NewMessage,
    SessionStore,
    StoreError,
    migrations,
)
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import REFUSING_TRIGGER, async_host_engine, host_engine

HELLO = ChatMessage.user("hello")


def test_a_transaction_given_up_is_never_called_committed(clock: Clock) -> None:
    """What the database gave up on within begin() is raised at its end, whatever the caller made of it."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    migrations.upgrade(engine)
    store = SessionStore(engine, clock=clock)
    with engine.begin() as db:
        db.exec_driver_sql(REFUSING_TRIGGER)

    with pytest.raises(StoreError, match="refused"), store.begin() as tx:  # noqa: PT012 - the end of the block raises
        tx.append("paid", HELLO)
        with pytest.raises(StoreError):
            tx.append("paid", ChatMessage.user("refused"))

    assert not store.session_exists("paid")
    engine.dispose()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_conflict_swallowed_within_begin_comes_out_of_it(database: Database, clock: Clock) -> None:
    """PostgreSQL answers the COMMIT of a transaction that failed with a rollback; begin() does not hide that."""
    engine = host_engine(database, connect_args={"options": "-c lock_timeout=100ms"})
    store = SessionStore(engine, clock=clock)
    store.append("busy", HELLO)
    with engine.connect() as other:
        other.execute(text("UPDATE session_store_sessions SET state_seq = 0 WHERE key = 'busy'"))
        with pytest.raises(Conflict), store.begin() as tx:  # noqa: PT012 - the end of the block raises
            tx.append("paid", HELLO)
            with pytest.raises(Conflict):
                tx.append("busy", HELLO)

    assert store.load("paid") == []
    engine.dispose()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_conflict_swallowed_within_begin_comes_out_of_it_on_a_loop(database: Database, clock: Clock) -> None:
    """The asynchronous begin() does not hide it either."""

    async def main() -> list[ChatMessage]:
        engine = async_host_engine(database, "asyncpg", connect_args={"server_settings": {"lock_timeout": "100"}})
        store = AsyncSessionStore(engine, clock=clock)
        await store.append("busy", HELLO)
        async with engine.connect() as other:
            await other.execute(text("UPDATE session_store_sessions SET state_seq = 0 WHERE key = 'busy'"))
            with pytest.raises(Conflict):  # noqa: PT012 - the end of the block raises
                async with store.begin() as tx:
                    await tx.append("paid", HELLO)
                    with pytest.raises(Conflict):
                        await tx.append("busy", HELLO)
        loaded = await store.load("paid")
        await engine.dispose()
        return loaded

    assert asyncio.run(main()) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_retried_append_many_loses_nothing_of_a_generator(database: Database, clock: Clock) -> None:
    """What append_many is given is used up once, before the transaction that may have to run again."""
    engine = host_engine(database, tuned=False, connect_args={"timeout": 0})
    store = SessionStore(engine, clock=clock)
    other = sqlite3.connect(str(database.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tries = 0

    @event.listens_for(engine, "handle_error")
    def let_go_after_the_third(_context: object) -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            other.execute("ROLLBACK")

    written = store.append_many("a", (ChatMessage.user(str(number)) for number in range(3)))

    assert tries == 3
    assert [message.seq for message in written] == [1, 2, 3]
    assert [message.content for message in store.load("a")] == ["0", "1", "2"]
    other.close()
    engine.dispose()


def test_an_iterable_may_use_the_store(store: SessionStore) -> None:
    """A copy from one session to another reads while it is being made."""
    store.append_many("from", [HELLO, HELLO])

    copied = store.append_many("to", (message.message for message in list(store.iter_history("from"))))

    assert len(copied) == 2


def test_an_iterable_s_own_error_comes_out(store: SessionStore) -> None:
    """An error of the caller's generator is the caller's, and nothing was written."""

    def broken() -> Iterator[ChatMessage]:
        yield HELLO
        raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        store.append_many("a", broken())

    assert not store.session_exists("a")


def test_two_messages_under_one_key_write_nothing(store: SessionStore) -> None:
    """A conflict within one call is found before anything is written, the session itself included."""
    twice = [NewMessage(HELLO, None, "k"), NewMessage(ChatMessage.user("other"), None, "k")]

    with pytest.raises(IdempotencyConflict):
        store.append_many("a", twice)

    assert not store.session_exists("a")


class Word(str, Enum):  # noqa: UP042 - a StrEnum would be stored right even by str()
    """Words a host keeps in an Enum."""

    RUNNING = "running"
    KEY = "telegram_ann"


def test_an_enum_of_strings_is_stored_as_its_value(store: SessionStore) -> None:
    """A member of an Enum of strings is its text, as a key, a state, a role, a text and in JSON."""
    message = ChatMessage(Word.RUNNING, Word.RUNNING, {Word.KEY: Word.RUNNING})
    store.append_many(Word.KEY, [message, NewMessage(message, None, Word.KEY)])
    store.append(Word.KEY, message, idempotency_key=Word.KEY)
    store.set_session_state(Word.KEY, Word.RUNNING, Word.RUNNING)
    store.set_session_attributes(Word.KEY, {Word.KEY: Word.RUNNING})

    plain = ChatMessage("running", "running", {"telegram_ann": "running"})

    assert store.load("telegram_ann") == [plain, plain]
    assert [session.key for session in store.list_running_sessions()] == ["telegram_ann"]
    assert store.list_sessions_with_metadata()[0].attributes == {"telegram_ann": "running"}


def test_true_is_not_one(store: SessionStore) -> None:
    """Payloads are compared as JSON, where true and 1 differ and 1 and 1.0 do not."""
    store.append("a", ChatMessage.tool("x", {"ok": True}), idempotency_key="k")

    with pytest.raises(IdempotencyConflict):
        store.append("a", ChatMessage.tool("x", {"ok": 1}), idempotency_key="k")

    store.append_many("b", [ChatMessage.tool("x", {"ok": value}) for value in (True, 1, 1.0)])

    assert store.compact("b").duplicates_removed == 1


def test_a_transaction_that_ended_is_told(store: SessionStore) -> None:
    """What begin() gave serves until its end, and then says so."""
    with store.begin() as tx:
        tx.append("a", HELLO)

    with pytest.raises(StoreError, match="ended"):
        tx.append("a", HELLO)
