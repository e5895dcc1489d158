"""Export sessions as JSON Lines, from which `session_store.transfer.import_jsonl` creates an equal store.

Each session has a line of its own, then a line for each state and for each message, in this order:

    {"kind":"session","session_key":...,"name":...,"owner":...,"attributes":{...},"created_at":...,"last_activity":...,
     "message_count":...,"last_seq":...,"state":...,"turn_id":...,"state_entered_at":...,"state_seq":...}
    {"kind":"state","session_key":...,"seq":...,"state":...,"turn_id":...,"entered_at":...}
    {"kind":"message","session_key":...,"seq":...,"created_at":...,"turn_id":...,"role":...,"content":...,
     "payload":...,"idempotency_key":...}

Every field is always present. Times are ISO 8601 in UTC with microseconds. Names, attributes, contents and payloads are
unchanged, with two exceptions that are escaped: see `session_store.models.types.to_portable`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Unpack

from session_store.models.types import as_utc, load_json, to_portable, utc_text
from session_store.repositories import bulk_copy_statements
from session_store.transfer.session_reader import ExportFilter, ExportResult, SessionReader, open_output

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from session_store.interface.values import SessionMetadata
    from session_store.store.sync import SessionStore
    from session_store.transfer.session_reader import ExportedSession

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def export_jsonl(
    store: SessionStore,
    out: str | os.PathLike[str] | BinaryIO,
    *,
    on_session: Callable[[SessionMetadata], object] | None = None,
    **which: Unpack[ExportFilter],
) -> ExportResult:
    """Write sessions with their messages and states as JSON Lines, and return what was written.

    Sessions are written in the order of their keys, in constant memory, each as a snapshot of the time when it is read;
    there is no long transaction.

    Args:
        store: The store to export.
        out: A path, whose file is replaced, or a file open for writing bytes.
        on_session: Called with the key of each session after it was written.
        which: The filter, see `ExportFilter`; all sessions by default.

    Raises:
        OSError: The file cannot be created or written.
        InvalidQuery: An argument has the wrong type.
        InvalidKey: The owner, the state or the key is not a valid identifier.
        SchemaOutOfDate: The tables are missing or at another revision.
        StoreUnavailable: The database cannot serve.
    """
    reader = SessionReader(store, on_session, which)
    with open_output(out) as file:
        for session in reader.sessions(bulk_copy_statements.SOME_MESSAGES, bulk_copy_statements.SOME_STATES):
            for line in _lines(session):
                file.write(_encode(line).encode("ascii") + b"\n")
    return reader.exported


def _lines(session: ExportedSession) -> Iterator[dict[str, Any]]:
    head = session.head
    _, name, _, attributes, *_ = session.row
    yield {
        "kind": "session",
        "session_key": head.key,
        "name": None if name is None else to_portable(name),
        "owner": head.owner,
        "attributes": load_json(attributes, to_portable),
        "created_at": utc_text(head.created_at),
        "last_activity": utc_text(head.last_activity),
        "message_count": head.message_count,
        "last_seq": head.last_seq,
        "state": head.state,
        "turn_id": head.turn_id,
        "state_entered_at": None if head.state_entered_at is None else utc_text(head.state_entered_at),
        "state_seq": session.state_seq,
    }
    for key, seq, state, turn_id, entered_at in session.states:
        yield {
            "kind": "state",
            "session_key": key,
            "seq": seq,
            "state": state,
            "turn_id": turn_id,
            "entered_at": _time(entered_at),
        }
    for key, seq, turn_id, role, content, payload, idempotency_key, created_at in session.messages:
        yield {
            "kind": "message",
            "session_key": key,
            "seq": seq,
            "created_at": _time(created_at),
            "turn_id": turn_id,
            "role": role,
            "content": to_portable(content),
            "payload": None if payload is None else load_json(payload, to_portable),
            "idempotency_key": idempotency_key,
        }


def _time(stored: Any) -> str:
    return utc_text(as_utc(stored))
