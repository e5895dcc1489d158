"""Write imported sessions with the seqs and times of their source.

A `SessionSlice` is the part of a session that is written in one transaction, usually all of it. A missing session
counts as empty, so that a first import and an update share one path: messages above ``last_seq`` are inserted, the
others must match the stored ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from session_store.interface.errors import Conflict
from session_store.interface.values import IDLE, ImportedSession, StateEntry
from session_store.models.types import as_utc, dump_json, escape, load_json, same_json, truncate_to_minute, utc_text
from session_store.models.validation import MAX_BIGINT
from session_store.repositories import bulk_copy_statements
from session_store.repositories.row_mapping import fetch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection, Executable

Item = TypeVar("Item")
Read = Callable[["Executable", Mapping[str, Any]], Sequence[Any]]
"""A function that returns the rows of a statement."""

PAGE: Final = 1_000
"""Rows read by one statement."""

SEQ: Final = 1
"""The index of the seq in a row of messages or states; the session's key comes before it."""


class MessageRow(NamedTuple):
    """A stored message with its time as text, in the column order of `NEW_MESSAGES`."""

    session_key: str
    seq: int
    turn_id: str | None
    role: str
    content: str
    payload: str | None
    idempotency_key: str | None
    created_at: str


@dataclass(slots=True)
class SessionSlice:
    """The part of a session that is written in one transaction; ``is_whole`` if it completes the session."""

    head: ImportedSession
    states: list[StateEntry] = field(default_factory=list)
    messages: list[MessageRow] = field(default_factory=list)
    is_whole: bool = False

    @property
    def key(self) -> str:
        """The key of the session."""
        return self.head.key


class WriteResult(NamedTuple):
    """The number of messages added and already stored, and why the slice was rejected, if it was."""

    added: int
    already_there: int
    problem: str | None = None


class _HeadCounters(NamedTuple):
    """The counters of a session row, with times as text, in the column order of `COUNTED`."""

    last_activity: str
    active_minute: str
    message_count: int
    last_seq: int
    state: str
    turn_id: str | None
    state_entered_at: str | None
    state_seq: int


