"""Import whole sessions; every import of sessions uses this module."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from session_store.database.access import Access
from session_store.interface.errors import InvalidKey, InvalidMessage, InvalidQuery, describe
from session_store.interface.values import IDLE, ImportedMessage, ImportedSession, StateEntry
from session_store.models.types import utc_text
from session_store.models.validation import (
    MAX_IDENTIFIER_BYTES,
    aware_datetime,
    chat_message,
    identifier,
    integer,
    optional_identifier,
    optional_number,
    session_attributes,
    session_name,
    state_word,
)
from session_store.repositories.bulk_copy import MessageRow, SessionSlice, write_slices
from session_store.transfer import bulk_load
from session_store.transfer.results import SkippedSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["ImportedMessage", "ImportedSession", "SessionImporter", "StateEntry"]


class SessionImporter:
    """Imports sessions in batches, and counts them.

    Small sessions share a transaction of up to 10,000 messages and states or 8 MB. A longer session is split into
    several transactions; after an interruption, the same import completes it.

    An existing session keeps its name, owner and attributes, and gets the messages and states above its high-water
    marks. Its other messages must equal the stored ones in role, content and payload; if one differs or was deleted,
    the session is skipped.

    Args:
        load: Runs the transactions: ``with BulkLoad(store) as load: importer = SessionImporter(load)``.
        on_skipped: Called with each session that is not imported completely.
    """

    def __init__(self, load: bulk_load.BulkLoad, on_skipped: Callable[[SkippedSession], object] | None = None) -> None:
        self._load = load
        self._on_skipped = on_skipped
        self._parts: dict[str, SessionSlice] = {}
        self._lines = self._size = 0
        self.added = self.already_there = self.skipped = 0
        self.keys: set[str] = set()
        """The number of sessions imported completely."""

    def add(self, head: ImportedSession, states: Iterable[StateEntry], messages: Iterable[ImportedMessage]) -> None:
        """Add a session, to be written by this or a later call, at the latest by `flush`.

        States and messages are in the order of their seqs, and may be generators. An error of a generator propagates,
        and the current slice is not written; an `InvalidMessage` skips the session.
        """
        count = lines = size = 0
        try:
            with _refusing():
                part = SessionSlice(_head(head))
            if part.key in self._parts:
                self.flush()
            entries: Iterator[StateEntry | MessageRow] = chain(_states(states), _messages(part.key, messages))
            for entry in entries:
                if isinstance(entry, MessageRow):
                    part.messages.append(entry)
                    count += 1
                    size += len(entry.content) + len(entry.payload or "")
                else:
                    part.states.append(entry)
                lines += 1
                if _is_batch(lines, size):
                    self.flush()
                    if not self._write([part]):
                        return
                    part, lines, size = SessionSlice(part.head), 0, 0
                elif _is_batch(self._lines + lines, self._size + size):
                    self.flush()
        except _Refused as refused:
            self.skip(head.key, str(refused))
            return
        part.is_whole = count >= (part.head.message_count or 0)
        self._parts[part.key] = part
        # A session without rows counts as a line.
        self._lines += lines + 1
        self._size += size
        if not part.is_whole:
            self.skip(part.key, f"only {count:,} of its {part.head.message_count:,} messages are in the file")
        if _is_batch(self._lines, self._size):
            self.flush()

    def flush(self) -> None:
        """Write the pending sessions."""
        parts = list(self._parts.values())
        self._parts, self._lines, self._size = {}, 0, 0
        if parts:
            self._write(parts)

    def _write(self, parts: Sequence[SessionSlice]) -> bool:
        """Write slices of different sessions, and return whether none was skipped."""
        work = partial(write_slices, parts=parts)
        written = self._load.run(lambda transaction: transaction._run(work, Access.WRITE, None))  # noqa: SLF001
        for part in parts:
            added, already_there, problem = written[part.key]
            self.added += added
            self._load.added += added
            self.already_there += already_there
            if problem is not None:
                self.skip(part.key, problem)
            elif part.is_whole:
                self.keys.add(part.key)
        return all(outcome.problem is None for outcome in written.values())

    def skip(self, key: object, reason: str) -> None:
        """Report a session that is not imported completely."""
        self.skipped += 1
        if self._on_skipped is not None:
            name = key if isinstance(key, str) and len(key) <= MAX_IDENTIFIER_BYTES else describe(key)
            self._on_skipped(SkippedSession(name, reason))


class _Refused(Exception):
    """A session is rejected, with a reason."""


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (InvalidKey, InvalidMessage, InvalidQuery) as error:
        raise _Refused(str(error)) from error


def _is_batch(lines: int, size: int) -> bool:
    return lines >= bulk_load.LINE_BATCH_SIZE or size >= bulk_load.BATCH_MAX_BYTES


def _head(head: ImportedSession) -> ImportedSession:
    state, turn_id = _state(head.state, head.turn_id)
    return ImportedSession(
        identifier(head.key, "key"),
        None if head.name is None else session_name(head.name) or None,
        optional_identifier(head.owner, "owner"),
        {name: value for name, value in session_attributes(head.attributes).items() if value is not None},
        aware_datetime(head.created_at, "created_at"),
        aware_datetime(head.last_activity, "last_activity"),
        integer(head.last_seq, "last_seq"),
        state,
        turn_id,
        None if head.state_entered_at is None else aware_datetime(head.state_entered_at, "state_entered_at"),
        integer(head.state_seq, "state_seq"),
        optional_number(head.message_count, "message_count"),
    )


def _states(states: Iterable[StateEntry]) -> Iterator[StateEntry]:
    seq = 0
    with _refusing():
        for entry in states:
            seq = integer(entry.seq, "a state's seq", seq + 1)
            yield StateEntry(seq, *_state(entry.state, entry.turn_id), aware_datetime(entry.entered_at, "entered_at"))


def _state(state: object, turn_id: object) -> tuple[str, str | None]:
    word = state_word(state)
    return word, None if word == IDLE else optional_identifier(turn_id, "turn_id")


def _messages(key: str, messages: Iterable[ImportedMessage]) -> Iterator[MessageRow]:
    seq = 0
    with _refusing():
        for seq_given, created_at, turn_id, idempotency_key, said in messages:
            seq = integer(seq_given, "seq", seq + 1)
            message, content, payload = chat_message(said)
            yield MessageRow(
                key,
                seq,
                optional_identifier(turn_id, "turn_id"),
                message.role,
                content,
                payload,
                optional_identifier(idempotency_key, "idempotency_key"),
                utc_text(aware_datetime(created_at, "created_at", InvalidMessage)),
            )
