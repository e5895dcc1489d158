"""What comes of the files of other programs: sessions for the writer, and what is told of those and counted."""

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
    """A session as the writer takes it."""

    head: ImportedSession
    states: Iterable[StateEntry]
    messages: Iterable[ImportedMessage]


class _KeptEntries(Protocol):
    """Returns what a session's row says in a column; None where that is nothing, or cannot be kept."""

    def __call__(self, column: str, check: Callable[[object, str], T]) -> T | None:
        """Return it; ``check`` takes what is there and the name of the column."""


class ForeignImporter:
    """An import on its way.

    Args:
        on_broken: Told of each message that is not imported.
        on_skipped: Told of each session that is not imported, or not to its end.
        on_mended: Told of what is imported otherwise than it was said.
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
        """Tell of something that is imported otherwise than it was said."""
        self._mended += 1
        if self._on_mended is not None:
            self._on_mended(Adjusted(file, line, reason))

    def skip(self, key: str, reason: str) -> None:
        """Tell of a session that is not imported."""
        self._skipped += 1
        if self._on_skipped is not None:
            self._on_skipped(SkippedSession(key, reason))

    def sessions(
        self,
        path: Path,
        groups: Iterable[SessionGroup],
        last_activity: str,
        said: Callable[[Mapping[str, Any]], ChatMessage],
    ) -> Iterator[tuple[ForeignSession, _KeptEntries]]:
        """Give the sessions of a SQLite file, with their times and messages and nothing else as yet.

        Args:
            path: The file.
            groups: What it holds of each.
            last_activity: The column that has the time of that.
            said: Returns the message that a row is.
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
            yield ForeignSession(head, (), self._messages(file, rest, created_at, said)), kept

    def _messages(
        self,
        file: str,
        rows: Iterable[Mapping[str, Any]],
        created_at: datetime,
        said: Callable[[Mapping[str, Any]], ChatMessage],
    ) -> Iterator[ImportedMessage]:
        """Give what rows say by number, without those that cannot be messages.

        One whose time is none gets that of the one before it, the first one that of its session: ``created_at``.
        """
        seq = 0
        for row in rows:
            self.lines.read += 1
            try:
                message = said(row)
            except InvalidMessage as error:
                self.lines.tell(file, row["id"], str(error))
                continue
            try:
                created_at = time(row.get("created_at"), "created_at")
            except InvalidMessage as error:
                self.adjust(file, row["id"], f"{error}; it gets the time before it, {created_at}")
            seq += 1
            yield ImportedMessage(seq, created_at, None, None, message)

    def write_all(self, store: SessionStore, sessions: Iterable[ForeignSession], *, dry_run: bool) -> ImportResult:
        """Write sessions to a store and say what became of all."""
        with BulkLoad(store, dry_run=dry_run) as load:
            writer = SessionImporter(load, self._on_skipped)
            try:
                for session in sessions:
                    writer.add(*session)
            except sqlite3.Error:
                # Of the file: what was read of it before is not lost.
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
            self.adjust(file, 0, f"session {truncate(group.key)} comes without it: {error}")
            return None


def modified_at(path: Path) -> datetime:
    """Return when a file was last changed; where that is after all time, now."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OverflowError, ValueError):
        return datetime.now(UTC)


def _time_of(row: Mapping[str, Any] | None) -> datetime | None:
    if row is not None:
        with suppress(InvalidMessage):
            return time(row.get("created_at"), "created_at")
    return None
