"""The two front doors: `SessionStore` for code that blocks, `AsyncSessionStore` for an event loop.

A store gives each call a transaction of its own, or runs it in one that is open already. The asynchronous store runs
the same code in a greenlet, one switch for a call and not one for a statement.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.util import await_only, greenlet_spawn

from session_store import migrations
from session_store.database import engines, locks
from session_store.database.access import Access
from session_store.database.runner import Joined, Transactions
from session_store.interface.errors import InvalidQuery, shown
from session_store.models.validation import moment, not_a
from session_store.repositories import MessageRepository, SessionRepository, StateRepository
from session_store.store.operations import AsyncOperations, Operations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from sqlalchemy import orm
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session

    from session_store.database.access import Work
    from session_store.database.engines import Durability
    from session_store.store.operations import Repositories

R = TypeVar("R")
Store = TypeVar("Store", bound="AsyncSessionStore")
AnyEngine = TypeVar("AnyEngine", Engine, "AsyncEngine")


def utc_now() -> datetime:
    """Return the time by the machine's clock."""
    return datetime.now(UTC)


class SessionStore(Operations):
    """Conversations kept in a database, for code that blocks.

    Every call is a transaction of its own: when it has returned, what it did is committed and durable.

    Args:
        bind: The host's engine, which is left as it is, or a URL, for which an engine is made and tuned.
        clock: Gives the time, aware.
        durability: ``"relaxed"`` lets SQLite return before the disk has it; only with a URL.
        schema: The PostgreSQL schema that holds the tables; None: where the server's search path finds them.
    """

    def __init__(
        self,
        bind: Engine | URL | str | os.PathLike[str],
        *,
        clock: Callable[[], datetime] = utc_now,
        durability: Durability = "full",
        schema: str | None = None,
    ) -> None:
        self._owns_engine = not isinstance(bind, Engine)
        self.engine = (
            _hosts(bind, durability) if isinstance(bind, Engine) else engines.blocking_engine(bind, durability)
        )
        self._repositories = _repositories(clock)
        self._transactions = Transactions(self.engine, schema)
        self._schema = schema

    @classmethod
    def open(
        cls,
        path_or_url: str | os.PathLike[str] | URL,
        *,
        clock: Callable[[], datetime] = utc_now,
        durability: Durability = "full",
        schema: str | None = None,
    ) -> Self:
        """Return a store on the database at a URL or in a SQLite file, made and migrated if need be."""
        store = cls(path_or_url, clock=clock, durability=durability, schema=schema)
        try:
            migrations.upgrade(store.engine, schema=schema)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close the connections the store made; a host's engine is left alone."""
        if self._owns_engine:
            self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def begin(self) -> Iterator[SessionTransaction]:
        """Give the same operations within one transaction: committed at the end, rolled back if something is raised.

        It is never run again by itself; on `Conflict` the caller may.
        """
        with self._gate(Access.WRITE, begin=True), self._transactions.begin() as joined:
            yield SessionTransaction(joined, self._repositories)

    def joined_to(self, db: orm.Session | orm.scoped_session[Any] | Connection) -> SessionTransaction:
        """Give the same operations within the transaction the host has open; it is the host who commits."""
        return SessionTransaction(Joined(_blocking_side(db), self._schema), self._repositories)

    def _run(self, work: Work[R], access: Access, key: str | None) -> R:  # noqa: ARG002 - only joined work asks
        with self._gate(access):
            return self._transactions.run(work, access)

    def _rest(self, held_secs: float) -> bool:
        return self._transactions.rest(held_secs)

    def _gate(self, access: Access, *, begin: bool = False) -> AbstractContextManager[None]:
        alone = engines.comes_alone(self.engine, access)
        if access is Access.READ and not alone:
            return nullcontext()
        return locks.thread_turn(self.engine.pool, alone=alone, begin=begin)


class SessionTransaction(Operations):
    """The operations within one transaction, which somebody else ends."""

    def __init__(self, joined: Joined, repositories: Repositories) -> None:
        self._joined = joined
        self._repositories = repositories

    def _run(self, work: Work[R], access: Access, key: str | None) -> R:
        return self._joined.run(work, access, key)

    def _rest(self, held_secs: float) -> bool:  # noqa: ARG002
        return False  # the lock is held until the end


