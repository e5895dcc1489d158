"""`AsyncSessionStore`, for an event loop: the code of `SessionStore` in a greenlet, with one switch per call."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
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
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session

    from session_store.database.access import Work
    from session_store.database.engines import Durability
    from session_store.store.operations import Repositories

R = TypeVar("R")
Store = TypeVar("Store", bound="AsyncSessionStore")


class AsyncSessionStore(AsyncOperations):
    """A store of conversations, for an event loop.

    Every call is a transaction: when it returns, its changes are committed and durable. A cancelled call runs to its
    end before it raises: its changes are committed completely, or not at all.

    Args:
        bind: The application's engine, used as it is, or a URL, for which the store creates and tunes an engine.
        clock: Returns the current time, timezone-aware.
        durability: ``"relaxed"`` lets SQLite return before a commit is on the disk; only with a URL.
        schema: The PostgreSQL schema of the tables; None: the first on the server's search path that has them.
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
        """Return a store on the database at a URL or in a SQLite file, which is created and migrated if needed.

        Either ``async with AsyncSessionStore.open(...) as store`` or ``store = await AsyncSessionStore.open(...)``.
        """
        return _AsyncOpen(cls(path_or_url, clock=clock, durability=durability, schema=schema), schema)

    async def close(self) -> None:
        """Close the store's connections; an engine of the application is not touched."""
        if self._owns_engine:
            await self.engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSessionTransaction]:
        """Yield the same operations in one transaction: committed at the end of the block, rolled back on an error.

        The transaction is not retried. After a `Conflict` the caller may run the block again.
        """
        async with locks.async_writer_lock(self.engine.sync_engine, Access.WRITE, begin=True):
            transaction = self._transactions.begin()
            try:
                joined = await _shielded(greenlet_spawn(transaction.__enter__))
                yield AsyncSessionTransaction(joined, self._repositories)
            except BaseException as error:
                await _shielded(greenlet_spawn(transaction.__exit__, type(error), error, error.__traceback__))
                raise
            await _shielded(greenlet_spawn(transaction.__exit__, None, None, None))

    def joined_to(self, db: AsyncSession | async_scoped_session[Any] | AsyncConnection) -> AsyncSessionTransaction:
        """Return the same operations in the application's open transaction; the application commits."""
        return AsyncSessionTransaction(ExternalTransaction(sync_connection(db), self._schema), self._repositories)

    async def _run(self, work: Work[R], access: Access, key: str | None) -> R:  # noqa: ARG002 - only joined work asks
        async with locks.async_writer_lock(self.engine.sync_engine, access):
            return await _shielded(greenlet_spawn(self._transactions.run, work, access))

    async def _yield_to_writers(self, held_secs: float) -> bool:
        return await greenlet_spawn(self._transactions.yield_to_writers, held_secs)


class AsyncSessionTransaction(AsyncOperations):
    """The operations in one transaction, which ``begin()`` or the application ends."""

    def __init__(self, joined: ExternalTransaction, repositories: Repositories) -> None:
        self._joined = joined
        self._repositories = repositories

    async def _run(self, work: Work[R], access: Access, key: str | None) -> R:
        return await _shielded(greenlet_spawn(self._joined.run, work, access, key))

    async def _yield_to_writers(self, held_secs: float) -> bool:  # noqa: ARG002
        return False  # the lock is held until the end


class _AsyncOpen(Generic[Store]):
    """The result of `AsyncSessionStore.open`: migrates the store when awaited or entered with ``async with``."""

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
    """Await work to its end even if the caller is cancelled, then raise the cancellation.

    Without this, 250 cancellations opened 150 connections, and an abandoned thread of aiosqlite kept the write lock.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            # Retrieve its error: asyncio would print one that is never retrieved.
            task.exception()
        raise


def _sleep(seconds: float) -> None:
    await_only(asyncio.sleep(seconds))
