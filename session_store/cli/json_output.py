"""The output of --json: one JSON object per line, in ASCII, which every pipe can carry."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from session_store.interface.values import MessageHit, SessionMetadata, StoredMessage
    from session_store.maintenance.doctor import Finding


def write(record: Mapping[str, Any], *, file: IO[str] | None = None) -> None:
    """Write an object, by default to the standard output."""
    (file or sys.stdout).write(json.dumps(record, default=_as_json) + "\n")


def write_all(records: Iterable[Mapping[str, Any]]) -> None:
    """Write objects one by one."""
    for record in records:
        write(record)


def session(metadata: SessionMetadata) -> dict[str, Any]:
    """Return a session as an object: the fields of `SessionMetadata`, its key as ``session_key``."""
    fields = metadata._asdict()
    return {"session_key": fields.pop("key"), **fields, "cursor": metadata.cursor}


def session_with_hits(metadata: SessionMetadata, hits: Sequence[MessageHit]) -> dict[str, Any]:
    """Return a session with its messages that match a search."""
    return {**session(metadata), "hits": [hit(each) for each in hits]}


def hit(found: MessageHit) -> dict[str, Any]:
    """Return a message that matches a search; ``matches`` are (start, end) offsets in ``text``."""
    return {
        "session_key": found.key,
        "seq": found.seq,
        "role": found.role,
        "created_at": found.created_at,
        "rank": found.rank,
        "text": found.snippet.text,
        "matches": found.snippet.matches,
        "cursor": found.cursor,
    }


def message(key: str, stored: StoredMessage) -> dict[str, Any]:
    """Return a message as an object that `session_store.transfer.import_jsonl` accepts."""
    return {
        "session_key": key,
        "seq": stored.seq,
        "created_at": stored.created_at,
        "turn_id": stored.turn_id,
        **stored.message._asdict(),
    }


def finding(found: Finding) -> dict[str, Any]:
    """Return a finding as an object; its severity is ``info``, ``warning`` or ``error``."""
    return {**found._asdict(), "severity": found.severity.name.lower()}


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
