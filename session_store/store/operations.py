"""The operations of the repositories, as methods that block and as methods to await.

`SessionBackend` and `AsyncSessionBackend` hold the signatures and docstrings; this module adds the code.
A class that inherits `Operations` or `AsyncOperations` only defines how an operation gets its transaction.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from typing import Any, Final, TypeVar

from session_store.database.access import Access, Step, Steps, Work, access_of
from session_store.interface.protocols import AsyncSessionBackend, SessionBackend
from session_store.interface.values import StoredMessage
from session_store.models.validation import identifier, integer
from session_store.repositories import MessageRepository, SessionRepository, StateRepository

R = TypeVar("R")
Repositories = Mapping[type[Any], Any]
"""One instance of each repository, by its class."""

_MAX_PAGE_SIZE: Final = 10_000


class Operations(SessionBackend):
    """The operations for code that blocks."""

    _repositories: Repositories

    def _run(self, work: Work[R], access: Access, key: str | None) -> R:
        """Run work on the session with this key (None: on several) and return its result."""
        raise NotImplementedError

    def _yield_to_writers(self, held_secs: float) -> bool:
        """Pause after having held the write lock for that long; False if that was too short for a pause."""
        raise NotImplementedError

    def iter_history(self, key: str, *, after_seq: int = 0, batch: int = 1000) -> Iterator[StoredMessage]:
        """Iterate over a session's messages, oldest first, in constant memory."""
        key, after_seq, batch = _first_page(key, after_seq, batch)

        def pages(after: int) -> Iterator[StoredMessage]:
            while page := self.history(key, after_seq=after, limit=batch):
                yield from page
                after = page[-1].seq

        return pages(after_seq)


class AsyncOperations(AsyncSessionBackend):
    """The operations on an event loop."""

    _repositories: Repositories

    async def _run(self, work: Work[R], access: Access, key: str | None) -> R:
        """Run work on the session with this key (None: on several) and return its result."""
        raise NotImplementedError

    async def _yield_to_writers(self, held_secs: float) -> bool:
        """Pause after having held the write lock for that long; False if that was too short for a pause."""
        raise NotImplementedError

    def iter_history(self, key: str, *, after_seq: int = 0, batch: int = 1000) -> AsyncIterator[StoredMessage]:
        """Iterate over a session's messages, oldest first, in constant memory."""
        key, after_seq, batch = _first_page(key, after_seq, batch)

        async def pages(after: int) -> AsyncIterator[StoredMessage]:
            while page := await self.history(key, after_seq=after, limit=batch):
                for message in page:
                    yield message
                after = page[-1].seq

        return pages(after_seq)


def _sync_method(repository: type[Any], operation: Callable[..., Any]) -> Callable[..., Any]:
    if not inspect.isgeneratorfunction(operation):
        access = access_of(operation)

        def call(self: Operations, /, *args: Any, **kwargs: Any) -> Any:
            return self._run(*_single_step(self._repositories[repository], operation, access, args, kwargs))

        return call

    def call_steps(self: Operations, /, *args: Any, **kwargs: Any) -> Any:
        schedule = _schedule(operation(self._repositories[repository], *args, **kwargs))
        result = None
        while True:
            try:
                item = schedule.send(result)
            except StopIteration as end:
                return end.value
            result = self._run(*item) if isinstance(item, Step) else self._yield_to_writers(item)

    return call_steps


def _async_method(repository: type[Any], operation: Callable[..., Any]) -> Callable[..., Any]:
    if not inspect.isgeneratorfunction(operation):
        access = access_of(operation)

        async def call(self: AsyncOperations, /, *args: Any, **kwargs: Any) -> Any:
            return await self._run(*_single_step(self._repositories[repository], operation, access, args, kwargs))

        return call

    async def call_steps(self: AsyncOperations, /, *args: Any, **kwargs: Any) -> Any:
        schedule = _schedule(operation(self._repositories[repository], *args, **kwargs))
        result: Any = None
        while True:
            try:
                item = schedule.send(result)
            except StopIteration as end:
                return end.value
            result = await (self._run(*item) if isinstance(item, Step) else self._yield_to_writers(item))

    return call_steps


def _single_step(repository: Any, operation: Callable[..., R], access: Access, args: Any, kwargs: Any) -> Step:
    """Return an operation that takes a connection as one step; its first argument may be a session's key."""
    key = args[0] if args else kwargs.get("key")
    return Step(lambda db: operation(repository, db, *args, **kwargs), access, key if isinstance(key, str) else None)


def _schedule(steps: Steps[R]) -> Generator[Step | float, Any, R]:
    """Yield each step to run and, between two steps, the seconds for which the write lock was held."""
    result = None
    held_secs = 0.0
    while True:
        try:
            step = steps.send(result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if held_secs and (yield held_secs):
            held_secs = 0.0
        started = time.monotonic()
        result = yield step
        if step.access is not Access.READ:
            held_secs += time.monotonic() - started


def _first_page(key: str, after_seq: int, batch: int) -> tuple[str, int, int]:
    return identifier(key, "key"), integer(after_seq, "after_seq"), integer(batch, "batch", 1, _MAX_PAGE_SIZE)


def _implement() -> None:
    """Add the code to each method of the protocols; its name, signature and docstring come from the protocol."""
    for repository in (SessionRepository, MessageRepository, StateRepository):
        for name, operation in vars(repository).items():
            if not name.startswith("_"):
                sync, awaited = getattr(SessionBackend, name), getattr(AsyncSessionBackend, name)
                setattr(Operations, name, functools.wraps(sync)(_sync_method(repository, operation)))
                setattr(AsyncOperations, name, functools.wraps(awaited)(_async_method(repository, operation)))
                getattr(AsyncOperations, name).__doc__ = sync.__doc__


_implement()
