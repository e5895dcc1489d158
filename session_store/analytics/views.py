"""The stable views as tables, for SELECTs of the application.

`session_store.migrations.views_v1` creates them; docs/query.md explains their columns. They have a metadata of their
own, so that an application's autogenerate never sees them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Date, Double, MetaData, Table, Text

from session_store.models.models import IDENTIFIER
from session_store.models.types import ExactJson, ExactText, UtcDateTime

METADATA: Final = MetaData()

SESSIONS_V1: Final = Table(
    "session_store_v1_sessions",
    METADATA,
    Column("session_key", IDENTIFIER),
    Column("name", ExactText),
    Column("owner", Text),
    Column("attributes", ExactJson),
    Column("created_at", UtcDateTime),
    Column("last_activity", UtcDateTime),
    Column("seconds", Double),
    Column("message_count", BigInteger),
    Column("state", Text),
    Column("turn_id", Text),
    Column("state_entered_at", UtcDateTime),
)

MESSAGES_V1: Final = Table(
    "session_store_v1_messages",
    METADATA,
    Column("session_key", IDENTIFIER),
    Column("seq", BigInteger),
    Column("created_at", UtcDateTime),
    Column("day", Date),
    Column("role", Text),
    Column("turn_id", Text),
    Column("content", ExactText),
    Column("characters", BigInteger),
    Column("tool_calls", BigInteger),
    Column("tool_names", ExactText),
    Column("tool_call_id", ExactText),
    Column("model", ExactText),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("latency_ms", Double),
)

TOOL_CALLS_V1: Final = Table(
    "session_store_v1_tool_calls",
    METADATA,
    Column("session_key", IDENTIFIER),
    Column("seq", BigInteger),
    Column("position", BigInteger),
    Column("created_at", UtcDateTime),
    Column("day", Date),
    Column("turn_id", Text),
    Column("name", ExactText),
)

TURNS_V1: Final = Table(
    "session_store_v1_turns",
    METADATA,
    Column("session_key", IDENTIFIER),
    Column("seq", BigInteger),
    Column("turn_id", Text),
    Column("started_at", UtcDateTime),
    Column("day", Date),
    Column("ended_at", UtcDateTime),
    Column("seconds", Double),
    Column("outcome", Text),
    Column("messages", BigInteger),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
)

DAILY_V1: Final = Table(
    "session_store_v1_daily",
    METADATA,
    Column("day", Date),
    Column("sessions_active", BigInteger),
    Column("sessions_new", BigInteger),
    Column("messages", BigInteger),
    Column("messages_user", BigInteger),
    Column("messages_assistant", BigInteger),
    Column("messages_system", BigInteger),
    Column("messages_tool", BigInteger),
    Column("messages_other", BigInteger),
    Column("turns", BigInteger),
    Column("errors", BigInteger),
    Column("turn_seconds_median", Double),
    Column("turn_seconds_p95", Double),
)
