"""The interface: each call of a store, with its signature and its promise.

Any class of the same shape can stand in for a store. `session_store.store.operations` gives the stores their code.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from session_store.interface.values import (
    ANY_TURN,
    AnyTurn,
    ChatMessage,
    Compaction,
    Health,
    MessageHit,
    NewMessage,
    SessionMetadata,
    SessionQuery,
    SessionState,
    StoredMessage,
)


class _NotImplemented(NotImplementedError):
    """A method of a protocol was called. By this name type checkers do not take the stores' methods for abstract."""


@runtime_checkable
class SessionBackend(Protocol):
    """What a store of conversations offers to code that blocks."""

    def create_session(
        self,
        key: str,
        *,
        name: str | None = None,
        owner: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> bool:
        """Create a session without messages; False, and nothing changes, if it is there already.

        Raises:
            InvalidKey: The key or the owner cannot be stored.
            InvalidQuery: The name is too long, or the attributes are no JSON object.
        """
        raise _NotImplemented

    def session_exists(self, key: str) -> bool:
        """Say whether there is such a session."""
        raise _NotImplemented

    def get_session_metadata(self, key: str) -> SessionMetadata | None:
        """Return a session without its messages; None if there is no such session."""
        raise _NotImplemented

    def list_sessions(self, query: SessionQuery | None = None) -> list[str]:
        """Return the keys of the sessions asked for, newest activity first.

        Source: ``SessionBackend::list_sessions`` of the interface this package implements.
        """
        raise _NotImplemented

    def list_sessions_with_metadata(self, query: SessionQuery | None = None) -> list[SessionMetadata]:
        """Return the sessions asked for without their messages, newest activity first; no message is read.

        Raises:
            InvalidQuery: A part of the query is not of its kind or out of its range.
        """
        raise _NotImplemented

    def count_sessions(self, query: SessionQuery | None = None) -> int:
        """Return how many sessions a query finds on all its pages: ``limit`` and ``after`` do not count."""
        raise _NotImplemented

    def search(self, query: SessionQuery) -> list[SessionMetadata]:
        """Return the sessions with a message that has what the keyword asks for, newest activity first.

        ``words`` that are all in one message, ``"a phrase"``, ``prefix*``, ``-without``, ``this OR that``. Any text
        may be a keyword; without a word in it this is the list. Where there is no search index, and for scripts
        written without spaces, words are found within longer ones too.

        Raises:
            InvalidQuery: A part of the query is not of its kind or out of its range.

        Source: ``SessionBackend::search`` of the interface this package implements.
        """
        raise _NotImplemented

    def search_messages(  # noqa: PLR0913
        self,
        keyword: str,
        *,
        key: str | None = None,
        role: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 20,
        after: str | None = None,
        order: str = "recency",
    ) -> list[MessageHit]:
        """Return the messages that have what a keyword asks for, each with the piece of it around the match.

        Args:
            keyword: As in ``search``; without a word in it every message is found.
            key: Only messages of this session.
            role: Only messages of this role.
            since: Only messages made then or later; aware.
            until: Only messages made before; aware.
            limit: At most so many, 0 or more.
            after: The ``cursor`` of a `MessageHit`: go on behind it, in the same order.
            order: ``"recency"``: newest message first; ``"relevance"``: best match first. Both read all matches, and
                on PostgreSQL relevance makes an index of each of them anew: some 20 us.

        Raises:
            InvalidQuery: An argument is not of its kind or out of its range.
            InvalidKey: The key or the role cannot be one.
        """
        raise _NotImplemented

    def set_session_name(self, key: str, name: str) -> None:
        """Name a session, creating it; ``""`` takes the name away.

        Raises:
            InvalidQuery: The name is no `str` or longer than 1,024 characters.
        """
        raise _NotImplemented

    def get_session_name(self, key: str) -> str | None:
        """Return a session's name; None if it has none or there is no such session."""
        raise _NotImplemented

    def set_session_owner(self, key: str, owner: str | None) -> None:
        """Say whose session it is, creating it; None: nobody's."""
        raise _NotImplemented

    def set_session_attributes(self, key: str, attributes: Mapping[str, Any]) -> None:
        """Set some of a session's attributes, creating it; the others stay, and None removes one.

        Raises:
            InvalidQuery: It is no mapping from `str` to JSON.
        """
        raise _NotImplemented

    def delete_session(self, key: str) -> bool:
        """Delete a session with its messages and states and say whether it was there.

        Raises:
            SessionInUse: A row of another table refers to it; nothing was deleted.
        """
        raise _NotImplemented

    def delete_sessions(
        self,
        *,
        owner: str,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int:
        """Delete all sessions of an owner and return how many there were.

        One that a row of another table refers to is kept. If this is interrupted, whole sessions are gone or there:
        the same call again goes on.

        Args:
            owner: Whose sessions.
            batch_size: Sessions deleted per transaction, 1 to 10,000; small batches hold locks briefly.
            dry_run: Count only; what another table refers to is then counted too.
            on_batch: Called after each batch with how many it removed.

        Raises:
            InvalidKey: The owner cannot be one.
            InvalidQuery: The batch size is out of its range; nothing was deleted.
        """
        raise _NotImplemented

    def cleanup_stale(
        self,
        ttl_hours: float,
        *,
        batch_size: int = 500,
        dry_run: bool = False,
        include_running: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int:
        """Delete the sessions nobody has used for a while and say how many there were.

        A session is kept if a message came or its state changed within the time given, if it is running, or if
        a row of another table refers to it. One that is used while this runs is kept too.

        Args:
            ttl_hours: Age in hours, 0 or more; 0 means everything older than now.
            batch_size: Sessions deleted per transaction, 1 to 10,000; small batches hold locks briefly.
            dry_run: Count only; what another table refers to is then counted too.
            include_running: Delete also those that are running.
            on_batch: Called after each batch with how many it removed.

        Raises:
            InvalidQuery: An argument is out of its range; nothing was deleted.

        Source: ``SessionBackend::cleanup_stale`` of the interface this package implements.
        """
        raise _NotImplemented

    def compact(self, key: str, *, within_secs: float = 2.0, dry_run: bool = False) -> Compaction:
        """Remove doubled messages of a session and make its head agree with its logs.

        A message is a double if it equals the last one kept in role, content, payload and turn and is at most
        so much younger. One with an idempotency key is never removed.

        Args:
            key: The session.
            within_secs: Age difference in seconds, 0 or more.
            dry_run: Report only.

        Raises:
            InvalidQuery: ``within_secs`` is negative or no number.

        Source: ``SessionBackend::compact`` of the interface this package implements.
        """
        raise _NotImplemented

    def health(self) -> Health:
        """Say whether the store can serve, for a health endpoint.

        Raises:
            SchemaOutOfDate: The tables are missing or old.
            StoreUnavailable: The database does not answer.
        """
        raise _NotImplemented

    def append(
        self,
        key: str,
        message: ChatMessage,
        *,
        created_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> StoredMessage:
        """Append one message, creating the session, and return it with its seq.

        Args:
            key: The session, 1 to 512 bytes of UTF-8.
            message: What to append; its payload comes back as JSON has it.
            created_at: When it was made, aware; None: now.
            idempotency_key: If the session has a message under it, that one is returned and nothing is written.

        Raises:
            InvalidKey: The key or the idempotency key cannot be stored.
            InvalidMessage: The message or its time cannot be stored.
            IdempotencyConflict: Another message is there under the same idempotency key.

        Source: ``SessionBackend::append`` of the interface this package implements.
        """
        raise _NotImplemented

    def append_many(self, key: str, messages: Iterable[ChatMessage | NewMessage]) -> list[StoredMessage]:
        """Append all the messages or none, creating the session, and return them with their seqs.

        A message whose idempotency key is there already, or earlier in the same call, is not written; the first
        one stands in its place in what is returned.

        Raises:
            InvalidKey: The key or an idempotency key cannot be stored.
            InvalidMessage: A message or its time cannot be stored.
            IdempotencyConflict: Another message is there under the same idempotency key.
        """
        raise _NotImplemented

    def load(self, key: str, *, last: int | None = None) -> list[ChatMessage]:
        """Return the messages of a session, oldest first; none for a session that is not there.

        Args:
            key: The session.
            last: Only the newest so many, still oldest first.

        Raises:
            InvalidQuery: ``last`` is negative or no `int`.

        Source: ``SessionBackend::load`` of the interface this package implements.
        """
        raise _NotImplemented

    def history(
        self,
        key: str,
        *,
        after_seq: int | None = None,
        before_seq: int | None = None,
        limit: int | None = None,
    ) -> list[StoredMessage]:
        """Return a page of a session's messages with their seq and time, oldest first.

        Args:
            key: The session.
            after_seq: Only messages with a higher seq.
            before_seq: Only messages with a lower seq; the page is then the one just before it.
            limit: At most so many.

        Raises:
            InvalidQuery: A number is negative or no `int`.
        """
        raise _NotImplemented

    def remove_last(self, key: str, *, seq: int | None = None) -> bool:
        """Remove the last message and say whether there was one.

        Args:
            key: The session.
            seq: Only if this is still the last message's seq.

        Source: ``SessionBackend::remove_last`` of the interface this package implements.
        """
        raise _NotImplemented

    def pop_last(self, key: str) -> StoredMessage | None:
        """Remove the last message and return it; None if there was none.

        Callers at the same time each get a different one. ``last_activity`` stays.
        """
        raise _NotImplemented

    def update_last(self, key: str, message: ChatMessage, *, seq: int | None = None) -> bool:
        """Put another message in the place of the last one and say whether there was one.

        Its seq, time and idempotency key stay; ``last_activity`` moves.

        Args:
            key: The session.
            message: What the last message becomes.
            seq: Only if this is still the last message's seq; what streams an answer passes the one that
                ``append`` returned.

        Raises:
            InvalidMessage: The message cannot be stored.
        """
        raise _NotImplemented

    def clear_messages(self, key: str) -> int:
        """Remove all messages of a session and say how many there were; its name and state stay."""
        raise _NotImplemented

    def trim(  # noqa: PLR0913
        self,
        key: str,
        *,
        keep_last: int | None = None,
        before: datetime | None = None,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int:
        """Remove the old messages of a session and return how many there were; its head stays, and its numbering.

        With both limits a message goes if it is beyond the newest and old enough. Its idempotency key goes with it.
        If this is interrupted, the oldest are gone: the same call again goes on.

        Args:
            key: The session.
            keep_last: The newest so many stay, those that come meanwhile among them.
            before: What was made then or later stays; aware.
            batch_size: Messages removed per transaction, 1 to 10,000; small batches hold locks briefly.
            dry_run: Count only.
            on_batch: Called after each batch with how many it removed.

        Raises:
            InvalidQuery: An argument is out of its range, or there is no limit; nothing was removed.
        """
        raise _NotImplemented

    def set_session_state(
        self, key: str, state: str, turn_id: str | None = None, *, if_turn: str | AnyTurn | None = ANY_TURN
    ) -> bool:
        """Set what a session is doing, creating it, and say whether it is doing that now.

        Setting the same state and turn again changes nothing; ``idle`` clears the turn.

        Args:
            key: The session.
            state: ``idle``, ``running``, ``error`` or the host's own word, 1 to 64 bytes.
            turn_id: The run of the agent this is about.
            if_turn: Only while this turn is current (None: while no turn is); else False, and nothing is
                written. A turn named here is not begun: a session that is not there is not created for it.

        Raises:
            InvalidKey: The key, the state or a turn cannot be stored.
        """
        raise _NotImplemented

    def get_session_state(self, key: str) -> SessionState | None:
        """Return what a session is doing: ``idle`` if it was never told, None if there is no session."""
        raise _NotImplemented

    def list_running_sessions(self) -> list[SessionMetadata]:
        """Return the sessions in which an agent is at work, newest turn first."""
        raise _NotImplemented

    def list_stuck_sessions(self, threshold_secs: float) -> list[SessionMetadata]:
        """Return the sessions that have been running for longer than this, the oldest turn first.

        Raises:
            InvalidQuery: The threshold is negative or no number.
        """
        raise _NotImplemented

    def recover_stuck(self, threshold_secs: float, *, to: str = "error") -> list[str]:
        """Move the sessions that have been running for longer than this to another state; return their keys.

        Each in a transaction of its own, so that this never holds a session while it waits for another one. A turn
        that ended meanwhile is left alone. A recovered session keeps the name of its turn, unless it goes to ``idle``.

        Args:
            threshold_secs: Age of the turn in seconds, 0 or more.
            to: The state they get.

        Raises:
            InvalidQuery: The threshold is negative or no number, or the state is ``running``.
            InvalidKey: The state cannot be stored.
        """
        raise _NotImplemented

    def prune_states(
        self,
        before: datetime,
        *,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int:
        """Remove from the log the states that had ended by a time and return how many there were.

        What a session was doing then is still known, and what it is doing now. If this is interrupted, some are
        gone: the same call again goes on.

        Args:
            before: The time from which on the log is kept; aware.
            batch_size: Entries removed per transaction, 1 to 10,000; small batches hold locks briefly.
            dry_run: Count only.
            on_batch: Called after each batch with how many it removed.

        Raises:
            InvalidQuery: An argument is out of its range; nothing was removed.
        """
        raise _NotImplemented

    def iter_history(self, key: str, *, after_seq: int = 0, batch: int = 1000) -> Iterator[StoredMessage]:
        """Go through a session's messages, oldest first, in constant memory.

        They are read by pages, and no connection is held between two.

        Args:
            key: The session.
            after_seq: Only messages with a higher seq.
            batch: Messages in a page, 1 to 10,000.
        """
        raise _NotImplemented


@runtime_checkable
class AsyncSessionBackend(Protocol):
    """What a store of conversations offers on an event loop."""

    async def create_session(
        self,
        key: str,
        *,
        name: str | None = None,
        owner: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> bool:
        """Create a session without messages; False, and nothing changes, if it is there already."""
        raise _NotImplemented

    async def session_exists(self, key: str) -> bool:
        """Say whether there is such a session."""
        raise _NotImplemented

    async def get_session_metadata(self, key: str) -> SessionMetadata | None:
        """Return a session without its messages; None if there is no such session."""
        raise _NotImplemented

    async def list_sessions(self, query: SessionQuery | None = None) -> list[str]:
        """Return the keys of the sessions asked for, newest activity first."""
        raise _NotImplemented

    async def list_sessions_with_metadata(self, query: SessionQuery | None = None) -> list[SessionMetadata]:
        """Return the sessions asked for without their messages, newest activity first; no message is read."""
        raise _NotImplemented

    async def count_sessions(self, query: SessionQuery | None = None) -> int:
        """Return how many sessions a query finds on all its pages: ``limit`` and ``after`` do not count."""
        raise _NotImplemented

    async def search(self, query: SessionQuery) -> list[SessionMetadata]:
        """Return the sessions with a message that has what the keyword asks for, newest activity first."""
        raise _NotImplemented

    async def search_messages(  # noqa: PLR0913
        self,
        keyword: str,
        *,
        key: str | None = None,
        role: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 20,
        after: str | None = None,
        order: str = "recency",
    ) -> list[MessageHit]:
        """Return the messages that have what a keyword asks for, each with the piece of it around the match."""
        raise _NotImplemented

    async def set_session_name(self, key: str, name: str) -> None:
        """Name a session, creating it; ``""`` takes the name away."""
        raise _NotImplemented

    async def get_session_name(self, key: str) -> str | None:
        """Return a session's name; None if it has none or there is no such session."""
        raise _NotImplemented

    async def set_session_owner(self, key: str, owner: str | None) -> None:
        """Say whose session it is, creating it; None: nobody's."""
        raise _NotImplemented

    async def set_session_attributes(self, key: str, attributes: Mapping[str, Any]) -> None:
        """Set some of a session's attributes, creating it; the others stay, and None removes one."""
        raise _NotImplemented

    async def delete_session(self, key: str) -> bool:
        """Delete a session with its messages and states and say whether it was there."""
        raise _NotImplemented

    async def delete_sessions(
        self,
        *,
        owner: str,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int:
        """Delete all sessions of an owner and return how many there were."""
        raise _NotImplemented

    async def cleanup_stale(
        self,
        ttl_hours: float,
        *,
        batch_size: int = 500,
        dry_run: bool = False,
        include_running: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int:
        """Delete the sessions nobody has used for a while and say how many there were."""
        raise _NotImplemented

    async def compact(self, key: str, *, within_secs: float = 2.0, dry_run: bool = False) -> Compaction:
        """Remove doubled messages of a session and make its head agree with its logs."""
        raise _NotImplemented

    async def health(self) -> Health:
        """Say whether the store can serve, for a health endpoint."""
        raise _NotImplemented

    async def append(
        self,
        key: str,
        message: ChatMessage,
        *,
        created_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> StoredMessage:
        """Append one message, creating the session, and return it with its seq."""
        raise _NotImplemented

    async def append_many(self, key: str, messages: Iterable[ChatMessage | NewMessage]) -> list[StoredMessage]:
        """Append all the messages or none, creating the session, and return them with their seqs."""
        raise _NotImplemented

    async def load(self, key: str, *, last: int | None = None) -> list[ChatMessage]:
        """Return the messages of a session, oldest first; none for a session that is not there."""
        raise _NotImplemented

    async def history(
        self,
        key: str,
        *,
        after_seq: int | None = None,
        before_seq: int | None = None,
        limit: int | None = None,
    ) -> list[StoredMessage]:
        """Return a page of a session's messages with their seq and time, oldest first."""
        raise _NotImplemented

    async def remove_last(self, key: str, *, seq: int | None = None) -> bool:
        """Remove the last message and say whether there was one."""
        raise _NotImplemented

    async def pop_last(self, key: str) -> StoredMessage | None:
        """Remove the last message and return it; None if there was none."""
        raise _NotImplemented

    async def update_last(self, key: str, message: ChatMessage, *, seq: int | None = None) -> bool:
        """Put another message in the place of the last one and say whether there was one."""
        raise _NotImplemented

    async def clear_messages(self, key: str) -> int:
        """Remove all messages of a session and say how many there were; its name and state stay."""
        raise _NotImplemented

    async def trim(  # noqa: PLR0913
        self,
        key: str,
        *,
        keep_last: int | None = None,
        before: datetime | None = None,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int:
        """Remove the old messages of a session and return how many there were; its head stays, and its numbering."""
        raise _NotImplemented

    async def set_session_state(
        self, key: str, state: str, turn_id: str | None = None, *, if_turn: str | AnyTurn | None = ANY_TURN
    ) -> bool:
        """Set what a session is doing, creating it, and say whether it is doing that now."""
        raise _NotImplemented

    async def get_session_state(self, key: str) -> SessionState | None:
        """Return what a session is doing: ``idle`` if it was never told, None if there is no session."""
        raise _NotImplemented

    async def list_running_sessions(self) -> list[SessionMetadata]:
        """Return the sessions in which an agent is at work, newest turn first."""
        raise _NotImplemented

    async def list_stuck_sessions(self, threshold_secs: float) -> list[SessionMetadata]:
        """Return the sessions that have been running for longer than this, the oldest turn first."""
        raise _NotImplemented

    async def recover_stuck(self, threshold_secs: float, *, to: str = "error") -> list[str]:
        """Move the sessions that have been running for longer than this to another state; return their keys."""
        raise _NotImplemented

    async def prune_states(
        self,
        before: datetime,
        *,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int:
        """Remove from the log the states that had ended by a time and return how many there were."""
        raise _NotImplemented

    def iter_history(self, key: str, *, after_seq: int = 0, batch: int = 1000) -> AsyncIterator[StoredMessage]:
        """Go through a session's messages, oldest first, in constant memory."""
        raise _NotImplemented
