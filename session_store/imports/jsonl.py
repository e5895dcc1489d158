"""JSON Lines into a store: one JSON object a line, each of them one message.

A line has ``session_key``, ``role`` and ``content``, all text, and may have ``created_at`` (ISO 8601 with a time
zone; without it: now) and ``payload`` (any JSON). Other fields are passed over, as are blank lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from session_store.errors import InvalidMessage
from session_store.imports.lines import Lines, decoded, opened
from session_store.imports.loading import Load
from session_store.imports.messages import Appending
from session_store.imports.reports import BrokenLine, Imported

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from session_store.store import SessionStore


def import_jsonl(
    store: SessionStore,
    files: Iterable[str | os.PathLike[str] | BinaryIO],
    *,
    on_broken: Callable[[BrokenLine], object] | None = None,
    on_read: Callable[[int], object] | None = None,
) -> Imported:
    """Append the messages of JSON Lines files, plain or gzip, to a store, and say what became of the lines.

    They are committed in batches of up to 10,000 lines. Where this ends early, by a crash or an error, the batches
    before are there, and doing it again completes it. Memory grows by about 100 bytes a line of the longest file.
    On SQLite a long import suspends the search index, and makes it anew at the end.

    Args:
        store: Where they go, migrated; not within its ``begin()``.
        files: Paths, or files open for reading bytes.
        on_broken: Told of each line that is not imported; the others are.
        on_read: Told how many more bytes of the files as they are, compressed or not, have been read.

    Raises:
        OSError: A file cannot be opened.
        InvalidQuery: A file is neither a path nor open for reading bytes; the ones before it were read.
        StoreUnavailable: The database cannot serve, or was locked for too long.
        SchemaOutOfDate: The tables are missing or old.
        Conflict: The database gave way to other writers every time.
    """
    lines = Lines(on_broken)
    with Load(store) as load:
        appending = Appending(load, lines.tell)
        for file in files:
            with opened(file, on_read) as (name, source):
                appending.begin_file()
                for number, text in lines.of(name, source):
                    try:
                        appending.add(name, number, _fields(text), len(text))
                    except ValueError as error:
                        lines.tell(name, number, str(error))
                    else:
                        appending.flush(if_full=True)
                appending.flush()
    return Imported(lines.read, appending.added, appending.already_there, lines.broken, len(appending.last_seqs))


def _fields(text: bytes) -> dict[str, object]:
    fields = decoded(text)
    if not isinstance(fields, dict):
        problem = f"must be a JSON object, not {type(fields).__name__}"
        raise InvalidMessage(problem)
    return fields
