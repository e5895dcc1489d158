"""Process-local locks: one SQLite writer, and one migration, at a time.

SQLite allows one writer, and connections that poll for its lock starve each other; here they queue first, with a
timeout. A write inside ``begin()`` of the same store that does not use the transaction is rejected on every database,
because it could wait for itself forever.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from session_store.database.access import Access
from session_store.database.engines import BUSY_TIMEOUT_SECS, needs_exclusive_access
from session_store.interface.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from sqlalchemy import Engine, Pool

_TIMEOUT_SECS: Final = 300.0
_POLL_SECS: Final = 0.01
_TIMED_OUT: Final = f"other writers of this process held the write lock for more than {BUSY_TIMEOUT_SECS:g} s"


def writer_lock(engine: Engine, access: Access, *, begin: bool = False) -> AbstractContextManager[None]:
    """Return the lock of this process for an access by a thread; ``begin``: the caller's own code runs in the block."""
    exclusive = needs_exclusive_access(engine, access)
    if access is Access.READ and not exclusive:
        return nullcontext()
    return _hold_by_thread(engine.pool, exclusive=exclusive, begin=begin)


def async_writer_lock(engine: Engine, access: Access, *, begin: bool = False) -> AbstractAsyncContextManager[None]:
    """Return the lock of this process for an access by a task; waiting does not block the event loop."""
    exclusive = needs_exclusive_access(engine, access)
    if access is Access.READ and not exclusive:
        return nullcontext()
    return _hold_by_task(engine.pool, exclusive=exclusive, begin=begin)


@contextmanager
def _hold_by_thread(pool: Pool, *, exclusive: bool, begin: bool) -> Iterator[None]:
    with _enter(pool, threading.get_ident(), begin=begin):
        if not exclusive:
            yield
            return
        lock = _thread_lock(pool)
        if not lock.acquire(timeout=BUSY_TIMEOUT_SECS):
            raise StoreUnavailable(_TIMED_OUT)
        try:
            yield
        finally:
            lock.release()


@asynccontextmanager
async def _hold_by_task(pool: Pool, *, exclusive: bool, begin: bool) -> AsyncIterator[None]:
    with _enter(pool, asyncio.current_task(), begin=begin):
        if not exclusive:
            yield
            return
        lock = _task_lock(pool)
        try:
            async with asyncio.timeout(BUSY_TIMEOUT_SECS):
                await lock.acquire()
        except TimeoutError:
            raise StoreUnavailable(_TIMED_OUT) from None
        try:
            yield
        finally:
            lock.release()


@contextmanager
def migration_lock() -> Iterator[None]:
    """Let one thread or task of this process migrate at a time; in a greenlet, waiting does not block the event loop.

    Raises:
        StoreError: The migration that holds the lock needs this thread to continue: waiting would be a deadlock.
        StoreUnavailable: Another migration held the lock for too long.
    """
    deadline = time.monotonic() + _TIMEOUT_SECS
    awaiting = _in_a_greenlet()
    while not _migration_lock.acquire(blocking=False):
        if _hold == [threading.get_ident()] and not awaiting:
            problem = "another migration is running on this event loop: run this one with run_sync, too"
            raise StoreError(problem)
        if time.monotonic() > deadline:
            problem = f"another migration of this process took more than {_TIMEOUT_SECS:g} s"
            raise StoreUnavailable(problem)
        if awaiting:
            await_only(asyncio.sleep(_POLL_SECS))
        else:
            time.sleep(_POLL_SECS)
    _hold.append(threading.get_ident())
    try:
        yield
    finally:
        _hold.clear()
        _migration_lock.release()


@dataclass(slots=True)
class _OpenTransaction:
    """A ``begin()``: its database, its thread or task, and whether it is still open."""

    pool: Pool
    by: object
    open: bool = True


# By context and not only by thread: a framework may suspend an open begin() and run other code on its thread.
_open_transaction: ContextVar[tuple[_OpenTransaction, ...]] = ContextVar("begun", default=())


@contextmanager
def _enter(pool: Pool, me: object, *, begin: bool) -> Iterator[None]:
    open_transactions = _open_transaction.get()
    if any(outer.open and outer.pool is pool and outer.by == me for outer in open_transactions):
        problem = "this store is inside begin(): use the transaction that begin() returned"
        raise StoreError(problem)
    if not begin:
        yield
        return
    this = _OpenTransaction(pool, me)
    token = _open_transaction.set((*open_transactions, this))
    try:
        yield
    finally:
        this.open = False
        # A block entered in one context may be left in another.
        with suppress(ValueError):
            _open_transaction.reset(token)


_thread_locks: WeakKeyDictionary[Pool, threading.Lock] = WeakKeyDictionary()
_task_locks: WeakKeyDictionary[Pool, WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = WeakKeyDictionary()
_registry_lock = threading.Lock()
_migration_lock = threading.Lock()
_hold: list[int] = []
"""The thread that holds the migration lock."""


def _in_a_greenlet() -> bool:
    try:
        return in_greenlet()
    except (ImportError, ValueError):  # greenlet is not installed; on SQLAlchemy 2.0 a ValueError says so
        return False


def _thread_lock(pool: Pool) -> threading.Lock:
    with _registry_lock:
        return _thread_locks.setdefault(pool, threading.Lock())


def _task_lock(pool: Pool) -> asyncio.Lock:
    with _registry_lock:
        locks = _task_locks.setdefault(pool, WeakKeyDictionary())
        return locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
