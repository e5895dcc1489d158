"""Who may write or migrate now, among the threads and tasks of this process.

SQLite allows one writer and lets those who wait poll for the lock, where they starve each other; here they queue
first. The wait is bounded. And a write from within ``begin()`` of the same store, past the transaction that it gave,
is refused at once on every database: it could wait for itself for ever.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from session_store.database.engines import BUSY_TIMEOUT_SECS
from session_store.interface.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import Pool

_PATIENCE_SECS: Final = 300.0
_POLL_SECS: Final = 0.01
_TOO_LONG: Final = f"other writers of this process held the database for more than {BUSY_TIMEOUT_SECS:g} s"


@contextmanager
def thread_turn(pool: Pool, *, alone: bool, begin: bool = False) -> Iterator[None]:
    """Let this thread write: one at a time if ``alone``; ``begin`` says that work of the caller's own follows."""
    with _entered(pool, threading.get_ident(), begin=begin):
        if not alone:
            yield
            return
        lock = _lock_of_threads(pool)
        if not lock.acquire(timeout=BUSY_TIMEOUT_SECS):
            raise StoreUnavailable(_TOO_LONG)
        try:
            yield
        finally:
            lock.release()


@asynccontextmanager
async def task_turn(pool: Pool, *, alone: bool, begin: bool = False) -> AsyncIterator[None]:
    """Let this task write, as `thread_turn` does a thread; waiting does not block the loop."""
    with _entered(pool, asyncio.current_task(), begin=begin):
        if not alone:
            yield
            return
        lock = _lock_of_tasks(pool)
        try:
            async with asyncio.timeout(BUSY_TIMEOUT_SECS):
                await lock.acquire()
        except TimeoutError:
            raise StoreUnavailable(_TOO_LONG) from None
        try:
            yield
        finally:
            lock.release()


@contextmanager
def process_turn() -> Iterator[None]:
    """Let one thread or task of this process in at a time; in a greenlet of an event loop waiting does not block it.

    Raises:
        StoreError: The one that is in waits for this thread: to wait for it would be for ever.
        StoreUnavailable: Another one was in for too long.
    """
    deadline = time.monotonic() + _PATIENCE_SECS
    awaiting = _in_a_greenlet()
    while not _process.acquire(blocking=False):
        if _inside == [threading.get_ident()] and not awaiting:
            problem = "a migration is under way on this event loop: await this one too, in run_sync"
            raise StoreError(problem)
        if time.monotonic() > deadline:
            problem = f"another migration of this process took more than {_PATIENCE_SECS:g} s"
            raise StoreUnavailable(problem)
        if awaiting:
            await_only(asyncio.sleep(_POLL_SECS))
        else:
            time.sleep(_POLL_SECS)
    _inside.append(threading.get_ident())
    try:
        yield
    finally:
        _inside.clear()
        _process.release()


@dataclass(slots=True)
class _Begun:
    """A ``begin()``: of which database, by which thread or task, and whether it is still open."""

    pool: Pool
    by: object
    open: bool = True


# By context and not by thread alone: a framework may leave a begin() open and use its thread for somebody else.
_begun: ContextVar[tuple[_Begun, ...]] = ContextVar("begun", default=())


@contextmanager
def _entered(pool: Pool, me: object, *, begin: bool) -> Iterator[None]:
    begun = _begun.get()
    if any(outer.open and outer.pool is pool and outer.by == me for outer in begun):
        problem = "this store is within begin() here: use the transaction that begin() gave"
        raise StoreError(problem)
    if not begin:
        yield
        return
    this = _Begun(pool, me)
    token = _begun.set((*begun, this))
    try:
        yield
    finally:
        this.open = False
        # What was entered in one context may be left in another.
        with suppress(ValueError):
            _begun.reset(token)


_of_threads: WeakKeyDictionary[Pool, threading.Lock] = WeakKeyDictionary()
_of_tasks: WeakKeyDictionary[Pool, WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = WeakKeyDictionary()
_registering = threading.Lock()
_process = threading.Lock()
_inside: list[int] = []
"""The thread of the one that is in."""


def _in_a_greenlet() -> bool:
    try:
        return in_greenlet()
    except (ImportError, ValueError):  # greenlet is not installed; on SQLAlchemy 2.0 a ValueError says so
        return False


def _lock_of_threads(pool: Pool) -> threading.Lock:
    with _registering:
        return _of_threads.setdefault(pool, threading.Lock())


def _lock_of_tasks(pool: Pool) -> asyncio.Lock:
    with _registering:
        locks = _of_tasks.setdefault(pool, WeakKeyDictionary())
        return locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
