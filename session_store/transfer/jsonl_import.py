"""Import JSON Lines: single messages, and whole sessions as an export wrote them.

A single message has ``session_key``, ``role`` and ``content``, all text, and may have ``created_at`` (ISO 8601 with a
time zone; default: now) and ``payload`` (any JSON). Other fields and blank lines are ignored. The lines of an export
have a ``kind``.
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
    """Import JSON Lines files, plain or gzip, into a store, and return what was imported.

    A single message is appended; importing the same file again adds nothing. Sessions of an export are created with
    their seqs, times and states. If a session exists, its new messages are added; it is skipped if stored messages
    differ, or if one of its lines is broken.

    Batches of up to 10,000 lines are committed. After a crash or an error the same call continues. Memory grows by
    about 100 bytes for each single message of the longest file. On SQLite a long import disables the search index, and
    rebuilds it at the end.

    Args:
        store: The store, migrated; not inside its ``begin()``.
        files: Paths, or files open for reading bytes.
        dry_run: Only return what would be imported. Everything runs in one transaction, which is rolled back: on SQLite
            it blocks all other writers, on PostgreSQL those of the same sessions.
        on_broken: Called with each line that is not imported; the others are.
        on_skipped: Called with each exported session that is not imported, or not completely.
        on_read: Called with the number of bytes read since the previous call, before decompression.

    Raises:
        OSError: A file cannot be opened.
        InvalidQuery: A file is neither a path nor open for reading bytes; the files before it were imported.
        StoreUnavailable: The database cannot serve, or was locked for too long.
        SchemaOutOfDate: The tables are missing or at another revision.
        Conflict: The database kept rolling back a transaction because of other writers.
    """
    lines = Lines(on_broken)
    with BulkLoad(store, dry_run=dry_run) as load:
        importer = MessageImporter(load, lines.tell)
        writer = SessionImporter(load, on_skipped)
        for file in files:
            with open_lines(file, on_read) as (name, source):
                importer.begin_file()
                ahead = PeekableLines(_objects(lines, name, source))
                while (line := ahead.next) is not None:
                    # Write earlier lines first: they may belong to the same session.
                    if line.kind is None:
                        writer.flush()
                        _append(line, name, importer, lines)
                        ahead.move()
                    else:
                        importer.flush()
                        read_session(line, ahead, lines, writer)
                importer.flush()
        writer.flush()
    return ImportResult(
        lines.read,
        importer.added + writer.added,
        importer.already_there + writer.already_there,
        lines.broken,
        len(importer.keys | writer.keys),
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
        problem = f"must be a JSON object, got {type(fields).__name__}"
        raise InvalidMessage(problem)
    return fields


def _append(line: Line, file: str, importer: MessageImporter, lines: Lines) -> None:
    try:
        importer.add(file, line.number, line.fields, len(line.text))
    except ValueError as error:
        lines.tell(file, line.number, str(error))
    else:
        importer.flush(if_full=True)
