"""The operations on the messages of a session."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from session_store.database.access import Access, Step, Steps, read_only, single_statement
from session_store.database.functions import needs_explicit_lock
from session_store.interface.errors import Conflict, IdempotencyConflict, InvalidMessage, InvalidQuery
from session_store.interface.values import ChatMessage, MessageHit, NewMessage, StoredMessage
from session_store.models.types import truncate_to_minute
from session_store.models.validation import (
    aware_datetime,
    chat_message,
    identifier,
    integer,
    new_message,
    optional_identifier,
    optional_number,
)
from session_store.repositories import retention, statements
from session_store.repositories.batching import BatchResult, count_only, run_batches
from session_store.repositories.row_mapping import (
    chat_messages,
    fetch,
    new_session_values,
    same_message,
    stored_message,
)
from session_store.repositories.search import find_messages
from session_store.repositories.search_statements import MessageQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection
    from sqlalchemy.sql.dml import ReturningDelete

_KEY_BATCH_SIZE: Final = 10_000
"""SQLite takes 32,766 parameters in one statement, PostgreSQL 65,535."""


class MessageRepository:
    """Appends, reads and deletes messages."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock

    @single_statement
    def append(
        self,
        db: Connection,
        key: str,
        message: ChatMessage,
        *,
        created_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> StoredMessage:
        """Append one message, creating the session if needed, and return the message with its seq."""
        key = identifier(key, "key")
        entry = _entry(message, created_at, idempotency_key, self._clock())
        values = {
            **new_session_values(key, entry.created_at),
            "count": 1,
            "role": entry.message.role,
            "content": entry.content,
            "payload": entry.payload,
            "idempotency_key": entry.idempotency_key,
        }
        if idempotency_key is None:
            appended = statements.APPEND.run(db, values)
        else:
            if needs_explicit_lock(db):
                db.execute(statements.LOCK_OR_CREATE, values)
            appended = statements.APPEND_ONCE.run(db, values)
            if not appended:
                return self._first(db, key, entry)
        entry.seq, entry.turn_id = appended[0].seq, appended[0].turn_id
        return entry.stored()

    def append_many(self, key: str, messages: Iterable[ChatMessage | NewMessage]) -> Steps[list[StoredMessage]]:
        """Append all messages or none, creating the session if needed, and return them with their seqs."""
        if isinstance(messages, ChatMessage | NewMessage | str) or not isinstance(messages, Iterable):
            problem = f"messages must be an iterable of messages, got {type(messages).__name__}"
            raise InvalidMessage(problem)
        key = identifier(key, "key")
        now = self._clock()
        entries = [_entry(*new_message(message), now) for message in messages]
        _same_entry(key, entries, {})
        # Without idempotency keys this is one statement on PostgreSQL.
        looks = any(entry.idempotency_key is not None for entry in entries)
        append = partial(self._append_entries, key=key, entries=entries)
        stored: list[StoredMessage] = yield Step(append, Access.WRITE if looks else Access.SINGLE_STATEMENT, key)
        return stored

    @read_only
    def load(self, db: Connection, key: str, *, last: int | None = None) -> list[ChatMessage]:
        """Return the messages of a session, oldest first; an empty list if the session does not exist."""
        values: dict[str, Any] = {"the_key": identifier(key, "key")}
        if last is None:
            return chat_messages(fetch(db, statements.LOAD, values))
        values["last"] = integer(last, "last")
        return chat_messages(reversed(fetch(db, statements.LOAD_LAST, values)))

    @read_only
    def history(
        self,
        db: Connection,
        key: str,
        *,
        after_seq: int | None = None,
        before_seq: int | None = None,
        limit: int | None = None,
    ) -> list[StoredMessage]:
        """Return a page of a session's messages with their seqs and times, oldest first."""
        given = {
            "after_seq": optional_number(after_seq, "after_seq"),
            "before_seq": optional_number(before_seq, "before_seq"),
            "limit": optional_number(limit, "limit"),
        }
        page = statements.history(after=after_seq is not None, before=before_seq is not None, limit=limit is not None)
        values = {name: number for name, number in given.items() if number is not None}
        rows = fetch(db, page, {"the_key": identifier(key, "key"), **values})
        return [stored_message(row) for row in (rows if before_seq is None else reversed(rows))]

    def pop_last(self, db: Connection, key: str) -> StoredMessage | None:
        """Delete the last message of a session and return it, or None if there is none."""
        return self._take_last(db, key, None)

    @read_only
    def search_messages(  # noqa: PLR0913 - each is a filter
        self,
        db: Connection,
        keyword: str,
        *,
        key: str | None = None,
        role: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 20,
        after: str | None = None,
        order: str = "recency",
    ) -> list[MessageHit]:
        """Return the messages that match a keyword, each with a snippet around the match."""
        return find_messages(db, keyword, MessageQuery(key, role, since, until, limit, after, order))

    def remove_last(self, db: Connection, key: str, *, seq: int | None = None) -> bool:
        """Delete the last message of a session, and return whether there was one."""
        return self._take_last(db, key, seq) is not None

    def update_last(self, db: Connection, key: str, message: ChatMessage, *, seq: int | None = None) -> bool:
        """Replace the last message of a session, and return whether there was one."""
        message, content, payload = chat_message(message)
        now = self._clock()
        values = {
            "the_key": identifier(key, "key"),
            "now": now,
            "minute": truncate_to_minute(now),
            "new_role": message.role,
            "new_content": content,
            "new_payload": payload,
        }
        if seq is None:
            touch, replace = statements.TOUCH, statements.REPLACE_LAST
        else:
            touch, replace = statements.TOUCH_IF, statements.REPLACE_LAST_IF
            values["the_seq"] = integer(seq, "seq")
        # The second statement may see a newer last message, appended while the first one waited for the lock.
        if db.execute(touch, values).one_or_none() is None:
            return False
        return db.execute(replace, values).one_or_none() is not None

    def clear_messages(self, db: Connection, key: str) -> int:
        """Delete all messages of a session, and return their number; its name and state stay."""
        values = {"the_key": identifier(key, "key")}
        if db.execute(statements.CLEAR_COUNT, values).one_or_none() is None:
            return 0
        return db.execute(statements.CLEAR_MESSAGES, values).rowcount

    def trim(  # noqa: PLR0913 - callers use the names
        self,
        key: str,
        *,
        keep_last: int | None = None,
        before: datetime | None = None,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> Steps[int]:
        """Delete old messages of a session, and return their number; the session stays, and seqs are not reused."""
        values: dict[str, Any] = {"the_key": identifier(key, "key")}
        if keep_last is not None:
            values["keep_last"] = integer(keep_last, "keep_last")
        if before is not None:
            values["before"] = aware_datetime(before, "before")
        if len(values) == 1:
            problem = "trim needs keep_last, before or both; clear_messages deletes all messages"
            raise InvalidQuery(problem)
        conditions = retention.trim_conditions(keep_last=keep_last is not None, before=before is not None)
        if dry_run:
            return (yield from count_only(retention.count_messages(conditions), values, batch_size, on_batch))
        trim = partial(_trim_batch, statement=retention.delete_messages_batch(conditions), values=values)
        return (yield from run_batches(trim, batch_size, on_batch, after=0, key=key))

    def _append_entries(self, db: Connection, *, key: str, entries: Sequence[_Entry]) -> list[StoredMessage]:
        known: dict[str, StoredMessage] = {}
        keys = [entry.idempotency_key for entry in entries if entry.idempotency_key is not None]
        if keys:
            head = db.execute(statements.LOCK_OR_CREATE, new_session_values(key, entries[0].created_at)).one()
            # A session without a seq has no message to find.
            known = self._find(db, key, keys) if head.seq else {}
        kept = _same_entry(key, entries, known)
        self._write(db, key, [entry for entry, first in zip(entries, kept, strict=True) if entry is first])
        return [first.stored() if isinstance(first, _Entry) else first for first in kept]

    def _first(self, db: Connection, key: str, entry: _Entry) -> StoredMessage:
        idempotency_key = str(entry.idempotency_key)
        first = self._find(db, key, [idempotency_key]).get(idempotency_key)
        if first is None:
            problem = f"the message of session {key!r} under {idempotency_key!r} was deleted by another transaction"
            raise Conflict(problem)
        if not same_message(first.message, entry.message):
            raise IdempotencyConflict(key, idempotency_key)
        return first

    def _find(self, db: Connection, key: str, idempotency_keys: Sequence[str]) -> dict[str, StoredMessage]:
        found: dict[str, StoredMessage] = {}
        for start in range(0, len(idempotency_keys), _KEY_BATCH_SIZE):
            values = {"the_key": key, "keys": idempotency_keys[start : start + _KEY_BATCH_SIZE]}
            rows = fetch(db, statements.FIND_BY_IDEMPOTENCY_KEY, values)
            found |= {idempotency_key: stored_message(row) for idempotency_key, *row in rows}
        return found

    def _write(self, db: Connection, key: str, entries: Sequence[_Entry]) -> None:
        if not entries:
            return
        last_activity = max(entry.created_at for entry in entries)
        values = new_session_values(key, entries[0].created_at, last_activity) | {"count": len(entries)}
        columns: dict[str, list[Any]] = {
            "role": [entry.message.role for entry in entries],
            "content": [entry.content for entry in entries],
            "payload": [entry.payload for entry in entries],
            "idempotency_key": [entry.idempotency_key for entry in entries],
            "created_at": [entry.created_at for entry in entries],
        }
        head = statements.APPEND_MANY.run(db, values, columns)
        for seq, entry in enumerate(entries, head.seq - len(entries) + 1):
            entry.seq, entry.turn_id = seq, head.turn_id

    def _take_last(self, db: Connection, key: str, seq: int | None) -> StoredMessage | None:
        values: dict[str, Any] = {"the_key": identifier(key, "key")}
        if seq is not None:
            values["the_seq"] = integer(seq, "seq")
        if db.execute(statements.DECREMENT_COUNT, values).one_or_none() is None:
            return None
        delete = statements.DELETE_LAST if seq is None else statements.DELETE_LAST_IF
        row = db.execute(delete, values).one_or_none()
        if row is None:
            db.execute(statements.INCREMENT_COUNT, values)
            return None
        return stored_message(row)


def _trim_batch(
    db: Connection, *, statement: ReturningDelete[*tuple[Any, ...]], values: Mapping[str, Any], after: int, limit: int
) -> BatchResult:
    if db.execute(statements.LOCK, values).one_or_none() is None:
        return BatchResult(0, None)
    seqs = db.execute(statement, {**values, "behind": after, "limit": limit}).scalars().all()
    if seqs:
        db.execute(retention.SUBTRACT_COUNT, {**values, "removed": len(seqs)})
    return BatchResult(len(seqs), max(seqs) if len(seqs) == limit else None)


@dataclass(slots=True)
class _Entry:
    """A message to append."""

    message: ChatMessage
    created_at: datetime
    idempotency_key: str | None
    content: str
    payload: str | None
    seq: int = 0
    turn_id: str | None = None

    def stored(self) -> StoredMessage:
        return StoredMessage(self.seq, self.created_at, self.turn_id, self.message)


def _same_entry(
    key: str, entries: Iterable[_Entry], known: Mapping[str, StoredMessage]
) -> list[StoredMessage | _Entry]:
    """Return the stored message, or the earlier entry, with the idempotency key of each entry."""
    first_of: dict[str, StoredMessage | _Entry] = {**known}
    kept: list[StoredMessage | _Entry] = []
    for entry in entries:
        first = entry if entry.idempotency_key is None else first_of.setdefault(entry.idempotency_key, entry)
        if first is not entry and not same_message(first.message, entry.message):
            raise IdempotencyConflict(key, str(entry.idempotency_key))
        kept.append(first)
    return kept


def _entry(message: object, created_at: object, idempotency_key: object, now: datetime) -> _Entry:
    message, content, payload = chat_message(message)
    at = now if created_at is None else aware_datetime(created_at, "created_at", InvalidMessage)
    return _Entry(message, at, optional_identifier(idempotency_key, "idempotency_key"), content, payload)
