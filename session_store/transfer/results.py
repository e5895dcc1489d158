"""What an import says: of each line and session that it did not take, and in the end."""

from __future__ import annotations

from typing import NamedTuple


class BrokenLine(NamedTuple):
    """A line that was not imported, numbered from 1, and why.

    Where a file cannot be read to its end, ``line`` is the first one missing.
    """

    file: str
    line: int
    reason: str


class SkippedSession(NamedTuple):
    """A session of which nothing more was imported, and why."""

    session_key: str
    reason: str


class Adjusted(NamedTuple):
    """Something that was imported otherwise than it was said, for that cannot be kept, and how.

    ``line`` is 0 where it is about a session and not about one message.
    """

    file: str
    line: int
    reason: str


class ImportResult(NamedTuple):
    """What became of it all.

    ``lines`` were read, ``broken`` of them could not be. Messages were ``added`` or ``already_there``, and
    ``sessions`` have at least one that was, or came without any; ``skipped`` sessions were not taken to their end.
    ``mended`` things were taken otherwise than they were said.
    """

    lines: int
    added: int
    already_there: int
    broken: int
    sessions: int
    skipped: int = 0
    adjusted: int = 0
