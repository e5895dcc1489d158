"""Who may write now, among the threads and tasks of this process.

SQLite allows one writer and lets those who wait poll for the lock, where they starve each other; here they queue
first. The wait is bounded. And a write from within ``begin()`` of the same store, past the transaction that it gave,
is refused at once on every database: it could wait for itself for ever.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from session_store.dialects.engines import BUSY_TIMEOUT_SECS
from session_store.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import Pool

_NESTED: Final = "this store is within begin() here: use the transaction that begin() gave"
_TOO_LONG: Final = f"other writers of this process held the database for more than {BUSY_TIMEOUT_SECS:g} s"


class ThreadGate:
    """Where threads that write to one database meet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within_begin: set[int] = set()

    @contextmanager
    def passed(self, *, alone: bool, begin: bool = False) -> Iterator[None]:
        """Go through: one at a time if ``alone``; ``begin`` says that work of the caller's own follows."""
        me = threading.get_ident()
        if me in self._within_begin:
            raise StoreError(_NESTED)
        if alone and not self._lock.acquire(timeout=BUSY_TIMEOUT_SECS):
            raise StoreUnavailable(_TOO_LONG)
        if begin:
            self._within_begin.add(me)
        try:
            yield
        finally:
            if begin:
                self._within_begin.remove(me)
            if alone:
                self._lock.release()


class TaskGate:
    """Where tasks of one event loop that write to one database meet; nobody's waiting blocks the loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._within_begin: set[asyncio.Task[object] | None] = set()

    @asynccontextmanager
    async def passed(self, *, alone: bool, begin: bool = False) -> AsyncIterator[None]:
        """Go through: one at a time if ``alone``; ``begin`` says that work of the caller's own follows."""
        me = asyncio.current_task()
        if me in self._within_begin:
            raise StoreError(_NESTED)
        if alone:
            try:
                async with asyncio.timeout(BUSY_TIMEOUT_SECS):
                    await self._lock.acquire()
            except TimeoutError:
                raise StoreUnavailable(_TOO_LONG) from None
        if begin:
            self._within_begin.add(me)
        try:
            yield
        finally:
            if begin:
                self._within_begin.remove(me)
            if alone:
                self._lock.release()


_thread_gates: WeakKeyDictionary[Pool, ThreadGate] = WeakKeyDictionary()
_task_gates: WeakKeyDictionary[Pool, WeakKeyDictionary[asyncio.AbstractEventLoop, TaskGate]] = WeakKeyDictionary()
_registering = threading.Lock()


def thread_gate(pool: Pool) -> ThreadGate:
    """Return the gate all stores on these connections share."""
    with _registering:
        return _thread_gates.setdefault(pool, ThreadGate())


def task_gate(pool: Pool) -> TaskGate:
    """Return the gate all stores on these connections share on the running loop."""
    with _registering:
        of_loops = _task_gates.setdefault(pool, WeakKeyDictionary())
        return of_loops.setdefault(asyncio.get_running_loop(), TaskGate())
