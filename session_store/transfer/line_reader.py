"""Read lines of JSON from plain or gzip files, and report broken lines."""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn

from session_store.interface.errors import InvalidMessage, InvalidQuery
from session_store.models.validation import aware_datetime, type_error
from session_store.transfer.results import BrokenLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_LINE_BYTES: Final = 32 * 1024 * 1024
"""A longer line is broken; it is skipped without being held in memory."""

_GZIP: Final = b"\x1f\x8b"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Lines:
    """Reads and counts lines; a broken line is reported and skipped."""

    def __init__(self, on_broken: Callable[[BrokenLine], object] | None = None) -> None:
        self._on_broken = on_broken
        self.read = self.broken = 0

    def of(self, file: str, source: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """Yield the lines of a file that are not blank, with their numbers."""
        number = 0
        try:
            while text := source.readline(MAX_LINE_BYTES):
                number += 1
                if len(text) == MAX_LINE_BYTES and not text.endswith(b"\n"):
                    while text and not text.endswith(b"\n"):
                        text = source.readline(MAX_LINE_BYTES)
                    self.read += 1
                    self.tell(file, number, f"longer than {MAX_LINE_BYTES:,} bytes")
                    continue
                if number == 1:
                    text = text.removeprefix(_BYTE_ORDER_MARK)
                if text.strip():
                    self.read += 1
                    yield number, text
        except (OSError, EOFError, zlib.error) as error:
            self.read += 1
            self.tell(file, number + 1, f"cannot be read from here on: {error}")

    def tell(self, file: str, number: int, reason: str) -> None:
        """Report a line that is not imported."""
        self.broken += 1
        if self._on_broken is not None:
            self._on_broken(BrokenLine(file, number, reason))


@contextmanager
def open_lines(
    file: str | os.PathLike[str] | BinaryIO, on_read: Callable[[int], object] | None = None
) -> Iterator[tuple[str, BinaryIO]]:
    """Yield the name of a file and its decompressed content.

    Args:
        file: A path, or a file open for reading bytes, which stays open.
        on_read: Called with the number of bytes read since the previous call, before decompression.

    Raises:
        OSError: The file cannot be opened.
        InvalidQuery: The argument is neither a path nor open for reading bytes.
    """
    if isinstance(file, str | os.PathLike):
        with open(file, "rb") as source:  # noqa: PTH123 - a path may be one of bytes
            yield str(source.name), _decompress(source, on_read)
    elif callable(getattr(file, "readline", None)) and not isinstance(file, io.TextIOBase):
        yield str(getattr(file, "name", "<bytes>")), _decompress(file, on_read)
    else:
        raise InvalidQuery(type_error(file, "a file", "a path, or open for reading bytes"))


def decode(text: bytes) -> Any:
    """Return the JSON value of a line.

    Raises:
        InvalidMessage: The line is not valid JSON; the message says why.
    """
    try:
        return _JSON.decode(text.decode().rstrip())
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8: byte {text[error.start]:#04x} at {error.start + 1}"
    except json.JSONDecodeError as error:
        problem = f"is not JSON at character {error.pos + 1}: {error.msg}"
    except RecursionError:
        problem = "is nested too deeply"
    except InvalidMessage:
        raise
    except ValueError:
        problem = "has an integer of more than 4,300 digits"
    raise InvalidMessage(problem)


def parse_time(value: object, what: str) -> datetime | None:
    """Parse a time in ISO 8601; None stays None.

    Raises:
        InvalidMessage: The value is not such a text, or has no time zone.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        problem = f"{what} must be a str, got {type(value).__name__}"
        raise InvalidMessage(problem)
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        problem = f"{what} is not a time in ISO 8601: {ascii(value)[:60]}"
        raise InvalidMessage(problem) from None
    return aware_datetime(time, what, InvalidMessage)


class _Reader(io.RawIOBase):
    """A file that reports how much of it was read."""

    def __init__(self, source: BinaryIO, on_read: Callable[[int], object] | None) -> None:
        self._source = source
        self._on_read = on_read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        if self._on_read is not None:
            self._on_read(len(data))
        return len(data)


def _decompress(source: BinaryIO, on_read: Callable[[int], object] | None) -> BinaryIO:
    """Return the content of a file, decompressed if needed."""
    plain = io.BufferedReader(_Reader(source, on_read), 1 << 16)
    if plain.peek(len(_GZIP)).startswith(_GZIP):
        return gzip.GzipFile(fileobj=plain)  # type: ignore[return-value]
    return plain


def _no_constant(name: str) -> NoReturn:
    problem = f"is not JSON: {name}"
    raise InvalidMessage(problem)


_JSON: Final = json.JSONDecoder(parse_constant=_no_constant)
