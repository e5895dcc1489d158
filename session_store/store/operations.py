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

from session_store.database.access import Access, Steps, Work, access_of
from session_store.interface.values import StoredMessage
from session_store.models.validation import identifier, integer
from session_store.repositories import MessageRepository, SessionRepository, StateRepository

P = ParamSpec("P")
R = TypeVar("R")
Repository = TypeVar("Repository")
F = TypeVar("F", bound=Callable[..., Any])

Repositories = Mapping[type[Any], Any]
"""One instance of each repository, by its class."""

_MAX_PAGE_SIZE: Final = 10_000
_PLAN: Final = re.compile(r"^Plan\[(.*)\]$")


class SyncRunner(Protocol):
    """Gives an operation its transaction, in code that blocks."""

    _repositories: Repositories

    def _run(self, work: Work[R], access: Access, key: str | None) -> R:
        """Run work on the session of this key (None: on several) and return what it returns."""
        ...

    def _yield_to_writers(self, held_secs: float) -> bool:
        """Leave the database to others after having held its lock for so long; False if that was not long enough."""
        ...


class AsyncRunner(Protocol):
    """Gives an operation its transaction, on an event loop."""

    _repositories: Repositories

    async def _run(self, work: Work[R], access: Access, key: str | None) -> R:
        """Run work on the session of this key (None: on several) and return what it returns."""
        ...

    async def _yield_to_writers(self, held_secs: float) -> bool:
        """Leave the database to others after having held its lock for so long; False if that was not long enough."""
        ...


def bind_operation(repository: Any, operation: Callable[..., R], args: Any, kwargs: Any) -> tuple[Work[R], str | None]:
    """Return an operation as work, and the key of the session it is about."""
    key = args[0] if args else kwargs.get("key")
    return lambda db: operation(repository, db, *args, **kwargs), key if isinstance(key, str) else None


def copy_signature(call: F, operation: Callable[..., Any], parameters_given: int) -> F:
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


def sync_operation(
    repository: type[Repository], operation: Callable[Concatenate[Repository, Connection, P], R]
) -> Callable[Concatenate[Any, P], R]:
    """Offer an operation in code that blocks."""
    access = access_of(operation)

    def call(self: SyncRunner, /, *args: P.args, **kwargs: P.kwargs) -> R:
        work, key = bind_operation(self._repositories[repository], operation, args, kwargs)
        return self._run(work, access, key)

    return copy_signature(call, operation, 1)


