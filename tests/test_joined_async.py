"""The asynchronous store within a host's transaction, on every driver."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)

from session_store import AsyncSessionStore, ChatMessage, SessionInUse, StoreError, models
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import ORDERS, async_host_engine, contents, statements_of
from tests.test_joined import DELETES, REFUSED, WRITES, Order, columns_of

HELLO = ChatMessage.user("Hello")
KEY = "telegram_ann"

on_each_driver = pytest.mark.parametrize(
    ("driver", "database"),
    [("aiosqlite", "sqlite"), ("psycopg", "postgresql"), ("asyncpg", "postgresql")],
    indirect=["database"],
    ids=["aiosqlite", "psycopg", "asyncpg"],
)
each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())


@asynccontextmanager
async def store_of_a_host(database: Database, driver: str, clock: Clock) -> AsyncIterator[AsyncSessionStore]:
    """A store on a host's engine, with a session that each write changes and one the host refers to."""
    engine = async_host_engine(database, driver)
    async with engine.begin() as db:
        await db.run_sync(ORDERS.create)
    store = AsyncSessionStore(engine, clock=clock)
    await store.append_many(KEY, [HELLO, HELLO])
    await store.append(KEY, HELLO, idempotency_key="old")
    await store.append(KEY, HELLO)
    await store.set_session_owner(KEY, "ann")
    await store.set_session_state(KEY, "running", "turn-1")
    await store.append("telegram_used", HELLO)
    clock.advance(1)
    async with engine.begin() as db:
        await db.execute(insert(ORDERS).values(id=1, session_key="telegram_used"))
    yield store
    await engine.dispose()


async def rows(engine: AsyncEngine) -> list[list[tuple[Any, ...]]]:
    """What others see of our tables."""
    async with engine.connect() as db:
        return await db.run_sync(contents)


async def see(db: AsyncConnection | AsyncSession) -> list[list[tuple[Any, ...]]]:
    """What one transaction sees of our tables."""
    connection = await db.connection() if isinstance(db, AsyncSession) else db
    return await connection.run_sync(contents)


@on_each_driver
@pytest.mark.parametrize("kind", [AsyncSession, AsyncEngine.connect], ids=["session", "connection"])
def test_the_host_decides(driver: str, kind: Callable[[AsyncEngine], Any], database: Database, clock: Clock) -> None:
    """A rollback of the host's takes each joined write with it, a commit keeps all; nothing shows before."""

    async def main() -> None:
        async with store_of_a_host(database, driver, clock) as store, kind(store.engine) as db:
            before = await rows(store.engine)
            for write in (WRITES | DELETES).values():
                await db.execute(insert(ORDERS).values(id=2))
                await write(store.joined_to(db))
                await db.rollback()
                assert await rows(store.engine) == before
            await db.execute(insert(ORDERS).values(id=3))
            for write in WRITES.values():
                await write(store.joined_to(db))
            after = await see(db)
            assert await rows(store.engine) == before
            await db.commit()
            assert await rows(store.engine) == after != before
            assert (await db.scalars(select(ORDERS.c.id))).all() == [1, 3]
            await db.rollback()

    asyncio.run(main())


@on_each_driver
@each_write
def test_a_held_object_is_read_without_waiting(
    driver: str, write: Callable[[Any], Awaitable[Any]], database: Database, clock: Clock
) -> None:
    """After a joined write every attribute of the host's object is new, and no read needs an ``await``."""

    async def main() -> None:
        async with store_of_a_host(database, driver, clock) as store, AsyncSession(store.engine) as db:
            held = await db.get_one(models.Session, KEY)
            await write(store.joined_to(db))
            with statements_of(store.engine) as statements:
                new = columns_of(held)
            assert statements == []
            table = models.Session.__table__
            assert new == dict((await db.execute(select(*table.c).where(table.c.key == KEY))).mappings().one())

    asyncio.run(main())


@on_each_driver
def test_the_host_s_objects_are_flushed_first(driver: str, database: Database, clock: Clock) -> None:
    """What the host has added is there for a joined call, and its foreign key to our session holds."""

    async def main() -> None:
        async with store_of_a_host(database, driver, clock) as store:
            async with AsyncSession(store.engine, autoflush=False) as db:
                joined = store.joined_to(db)
                await joined.append("telegram_new", HELLO)
                db.add(Order(7, "telegram_new"))
                with pytest.raises(SessionInUse):
                    await joined.delete_session("telegram_new")
                await db.commit()
            assert await store.load("telegram_new") == [HELLO]

    asyncio.run(main())


@on_each_driver
@pytest.mark.parametrize(("error", "call"), REFUSED.values(), ids=REFUSED.keys())
def test_a_typed_error_leaves_the_transaction_usable(
    driver: str, error: type[StoreError], call: Callable[[Any], Any], database: Database, clock: Clock
) -> None:
    """After a refusal nothing of the call is there, and the host's transaction goes on and commits."""

    async def main() -> None:
        async with store_of_a_host(database, driver, clock) as store:
            async with AsyncSession(store.engine) as db:
                before = await see(db)
                with pytest.raises(error):
                    await call(store.joined_to(db))
                assert await see(db) == before
                await store.joined_to(db).append("telegram_bob", HELLO)
                await db.commit()
            assert await store.load("telegram_bob") == [HELLO]

    asyncio.run(main())


@on_each_driver
def test_write_only_relationships_are_selected(driver: str, database: Database, clock: Clock) -> None:
    """A session's messages and states are asked for by a SELECT, and nothing is loaded behind an attribute."""

    async def main() -> None:
        async with store_of_a_host(database, driver, clock) as store, AsyncSession(store.engine) as db:
            session = await db.get_one(models.Session, KEY)
            newest = session.messages.select().order_by(None).order_by(models.Message.seq.desc()).limit(2)
            assert [message.seq for message in await db.scalars(newest)] == [4, 3]
            assert [state.turn_id for state in await db.scalars(session.states.select())] == ["turn-1"]

    asyncio.run(main())


@on_each_driver
def test_a_scoped_session_can_be_joined(driver: str, database: Database, clock: Clock) -> None:
    """An `async_scoped_session` stands for the session of the task."""

    async def main() -> None:
        async with store_of_a_host(database, driver, clock) as store:
            scoped = async_scoped_session(async_sessionmaker(store.engine), asyncio.current_task)
            await store.joined_to(scoped).append("telegram_bob", HELLO)
            await scoped.rollback()
            assert not await store.session_exists("telegram_bob")
            await store.joined_to(scoped).append("telegram_bob", HELLO)
            await scoped.commit()
            await scoped.remove()
            assert await store.load("telegram_bob") == [HELLO]

    asyncio.run(main())


@on_each_driver
def test_a_connection_must_be_started(driver: str, database: Database, clock: Clock) -> None:
    """A connection nobody has awaited yet is refused with words, and not with an AttributeError."""

    async def main() -> None:
        async with store_of_a_host(database, driver, clock) as store:
            with pytest.raises(StoreError, match="connection"):
                store.joined_to(store.engine.connect())

    asyncio.run(main())
