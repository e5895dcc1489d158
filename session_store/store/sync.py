"""`SessionStore`, for code that blocks: each call runs in a transaction of its own, or in one that is already open."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import URL, Connection, Engine

from session_store import migrations
from session_store.database import engines, locks
from session_store.database.access import Access
from session_store.database.runner import ExternalTransaction, TransactionRunner
from session_store.store.arguments import repositories_for, require_default_durability, sync_connection, utc_now
from session_store.store.operations import Operations

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from sqlalchemy import orm

    from session_store.database.access import Work
    from session_store.database.engines import Durability
    from session_store.store.operations import Repositories

R = TypeVar("R")


class SessionStore(Operations):
    """A store of conversations, for code that blocks.

    Every call is a transaction: when it returns, its changes are committed and durable.

    Args:
        bind: The application's engine, used as it is, or a URL, for which the store creates and tunes an engine.
        clock: Returns the current time, timezone-aware.
        durability: ``"relaxed"`` lets SQLite return before a commit is on the disk; only with a URL.
        schema: The PostgreSQL schema of the tables; None: the first on the server's search path that has them.
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
            require_default_durability(bind, durability)
            if isinstance(bind, Engine)
            else engines.create_sync_engine(bind, durability)
        )
        self._repositories = repositories_for(clock)
        self._transactions = TransactionRunner(self.engine, schema)
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
        """Return a store on the database at a URL or in a SQLite file, which is created and migrated if needed."""
        store = cls(path_or_url, clock=clock, durability=durability, schema=schema)
        try:
            migrations.upgrade(store.engine, schema=schema)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close the store's connections; an engine of the application is not touched."""
        if self._owns_engine:
            self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def begin(self) -> Iterator[SessionTransaction]:
        """Yield the same operations in one transaction: committed at the end of the block, rolled back on an error.

        The transaction is not retried. After a `Conflict` the caller may run the block again.
        """
        with locks.writer_lock(self.engine, Access.WRITE, begin=True), self._transactions.begin() as joined:
            yield SessionTransaction(joined, self._repositories)

    def joined_to(self, db: orm.Session | orm.scoped_session[Any] | Connection) -> SessionTransaction:
        """Return the same operations in the application's open transaction; the application commits."""
        return SessionTransaction(ExternalTransaction(sync_connection(db), self._schema), self._repositories)

    def _run(self, work: Work[R], access: Access, key: str | None) -> R:  # noqa: ARG002 - only joined work asks
        with locks.writer_lock(self.engine, access):
            return self._transactions.run(work, access)

    def _yield_to_writers(self, held_secs: float) -> bool:
        return self._transactions.yield_to_writers(held_secs)


class SessionTransaction(Operations):
    """The operations in one transaction, which ``begin()`` or the application ends."""

    def __init__(self, joined: ExternalTransaction, repositories: Repositories) -> None:
        self._joined = joined
        self._repositories = repositories

    def _run(self, work: Work[R], access: Access, key: str | None) -> R:
        return self._joined.run(work, access, key)

    def _yield_to_writers(self, held_secs: float) -> bool:  # noqa: ARG002
        return False  # the lock is held until the end
