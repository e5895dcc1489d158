"""Every operation of the repositories, offered once to code that blocks and once on an event loop.

A class that inherits `Operations` or `AsyncOperations` only says how work gets its transaction.
"""

from __future__ import annotations

import functools
import inspect
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

from session_store.database.access import Access, Plan, Work, access_of
from session_store.interface.values import StoredMessage
from session_store.models.validation import identifier, whole_number
from session_store.repositories import MessageRepository, SessionRepository, StateRepository

P = ParamSpec("P")
R = TypeVar("R")
Repository = TypeVar("Repository")
F = TypeVar("F", bound=Callable[..., Any])

Repositories = Mapping[type[Any], Any]
"""One instance of each repository, by its class."""

_MOST_IN_A_PAGE: Final = 10_000
_PLAN: Final = re.compile(r"^Plan\[(.*)\]$")


class Runs(Protocol):
    """Gives an operation its transaction, in code that blocks."""

    _repositories: Repositories

    def _run(self, work: Work[R], access: Access, key: str | None) -> R:
        """Run work on the session of this key (None: on several) and return what it returns."""
        ...

    def _rest(self, held_secs: float) -> bool:
        """Leave the database to others after having held its lock for so long; False if that was not long enough."""
        ...


class AwaitablyRuns(Protocol):
    """Gives an operation its transaction, on an event loop."""

    _repositories: Repositories

    async def _run(self, work: Work[R], access: Access, key: str | None) -> R:
        """Run work on the session of this key (None: on several) and return what it returns."""
        ...

    async def _rest(self, held_secs: float) -> bool:
        """Leave the database to others after having held its lock for so long; False if that was not long enough."""
        ...


def _work(repository: Any, operation: Callable[..., R], args: Any, kwargs: Any) -> tuple[Work[R], str | None]:
    """Return an operation as work, and the key of the session it is about."""
    key = args[0] if args else kwargs.get("key")
    return lambda db: operation(repository, db, *args, **kwargs), key if isinstance(key, str) else None


def _dressed(call: F, operation: Callable[..., Any], parameters_given: int) -> F:
    """Let a call look like the operation: its name, docstring, and signature without what the store gives."""
    functools.update_wrapper(call, operation)
    del call.__wrapped__  # type: ignore[attr-defined]
    signature = inspect.signature(operation)
    first, *rest = signature.parameters.values()
    parameters = [first, *rest[parameters_given:]]
    returned = _PLAN.sub(r"\1", signature.return_annotation)
    call.__signature__ = signature.replace(parameters=parameters, return_annotation=returned)  # type: ignore[attr-defined]
    call.__annotations__ = {it.name: it.annotation for it in parameters[1:]} | {"return": returned}
    return call


def blocking(
    repository: type[Repository], operation: Callable[Concatenate[Repository, Connection, P], R]
) -> Callable[Concatenate[Any, P], R]:
    """Offer an operation in code that blocks."""
    access = access_of(operation)

    def call(self: Runs, /, *args: P.args, **kwargs: P.kwargs) -> R:
        work, key = _work(self._repositories[repository], operation, args, kwargs)
        return self._run(work, access, key)

    return _dressed(call, operation, 1)


