"""What happens seldom: a wait that is too long, a URL that is none, a head that lags, an object of a host's."""

import asyncio
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, orm, text
from sqlalchemy.exc import StatementError

from session_store import (
    AsyncSessionStore,
    ChatMessage,
    InvalidQuery,
    SessionInUse,
    SessionStore,
    StoreError,
    StoreUnavailable,
    models,
)
from session_store.database import revisions
from session_store.models.models import SESSIONS
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import host_engine

HELLO = ChatMessage.user("hello")

only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.mark.once
@only_sqlite
def test_a_thread_waits_its_turn_for_so_long_only(database: Database, clock: Clock) -> None:
    """A writer that another thread keeps from its turn is told so after the busy timeout."""
    with SessionStore(database.url, clock=clock) as store:
        begun, waited = threading.Event(), threading.Event()

        def hold() -> None:
            with store.begin():
                begun.set()
                waited.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        begun.wait()
        with pytest.raises(StoreUnavailable, match="5 s"):
            store.append("a", HELLO)
        waited.set()
        holder.join()

        assert store.append("a", HELLO).seq == 1


@pytest.mark.once
@only_sqlite
def test_a_task_waits_its_turn_for_so_long_only(database: Database, clock: Clock) -> None:
    """A writer that another task keeps from its turn is told so, and the loop went on meanwhile."""

    async def main() -> tuple[int, int]:
        async with AsyncSessionStore(database.url, clock=clock) as store:
            begun, waited = asyncio.Event(), asyncio.Event()
            turns = 0

            async def hold() -> None:
                async with store.begin():
                    begun.set()
                    await waited.wait()

            async def tick() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0.1)
                    turns += 1

            holder, ticker = asyncio.create_task(hold()), asyncio.create_task(tick())
            await begun.wait()
            with pytest.raises(StoreUnavailable, match="5 s"):
                await store.append("a", HELLO)
            ticker.cancel()
            waited.set()
            await holder
            return turns, (await store.append("a", HELLO)).seq

    turns, seq = asyncio.run(main())

    assert turns > 20
    assert seq == 1


@pytest.mark.parametrize(
    "bind",
    [
        *(5, None, "nonsense://:x", "mysql://h/d", "sqlite:sessions.db"),
        *("postgresql://ann:secret@host:port/db", "postgres:/ann:secret@host/db"),
    ],
)
def test_what_is_no_url_is_told_without_it(bind: Any) -> None:
    """A URL that is none, or of another database, is refused in words without the password it may hold."""
    with pytest.raises(InvalidQuery) as refused:
        SessionStore(bind)

    assert "secret" not in str(refused.value)


def test_an_engine_s_durability_is_the_host_s(database: Database) -> None:
    """A choice that would not be followed is refused: a host's engine is left as it is."""
    engine = host_engine(database)

    with pytest.raises(InvalidQuery, match="application's engine"):
        SessionStore(engine, durability="relaxed")
    engine.dispose()


def test_an_opened_store_is_awaited_or_entered(empty_database: Database, clock: Clock) -> None:
    """open() of the asynchronous store migrates either way."""

    async def main() -> list[str | None]:
        awaited = await AsyncSessionStore.open(empty_database.url, clock=clock)
        first = (await awaited.health()).schema
        await awaited.close()
        async with AsyncSessionStore.open(empty_database.url, clock=clock) as entered:
            return [first, (await entered.health()).schema]

    assert asyncio.run(main()) == [revisions.HEAD, revisions.HEAD]


def test_what_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    """open() of what is no database raises, and leaves no connection behind."""
    (tmp_path / "text.db").write_text("This is no database. " * 100)

    async def main() -> None:
        await AsyncSessionStore.open(tmp_path / "text.db")

    with pytest.raises(StoreUnavailable):
        SessionStore.open(tmp_path / "text.db")
    with pytest.raises(StoreUnavailable):
        asyncio.run(main())


def test_a_head_that_lags_is_told_and_mended(database: Database, store: SessionStore) -> None:
    """An append that would use a number again says what to do, and writes nothing; compact() does it."""
    store.append_many("a", [HELLO, HELLO])
    engine = host_engine(database)
    with engine.begin() as db:
        db.execute(text("UPDATE session_store_sessions SET last_seq = 0"))
    engine.dispose()

    with pytest.raises(StoreError, match="compact"):
        store.append("a", HELLO)

    assert store.compact("a", within_secs=0, dry_run=True).head_repaired
    store.compact("a", within_secs=0)
    assert store.append("a", HELLO).seq == 3


@only_sqlite
def test_a_row_that_restricts_keeps_its_session(database: Database, store: SessionStore) -> None:
    """ON DELETE RESTRICT keeps a session as a plain reference does."""
    store.append("a", HELLO)
    engine = host_engine(database)
    with engine.begin() as db:
        db.exec_driver_sql("CREATE TABLE host (k REFERENCES session_store_sessions (key) ON DELETE RESTRICT)")
        db.exec_driver_sql("INSERT INTO host VALUES ('a')")
    engine.dispose()

    with pytest.raises(SessionInUse, match="'a'"):
        store.delete_session("a")

    assert store.load("a") == [HELLO]


def test_all_held_objects_follow_what_concerns_all(database: Database, clock: Clock) -> None:
    """After a joined call about many sessions every object the host holds is as the database has it."""
    engine = host_engine(database)
    store = SessionStore(engine, clock=clock)
    for key in ("a", "b"):
        store.set_session_state(key, "running", "t1")
    clock.advance(60)
    with orm.Session(engine) as db:
        held = [db.get_one(models.Session, key) for key in ("a", "b")]
        assert store.joined_to(db).recover_stuck(30) == ["a", "b"]

        assert [head.state for head in held] == ["error", "error"]
        assert store.joined_to(db).cleanup_stale(0, include_running=True) == 0
    engine.dispose()


def test_the_models_say_what_they_are(database: Database, store: SessionStore) -> None:
    """The repr of a row names it, and JSON can be asked for by its keys."""
    store.append("a", ChatMessage.assistant("x", {"model": "m"}))
    store.set_session_state("a", "running", "t")
    engine = host_engine(database)
    with orm.Session(engine) as db:
        message = db.query(models.Message).filter(models.Message.payload["model"].as_string() == "m").one()
        state = db.query(models.State).one()

        assert [repr(message), repr(state), repr(message.session)] == [
            "<Message 'a' 1>",
            "<State 'a' 1 'running'>",
            "<Session 'a'>",
        ]
    engine.dispose()


def test_a_time_without_a_zone_is_refused_by_the_column(database: Database) -> None:
    """Who writes by the tables, past the store, is held to aware times too."""
    engine = host_engine(database)
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point
    head = {"key": "a", "created_at": naive, "last_activity": naive, "active_minute": naive}
    with engine.connect() as db, pytest.raises(StatementError, match="time zone"):
        db.execute(insert(SESSIONS), head)
    engine.dispose()
