"""Conversations for chat bots and agents, kept in SQLite or PostgreSQL: sessions, messages, and what each is doing."""

from session_store.database.engines import configure_sqlite
from session_store.interface.errors import (
    Conflict,
    IdempotencyConflict,
    InvalidKey,
    InvalidMessage,
    InvalidQuery,
    SchemaOutOfDate,
    SessionInUse,
    StoreError,
    StoreUnavailable,
)
from session_store.interface.protocols import AsyncSessionBackend, SessionBackend
from session_store.interface.values import (
    ChatMessage,
    Compaction,
    Health,
    MessageHit,
    NewMessage,
    SessionMetadata,
    SessionQuery,
    SessionState,
    Snippet,
    StoredMessage,
)
from session_store.maintenance.doctor import Finding, Severity, doctor
from session_store.store.aio import AsyncSessionStore
from session_store.store.sync import SessionStore

__version__ = "0.1.0"

__all__ = [
    "AsyncSessionBackend",
    "AsyncSessionStore",
    "ChatMessage",
    "Compaction",
    "Conflict",
    "Finding",
    "Health",
    "IdempotencyConflict",
    "InvalidKey",
    "InvalidMessage",
    "InvalidQuery",
    "MessageHit",
    "NewMessage",
    "SchemaOutOfDate",
    "SessionBackend",
    "SessionInUse",
    "SessionMetadata",
    "SessionQuery",
    "SessionState",
    "SessionStore",
    "Severity",
    "Snippet",
    "StoreError",
    "StoreUnavailable",
    "StoredMessage",
    "configure_sqlite",
    "doctor",
]