def awaitable(
    repository: type[Repository], operation: Callable[Concatenate[Repository, Connection, P], R]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Offer an operation on an event loop."""
    access = access_of(operation)

    async def call(self: AwaitablyRuns, /, *args: P.args, **kwargs: P.kwargs) -> R:
        work, key = _work(self._repositories[repository], operation, args, kwargs)
        return await self._run(work, access, key)

    return _dressed(call, operation, 1)


def blocking_plan(
    repository: type[Repository], operation: Callable[Concatenate[Repository, P], Plan[R]]
) -> Callable[Concatenate[Any, P], R]:
    """Offer in code that blocks what prepares its work, or takes several transactions."""

    def call(self: Runs, /, *args: P.args, **kwargs: P.kwargs) -> R:
        plan = operation(self._repositories[repository], *args, **kwargs)
        result = None
        held_secs = 0.0
        while True:
            try:
                step = plan.send(result)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if held_secs and self._rest(held_secs):
                held_secs = 0.0
            begun = time.monotonic()
            result = self._run(*step)
            if step.access is not Access.READ:
                held_secs += time.monotonic() - begun

    return _dressed(call, operation, 0)


def awaitable_plan(
    repository: type[Repository], operation: Callable[Concatenate[Repository, P], Plan[R]]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Offer on an event loop what prepares its work, or takes several transactions."""

    async def call(self: AwaitablyRuns, /, *args: P.args, **kwargs: P.kwargs) -> R:
        plan = operation(self._repositories[repository], *args, **kwargs)
        result = None
        held_secs = 0.0
        while True:
            try:
                step = plan.send(result)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if held_secs and await self._rest(held_secs):
                held_secs = 0.0
            begun = time.monotonic()
            result = await self._run(*step)
            if step.access is not Access.READ:
                held_secs += time.monotonic() - begun

    return _dressed(call, operation, 0)


def _first_page(key: str, after_seq: int, batch: int) -> tuple[str, int, int]:
    return (
        identifier(key, "key"),
        whole_number(after_seq, "after_seq"),
        whole_number(batch, "batch", 1, _MOST_IN_A_PAGE),
    )


class Operations(Runs):
    """The operations for code that blocks."""

    create_session = blocking(SessionRepository, SessionRepository.create_session)
    session_exists = blocking(SessionRepository, SessionRepository.session_exists)
    get_session_metadata = blocking(SessionRepository, SessionRepository.get_session_metadata)
    list_sessions = blocking(SessionRepository, SessionRepository.list_sessions)
    list_sessions_with_metadata = blocking(SessionRepository, SessionRepository.list_sessions_with_metadata)
    count_sessions = blocking(SessionRepository, SessionRepository.count_sessions)
    search = blocking(SessionRepository, SessionRepository.search)
    set_session_name = blocking(SessionRepository, SessionRepository.set_session_name)
    get_session_name = blocking(SessionRepository, SessionRepository.get_session_name)
    set_session_owner = blocking(SessionRepository, SessionRepository.set_session_owner)
    set_session_attributes = blocking(SessionRepository, SessionRepository.set_session_attributes)
    delete_session = blocking(SessionRepository, SessionRepository.delete_session)
    delete_sessions = blocking_plan(SessionRepository, SessionRepository.delete_sessions)
    cleanup_stale = blocking_plan(SessionRepository, SessionRepository.cleanup_stale)
    compact = blocking(SessionRepository, SessionRepository.compact)
    check = blocking(SessionRepository, SessionRepository.check)

    append = blocking(MessageRepository, MessageRepository.append)
    append_many = blocking_plan(MessageRepository, MessageRepository.append_many)
    load = blocking(MessageRepository, MessageRepository.load)
    history = blocking(MessageRepository, MessageRepository.history)
    search_messages = blocking(MessageRepository, MessageRepository.search_messages)
    remove_last = blocking(MessageRepository, MessageRepository.remove_last)
    pop_last = blocking(MessageRepository, MessageRepository.pop_last)
    update_last = blocking(MessageRepository, MessageRepository.update_last)
    clear_messages = blocking(MessageRepository, MessageRepository.clear_messages)
    trim = blocking_plan(MessageRepository, MessageRepository.trim)

    set_session_state = blocking(StateRepository, StateRepository.set_session_state)
    get_session_state = blocking(StateRepository, StateRepository.get_session_state)
    list_running_sessions = blocking(StateRepository, StateRepository.list_running_sessions)
    list_stuck_sessions = blocking(StateRepository, StateRepository.list_stuck_sessions)
    recover_stuck = blocking_plan(StateRepository, StateRepository.recover_stuck)
    prune_states = blocking_plan(StateRepository, StateRepository.prune_states)

    def iter_history(self, key: str, *, after_seq: int = 0, batch: int = 1000) -> Iterator[StoredMessage]:
        """Go through a session's messages, oldest first, in constant memory.

        They are read by pages, and no connection is held between two.

        Args:
            key: The session.
            after_seq: Only messages with a higher seq.
            batch: Messages in a page, 1 to 10,000.
        """
        key, after_seq, batch = _first_page(key, after_seq, batch)

        def pages(after: int) -> Iterator[StoredMessage]:
            while page := self.history(key, after_seq=after, limit=batch):
                yield from page
                after = page[-1].seq

        return pages(after_seq)


class AsyncOperations(AwaitablyRuns):
    """The operations on an event loop."""

    create_session = awaitable(SessionRepository, SessionRepository.create_session)
    session_exists = awaitable(SessionRepository, SessionRepository.session_exists)
    get_session_metadata = awaitable(SessionRepository, SessionRepository.get_session_metadata)
    list_sessions = awaitable(SessionRepository, SessionRepository.list_sessions)
    list_sessions_with_metadata = awaitable(SessionRepository, SessionRepository.list_sessions_with_metadata)
    count_sessions = awaitable(SessionRepository, SessionRepository.count_sessions)
    search = awaitable(SessionRepository, SessionRepository.search)
    set_session_name = awaitable(SessionRepository, SessionRepository.set_session_name)
    get_session_name = awaitable(SessionRepository, SessionRepository.get_session_name)
    set_session_owner = awaitable(SessionRepository, SessionRepository.set_session_owner)
    set_session_attributes = awaitable(SessionRepository, SessionRepository.set_session_attributes)
    delete_session = awaitable(SessionRepository, SessionRepository.delete_session)
    delete_sessions = awaitable_plan(SessionRepository, SessionRepository.delete_sessions)
    cleanup_stale = awaitable_plan(SessionRepository, SessionRepository.cleanup_stale)
    compact = awaitable(SessionRepository, SessionRepository.compact)
    check = awaitable(SessionRepository, SessionRepository.check)

    append = awaitable(MessageRepository, MessageRepository.append)
    append_many = awaitable_plan(MessageRepository, MessageRepository.append_many)
    load = awaitable(MessageRepository, MessageRepository.load)
    history = awaitable(MessageRepository, MessageRepository.history)
    search_messages = awaitable(MessageRepository, MessageRepository.search_messages)
    remove_last = awaitable(MessageRepository, MessageRepository.remove_last)
    pop_last = awaitable(MessageRepository, MessageRepository.pop_last)
    update_last = awaitable(MessageRepository, MessageRepository.update_last)
    clear_messages = awaitable(MessageRepository, MessageRepository.clear_messages)
    trim = awaitable_plan(MessageRepository, MessageRepository.trim)

    set_session_state = awaitable(StateRepository, StateRepository.set_session_state)
    get_session_state = awaitable(StateRepository, StateRepository.get_session_state)
    list_running_sessions = awaitable(StateRepository, StateRepository.list_running_sessions)
    list_stuck_sessions = awaitable(StateRepository, StateRepository.list_stuck_sessions)
    recover_stuck = awaitable_plan(StateRepository, StateRepository.recover_stuck)
    prune_states = awaitable_plan(StateRepository, StateRepository.prune_states)

    def iter_history(self, key: str, *, after_seq: int = 0, batch: int = 1000) -> AsyncIterator[StoredMessage]:
        """Go through a session's messages, oldest first, in constant memory.

        They are read by pages, and no connection is held between two.

        Args:
            key: The session.
            after_seq: Only messages with a higher seq.
            batch: Messages in a page, 1 to 10,000.
        """
        key, after_seq, batch = _first_page(key, after_seq, batch)

        async def pages(after: int) -> AsyncIterator[StoredMessage]:
            while page := await self.history(key, after_seq=after, limit=batch):
                for message in page:
                    yield message
                after = page[-1].seq

        return pages(after_seq)
