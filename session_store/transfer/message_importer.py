"""Import single messages, each appended to its session.

The idempotency key of a message is a hash of its line and of the number of equal lines before it in the same file. A
file read again adds nothing, a file that has grown adds its new lines, overlapping files add each message once, and two
equal lines of one file are two messages.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from session_store.interface.errors import (
    Conflict,
    IdempotencyConflict,
    InvalidKey,
    InvalidMessage,
    SchemaOutOfDate,
    StoreError,
    StoreUnavailable,
)
from session_store.interface.values import ChatMessage, NewMessage
from session_store.models.validation import chat_message, identifier
from session_store.transfer import bulk_load
from session_store.transfer.line_reader import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from session_store.store.sync import SessionTransaction

_MAX_REFUSALS: Final = 20
_NEEDED: Final = ("session_key", "role", "content")


class _Line(NamedTuple):
    file: str
    number: int
    session_key: str
    message: NewMessage


class MessageImporter:
    """Imports messages in batches, and counts them.

    Args:
        load: Runs the batches.
        report: Called with the file, the number and the problem of a rejected line.
    """

    def __init__(self, load: bulk_load.BulkLoad, report: Callable[[str, int, str], object]) -> None:
        self._load = load
        self._tell = report
        self._refused_in_a_row = 0
        # Only 64 bits of each digest. If two agree in those, one line gets a higher number, the same at every reading;
        # messages are distinguished by the whole digest.
        self._occurrences: dict[int, int] = {}
        self._batch: list[_Line] = []
        self._size = 0
        self.added = self.already_there = 0
        self.keys: set[str] = set()
        """The sessions with an imported message."""

    def begin_file(self) -> None:
        """Start a file: reset the counts of equal lines."""
        self._occurrences.clear()

    def add(self, file: str, number: int, fields: Mapping[str, Any], size: int) -> None:
        """Add a message, to be appended by a later call of `flush`.

        Raises:
            InvalidKey: The session or the role is not a valid identifier.
            InvalidMessage: The message cannot be stored.
        """
        key, message = _message_from_fields(fields)
        digest = _digest(key, message)
        short = int.from_bytes(digest[:8])
        occurrence = self._occurrences[short] = self._occurrences.get(short, 0) + 1
        once = message._replace(idempotency_key=f"jsonl:{digest.hex()}:{occurrence}")
        self._batch.append(_Line(file, number, key, once))
        self._size += size

    def flush(self, *, if_full: bool = False) -> None:
        """Append the pending messages; optionally only a full batch."""
        if if_full and len(self._batch) < bulk_load.LINE_BATCH_SIZE and self._size < bulk_load.BATCH_MAX_BYTES:
            return
        batch, self._batch, self._size = self._batch, [], 0
        if batch:
            self._write(batch)

    def _write(self, lines: Sequence[_Line]) -> None:
        """Append the messages of these lines in one transaction, and report those that are rejected."""
        try:
            self._append(lines)
        except (Conflict, SchemaOutOfDate, StoreUnavailable):
            raise
        except StoreError as error:
            if len(lines) > 1:
                middle = len(lines) // 2
                self._write(lines[:middle])
                self._write(lines[middle:])
                return
            about_it = isinstance(error, IdempotencyConflict | InvalidKey | InvalidMessage)
            self._refused_in_a_row += not about_it
            # Then the lines are not the cause, but a missing privilege, for example.
            if self._refused_in_a_row > _MAX_REFUSALS:
                raise
            self._tell(lines[0].file, lines[0].number, str(error))
        else:
            self._refused_in_a_row = 0

    def _append(self, lines: Sequence[_Line]) -> None:
        sessions: dict[str, list[NewMessage]] = {}
        for line in lines:
            sessions.setdefault(line.session_key, []).append(line.message)
        added = self._load.run(partial(_append_to, sessions=sessions))
        self.added += added
        self._load.added += added
        self.already_there += len(lines) - added
        self.keys |= sessions.keys()


def _append_to(transaction: SessionTransaction, sessions: Mapping[str, Sequence[NewMessage]]) -> int:
    """Append messages to their sessions, and return the number of new ones."""
    added = 0
    # In the order of the keys, so that two imports cannot deadlock.
    for key in sorted(sessions):
        head = transaction.get_session_metadata(key)
        last_seq = 0 if head is None else head.last_seq
        added += sum(stored.seq > last_seq for stored in transaction.append_many(key, sessions[key]))
    return added


def _message_from_fields(fields: Mapping[str, Any]) -> tuple[str, NewMessage]:
    missing = [name for name in _NEEDED if name not in fields]
    if missing:
        problem = f"has no {', '.join(missing)}"
        raise InvalidMessage(problem)
    key = identifier(fields["session_key"], "session_key")
    message, _, _ = chat_message(ChatMessage(fields["role"], fields["content"], fields.get("payload")))
    return key, NewMessage(message, parse_time(fields.get("created_at"), "created_at"))


def _digest(key: str, new: NewMessage) -> bytes:
    created_at = None if new.created_at is None else new.created_at.isoformat()
    canonical = _CANONICAL.encode([key, new.message.role, new.message.content, new.message.payload, created_at])
    return hashlib.blake2b(canonical.encode(), digest_size=16).digest()


_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
