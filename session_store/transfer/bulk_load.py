"""Load many rows in one transaction after the other, on SQLite with the search index disabled."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self, TypeVar

from session_store.database import engines
from session_store.database.access import Access
from session_store.interface.errors import Conflict
from session_store.search import index as search_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from session_store.store.sync import SessionStore, SessionTransaction

R = TypeVar("R")

LINE_BATCH_SIZE: Final = 10_000
BATCH_MAX_BYTES: Final = 8 * 1024 * 1024
"""About 10 MB of memory, and on SQLite a second during which other writers wait."""

MANY_MESSAGES: Final = 50_000
"""From this number of messages on, rebuilding the search index at the end is faster."""

_ATTEMPTS: Final = 5
_MAX_PAUSE_SECS: Final = 0.5


class BulkLoad:
    """A running load, used as a context manager; on exit it rebuilds the search index if it disabled it.

    Args:
        store: The store, migrated; not inside its ``begin()``.
        dry_run: Run everything in one transaction, and roll it back at the end.
    """

    def __init__(self, store: SessionStore, *, dry_run: bool = False) -> None:
        self._store = store
        self._dry_run = dry_run
        self._closing = ExitStack()
        self._whole: SessionTransaction | None = None
        self._index_is_suspended = False
        self.added = 0
        """The number of messages added so far, counted by the importers."""

    def __enter__(self) -> Self:
        if self._dry_run:
            self._whole = self._closing.enter_context(_rolled_back(self._store))
        else:
            # A killed load may have left the index disabled.
            self._index_is_suspended = search_index.is_disabled(self._store.engine)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
        if self._index_is_suspended and not self._dry_run:
            search_index.rebuild(self._store.engine)

    def run(self, work: Callable[[SessionTransaction], R]) -> R:
        """Run work in a transaction, with retries, and then pause for other writers.

        Raises:
            Conflict: Every attempt was rolled back.
        """
        if self.added >= MANY_MESSAGES and not self._index_is_suspended:
            bind = self._store.engine if self._whole is None else connection_of(self._whole)
            self._index_is_suspended = search_index.disable(bind)
        if self._whole is not None:
            # A failed batch is undone by itself, as without the enclosing transaction.
            with connection_of(self._whole).begin_nested():
                return work(self._whole)
        started = time.monotonic()
        result = self._committed(work)
        time.sleep(engines.yield_to_writers(self._store.engine, time.monotonic() - started))
        return result

    def _committed(self, work: Callable[[SessionTransaction], R]) -> R:
        attempts = 1
        while True:
            try:
                with self._store.begin() as transaction:
                    return work(transaction)
            except Conflict:
                if attempts == _ATTEMPTS:
                    raise
                attempts += 1
                time.sleep(random.uniform(0, _MAX_PAUSE_SECS))  # noqa: S311 - nothing secret about it


def connection_of(transaction: SessionTransaction) -> Connection:
    """Return the connection of a transaction."""
    return transaction._run(lambda db: db, Access.READ, None)  # noqa: SLF001 - it offers sessions, not their copies


class _Undone(Exception):
    """Ends the transaction of a dry run."""


@contextmanager
def _rolled_back(store: SessionStore) -> Iterator[SessionTransaction]:
    with suppress(_Undone), store.begin() as transaction:
        yield transaction
        raise _Undone