class AsyncSessionStore(AsyncOperations):
    """Conversations kept in a database, for code on an event loop.

    Every call is a transaction of its own: when it has returned, what it did is committed and durable. A call
    that is cancelled is finished first, and then raises: it has happened as a whole, or not at all.

    Args:
        bind: The host's engine, which is left as it is, or a URL, for which an engine is made and tuned.
        clock: Gives the time, aware.
        durability: ``"relaxed"`` lets SQLite return before the disk has it; only with a URL.
        schema: The PostgreSQL schema that holds the tables; None: where the server's search path finds them.
    """

    def __init__(
        self,
        bind: AsyncEngine | URL | str | os.PathLike[str],
        *,
        clock: Callable[[], datetime] = utc_now,
        durability: Durability = "full",
        schema: str | None = None,
    ) -> None:
        self._owns_engine = isinstance(bind, URL | str | os.PathLike)
        if isinstance(bind, URL | str | os.PathLike):
            self.engine: AsyncEngine = engines.awaitable_engine(bind, durability)
        elif hasattr(bind, "sync_engine"):
            self.engine = _hosts(bind, durability)
        else:
            raise InvalidQuery(not_a(bind, "bind", "an AsyncEngine, a URL or a path"))
        self._repositories = _repositories(clock)
        self._transactions = Transactions(self.engine.sync_engine, schema, sleep=_sleep)
        self._schema = schema

    @classmethod
    def open(
        cls,
        path_or_url: str | os.PathLike[str] | URL,
        *,
        clock: Callable[[], datetime] = utc_now,
        durability: Durability = "full",
        schema: str | None = None,
    ) -> Opening[Self]:
        """Return a store on the database at a URL or in a SQLite file, made and migrated if need be.

        Either ``async with AsyncSessionStore.open(...) as store`` or ``store = await AsyncSessionStore.open(...)``.
        """
        return Opening(cls(path_or_url, clock=clock, durability=durability, schema=schema), schema)

    async def close(self) -> None:
        """Close the connections the store made; a host's engine is left alone."""
        if self._owns_engine:
            await self.engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSessionTransaction]:
        """Give the same operations within one transaction: committed at the end, rolled back if something is raised.

        It is never run again by itself; on `Conflict` the caller may.
        """
        async with self._gate(Access.WRITE, begin=True):
            transaction = self._transactions.begin()
            try:
                joined = await _finished(greenlet_spawn(transaction.__enter__))
                yield AsyncSessionTransaction(joined, self._repositories)
            except BaseException as error:
                await _finished(greenlet_spawn(transaction.__exit__, type(error), error, error.__traceback__))
                raise
            await _finished(greenlet_spawn(transaction.__exit__, None, None, None))

    def joined_to(self, db: AsyncSession | async_scoped_session[Any] | AsyncConnection) -> AsyncSessionTransaction:
        """Give the same operations within the transaction the host has open; it is the host who commits."""
        return AsyncSessionTransaction(Joined(_blocking_side(db), self._schema), self._repositories)

    async def _run(self, work: Work[R], access: Access, key: str | None) -> R:  # noqa: ARG002 - only joined work asks
        async with self._gate(access):
            return await _finished(greenlet_spawn(self._transactions.run, work, access))

    async def _rest(self, held_secs: float) -> bool:
        return await greenlet_spawn(self._transactions.rest, held_secs)

    def _gate(self, access: Access, *, begin: bool = False) -> AbstractAsyncContextManager[None]:
        alone = engines.comes_alone(self.engine.sync_engine, access)
        if access is Access.READ and not alone:
            return nullcontext()
        return locks.task_turn(self.engine.pool, alone=alone, begin=begin)


class AsyncSessionTransaction(AsyncOperations):
    """The operations within one transaction, which somebody else ends."""

    def __init__(self, joined: Joined, repositories: Repositories) -> None:
        self._joined = joined
        self._repositories = repositories

    async def _run(self, work: Work[R], access: Access, key: str | None) -> R:
        return await _finished(greenlet_spawn(self._joined.run, work, access, key))

    async def _rest(self, held_secs: float) -> bool:  # noqa: ARG002
        return False  # the lock is held until the end


class Opening(Generic[Store]):
    """An asynchronous store that is migrated when it is awaited, or entered with ``async with``."""

    def __init__(self, store: Store, schema: str | None) -> None:
        self._store = store
        self._schema = schema

    def __await__(self) -> Generator[Any, None, Store]:
        return self._migrated().__await__()

    async def __aenter__(self) -> Store:
        return await self._migrated()

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()

    async def _migrated(self) -> Store:
        try:
            await _finished(greenlet_spawn(migrations.upgrade, self._store.engine.sync_engine, schema=self._schema))
        except BaseException:
            await self._store.close()
            raise
        return self._store


def _hosts(engine: AnyEngine, durability: Durability) -> AnyEngine:
    if durability != "full":
        problem = f"durability={shown(durability)} goes with a URL: a host's engine is left as it is"
        raise InvalidQuery(problem)
    return engine


def _repositories(clock: Callable[[], datetime]) -> Repositories:
    def checked_clock() -> datetime:
        return moment(clock(), "the clock's time")

    now = clock if clock is utc_now else checked_clock
    return {repository: repository(now) for repository in (SessionRepository, MessageRepository, StateRepository)}


def _blocking_side(db: Any) -> orm.Session | Connection:
    # A scoped_session stands for the session of a thread or task, which calling it returns.
    host = db() if hasattr(db, "registry") else db
    side = getattr(host, "sync_session", None) or getattr(host, "sync_connection", None) or host
    if not isinstance(side, Connection) and not hasattr(side, "flush"):
        problem = f"joined_to takes an open session or connection, not {type(db).__name__}"
        raise InvalidQuery(problem)
    return cast("orm.Session | Connection", side)


async def _finished(work: Coroutine[Any, Any, R]) -> R:
    """Await work to its end, whatever happens to the one who waits; only then raise the cancellation.

    Without this 250 cancellations opened 150 connections, and on aiosqlite a thread nobody waited for kept the
    write lock.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            # Nobody will ask for its error any more, and asyncio would print that.
            task.exception()
        raise


def _sleep(seconds: float) -> None:
    await_only(asyncio.sleep(seconds))
