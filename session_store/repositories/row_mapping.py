"""Convert rows to values, and a new session to a row.

SELECTs of many rows are read from the driver's cursor: SQLAlchemy's rows and type processors cost as much as reading
the rows. The conversions of the processors are done here, in the loop that creates the values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from session_store.interface.values import ChatMessage, SessionMetadata, StoredMessage
from session_store.models.types import SUB, as_utc, load_json, same_json, truncate_to_minute, unescape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Executable


def fetch(db: Connection, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Any]:
    """Return the rows of a SELECT as the driver returns them."""
    result: Any = db.execute(statement, values)
    driver_error = db.dialect.loaded_dbapi.Error
    try:
        rows: Sequence[Any] = result.cursor.fetchall()
    except driver_error as error:
        # SQLAlchemy wraps errors of its own fetch methods only.
        raise DBAPIError.instance(None, None, error, driver_error) from error
    result.close()
    return rows


def chat_messages(rows: Iterable[Any]) -> list[ChatMessage]:
    """Return messages from rows of role, content and payload."""
    return [
        ChatMessage(
            role,
            unescape(content) if SUB in content else content,
            None if payload is None else load_json(payload),
        )
        for role, content, payload in rows
    ]


def stored_message(row: Any) -> StoredMessage:
    """Return a message from a row of `statements.STORED_MESSAGE`."""
    seq, created_at, turn_id, role, content, payload = row
    message = ChatMessage(role, unescape(content), None if payload is None else load_json(payload))
    return StoredMessage(seq, as_utc(created_at), turn_id, message)


def same_message(one: ChatMessage, other: ChatMessage) -> bool:
    """Return whether two messages are equal, with payloads compared as JSON."""
    return one[:2] == other[:2] and same_json(one.payload, other.payload)


def metadata_from(
    db: Connection, statement: Executable, values: Mapping[str, Any] | None = None
) -> list[SessionMetadata]:
    """Return the sessions of a SELECT of `statements.METADATA`."""
    return [session_metadata(row) for row in fetch(db, statement, values)]


def session_metadata(row: Any) -> SessionMetadata:
    """Return a session from a row of `statements.METADATA`."""
    (
        key,
        name,
        owner,
        attributes,
        created_at,
        last_activity,
        message_count,
        last_seq,
        state,
        turn_id,
        state_entered_at,
    ) = row
    return SessionMetadata(
        key,
        None if name is None else unescape(name),
        owner,
        {} if attributes == "{}" else load_json(attributes),
        as_utc(created_at),
        as_utc(last_activity),
        message_count,
        last_seq,
        state,
        turn_id,
        None if state_entered_at is None else as_utc(state_entered_at),
    )


def new_session_values(key: str, created_at: datetime, last_activity: datetime | None = None) -> dict[str, Any]:
    """Return the parameters of an upsert of a session row: the values of a new session. The key was validated."""
    last_activity = last_activity or created_at
    return {
        "the_key": key,
        "created_at": created_at,
        "last_activity": last_activity,
        "active_minute": truncate_to_minute(last_activity),
    }
