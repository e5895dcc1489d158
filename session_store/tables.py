"""The three tables: one head for each session, and two append-only logs.

They are written for Core, because importing the ORM costs a third of importing SQLAlchemy and the store needs
none of it; `session_store.models` maps them for hosts. The revisions in ``migrations/versions`` create them; their
indexes are in `session_store.indexes`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from session_store.types import ExactJson, ExactText, UtcDateTime

IDENTIFIER: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""A session's key: compared and ordered byte by byte, as SQLite does anyway."""

METADATA: Final = MetaData()

SESSIONS: Final = Table(
    "session_store_sessions",
    METADATA,
    Column("key", IDENTIFIER, nullable=False),
    Column("name", ExactText),
    Column("owner", Text),
    Column("attributes", ExactJson, nullable=False, server_default=text("'{}'")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_activity", UtcDateTime, nullable=False),
    Column("active_minute", UtcDateTime, nullable=False),
    Column("message_count", BigInteger, nullable=False, server_default=text("0")),
    Column("last_seq", BigInteger, nullable=False, server_default=text("0")),
    Column("state_seq", BigInteger, nullable=False, server_default=text("0")),
    Column("state", Text, nullable=False, server_default=text("'idle'")),
    Column("turn_id", Text),
    Column("state_entered_at", UtcDateTime),
    PrimaryKeyConstraint("key", name="session_store_sessions_pkey"),
)

MESSAGES: Final = Table(
    "session_store_messages",
    METADATA,
    Column("session_key", IDENTIFIER, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("turn_id", Text),
    Column("role", Text, nullable=False),
    Column("content", ExactText, nullable=False),
    Column("payload", ExactJson),
    Column("idempotency_key", Text),
    Column("created_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("session_key", "seq", name="session_store_messages_pkey"),
    ForeignKeyConstraint(
        ["session_key"],
        ["session_store_sessions.key"],
        name="session_store_messages_session_key_fkey",
        ondelete="CASCADE",
    ),
)

STATES: Final = Table(
    "session_store_states",
    METADATA,
    Column("session_key", IDENTIFIER, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("turn_id", Text),
    Column("entered_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("session_key", "seq", name="session_store_states_pkey"),
    ForeignKeyConstraint(
        ["session_key"],
        ["session_store_sessions.key"],
        name="session_store_states_session_key_fkey",
        ondelete="CASCADE",
    ),
)
