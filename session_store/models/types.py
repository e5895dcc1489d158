"""Column types that return exactly the value that was stored, on both databases.

PostgreSQL rejects NUL and lone surrogates in text, and SQLite has no type for times. Text is escaped: SUB (U+001A)
followed by three of sixteen control characters stands for one character that cannot be stored. Only NUL, lone
surrogates and SUB itself are escaped. The sixteen are control characters because only those separate words for FTS5
and for tsvector under every ctype.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import JSON, DateTime, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Dialect
    from sqlalchemy.sql.operators import OperatorType

SUB: Final = "\x1a"
ESCAPE_DIGITS: Final = "\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x10\x11\x12\x13\x14\x15"
_VALUE_OF: Final = {digit: value for value, digit in enumerate(ESCAPE_DIGITS)}
_UNSAFE: Final = re.compile("[\0\x1a\ud800-\udfff]")
_ESCAPED: Final = re.compile(f"{SUB}([{ESCAPE_DIGITS}]{{3}})")
_encode_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SUB_IN_JSON: Final = "\\u001a"
_SURROGATES: Final = 0xD000


def escape(text: str) -> str:
    """Return a text as it is stored."""
    if "\0" not in text and SUB not in text and (text.isascii() or _is_encodable(text)):
        return text
    return _UNSAFE.sub(_encode, text)


def unescape(text: str) -> str:
    """Return the text from its stored form."""
    return _ESCAPED.sub(_decode, text) if SUB in text else text


def to_portable(stored: str) -> str:
    """Return a stored text in a form that survives JSON, for `unescape` to read.

    That is the text itself, except for two surrogates that JSON would read as one character, and text that looks
    escaped.
    """
    text = unescape(stored)
    return stored if _PAIR.search(text) or _ESCAPED.search(text) else text


def dump_json(value: Any) -> str:
    """Return a JSON value as stored text."""
    text = _encode_json(value)
    if "\\u00" not in text and (text.isascii() or _is_encodable(text)):
        return text
    return _encode_json(map_strings(value, escape))


def load_json(text: str, read: Callable[[str], str] = unescape) -> Any:
    """Return a JSON value from its stored text; ``read`` converts each string in it."""
    value = json.loads(text)
    return map_strings(value, read) if _SUB_IN_JSON in text else value


def same_json(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal; unlike in Python, true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(item, other[name]) for name, item in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


def truncate_to_minute(time: datetime) -> datetime:
    """Return the start of the minute, the value in the recency indexes."""
    return time.replace(second=0, microsecond=0)


def utc_text(time: datetime) -> str:
    """Return a time as text that sorts by time."""
    # Not strftime: its %Y is "900" for the year 900.
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def as_utc(stored: datetime | str) -> datetime:
    """Return a time from a driver, text or in the server's time zone, in UTC."""
    time = datetime.fromisoformat(stored) if isinstance(stored, str) else stored
    return time if time.tzinfo is UTC else time.astimezone(UTC)


def _is_encodable(text: str) -> bool:
    # Ten times faster than searching for surrogates.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encode(match: re.Match[str]) -> str:
    # Twelve bits suffice: NUL is 0, SUB is 0x1a, and the surrogates D800 to DFFF keep their lower three digits.
    code = ord(match[0]) & 0xFFF
    return SUB + ESCAPE_DIGITS[code >> 8] + ESCAPE_DIGITS[code >> 4 & 15] + ESCAPE_DIGITS[code & 15]


def _decode(match: re.Match[str]) -> str:
    high, middle, low = (_VALUE_OF[digit] for digit in match[1])
    code = high << 8 | middle << 4 | low
    return chr(_SURROGATES + code) if high >= 8 else chr(code)  # noqa: PLR2004 - D800 & FFF is 800


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Return a JSON value with each string in it converted, object keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(name): map_strings(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [map_strings(item, change) for item in value]
    return value


class ExactText(TypeDecorator[str]):
    """Text that stores every Python `str` exactly, NUL and lone surrogates included."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's
        return None if value is None else escape(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else unescape(value)


class ExactJson(TypeDecorator[Any]):
    """JSON that stores every string exactly: JSONB on PostgreSQL, text on SQLite.

    Not ``JSON`` on SQLite: that declaration has numeric affinity, which rounds a long number.
    """

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import JSONB  # noqa: PLC0415 - brings all drivers of PostgreSQL along

            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(Text())

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:
        return self.impl_instance.coerce_compared_value(op, value)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        text = dump_json(value)
        return json.loads(text) if dialect.name == "postgresql" else text

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        return map_strings(value, unescape) if dialect.name == "postgresql" else load_json(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware time, always in UTC: ``timestamptz`` on PostgreSQL, 32 sortable characters on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(32))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.utcoffset() is None:
            message = f"{value!r} has no time zone"
            raise ValueError(message)
        return utc_text(value) if dialect.name == "sqlite" else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else as_utc(value)