def async_operation(
    repository: type[Repository], operation: Callable[Concatenate[Repository, Connection, P], R]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Offer an operation on an event loop."""
    access = access_of(operation)

    async def call(self: AsyncRunner, /, *args: P.args, **kwargs: P.kwargs) -> R:
        work, key = bind_operation(self._repositories[repository], operation, args, kwargs)
        return await self._run(work, access, key)

    return copy_signature(call, operation, 1)


def sync_steps(
    repository: type[Repository], operation: Callable[Concatenate[Repository, P], Steps[R]]
) -> Callable[Concatenate[Any, P], R]:
    """Offer in code that blocks what prepares its work, or takes several transactions."""

    def call(self: SyncRunner, /, *args: P.args, **kwargs: P.kwargs) -> R:
        plan = operation(self._repositories[repository], *args, **kwargs)
        result = None
        held_secs = 0.0
        while True:
            try:
                step = plan.send(result)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if held_secs and self._yield_to_writers(held_secs):
                held_secs = 0.0
            begun = time.monotonic()
            result = self._run(*step)
            if step.access is not Access.READ:
                held_secs += time.monotonic() - begun

    return copy_signature(call, operation, 0)


def async_steps(
    repository: type[Repository], operation: Callable[Concatenate[Repository, P], Steps[R]]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Offer on an event loop what prepares its work, or takes several transactions."""

    async def call(self: AsyncRunner, /, *args: P.args, **kwargs: P.kwargs) -> R:
        plan = operation(self._repositories[repository], *args, **kwargs)
        result = None
        held_secs = 0.0
        while True:
            try:
                step = plan.send(result)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if held_secs and await self._yield_to_writers(held_secs):
                held_secs = 0.0
            begun = time.monotonic()
            result = await self._run(*step)
            if step.access is not Access.READ:
                held_secs += time.monotonic() - begun

    return copy_signature(call, operation, 0)


def _first_page(key: str, after_seq: int, batch: int) -> tuple[str, int, int]:
    return (
        identifier(key, "key"),
        integer(after_seq, "after_seq"),
        integer(batch, "batch", 1, _MAX_PAGE_SIZE),
    )


class Operations(SyncRunner):
    """The operations for code that blocks."""

    create_session = sync_operation(SessionRepository, SessionRepository.create_session)
    session_exists = sync_operation(SessionRepository, SessionRepository.session_exists)
    get_session_metadata = sync_operation(SessionRepository, SessionRepository.get_session_metadata)
    list_sessions = sync_operation(SessionRepository, SessionRepository.list_sessions)
    list_sessions_with_metadata = sync_operation(SessionRepository, SessionRepository.list_sessions_with_metadata)
    count_sessions = sync_operation(SessionRepository, SessionRepository.count_sessions)
    search = sync_operation(SessionRepository, SessionRepository.search)
    set_session_name = sync_operation(SessionRepository, SessionRepository.set_session_name)
    get_session_name = sync_operation(SessionRepository, SessionRepository.get_session_name)
    set_session_owner = sync_operation(SessionRepository, SessionRepository.set_session_owner)
    set_session_attributes = sync_operation(SessionRepository, SessionRepository.set_session_attributes)
    delete_session = sync_operation(SessionRepository, SessionRepository.delete_session)
    delete_sessions = sync_steps(SessionRepository, SessionRepository.delete_sessions)
    cleanup_stale = sync_steps(SessionRepository, SessionRepository.cleanup_stale)
    compact = sync_operation(SessionRepository, SessionRepository.compact)
    health = sync_operation(SessionRepository, SessionRepository.health)

    append = sync_operation(MessageRepository, MessageRepository.append)
    append_many = sync_steps(MessageRepository, MessageRepository.append_many)
    load = sync_operation(MessageRepository, MessageRepository.load)
    history = sync_operation(MessageRepository, MessageRepository.history)
    search_messages = sync_operation(MessageRepository, MessageRepository.search_messages)
    remove_last = sync_operation(MessageRepository, MessageRepository.remove_last)
    pop_last = sync_operation(MessageRepository, MessageRepository.pop_last)
    update_last = sync_operation(MessageRepository, MessageRepository.update_last)
    clear_messages = sync_operation(MessageRepository, MessageRepository.clear_messages)
    trim = sync_steps(MessageRepository, MessageRepository.trim)

    set_session_state = sync_operation(StateRepository, StateRepository.set_session_state)
    get_session_state = sync_operation(StateRepository, StateRepository.get_session_state)
    list_running_sessions = sync_operation(StateRepository, StateRepository.list_running_sessions)
    list_stuck_sessions = sync_operation(StateRepository, StateRepository.list_stuck_sessions)
    recover_stuck = sync_steps(StateRepository, StateRepository.recover_stuck)
    prune_states = sync_steps(StateRepository, StateRepository.prune_states)

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


class AsyncOperations(AsyncRunner):
    """The operations on an event loop."""

    create_session = async_operation(SessionRepository, SessionRepository.create_session)
    session_exists = async_operation(SessionRepository, SessionRepository.session_exists)
    get_session_metadata = async_operation(SessionRepository, SessionRepository.get_session_metadata)
    list_sessions = async_operation(SessionRepository, SessionRepository.list_sessions)
    list_sessions_with_metadata = async_operation(SessionRepository, SessionRepository.list_sessions_with_metadata)
    count_sessions = async_operation(SessionRepository, SessionRepository.count_sessions)
    search = async_operation(SessionRepository, SessionRepository.search)
    set_session_name = async_operation(SessionRepository, SessionRepository.set_session_name)
    get_session_name = async_operation(SessionRepository, SessionRepository.get_session_name)
    set_session_owner = async_operation(SessionRepository, SessionRepository.set_session_owner)
    set_session_attributes = async_operation(SessionRepository, SessionRepository.set_session_attributes)
    delete_session = async_operation(SessionRepository, SessionRepository.delete_session)
    delete_sessions = async_steps(SessionRepository, SessionRepository.delete_sessions)
    cleanup_stale = async_steps(SessionRepository, SessionRepository.cleanup_stale)
    compact = async_operation(SessionRepository, SessionRepository.compact)
    health = async_operation(SessionRepository, SessionRepository.health)

    append = async_operation(MessageRepository, MessageRepository.append)
    append_many = async_steps(MessageRepository, MessageRepository.append_many)
    load = async_operation(MessageRepository, MessageRepository.load)
    history = async_operation(MessageRepository, MessageRepository.history)
    search_messages = async_operation(MessageRepository, MessageRepository.search_messages)
    remove_last = async_operation(MessageRepository, MessageRepository.remove_last)
    pop_last = async_operation(MessageRepository, MessageRepository.pop_last)
    update_last = async_operation(MessageRepository, MessageRepository.update_last)
    clear_messages = async_operation(MessageRepository, MessageRepository.clear_messages)
    trim = async_steps(MessageRepository, MessageRepository.trim)

    set_session_state = async_operation(StateRepository, StateRepository.set_session_state)
    get_session_state = async_operation(StateRepository, StateRepository.get_session_state)
    list_running_sessions = async_operation(StateRepository, StateRepository.list_running_sessions)
    list_stuck_sessions = async_operation(StateRepository, StateRepository.list_stuck_sessions)
    recover_stuck = async_steps(StateRepository, StateRepository.recover_stuck)
    prune_states = async_steps(StateRepository, StateRepository.prune_states)

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
