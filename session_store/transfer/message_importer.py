"""Lines that are messages, each appended to its session.

Each message is appended under an idempotency key made of a hash of what its line says and of how many lines of the
same file said the same before it. So a file read again adds nothing, one that has grown adds what is new, two files
that overlap are not doubled, and two honest equal lines of one file are two messages.
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
    """Messages on their way into a store, by batches, and what was counted so far.

    Args:
        load: What runs the batches.
        tell: Told the file, the number and the reason of a line that is refused.
    """

    def __init__(self, load: bulk_load.BulkLoad, tell: Callable[[str, int, str], object]) -> None:
        self._load = load
        self._tell = tell
        self._refused_in_a_row = 0
        # Of each digest 64 bits are kept. Should two agree in those, one line has a number of its own too many, the
        # same at every reading; what tells messages apart is the whole digest.
        self._occurrences: dict[int, int] = {}
        self._batch: list[_Line] = []
        self._size = 0
        self.added = self.already_there = 0
        self.keys: set[str] = set()
        """The sessions that have messages of these."""

    def begin_file(self) -> None:
        """Count anew how often the same is said."""
        self._occurrences.clear()

    def add(self, file: str, number: int, fields: Mapping[str, Any], size: int) -> None:
        """Take what a line says, to be appended by one of the next calls of `flush`.

        Raises:
            InvalidKey: Its session, or its role, cannot be one.
            InvalidMessage: It cannot be stored.
        """
        key, message = _message_from_fields(fields)
        digest = _digest(key, message)
        short = int.from_bytes(digest[:8])
        occurrence = self._occurrences[short] = self._occurrences.get(short, 0) + 1
        once = message._replace(idempotency_key=f"jsonl:{digest.hex()}:{occurrence}")
        self._batch.append(_Line(file, number, key, once))
        self._size += size

    def flush(self, *, if_full: bool = False) -> None:
        """Append what is on its way, perhaps only if it is a whole batch."""
        if if_full and len(self._batch) < bulk_load.LINE_BATCH_SIZE and self._size < bulk_load.BATCH_MAX_BYTES:
            return
        batch, self._batch, self._size = self._batch, [], 0
        if batch:
            self._write(batch)

    def _write(self, lines: Sequence[_Line]) -> None:
        """Append the messages of these lines in one transaction; of those that are refused, tell each."""
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
            # Then it is not the lines: no right to write, for example.
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
    """Append messages to their sessions and return how many were not there."""
    added = 0
    # By key, so that two imports never wait for each other in a ring.
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
    said = _CANONICAL.encode([key, new.message.role, new.message.content, new.message.payload, created_at])
    return hashlib.blake2b(said.encode(), digest_size=16).digest()


_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
