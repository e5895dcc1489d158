"""A finding of the doctor, and its shell commands."""

from __future__ import annotations

import re
import shlex
from enum import IntEnum
from typing import Final, NamedTuple

PROGRAM: Final = "session-store"

_AGES: Final = ((86_400, "d"), (3_600, "h"), (60, "m"))
_UNPRINTABLE: Final = re.compile(r"[^ -~]")
_NEEDS_QUOTING: Final = re.compile(r"[^ -~]|['\\]")


class Severity(IntEnum):
    """The severity of a finding: a fact, a risk, or a fault."""

    INFO = 1
    WARNING = 2
    ERROR = 3


class Finding(NamedTuple):
    """A result of a check.

    ``check`` is the stable name of the check, ``message`` describes in one line the result and its meaning, ``value``
    is the measured number or word, and ``unit`` its unit (``"sessions"``, ``"bytes"``, ``"seconds"``). ``command`` is
    the shell command that fixes it, None if nothing is wrong or no command does.
    """

    check: str
    severity: Severity
    message: str
    value: float | str | None = None
    unit: str | None = None
    command: str | None = None


def shell_command(*words: str) -> str:
    """Return a quoted shell command, without characters that could steer a terminal."""
    return " ".join(map(_quote, words))


def escape_ascii(text: str) -> str:
    """Return a text with all characters but printable ASCII escaped."""
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def format_age(seconds: float) -> str:
    """Return a duration in its largest whole unit, as commands accept it, such as ``90m``."""
    for length, unit in _AGES:
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length:.0f}{unit}"
    # Not in scientific notation, which commands reject, and not rounded: that would match younger sessions.
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def _quote(word: str) -> str:
    if not _UNPRINTABLE.search(word):
        return shlex.quote(word)
    # The syntax of POSIX 2024, and of bash, zsh and ksh before.
    return f"$'{_NEEDS_QUOTING.sub(_escape, word)}'"


def _escape(match: re.Match[str]) -> str:
    return "".join(f"\\{byte:03o}" for byte in match[0].encode("utf-8", "surrogatepass"))
