"""Continue an interrupted export to a JSON Lines file.

The last session in the file may be incomplete: it is cut off, and the export continues after the session before it.
"""

from __future__ import annotations

import json
import os
from typing import BinaryIO, Final

from session_store.interface.errors import InvalidQuery

_BLOCK: Final = 1 << 20
_SESSION: Final = b'{"kind":"session","session_key":'
_MAX_KEY_BYTES: Final = 4_096
"""A key of 512 control characters is 3,072 bytes of JSON."""


def resume_jsonl(file: BinaryIO) -> str | None:
    """Cut the last session off a file of `export_jsonl`, and return ``after`` for the export that continues it.

    Args:
        file: Open for reading and writing bytes; then positioned at its end. None is returned if it is then empty.

    Raises:
        InvalidQuery: The file is not an export; nothing was cut.
    """
    file.seek(0)
    if not _SESSION.startswith(file.read(len(_SESSION))):
        problem = f"{getattr(file, 'name', 'the file')} does not start like an export in JSON Lines"
        raise InvalidQuery(problem)
    last = _last_session(file, file.seek(0, os.SEEK_END))
    after = None if last == 0 else _key_of_line(file, _last_session(file, last))
    file.truncate(last)
    file.seek(last)
    return after


def _last_session(file: BinaryIO, end: int) -> int:
    """Return the offset of the last line of a session that starts before an offset."""
    wanted = b"\n" + _SESSION
    while end > 1:
        start = max(end - _BLOCK, 0)
        file.seek(start)
        # The start of a line in this block may continue in the next one.
        found = file.read(end - start + len(wanted) - 2).rfind(wanted)
        if found >= 0:
            return start + found + 1
        end = start + 1
    return 0


def _key_of_line(file: BinaryIO, place: int) -> str:
    file.seek(place + len(_SESSION))
    key: str = json.JSONDecoder().raw_decode(file.read(_MAX_KEY_BYTES).decode("ascii"))[0]
    return key
