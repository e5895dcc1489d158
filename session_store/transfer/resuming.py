"""Where a file that an export was writing when it ended can be gone on with.

The last session in it may be incomplete, so it is cut off, and the export goes on behind the one before.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, BinaryIO, Final

from session_store.interface.errors import InvalidQuery

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK: Final = 1 << 20
_SESSION: Final = b'{"kind":"session","session_key":'
_CSV: Final = b"session_key,seq,"
_FIRST_FIELD: Final = re.compile(rb'"((?:[^"]|"")*)",|([^",]*),')
_MAX_KEY_BYTES: Final = 4_096
"""A key of 512 control characters is 3,072 bytes of JSON."""


def resume_jsonl(file: BinaryIO) -> str | None:
    """Cut what may be incomplete off a file of `export_jsonl` and return ``after`` for the export that goes on with it.

    Args:
        file: Open for reading and writing bytes; it is then at its end. None is returned where that is its beginning.

    Raises:
        InvalidQuery: It is no such file; nothing was cut.
    """
    _require(file, _SESSION)
    last = _last_session(file, file.seek(0, os.SEEK_END))
    after = None if last == 0 else _key_of_line(file, _last_session(file, last))
    file.truncate(last)
    file.seek(last)
    return after


def resume_csv(file: BinaryIO) -> str | None:
    """Cut what may be incomplete off a file of `export_csv`, as `resume_jsonl` does; all of it goes with its header.

    Args:
        file: Open for reading and writing bytes; it is then at its end. None is returned where that is its beginning.

    Raises:
        InvalidQuery: It is no such file; nothing was cut.
    """
    _require(file, _CSV)
    after = key = None
    last = 0
    rows = _rows(file)
    next(rows, None)
    for place, row in rows:
        its = _key_of_row(row)
        if its != key:
            after, key, last = key, its, place
    if after is None:
        last = 0
    file.truncate(last)
    file.seek(last)
    return after


def _require(file: BinaryIO, beginning: bytes) -> None:
    file.seek(0)
    if not beginning.startswith(file.read(len(beginning))):
        problem = f"{getattr(file, 'name', 'the file')} does not begin as an export of this kind does"
        raise InvalidQuery(problem)


def _last_session(file: BinaryIO, end: int) -> int:
    """Return where the last line that is a session's begins, of those that begin before a place."""
    wanted = b"\n" + _SESSION
    while end > 1:
        start = max(end - _BLOCK, 0)
        file.seek(start)
        # Of a line that begins in this block, as much as tells what it is may be in the next.
        found = file.read(end - start + len(wanted) - 2).rfind(wanted)
        if found >= 0:
            return start + found + 1
        end = start + 1
    return 0


def _key_of_line(file: BinaryIO, place: int) -> str:
    file.seek(place + len(_SESSION))
    key: str = json.JSONDecoder().raw_decode(file.read(_MAX_KEY_BYTES).decode("ascii"))[0]
    return key


def _rows(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Give the beginning of each row that is complete, and where it is."""
    file.seek(0)
    place = end = quotes = 0
    row = b""
    for line in file:
        row = row if len(row) > _MAX_KEY_BYTES else row + line[:_MAX_KEY_BYTES]
        quotes += line.count(b'"')
        end += len(line)
        if line.endswith(b"\r\n") and quotes % 2 == 0:
            yield place, row
            place, quotes, row = end, 0, b""


def _key_of_row(row: bytes) -> str:
    match = _FIRST_FIELD.match(row)
    if match is None:
        problem = "a row does not begin with a session's key"
        raise InvalidQuery(problem)
    quoted, plain = match.groups()
    key: bytes = plain if quoted is None else quoted.replace(b'""', b'"')
    return key.decode()
