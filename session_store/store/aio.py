"""`AsyncSessionStore`, for an event loop: the code of `SessionStore` in a greenlet, with one switch per call."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from sqlalchemy import URL
from sqlalchemy.util import await_only, greenlet_spawn

from session_store import migrations
from session_store.database import engines, locks
from session_store.database.access import Access
from session_store.database.runner import ExternalTransaction, TransactionRunner
from session_store.interface.errors import InvalidQuery
from session_store.models.validation import type_error
from session_store.store.arguments import repositories_for, require_default_durability, sync_connection, utc_now
from session_store.store.operations import AsyncOperations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Generator
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session

    from session_store.database.access import Work
    from session_store.database.engines import Durability
    from session_store.store.operations import Repositories

R = TypeVar("R")
Store = TypeVar("Store", bound="AsyncSessionStore")


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
            self.engine: AsyncEngine = engines.create_async_engine(bind, durability)
        elif hasattr(bind, "sync_engine"):
            self.engine = require_default_durability(bind, durability)
        else:
            raise InvalidQuery(type_error(bind, "bind", "an AsyncEngine, a URL or a path"))
        self._repositories = repositories_for(clock)
        self._transactions = TransactionRunner(self.engine.sync_engine, schema, sleep=_sleep)
        self._schema = schema

    @classmethod
    def open(
        cls,
        path_or_url: str | os.PathLike[str] | URL,
        *,
        clock: Callable[[], datetime] = utc_now,
        durability: Durability = "full",
        schema: str | None = None,
    ) -> _AsyncOpen[Self]:
        """Return a store on the database at a URL or in a SQLite file, made and migrated if need be.

        Either ``async with AsyncSessionStore.open(...) as store`` or ``store = await AsyncSessionStore.open(...)``.
        """
        return _AsyncOpen(cls(path_or_url, clock=clock, durability=durability, schema=schema), schema)

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
        async with self._lock(Access.WRITE, begin=True):
            transaction = self._transactions.begin()
            try:
                joined = await _shielded(greenlet_spawn(transaction.__enter__))
                yield AsyncSessionTransaction(joined, self._repositories)
            except BaseException as error:
                await _shielded(greenlet_spawn(transaction.__exit__, type(error), error, error.__traceback__))
                raise
            await _shielded(greenlet_spawn(transaction.__exit__, None, None, None))

    def joined_to(self, db: AsyncSession | async_scoped_session[Any] | AsyncConnection) -> AsyncSessionTransaction:
        """Give the same operations within the transaction the host has open; it is the host who commits."""
        return AsyncSessionTransaction(ExternalTransaction(sync_connection(db), self._schema), self._repositories)

    async def _run(self, work: Work[R], access: Access, key: str | None) -> R:  # noqa: ARG002 - only joined work asks
        async with self._lock(access):
            return await _shielded(greenlet_spawn(self._transactions.run, work, access))

    async def _yield_to_writers(self, held_secs: float) -> bool:
        return await greenlet_spawn(self._transactions.yield_to_writers, held_secs)

    def _lock(self, access: Access, *, begin: bool = False) -> AbstractAsyncContextManager[None]:
        alone = engines.needs_exclusive_access(self.engine.sync_engine, access)
        if access is Access.READ and not alone:
            return nullcontext()
        return locks.async_writer_lock(self.engine.pool, exclusive=alone, begin=begin)


class AsyncSessionTransaction(AsyncOperations):
    """The operations within one transaction, which somebody else ends."""

    def __init__(self, joined: ExternalTransaction, repositories: Repositories) -> None:
        self._joined = joined
        self._repositories = repositories

    async def _run(self, work: Work[R], access: Access, key: str | None) -> R:
        return await _shielded(greenlet_spawn(self._joined.run, work, access, key))

    async def _yield_to_writers(self, held_secs: float) -> bool:  # noqa: ARG002
        return False  # the lock is held until the end


class _AsyncOpen(Generic[Store]):
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
            await _shielded(greenlet_spawn(migrations.upgrade, self._store.engine.sync_engine, schema=self._schema))
        except BaseException:
            await self._store.close()
            raise
        return self._store


async def _shielded(work: Coroutine[Any, Any, R]) -> R:
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
