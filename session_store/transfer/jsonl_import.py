"""JSON Lines into a store: messages each by itself, and whole sessions as an export wrote them.

A message by itself has ``session_key``, ``role`` and ``content``, all text, and may have ``created_at`` (ISO 8601 with
a time zone; without it: now) and ``payload`` (any JSON). Other fields are passed over, as are blank lines. The lines
of an export are known by their ``kind``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from session_store.interface.errors import InvalidMessage
from session_store.transfer.bulk_load import BulkLoad
from session_store.transfer.export_parser import Line, PeekableLines, read_session
from session_store.transfer.line_reader import Lines, decode, open_lines
from session_store.transfer.message_importer import MessageImporter
from session_store.transfer.results import BrokenLine, ImportResult, SkippedSession
from session_store.transfer.session_importer import SessionImporter

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from session_store.store.sync import SessionStore


def import_jsonl(  # noqa: PLR0913 - each is an option
    store: SessionStore,
    files: Iterable[str | os.PathLike[str] | BinaryIO],
    *,
    dry_run: bool = False,
    on_broken: Callable[[BrokenLine], object] | None = None,
    on_skipped: Callable[[SkippedSession], object] | None = None,
    on_read: Callable[[int], object] | None = None,
) -> ImportResult:
    """Bring what JSON Lines files say, plain or gzip, into a store, and say what became of it.

    A message that comes by itself is appended; the same file again adds nothing. The sessions of an export are made
    with the numbers, times and states they had. One that is there already gets what is new in it; if it differs from
    what comes, or a line of it is broken, it is skipped.

    All is committed in batches of up to 10,000 lines. Where this ends early, by a crash or an error, the batches
    before are there, and doing it again completes it. Memory grows by about 100 bytes a message that comes by itself,
    of the longest file. On SQLite a long import suspends the search index, and makes it anew at the end.

    Args:
        store: Where they go, migrated; not within its ``begin()``.
        files: Paths, or files open for reading bytes.
        dry_run: Only say what would become of it. All is done in one transaction, which is then rolled back: on SQLite
            nobody else writes meanwhile, on PostgreSQL nobody else writes to the same sessions.
        on_broken: Told of each line that is not imported; the others are.
        on_skipped: Told of each session of an export that is not taken, or not to its end.
        on_read: Told how many more bytes of the files as they are, compressed or not, have been read.

    Raises:
        OSError: A file cannot be opened.
        InvalidQuery: A file is neither a path nor open for reading bytes; the ones before it were read.
        StoreUnavailable: The database cannot serve, or was locked for too long.
        SchemaOutOfDate: The tables are missing or old.
        Conflict: The database gave way to other writers every time.
    """
    lines = Lines(on_broken)
    with BulkLoad(store, dry_run=dry_run) as load:
        appending = MessageImporter(load, lines.tell)
        writer = SessionImporter(load, on_skipped)
        for file in files:
            with open_lines(file, on_read) as (name, source):
                appending.begin_file()
                ahead = PeekableLines(_objects(lines, name, source))
                while (line := ahead.next) is not None:
                    # What stands first in a file is written first, for it may be of the same session.
                    if line.kind is None:
                        writer.flush()
                        _append(line, name, appending, lines)
                        ahead.move()
                    else:
                        appending.flush()
                        read_session(line, ahead, lines, writer)
                appending.flush()
        writer.flush()
    return ImportResult(
        lines.read,
        appending.added + writer.added,
        appending.already_there + writer.already_there,
        lines.broken,
        len(appending.keys | writer.keys),
        writer.skipped,
    )


def _objects(lines: Lines, file: str, source: BinaryIO) -> Iterator[Line]:
    for number, text in lines.of(file, source):
        try:
            line = Line(number, text, _object(text))
        except InvalidMessage as error:
            lines.tell(file, number, str(error))
        else:
            yield line


def _object(text: bytes) -> dict[str, Any]:
    fields = decode(text)
    if not isinstance(fields, dict):
        problem = f"must be a JSON object, not {type(fields).__name__}"
        raise InvalidMessage(problem)
    return fields


def _append(line: Line, file: str, appending: MessageImporter, lines: Lines) -> None:
    try:
        appending.add(file, line.number, line.fields, len(line.text))
    except ValueError as error:
        lines.tell(file, line.number, str(error))
    else:
        appending.flush(if_full=True)
