"""The interface as protocols, so that anything of the same shape can stand in a store's place.

The stores are held to them by a test; what each call promises stands at the operation itself, in
`session_store.repositories`.
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
    ) -> bool: ...
    def session_exists(self, key: str) -> bool: ...
    def get_session_metadata(self, key: str) -> SessionMetadata | None: ...
    def list_sessions(self, query: SessionQuery | None = None) -> list[str]: ...
    def list_sessions_with_metadata(self, query: SessionQuery | None = None) -> list[SessionMetadata]: ...
    def count_sessions(self, query: SessionQuery | None = None) -> int: ...
    def search(self, query: SessionQuery) -> list[SessionMetadata]: ...
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
    ) -> list[MessageHit]: ...
    def set_session_name(self, key: str, name: str) -> None: ...
    def get_session_name(self, key: str) -> str | None: ...
    def set_session_owner(self, key: str, owner: str | None) -> None: ...
    def set_session_attributes(self, key: str, attributes: Mapping[str, Any]) -> None: ...
    def delete_session(self, key: str) -> bool: ...
    def delete_sessions(
        self,
        *,
        owner: str,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int: ...
    def cleanup_stale(
        self,
        ttl_hours: float,
        *,
        batch_size: int = 500,
        dry_run: bool = False,
        include_running: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int: ...
    def compact(self, key: str, *, within_secs: float = 2.0, dry_run: bool = False) -> Compaction: ...
    def health(self) -> Health: ...
    def append(
        self,
        key: str,
        message: ChatMessage,
        *,
        created_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> StoredMessage: ...
    def append_many(self, key: str, messages: Iterable[ChatMessage | NewMessage]) -> list[StoredMessage]: ...
    def load(self, key: str, *, last: int | None = None) -> list[ChatMessage]: ...
    def history(
        self,
        key: str,
        *,
        after_seq: int | None = None,
        before_seq: int | None = None,
        limit: int | None = None,
    ) -> list[StoredMessage]: ...
    def remove_last(self, key: str, *, seq: int | None = None) -> bool: ...
    def pop_last(self, key: str) -> StoredMessage | None: ...
    def update_last(self, key: str, message: ChatMessage, *, seq: int | None = None) -> bool: ...
    def clear_messages(self, key: str) -> int: ...
    def trim(  # noqa: PLR0913
        self,
        key: str,
        *,
        keep_last: int | None = None,
        before: datetime | None = None,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int: ...
    def set_session_state(
        self, key: str, state: str, turn_id: str | None = None, *, if_turn: str | AnyTurn | None = ANY_TURN
    ) -> bool: ...
    def get_session_state(self, key: str) -> SessionState | None: ...
    def list_running_sessions(self) -> list[SessionMetadata]: ...
    def list_stuck_sessions(self, threshold_secs: float) -> list[SessionMetadata]: ...
    def recover_stuck(self, threshold_secs: float, *, to: str = "error") -> list[str]: ...
    def prune_states(
        self,
        before: datetime,
        *,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int: ...
    def iter_history(self, key: str, *, after_seq: int = 0, batch: int = 1000) -> Iterator[StoredMessage]: ...


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
    ) -> bool: ...
    async def session_exists(self, key: str) -> bool: ...
    async def get_session_metadata(self, key: str) -> SessionMetadata | None: ...
    async def list_sessions(self, query: SessionQuery | None = None) -> list[str]: ...
    async def list_sessions_with_metadata(self, query: SessionQuery | None = None) -> list[SessionMetadata]: ...
    async def count_sessions(self, query: SessionQuery | None = None) -> int: ...
    async def search(self, query: SessionQuery) -> list[SessionMetadata]: ...
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
    ) -> list[MessageHit]: ...
    async def set_session_name(self, key: str, name: str) -> None: ...
    async def get_session_name(self, key: str) -> str | None: ...
    async def set_session_owner(self, key: str, owner: str | None) -> None: ...
    async def set_session_attributes(self, key: str, attributes: Mapping[str, Any]) -> None: ...
    async def delete_session(self, key: str) -> bool: ...
    async def delete_sessions(
        self,
        *,
        owner: str,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int: ...
    async def cleanup_stale(
        self,
        ttl_hours: float,
        *,
        batch_size: int = 500,
        dry_run: bool = False,
        include_running: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int: ...
    async def compact(self, key: str, *, within_secs: float = 2.0, dry_run: bool = False) -> Compaction: ...
    async def health(self) -> Health: ...
    async def append(
        self,
        key: str,
        message: ChatMessage,
        *,
        created_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> StoredMessage: ...
    async def append_many(self, key: str, messages: Iterable[ChatMessage | NewMessage]) -> list[StoredMessage]: ...
    async def load(self, key: str, *, last: int | None = None) -> list[ChatMessage]: ...
    async def history(
        self,
        key: str,
        *,
        after_seq: int | None = None,
        before_seq: int | None = None,
        limit: int | None = None,
    ) -> list[StoredMessage]: ...
    async def remove_last(self, key: str, *, seq: int | None = None) -> bool: ...
    async def pop_last(self, key: str) -> StoredMessage | None: ...
    async def update_last(self, key: str, message: ChatMessage, *, seq: int | None = None) -> bool: ...
    async def clear_messages(self, key: str) -> int: ...
    async def trim(  # noqa: PLR0913
        self,
        key: str,
        *,
        keep_last: int | None = None,
        before: datetime | None = None,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int: ...
    async def set_session_state(
        self, key: str, state: str, turn_id: str | None = None, *, if_turn: str | AnyTurn | None = ANY_TURN
    ) -> bool: ...
    async def get_session_state(self, key: str) -> SessionState | None: ...
    async def list_running_sessions(self) -> list[SessionMetadata]: ...
    async def list_stuck_sessions(self, threshold_secs: float) -> list[SessionMetadata]: ...
    async def recover_stuck(self, threshold_secs: float, *, to: str = "error") -> list[str]: ...
    async def prune_states(
        self,
        before: datetime,
        *,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> int: ...
    def iter_history(self, key: str, *, after_seq: int = 0, batch: int = 1000) -> AsyncIterator[StoredMessage]: ...
