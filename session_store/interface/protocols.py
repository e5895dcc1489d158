"""The interface: each call of a store, with its signature and its promise.

Any class of the same shape can stand in for a store. `session_store.store.operations` adds the code of the stores.
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


class _NotImplemented(RuntimeError):
    """A method of a protocol was called. The name is our own: type checkers treat `NotImplementedError` as abstract."""


@runtime_checkable
class SessionBackend(Protocol):
    """The calls of a store for code that blocks.

    Every call is atomic: it returns after its changes are committed, or raises and changes nothing. A call that works
    in batches commits each batch. All calls raise `StoreUnavailable` if the database cannot serve, `SchemaOutOfDate`
    if the tables are missing or at another revision, and `Conflict` if the database kept rolling back the
    transaction.
    """

    def create_session(
        self,
        key: str,
        *,
        name: str | None = None,
        owner: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> bool:
        """Create a session without messages, and return True; return False and change nothing if the session exists.

        Raises:
            InvalidKey: The key or the owner cannot be stored.
            InvalidQuery: The name is longer than 1,024 characters, or the attributes are not a JSON object.
        """
        raise _NotImplemented

    def session_exists(self, key: str) -> bool:
        """Return whether the session exists."""
        raise _NotImplemented

    def get_session_metadata(self, key: str) -> SessionMetadata | None:
        """Return a session without its messages, or None if the session does not exist."""
        raise _NotImplemented

    def list_sessions(self, query: SessionQuery | None = None) -> list[str]:
        """Return the keys of the matching sessions, newest activity first.

        Raises:
            InvalidQuery: A field of the query has the wrong type or is out of range.

        Source: ``SessionBackend::list_sessions`` of the Rust interface that this package implements.
        """
        raise _NotImplemented

    def list_sessions_with_metadata(self, query: SessionQuery | None = None) -> list[SessionMetadata]:
        """Return the matching sessions without their messages, newest activity first.

        The cost does not depend on the number of messages: none is read, unless the query has a keyword.

        Raises:
            InvalidQuery: A field of the query has the wrong type or is out of range.
        """
        raise _NotImplemented

    def count_sessions(self, query: SessionQuery | None = None) -> int:
        """Return the number of matching sessions on all pages; ``limit`` and ``after`` are ignored.

        Raises:
            InvalidQuery: A field of the query has the wrong type or is out of range.
        """
        raise _NotImplemented

    def search(self, query: SessionQuery) -> list[SessionMetadata]:
        """Return the sessions in which one message matches the keyword, newest activity first.

        A keyword has ``words``, which must all be in the same message, ``"a phrase"``, ``prefix*``, ``-without`` and
        ``this OR that``. Every string is a valid keyword; one without a word matches every session. Without a search
        index, and in scripts written without spaces, a word also matches inside longer words.

        Raises:
            InvalidQuery: A field of the query has the wrong type or is out of range.

        Source: ``SessionBackend::search`` of the Rust interface that this package implements.
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
        """Return the messages that match a keyword, each with a snippet around the match.

        Args:
            keyword: As in ``search``; a keyword without a word matches every message.
            key: Only messages of this session.
            role: Only messages with this role.
            since: Only messages created at this time or later; timezone-aware.
            until: Only messages created before this time; timezone-aware.
            limit: Maximum number of messages, 0 or more.
            after: The ``cursor`` of the last `MessageHit` of the previous page; needs the same ``order``.
            order: ``"recency"`` (newest message first) or ``"relevance"`` (best match first). Both read all matches; on
                PostgreSQL ``"relevance"`` also tokenizes each of them again, about 20 us per message.

        Raises:
            InvalidQuery: An argument has the wrong type or is out of range.
            InvalidKey: The key or the role is not a valid identifier.
        """
        raise _NotImplemented

    def set_session_name(self, key: str, name: str) -> None:
        """Set the name of a session, creating the session if needed; ``""`` removes the name.

        Raises:
            InvalidKey: The key cannot be stored.
            InvalidQuery: The name is not a `str` or is longer than 1,024 characters.
        """
        raise _NotImplemented

    def get_session_name(self, key: str) -> str | None:
        """Return the name of a session, or None if it has no name or does not exist."""
        raise _NotImplemented

    def set_session_owner(self, key: str, owner: str | None) -> None:
        """Set the owner of a session, creating the session if needed; None removes the owner.

        Raises:
            InvalidKey: The key or the owner cannot be stored.
        """
        raise _NotImplemented

    def set_session_attributes(self, key: str, attributes: Mapping[str, Any]) -> None:
        """Merge attributes into those of a session, creating the session if needed.

        Attributes that are not named stay; a value of None removes the attribute.

        Raises:
            InvalidKey: The key cannot be stored.
            InvalidQuery: The attributes are not a mapping from `str` to JSON.
        """
        raise _NotImplemented

    def delete_session(self, key: str) -> bool:
        """Delete a session with its messages and states, and return whether it existed.

        Raises:
            SessionInUse: A row of another table refers to the session; nothing was deleted.
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
        """Delete all sessions of an owner, and return the number of sessions deleted.

        A session that a row of another table refers to is kept. Each batch is a transaction: after an interruption each
        session is either deleted or complete, and the same call continues.

        Args:
            owner: The owner of the sessions.
            batch_size: Sessions per transaction, 1 to 10,000; small batches hold locks briefly.
            dry_run: Only count; the count includes sessions that another table refers to.
            on_batch: Called after each batch with the number of sessions deleted in it.

        Raises:
            InvalidKey: The owner is not a valid identifier.
            InvalidQuery: The batch size is out of range; nothing was deleted.
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
        """Delete the sessions that were not used for a time, and return the number of sessions deleted.

        A session is used when a message is appended or its state changes. A running session is kept, and so is one that
        a row of another table refers to, or that is used during this call.

        Args:
            ttl_hours: Age in hours, 0 or more; 0 deletes everything that was last used before now.
            batch_size: Sessions per transaction, 1 to 10,000; small batches hold locks briefly.
            dry_run: Only count; the count includes sessions that another table refers to.
            include_running: Also delete running sessions.
            on_batch: Called after each batch with the number of sessions deleted in it.

        Raises:
            InvalidQuery: An argument is out of range; nothing was deleted.

        Source: ``SessionBackend::cleanup_stale`` of the Rust interface that this package implements.
        """
        raise _NotImplemented

    def compact(self, key: str, *, within_secs: float = 2.0, dry_run: bool = False) -> Compaction:
        """Delete duplicate messages of a session, and recompute the session row from its messages and states.

        A message is a duplicate if it has the role, content, payload and turn of the message kept before it and was
        created at most ``within_secs`` later. A message with an idempotency key is never deleted.

        Args:
            key: The session.
            within_secs: Maximum age difference in seconds, 0 or more.
            dry_run: Only report what would change.

        Raises:
            InvalidQuery: ``within_secs`` is negative or not a number.

        Source: ``SessionBackend::compact`` of the Rust interface that this package implements.
        """
        raise _NotImplemented

    def health(self) -> Health:
        """Return the revision, the search backend and the latency of the store, for a health endpoint.

        Raises:
            SchemaOutOfDate: The tables are missing or at another revision.
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
        """Append one message, creating the session if needed, and return the message with its seq.

        Args:
            key: The session, 1 to 512 bytes of UTF-8.
            message: The message; its payload is any JSON value.
            created_at: When the message was created, timezone-aware; None: now.
            idempotency_key: Makes a retry harmless: if the session has the same message under this key, that message is
                returned and nothing is written.

        Raises:
            InvalidKey: The key or the idempotency key cannot be stored.
            InvalidMessage: The message or its time cannot be stored.
            IdempotencyConflict: The session has another message under the idempotency key.

        Source: ``SessionBackend::append`` of the Rust interface that this package implements.
        """
        raise _NotImplemented

    def append_many(self, key: str, messages: Iterable[ChatMessage | NewMessage]) -> list[StoredMessage]:
        """Append all messages or none, creating the session if needed, and return them with their seqs.

        A message whose idempotency key is already in the session, or earlier in ``messages``, is not written again; the
        stored message is returned in its place.

        Raises:
            InvalidKey: The key or an idempotency key cannot be stored.
            InvalidMessage: A message or its time cannot be stored.
            IdempotencyConflict: The session has another message under an idempotency key.
        """
        raise _NotImplemented

    def load(self, key: str, *, last: int | None = None) -> list[ChatMessage]:
        """Return the messages of a session, oldest first; an empty list if the session does not exist.

        Args:
            key: The session.
            last: Only this many of the newest messages, still oldest first.

        Raises:
            InvalidQuery: ``last`` is negative or not an `int`.

        Source: ``SessionBackend::load`` of the Rust interface that this package implements.
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
        """Return a page of a session's messages with their seqs and times, oldest first.

        Args:
            key: The session.
            after_seq: Only messages with a higher seq.
            before_seq: Only messages with a lower seq; the page then ends just before it.
            limit: Maximum number of messages.

        Raises:
            InvalidQuery: A number is negative or not an `int`.
        """
        raise _NotImplemented

    def remove_last(self, key: str, *, seq: int | None = None) -> bool:
        """Delete the last message of a session, and return whether there was one.

        Args:
            key: The session.
            seq: Delete only if the last message still has this seq.

        Source: ``SessionBackend::remove_last`` of the Rust interface that this package implements.
        """
        raise _NotImplemented

    def pop_last(self, key: str) -> StoredMessage | None:
        """Delete the last message of a session and return it, or None if there is none.

        Concurrent callers each get a different message. ``last_activity`` does not change.
        """
        raise _NotImplemented

    def update_last(self, key: str, message: ChatMessage, *, seq: int | None = None) -> bool:
        """Replace the last message of a session, and return whether there was one.

        Its seq, time and idempotency key stay; ``last_activity`` becomes now.

        Args:
            key: The session.
            message: The new role, content and payload.
            seq: Replace only if the last message still has this seq. To stream an answer, pass the seq that `append`
                returned.

        Raises:
            InvalidMessage: The message cannot be stored.
        """
        raise _NotImplemented

    def clear_messages(self, key: str) -> int:
        """Delete all messages of a session, and return their number; its name and state stay."""
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
        """Delete old messages of a session, and return their number; the session stays, and seqs are not reused.

        With both limits, a message is deleted if it exceeds ``keep_last`` and is older than ``before``. Its idempotency
        key is deleted with it. Each batch is a transaction and starts at the oldest message: after an interruption the
        same call continues.

        Args:
            key: The session.
            keep_last: Number of newest messages to keep, including those appended during the call.
            before: Only delete messages created before this time; timezone-aware.
            batch_size: Messages per transaction, 1 to 10,000; small batches hold locks briefly.
            dry_run: Only count.
            on_batch: Called after each batch with the number of messages deleted in it.

        Raises:
            InvalidQuery: An argument is out of range, or both limits are None; nothing was deleted.
        """
        raise _NotImplemented

    def set_session_state(
        self, key: str, state: str, turn_id: str | None = None, *, if_turn: str | AnyTurn | None = ANY_TURN
    ) -> bool:
        """Set the state of a session, creating the session if needed, and return whether it has that state now.

        Setting the current state and turn again changes nothing; ``idle`` clears the turn.

        Args:
            key: The session.
            state: ``idle``, ``running``, ``error`` or a word of the application, 1 to 64 bytes.
            turn_id: Identifies the run of the agent that the state belongs to.
            if_turn: Only write if this turn is current (None: if no turn is current), else return False. With a turn, a
                session that does not exist is not created.

        Raises:
            InvalidKey: The key, the state or a turn cannot be stored.
        """
        raise _NotImplemented

    def get_session_state(self, key: str) -> SessionState | None:
        """Return the state of a session: ``idle`` if none was ever set, None if the session does not exist."""
        raise _NotImplemented

    def list_running_sessions(self) -> list[SessionMetadata]:
        """Return the running sessions, newest turn first."""
        raise _NotImplemented

    def list_stuck_sessions(self, threshold_secs: float) -> list[SessionMetadata]:
        """Return the sessions that have been running for longer than a threshold, oldest turn first.

        Args:
            threshold_secs: Age of the turn in seconds, 0 or more.

        Raises:
            InvalidQuery: The threshold is negative or not a number.
        """
        raise _NotImplemented

    def recover_stuck(self, threshold_secs: float, *, to: str = "error") -> list[str]:
        """Move the sessions that have been running for too long to another state, and return their keys.

        Each session is moved in a transaction of its own, so no session is locked while the call waits for another. A
        turn that ends during the call is not touched. A recovered session keeps its turn, unless it becomes ``idle``.

        Args:
            threshold_secs: Age of the turn in seconds, 0 or more.
            to: The new state.

        Raises:
            InvalidQuery: The threshold is negative or not a number, or the state is ``running``.
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
        """Delete finished states from the state log, and return the number of entries deleted.

        The state that was current at ``before``, and all later ones, stay. Each batch is a transaction: after an
        interruption the same call continues.

        Args:
            before: Delete entries that ended before this time; timezone-aware.
            batch_size: Entries per transaction, 1 to 10,000; small batches hold locks briefly.
            dry_run: Only count.
            on_batch: Called after each batch with the number of entries deleted in it.

        Raises:
            InvalidQuery: An argument is out of range; nothing was deleted.
        """
        raise _NotImplemented

    def iter_history(self, key: str, *, after_seq: int = 0, batch: int = 1000) -> Iterator[StoredMessage]:
        """Iterate over a session's messages, oldest first, in constant memory.

        Messages are read in pages; no connection is held between two pages.

        Args:
            key: The session.
            after_seq: Only messages with a higher seq.
            batch: Messages per page, 1 to 10,000.
        """
        raise _NotImplemented


@runtime_checkable
class AsyncSessionBackend(Protocol):
    """The calls of `SessionBackend`, to be awaited; the arguments, results and errors are the same."""

    async def create_session(
        self,
        key: str,
        *,
        name: str | None = None,
        owner: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> bool:
        """Create a session without messages, and return True; return False and change nothing if the session exists."""
        raise _NotImplemented

    async def session_exists(self, key: str) -> bool:
        """Return whether the session exists."""
        raise _NotImplemented

    async def get_session_metadata(self, key: str) -> SessionMetadata | None:
        """Return a session without its messages, or None if the session does not exist."""
        raise _NotImplemented

    async def list_sessions(self, query: SessionQuery | None = None) -> list[str]:
        """Return the keys of the matching sessions, newest activity first."""
        raise _NotImplemented

    async def list_sessions_with_metadata(self, query: SessionQuery | None = None) -> list[SessionMetadata]:
        """Return the matching sessions without their messages, newest activity first."""
        raise _NotImplemented

    async def count_sessions(self, query: SessionQuery | None = None) -> int:
        """Return the number of matching sessions on all pages; ``limit`` and ``after`` are ignored."""
        raise _NotImplemented

    async def search(self, query: SessionQuery) -> list[SessionMetadata]:
        """Return the sessions in which one message matches the keyword, newest activity first."""
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
        """Return the messages that match a keyword, each with a snippet around the match."""
        raise _NotImplemented

    async def set_session_name(self, key: str, name: str) -> None:
        """Set the name of a session, creating the session if needed; ``""`` removes the name."""
        raise _NotImplemented

    async def get_session_name(self, key: str) -> str | None:
        """Return the name of a session, or None if it has no name or does not exist."""
        raise _NotImplemented

    async def set_session_owner(self, key: str, owner: str | None) -> None:
        """Set the owner of a session, creating the session if needed; None removes the owner."""
        raise _NotImplemented

    async def set_session_attributes(self, key: str, attributes: Mapping[str, Any]) -> None:
        """Merge attributes into those of a session, creating the session if needed."""
        raise _NotImplemented

    async def delete_session(self, key: str) -> bool:
        """Delete a session with its messages and states, and return whether it existed."""
        raise _NotImplemented

    async def delete_sessions(
        self,
        *,
        owner: str,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int:
        """Delete all sessions of an owner, and return the number of sessions deleted."""
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
        """Delete the sessions that were not used for a time, and return the number of sessions deleted."""
        raise _NotImplemented

    async def compact(self, key: str, *, within_secs: float = 2.0, dry_run: bool = False) -> Compaction:
        """Delete duplicate messages of a session, and recompute the session row from its messages and states."""
        raise _NotImplemented

    async def health(self) -> Health:
        """Return the revision, the search backend and the latency of the store, for a health endpoint."""
        raise _NotImplemented

    async def append(
        self,
        key: str,
        message: ChatMessage,
        *,
        created_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> StoredMessage:
        """Append one message, creating the session if needed, and return the message with its seq."""
        raise _NotImplemented

    async def append_many(self, key: str, messages: Iterable[ChatMessage | NewMessage]) -> list[StoredMessage]:
        """Append all messages or none, creating the session if needed, and return them with their seqs."""
        raise _NotImplemented

    async def load(self, key: str, *, last: int | None = None) -> list[ChatMessage]:
        """Return the messages of a session, oldest first; an empty list if the session does not exist."""
        raise _NotImplemented

    async def history(
        self,
        key: str,
        *,
        after_seq: int | None = None,
        before_seq: int | None = None,
        limit: int | None = None,
    ) -> list[StoredMessage]:
        """Return a page of a session's messages with their seqs and times, oldest first."""
        raise _NotImplemented

    async def remove_last(self, key: str, *, seq: int | None = None) -> bool:
        """Delete the last message of a session, and return whether there was one."""
        raise _NotImplemented

    async def pop_last(self, key: str) -> StoredMessage | None:
        """Delete the last message of a session and return it, or None if there is none."""
        raise _NotImplemented

    async def update_last(self, key: str, message: ChatMessage, *, seq: int | None = None) -> bool:
        """Replace the last message of a session, and return whether there was one."""
        raise _NotImplemented

    async def clear_messages(self, key: str) -> int:
        """Delete all messages of a session, and return their number; its name and state stay."""
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
        """Delete old messages of a session, and return their number; the session stays, and seqs are not reused."""
        raise _NotImplemented

    async def set_session_state(
        self, key: str, state: str, turn_id: str | None = None, *, if_turn: str | AnyTurn | None = ANY_TURN
    ) -> bool:
        """Set the state of a session, creating the session if needed, and return whether it has that state now."""
        raise _NotImplemented

    async def get_session_state(self, key: str) -> SessionState | None:
        """Return the state of a session: ``idle`` if none was ever set, None if the session does not exist."""
        raise _NotImplemented

    async def list_running_sessions(self) -> list[SessionMetadata]:
        """Return the running sessions, newest turn first."""
        raise _NotImplemented

    async def list_stuck_sessions(self, threshold_secs: float) -> list[SessionMetadata]:
        """Return the sessions that have been running for longer than a threshold, oldest turn first."""
        raise _NotImplemented

    async def recover_stuck(self, threshold_secs: float, *, to: str = "error") -> list[str]:
        """Move the sessions that have been running for too long to another state, and return their keys."""
        raise _NotImplemented

    async def prune_states(
        self,
        before: datetime,
        *,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int:
        """Delete finished states from the state log, and return the number of entries deleted."""
        raise _NotImplemented

    def iter_history(self, key: str, *, after_seq: int = 0, batch: int = 1000) -> AsyncIterator[StoredMessage]:
        """Iterate over a session's messages, oldest first, in constant memory."""
        raise _NotImplemented