def in_groups(items: Iterable[Item], size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Group small sessions, so that one statement reads a group; a session of more than a page stays alone."""
    group: list[Item] = []
    total = 0
    for item in items:
        if group and total + size(item) > PAGE:
            yield group
            group, total = [], 0
        group.append(item)
        total += size(item)
    if group:
        yield group


def rows_by_key(read: Read, statement: Executable, keys: Sequence[str], after: int = 0) -> Iterator[Any]:
    """Yield the rows of a group of sessions, ordered by key and seq; a single session is read in pages."""
    limit = PAGE if len(keys) == 1 else MAX_BIGINT
    while page := read(statement, {"keys": keys, "after": after, "limit": limit}):
        yield from page
        if len(page) < limit:
            return
        after = page[-1][SEQ]


def write_slices(db: Connection, parts: Iterable[SessionSlice]) -> dict[str, WriteResult]:
    """Write slices of different sessions, and return the result of each by key.

    Raises:
        Conflict: Another transaction created one of the sessions.
    """
    # In the order of the keys, so that two imports cannot deadlock.
    parts = sorted(parts, key=lambda part: part.key)
    heads = _lock_heads(db, [part.key for part in parts])
    different = _find_differences(db, parts, heads)
    taken = _taken_keys(db, parts, heads)
    written: dict[str, WriteResult] = {}
    new, changed = [], []
    states: list[tuple[Any, ...]] = []
    messages: list[MessageRow] = []
    for part in parts:
        before = heads.get(part.key) or _new_head(part.head)
        added = [message for message in part.messages if message.seq > before.last_seq]
        there = len(part.messages) - len(added)
        if part.key in different:
            written[part.key] = different[part.key]
            continue
        if part.key in taken:
            written[part.key] = WriteResult(0, there, taken[part.key])
            continue
        entries = [entry for entry in part.states if entry.seq > before.state_seq]
        after = _counters_after(before, part, entries, added)
        if part.key not in heads:
            new.append((*_head_columns(part.head), *after))
        elif after != before:
            changed.append((*_head_columns(part.head), *after))
        states += ((part.key, *entry[:-1], utc_text(entry.entered_at)) for entry in entries)
        messages += added
        written[part.key] = WriteResult(len(added), there)
    if bulk_copy_statements.NEW_HEADS.run(db, new) < len(new):
        problem = "another transaction created one of the imported sessions"
        raise Conflict(problem)
    bulk_copy_statements.CHANGED_HEADS.run(db, changed)
    bulk_copy_statements.NEW_STATES.run(db, states)
    bulk_copy_statements.NEW_MESSAGES.run(db, messages)
    return written


def _lock_heads(db: Connection, keys: Sequence[str]) -> dict[str, _HeadCounters]:
    heads = {}
    for key, *row in fetch(db, bulk_copy_statements.LOCK_HEADS, {"keys": keys}):
        head = _HeadCounters(*row)
        heads[key] = head._replace(
            last_activity=_as_text(head.last_activity),
            active_minute=_as_text(head.active_minute),
            state_entered_at=None if head.state_entered_at is None else _as_text(head.state_entered_at),
        )
    return heads


def _find_differences(
    db: Connection, parts: Sequence[SessionSlice], heads: Mapping[str, _HeadCounters]
) -> dict[str, WriteResult]:
    """Return the sessions whose stored messages differ from the imported ones, and the problem of each."""
    different = {}
    there = [part for part in parts if part.messages and part.messages[0].seq <= _last_seq(heads, part)]
    for group in in_groups(there, lambda part: heads[part.key].message_count):
        first = group[0].messages[0].seq if len(group) == 1 else 1
        rows = rows_by_key(
            partial(fetch, db), bulk_copy_statements.SOME_MESSAGES, [part.key for part in group], first - 1
        )
        row = next(rows, None)
        for part in group:
            for equal, message in enumerate(part.messages):
                if message.seq > _last_seq(heads, part):
                    break
                while row is not None and tuple(row[: SEQ + 1]) < message[: SEQ + 1]:
                    row = next(rows, None)
                problem = _difference(message, row)
                if problem is not None:
                    different[part.key] = WriteResult(0, equal, problem)
                    break
    return different


def _difference(message: MessageRow, row: Any) -> str | None:
    if row is None or tuple(row[: SEQ + 1]) != message[: SEQ + 1]:
        return f"message {message.seq} was deleted in the store"
    there = MessageRow(*row)
    if (there.role, there.content) == (message.role, message.content) and _is_same(there.payload, message.payload):
        return None
    return f"message {message.seq} differs from the stored one"


def _is_same(one: str | None, other: str | None) -> bool:
    return one == other or (one is not None and other is not None and same_json(load_json(one), load_json(other)))


def _taken_keys(db: Connection, parts: Iterable[SessionSlice], heads: Mapping[str, _HeadCounters]) -> dict[str, str]:
    """Return the sessions that would have two messages under one idempotency key, and the problem of each."""
    named = [
        message
        for part in parts
        for message in part.messages
        if message.idempotency_key is not None and message.seq > _last_seq(heads, part)
    ]
    keys = {message.session_key for message in named if message.session_key in heads}
    asked = {"keys": list(keys), "idempotency_keys": [message.idempotency_key for message in named]}
    used = {tuple(row) for row in fetch(db, bulk_copy_statements.IDEMPOTENCY_KEYS, asked)} if keys else set()
    taken: dict[str, str] = {}
    for message in named:
        place = (message.session_key, message.idempotency_key)
        if place in used:
            taken.setdefault(
                message.session_key, f"message {message.seq} has the idempotency key of an earlier message"
            )
        used.add(place)
    return taken


def _last_seq(heads: Mapping[str, _HeadCounters], part: SessionSlice) -> int:
    head = heads.get(part.key)
    return 0 if head is None else head.last_seq


def _new_head(head: ImportedSession) -> _HeadCounters:
    return _HeadCounters(
        utc_text(head.created_at), utc_text(truncate_to_minute(head.created_at)), 0, 0, IDLE, None, None, 0
    )


def _counters_after(
    before: _HeadCounters, part: SessionSlice, entries: Sequence[StateEntry], added: Sequence[MessageRow]
) -> _HeadCounters:
    """Return the counters of a session row after adding states and messages."""
    counted = before._replace(
        last_activity=max([before.last_activity, *(message.created_at for message in added)]),
        message_count=before.message_count + len(added),
        last_seq=added[-1].seq if added else before.last_seq,
    )
    if entries:
        seq, state, turn_id, entered_at = entries[-1]
        counted = counted._replace(state=state, turn_id=turn_id, state_entered_at=utc_text(entered_at), state_seq=seq)
    if part.is_whole:
        head = part.head
        counted = counted._replace(
            last_activity=max(counted.last_activity, utc_text(head.last_activity)),
            last_seq=max(counted.last_seq, head.last_seq),
        )
        if head.state_seq > counted.state_seq:
            entered = None if head.state_entered_at is None else utc_text(head.state_entered_at)
            counted = counted._replace(
                state=head.state, turn_id=head.turn_id, state_entered_at=entered, state_seq=head.state_seq
            )
    return counted._replace(active_minute=utc_text(truncate_to_minute(as_utc(counted.last_activity))))


def _head_columns(head: ImportedSession) -> tuple[Any, ...]:
    name = None if head.name is None else escape(head.name)
    return head.key, name, head.owner, dump_json(head.attributes), utc_text(head.created_at)


def _as_text(time: Any) -> str:
    return utc_text(as_utc(time))
