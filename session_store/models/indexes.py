"""The indexes of the three tables, for comparing them with a database (Alembic, `migrations.check`).

They are not in `models` because an option of PostgreSQL indexes makes SQLAlchemy import that dialect with all its
drivers, a tenth of the cost of importing SQLAlchemy, and no statement needs the indexes.

Lists are ordered by recency. Their index holds the minute of the last activity, not the microsecond: 99 % of the
updates of a busy session row then change no index (heap-only updates on PostgreSQL), instead of none.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, text

from session_store.models.models import MESSAGES, METADATA, SESSIONS, STATES

__all__ = ["METADATA", "POSTGRESQL_INDEXES"]

Index("session_store_sessions_recency", SESSIONS.c.active_minute.desc(), SESSIONS.c.key)
Index(
    "session_store_sessions_owner_recency",
    SESSIONS.c.owner,
    SESSIONS.c.active_minute.desc(),
    SESSIONS.c.key,
    postgresql_where=SESSIONS.c.owner.is_not(None),
    sqlite_where=SESSIONS.c.owner.is_not(None),
)
Index(
    "session_store_sessions_state",
    SESSIONS.c.state,
    SESSIONS.c.state_entered_at,
    postgresql_where=SESSIONS.c.state != text("'idle'"),
    sqlite_where=SESSIONS.c.state != text("'idle'"),
)
Index(
    "session_store_messages_idempotency",
    MESSAGES.c.session_key,
    MESSAGES.c.idempotency_key,
    unique=True,
    postgresql_where=MESSAGES.c.idempotency_key.is_not(None),
    sqlite_where=MESSAGES.c.idempotency_key.is_not(None),
)

POSTGRESQL_INDEXES: Final = (
    Index(
        "session_store_sessions_attributes",
        SESSIONS.c.attributes,
        postgresql_using="gin",
        postgresql_ops={"attributes": "jsonb_path_ops"},
    ).ddl_if(dialect="postgresql"),
    # Reading one day of two million messages: 1.27 s without it. It takes 33 kB, and appends are not slower.
    Index("session_store_messages_created_at", MESSAGES.c.created_at, postgresql_using="brin").ddl_if(
        dialect="postgresql"
    ),
    Index("session_store_states_entered_at", STATES.c.entered_at, postgresql_using="brin").ddl_if(dialect="postgresql"),
)
"""Indexes of types that only PostgreSQL has."""
