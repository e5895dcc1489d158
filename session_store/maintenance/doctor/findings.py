"""What a look at a database found: a fact, or a fault with what mends it."""

from __future__ import annotations

import math
import re
import shlex
from enum import IntEnum
from typing import Final, NamedTuple

PROGRAM: Final = "session-store"

_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB")
_AGES: Final = ((86_400, "d"), (3_600, "h"), (60, "m"))
_UNPRINTABLE: Final = re.compile(r"[^ -~]")
_NEEDS_QUOTING: Final = re.compile(r"[^ -~]|['\\]")


class Severity(IntEnum):
    """How bad a finding is: a fact, something to see to, or something that is wrong already."""

    INFO = 1
    WARNING = 2
    ERROR = 3


class Finding(NamedTuple):
    """One thing that was found.

    ``check`` is its name, which stays the same; ``message`` says in one line what it is and what it means. ``value``
    is the number or word it is about, ``unit`` of what (``"sessions"``, ``"bytes"``, ``"seconds"``). ``command`` mends
    it, as typed in a shell; None where there is nothing to mend, or no command does.
    """

    check: str
    severity: Severity
    message: str
    value: float | str | None = None
    unit: str | None = None
    command: str | None = None


def shell_command(*words: str) -> str:
    """Return words as they are typed in a shell, in characters that do nothing to a terminal."""
    return " ".join(map(_quote, words))


def escape_ascii(text: str) -> str:
    """Return a text with everything but plain ASCII written out."""
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def format_size(size: float) -> str:
    """Return a number of bytes as people write it."""
    power = min(int(math.log10(max(size, 1))) // 3, len(_UNITS) - 1)
    return f"{size:,.0f} bytes" if power == 0 else f"{size / 1000**power:.1f} {_UNITS[power]}"


def format_age(seconds: float) -> str:
    """Return a duration as people write it, and as a command takes it: in its largest whole unit."""
    for length, unit in _AGES:
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length:.0f}{unit}"
    # Not as 1.23e+06, which no command takes, nor rounded: it would move on sessions that are not that old.
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def format_duration(seconds: float) -> str:
    """Return a duration that was measured, of which nobody needs more than two digits."""
    for length, unit in (*_AGES, (1, "s")):
        if seconds >= length:
            rounded = seconds / length
            return f"{rounded:.0f} {unit}" if rounded >= 10 else f"{rounded:.1f} {unit}"  # noqa: PLR2004
    return f"{seconds:.2f} s"


def pluralize(number: int, what: str, many: str | None = None) -> str:
    """Return a number and what is counted, in the form that goes with it."""
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def _quote(word: str) -> str:
    if not _UNPRINTABLE.search(word):
        return shlex.quote(word)
    # As POSIX has it since 2024, and bash, zsh and ksh for longer.
    return f"$'{_NEEDS_QUOTING.sub(_escape, word)}'"


def _escape(match: re.Match[str]) -> str:
    return "".join(f"\\{byte:03o}" for byte in match[0].encode("utf-8", "surrogatepass"))
