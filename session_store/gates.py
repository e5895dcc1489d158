"""Who may write now, among the threads and tasks of this process.

SQLite allows one writer and lets those who wait poll for the lock, where they starve each other; here they queue
first. The wait is bounded. And a write from within ``begin()`` of the same store, past the transaction that it gave,
is refused at once on every database: it could wait for itself for ever.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from session_store.dialects.engines import BUSY_TIMEOUT_SECS
from session_store.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import Pool

Lock = TypeVar("Lock", threading.Lock, asyncio.Lock)

_NESTED: Final = "this store is within begin() here: use the transaction that begin() gave"
_TOO_LONG: Final = f"other writers of this process held the database for more than {BUSY_TIMEOUT_SECS:g} s"


class Gate(Generic[Lock]):
    """Where the writers of one database meet, all threads of this process or all tasks of one event loop."""

    def __init__(self, lock: Lock) -> None:
        self.lock: Lock = lock
        self._within_begin: set[object] = set()

    @contextmanager
    def entered_by(self, me: object, *, begin: bool) -> Iterator[None]:
        """Refuse a thread or task that is within ``begin()`` already; remember it if that is what it enters."""
        if me in self._within_begin:
            raise StoreError(_NESTED)
        if begin:
            self._within_begin.add(me)
        try:
            yield
        finally:
            if begin:
                self._within_begin.remove(me)


@contextmanager
def thread_turn(pool: Pool, *, alone: bool, begin: bool = False) -> Iterator[None]:
    """Let this thread write: one at a time if ``alone``; ``begin`` says that work of the caller's own follows."""
    gate = _thread_gate(pool)
    with gate.entered_by(threading.get_ident(), begin=begin):
        if alone and not gate.lock.acquire(timeout=BUSY_TIMEOUT_SECS):
            raise StoreUnavailable(_TOO_LONG)
        try:
            yield
        finally:
            if alone:
                gate.lock.release()


@asynccontextmanager
async def task_turn(pool: Pool, *, alone: bool, begin: bool = False) -> AsyncIterator[None]:
    """Let this task write, as `thread_turn` does a thread; waiting does not block the loop."""
    gate = _task_gate(pool)
    with gate.entered_by(asyncio.current_task(), begin=begin):
        if alone:
            try:
                async with asyncio.timeout(BUSY_TIMEOUT_SECS):
                    await gate.lock.acquire()
            except TimeoutError:
                raise StoreUnavailable(_TOO_LONG) from None
        try:
            yield
        finally:
            if alone:
                gate.lock.release()


_thread_gates: WeakKeyDictionary[Pool, Gate[threading.Lock]] = WeakKeyDictionary()
_task_gates: WeakKeyDictionary[Pool, WeakKeyDictionary[asyncio.AbstractEventLoop, Gate[asyncio.Lock]]]
_task_gates = WeakKeyDictionary()
_registering = threading.Lock()


def _thread_gate(pool: Pool) -> Gate[threading.Lock]:
    with _registering:
        return _thread_gates.setdefault(pool, Gate(threading.Lock()))


def _task_gate(pool: Pool) -> Gate[asyncio.Lock]:
    with _registering:
        gates = _task_gates.setdefault(pool, WeakKeyDictionary())
        return gates.setdefault(asyncio.get_running_loop(), Gate(asyncio.Lock()))
