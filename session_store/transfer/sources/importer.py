"""Convert sessions of other programs, and report what could not be imported."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from session_store.interface.errors import InvalidKey, InvalidMessage, InvalidQuery, truncate
from session_store.transfer.bulk_load import BulkLoad
from session_store.transfer.line_reader import Lines
from session_store.transfer.results import Adjusted, ImportResult, SkippedSession
from session_store.transfer.session_importer import ImportedMessage, ImportedSession, SessionImporter, StateEntry
from session_store.transfer.sources.sqlite_file import text, time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from session_store.interface.values import ChatMessage
    from session_store.store.sync import SessionStore
    from session_store.transfer.results import BrokenLine
    from session_store.transfer.sources.sqlite_file import SessionGroup

T = TypeVar("T")


class ForeignSession(NamedTuple):
    """A session for the importer."""

    head: ImportedSession
    states: Iterable[StateEntry]
    messages: Iterable[ImportedMessage]


class _KeptEntries(Protocol):
    """Returns the value of a column of a session's row; None if it is empty or cannot be stored."""

    def __call__(self, column: str, check: Callable[[object, str], T]) -> T | None:
        """Return the value, checked by ``check`` with the name of the column."""


class ForeignImporter:
    """A running import from another program.

    Args:
        on_broken: Called with each message that is not imported.
        on_skipped: Called with each session that is not imported, or not completely.
        on_adjusted: Called with each value that was adjusted.
    """

    def __init__(
        self,
        on_broken: Callable[[BrokenLine], object] | None,
        on_skipped: Callable[[SkippedSession], object] | None,
        on_mended: Callable[[Adjusted], object] | None,
    ) -> None:
        self.lines = Lines(on_broken)
        self._on_skipped = on_skipped
        self._on_mended = on_mended
        self._skipped = self._mended = 0

    def adjust(self, file: str, line: int, reason: str) -> None:
        """Report a value that was adjusted."""
        self._mended += 1
        if self._on_mended is not None:
            self._on_mended(Adjusted(file, line, reason))

    def skip(self, key: str, reason: str) -> None:
        """Report a session that is not imported."""
        self._skipped += 1
        if self._on_skipped is not None:
            self._on_skipped(SkippedSession(key, reason))

    def sessions(
        self,
        path: Path,
        groups: Iterable[SessionGroup],
        last_activity: str,
        to_message: Callable[[Mapping[str, Any]], ChatMessage],
    ) -> Iterator[tuple[ForeignSession, _KeptEntries]]:
        """Yield the sessions of a SQLite file with timestamps and messages; the caller adds the rest.

        Args:
            path: The file.
            groups: The rows of each session.
            last_activity: The column with the time of the last activity.
            to_message: Converts a row to a message.
        """
        file = str(path)
        for group in groups:
            try:
                key = text(group.key, "its key")
            except InvalidMessage as error:
                self.skip(truncate(group.key), str(error))
                continue
            rows = map(dict, group.messages)
            first = next(rows, None)
            kept = partial(self._kept, file, group)
            created_at = kept("created_at", time) or _time_of(first) or modified_at(path)
            head = ImportedSession(key, None, None, {}, created_at, kept(last_activity, time) or created_at)
            rest = rows if first is None else chain([first], rows)
            yield ForeignSession(head, (), self._messages(file, rest, created_at, to_message)), kept

    def _messages(
        self,
        file: str,
        rows: Iterable[Mapping[str, Any]],
        created_at: datetime,
        to_message: Callable[[Mapping[str, Any]], ChatMessage],
    ) -> Iterator[ImportedMessage]:
        """Yield the messages of rows with their seqs, without rows that cannot be messages.

        A message without a valid time gets the time of the previous one, the first one ``created_at`` of the session.
        """
        seq = 0
        for row in rows:
            self.lines.read += 1
            try:
                message = to_message(row)
            except InvalidMessage as error:
                self.lines.tell(file, row["id"], str(error))
                continue
            try:
                created_at = time(row.get("created_at"), "created_at")
            except InvalidMessage as error:
                self.adjust(file, row["id"], f"{error}; it gets the time of the previous message, {created_at}")
            seq += 1
            yield ImportedMessage(seq, created_at, None, None, message)

    def write_all(self, store: SessionStore, sessions: Iterable[ForeignSession], *, dry_run: bool) -> ImportResult:
        """Write sessions to a store, and return the counts."""
        with BulkLoad(store, dry_run=dry_run) as load:
            writer = SessionImporter(load, self._on_skipped)
            try:
                for session in sessions:
                    writer.add(*session)
            except sqlite3.Error:
                # An error of the file: what was read before is not lost.
                writer.flush()
                raise
            writer.flush()
        return ImportResult(
            lines=self.lines.read,
            added=writer.added,
            already_there=writer.already_there,
            broken=self.lines.broken,
            sessions=len(writer.keys),
            skipped=self._skipped + writer.skipped,
            adjusted=self._mended,
        )

    def _kept(self, file: str, group: SessionGroup, column: str, check: Callable[[object, str], T]) -> T | None:
        value = group.about.get(column)
        if value is None or value == "":
            return None
        try:
            return check(value, column)
        except (InvalidKey, InvalidMessage, InvalidQuery) as error:
            self.adjust(file, 0, f"session {truncate(group.key)} is imported without it: {error}")
            return None


def modified_at(path: Path) -> datetime:
    """Return the time of the last change of a file; now, if that is not a valid time."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OverflowError, ValueError):
        return datetime.now(UTC)


def _time_of(row: Mapping[str, Any] | None) -> datetime | None:
    if row is not None:
        with suppress(InvalidMessage):
            return time(row.get("created_at"), "created_at")
    return None
