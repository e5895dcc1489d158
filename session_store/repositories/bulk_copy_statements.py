"""The SQL of exports and imports of whole sessions.

Session rows are locked first, in the order of their keys, so that two imports cannot deadlock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Text, bindparam, cast, select, type_coerce

from session_store.database.bulk_insert import bulk_insert
from session_store.database.parameters import int_param, text_param
from session_store.models.models import MESSAGES, SESSIONS, STATES
from session_store.repositories.statements import KEYS, METADATA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement

    from session_store.database.access import AnySelect

COUNTED: Final = (
    "last_activity",
    "active_minute",
    "message_count",
    "last_seq",
    "state",
    "turn_id",
    "state_entered_at",
    "state_seq",
)
_HEAD: Final = ("key", "name", "owner", "attributes", "created_at", *COUNTED)

LOCK_HEADS: Final = (
    select(SESSIONS.c.key, *(SESSIONS.c[name] for name in COUNTED))
    .where(SESSIONS.c.key.in_(KEYS))
    .order_by(SESSIONS.c.key)
    .with_for_update()
)
"""Lock the existing rows of some sessions."""

NEW_HEADS: Final = bulk_insert(SESSIONS, _HEAD, "ON CONFLICT (key) DO NOTHING")
"""Insert session rows. Fewer rows than passed means that another transaction created one first."""

CHANGED_HEADS: Final = bulk_insert(
    SESSIONS,
    _HEAD,
    f"ON CONFLICT (key) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in COUNTED)}",
)
"""Update the counters of locked sessions."""

NEW_STATES: Final = bulk_insert(STATES, ("session_key", "seq", "state", "turn_id", "entered_at"))
NEW_MESSAGES: Final = bulk_insert(
    MESSAGES, ("session_key", "seq", "turn_id", "role", "content", "payload", "idempotency_key", "created_at")
)


def heads(conditions: Sequence[ColumnElement[bool]]) -> AnySelect:
    """Select the next sessions after a key for which all conditions hold."""
    return (
        select(*METADATA, SESSIONS.c.state_seq)
        .where(*conditions, SESSIONS.c.key > text_param("behind"))
        .order_by(SESSIONS.c.key)
        .limit(int_param("limit"))
    )


SOME_MESSAGES: Final = (
    select(
        MESSAGES.c.session_key,
        MESSAGES.c.seq,
        MESSAGES.c.turn_id,
        MESSAGES.c.role,
        type_coerce(MESSAGES.c.content, Text()).label("content"),
        cast(MESSAGES.c.payload, Text).label("payload"),
        MESSAGES.c.idempotency_key,
        MESSAGES.c.created_at,
    )
    .where(MESSAGES.c.session_key.in_(KEYS), MESSAGES.c.seq > int_param("after"))
    .order_by(MESSAGES.c.session_key, MESSAGES.c.seq)
    .limit(int_param("limit"))
)
"""Messages after a seq: all of several sessions, or a page of one session."""

SOME_STATES: Final = (
    select(STATES.c.session_key, STATES.c.seq, STATES.c.state, STATES.c.turn_id, STATES.c.entered_at)
    .where(STATES.c.session_key.in_(KEYS), STATES.c.seq > int_param("after"))
    .order_by(STATES.c.session_key, STATES.c.seq)
    .limit(int_param("limit"))
)

IDEMPOTENCY_KEYS: Final = select(MESSAGES.c.session_key, MESSAGES.c.idempotency_key).where(
    MESSAGES.c.session_key.in_(KEYS),
    MESSAGES.c.idempotency_key.in_(bindparam("idempotency_keys", type_=Text(), expanding=True)),
)
