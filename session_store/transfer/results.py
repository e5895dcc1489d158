"""The results of an import."""

from __future__ import annotations

from typing import NamedTuple


class BrokenLine(NamedTuple):
    """A line that was not imported, numbered from 1, and the reason.

    If a file cannot be read to its end, ``line`` is the first missing line.
    """

    file: str
    line: int
    reason: str


class SkippedSession(NamedTuple):
    """A session that was not imported, or not completely, and the reason."""

    session_key: str
    reason: str


class Adjusted(NamedTuple):
    """A value that could not be stored as given and was adjusted.

    ``line`` is 0 for a value of the session and not of a message.
    """

    file: str
    line: int
    reason: str


class ImportResult(NamedTuple):
    """The counts of an import.

    ``lines`` read, ``broken`` of them; messages ``added`` and ``already_there``; ``sessions`` with such a message, or
    without any message; ``skipped`` sessions, which were not imported completely; ``adjusted`` values.
    """

    lines: int
    added: int
    already_there: int
    broken: int
    sessions: int
    skipped: int = 0
    adjusted: int = 0
