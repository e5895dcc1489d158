"""Checks of every argument, before any SQL runs.

The limits on identifiers keep every indexed combination below 2,704 bytes, the limit of a PostgreSQL index row; beyond
it an append would fail.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from session_store.interface.errors import InvalidKey, InvalidMessage, InvalidQuery, StoreError, describe
from session_store.interface.values import ChatMessage, NewMessage
from session_store.models.types import dump_json, escape

MAX_IDENTIFIER_BYTES: Final = 512
MAX_WORD_BYTES: Final = 64
MAX_NAME_CHARACTERS: Final = 1024
MAX_SCHEMA_BYTES: Final = 63
"""PostgreSQL truncates longer names, and two names could become one."""
MAX_JSON_DEPTH: Final = 100
MAX_INTEGER_BITS: Final = 13_000
"""Python refuses to read and print integers above 4,300 digits, which is 14,284 bits."""

MAX_BIGINT: Final = 2**63 - 1
EXACT_FLOAT: Final = 1e16
"""From here on Python writes floats with an exponent, and JSONB returns them as integers."""

_JSON_SCALARS: Final = frozenset({str, bool})
"""Exactly these types: a subclass of `str` may have another repr."""
_KNOWN_ROLES: Final = frozenset({"user", "assistant", "system", "tool"})

MIN_DATETIME: Final = datetime(1, 1, 2, tzinfo=UTC)
_MAX_DATETIME: Final = datetime(9999, 12, 30, tzinfo=UTC)
"""A day less than Python's limit: drivers read a time in the server's zone before it is converted to UTC."""


def identifier(value: object, label: str, limit: int = MAX_IDENTIFIER_BYTES) -> str:
    """Return the value if it is an identifier of 1 to ``limit`` bytes.

    Raises:
        InvalidKey: The value is not a `str`, is empty or too long, or has a NUL or a lone surrogate.
    """
    return _short_text(value, label, limit, InvalidKey)


def optional_identifier(value: object, label: str) -> str | None:
    """Return the value if it is None or an identifier."""
    return None if value is None else identifier(value, label)


def schema_name(value: object) -> str:
    """Return the value if it is a valid name of a PostgreSQL schema.

    Raises:
        InvalidQuery: The value is not a `str` of 1 to 63 bytes, or has a NUL or a lone surrogate.
    """
    return _short_text(value, "schema", MAX_SCHEMA_BYTES, InvalidQuery)


def state_word(value: object) -> str:
    """Return the value if it is a state, of 1 to 64 bytes."""
    return identifier(value, "state", MAX_WORD_BYTES)


def session_name(value: object) -> str:
    """Return the value if it is a session name, of up to 1,024 characters."""
    if not isinstance(value, str):
        raise InvalidQuery(type_error(value, "name", "a str"))
    if len(value) > MAX_NAME_CHARACTERS:
        message = f"name has {len(value)} characters, at most {MAX_NAME_CHARACTERS} are allowed: {describe(value)}"
        raise InvalidQuery(message)
    return str.__str__(value)


def chat_message(value: object) -> tuple[ChatMessage, str, str | None]:
    """Return the message as it will be loaded, and its content and payload as they are stored.

    Raises:
        InvalidMessage: The value is not a `ChatMessage`, or its role, content or payload cannot be stored.
    """
    if not isinstance(value, ChatMessage):
        raise InvalidMessage(type_error(value, "message", "a ChatMessage"))
    role, content, payload = value
    if type(role) is not str or role not in _KNOWN_ROLES:
        role = _short_text(role, "role", MAX_WORD_BYTES, InvalidMessage)
    if not isinstance(content, str):
        message = f"content must be a str, got {type(content).__name__}"
        raise InvalidMessage(message)
    content = str.__str__(content)
    if payload is None:
        return ChatMessage(role, content), escape(content), None
    payload = json_value(payload, "payload", InvalidMessage)
    return ChatMessage(role, content, payload), escape(content), dump_json(payload)


def new_message(value: object) -> tuple[object, object, object]:
    """Return the fields of a `NewMessage`; a `ChatMessage` alone has no time and no idempotency key."""
    if isinstance(value, ChatMessage):
        return value, None, None
    if isinstance(value, NewMessage):
        return value.message, value.created_at, value.idempotency_key
    raise InvalidMessage(type_error(value, "message", "a ChatMessage or a NewMessage"))


def aware_datetime(value: object, label: str, error: type[StoreError] = InvalidQuery) -> datetime:
    """Return a timezone-aware time in UTC."""
    if not isinstance(value, datetime):
        raise error(type_error(value, label, "a datetime"))
    try:
        offset = value.utcoffset()
    except (TypeError, ValueError) as wrong:
        message = f"{label} has a time zone that is none: {wrong}"
        raise error(message) from None
    if offset is None:
        message = f"{label} must have a time zone: {value.isoformat()}"
        raise error(message)
    try:
        time = value.astimezone(UTC)
    except OverflowError:
        time = datetime.min.replace(tzinfo=UTC)
    if not MIN_DATETIME <= time <= _MAX_DATETIME:
        message = f"{label} must be between {MIN_DATETIME} and {_MAX_DATETIME}: {value.isoformat()}"
        raise error(message)
    return time


def integer(value: object, label: str, minimum: int = 0, maximum: int = MAX_BIGINT) -> int:
    """Return the value if it is an `int` in the range."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidQuery(type_error(value, label, "an int"))
    if not minimum <= value <= maximum:
        message = f"{label} must be {minimum} to {maximum}: {describe(value)}"
        raise InvalidQuery(message)
    return int(value)


def optional_number(value: object, label: str) -> int | None:
    """Return the value if it is None or an `int` of 0 or more."""
    return None if value is None else integer(value, label)


def cutoff(now: datetime, age: object, label: str, unit: timedelta) -> datetime:
    """Return the time ``age`` units ago, or the earliest time that can be stored if that is later."""
    if isinstance(age, bool) or not isinstance(age, int | float):
        raise InvalidQuery(type_error(age, label, "a number"))
    if not 0 <= age < math.inf:
        message = f"{label} must be 0 or more and finite: {describe(age)}"
        raise InvalidQuery(message)
    try:
        return now - age * unit
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def session_attributes(value: object) -> dict[str, Any]:
    """Return a mapping as attributes; a value of None stays and means that the attribute is removed."""
    if not isinstance(value, Mapping):
        raise InvalidQuery(type_error(value, "attributes", "a mapping"))
    plain: dict[str, Any] = json_value(dict(value), "attributes", InvalidQuery)
    return plain


def attribute_filter(value: object) -> dict[str, str | int | float | bool]:
    """Return a mapping of attributes to strings, numbers or booleans, for a filter."""
    wanted = session_attributes(value)
    for name, item in wanted.items():
        scalar = isinstance(item, str | bool | float) or (isinstance(item, int) and abs(item) <= MAX_BIGINT)
        if not scalar:
            message = f"attribute {describe(name)} must be a str, bool, float or 64-bit int, got {describe(item)}"
            raise InvalidQuery(message)
    return wanted


def json_value(value: object, label: str, error: type[StoreError], depth: int = 0) -> Any:
    """Return a JSON value as both databases return it.

    Tuples become lists. A float too large to have a fraction becomes an integer, and minus zero becomes zero, as in
    JSONB.
    """
    if value is None or type(value) in _JSON_SCALARS or (type(value) is int and value.bit_length() <= MAX_INTEGER_BITS):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int | float):
        return _number(value, label, error)
    if depth >= MAX_JSON_DEPTH:
        message = f"{label} is nested deeper than {MAX_JSON_DEPTH} levels"
        raise error(message)
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise error(type_error(name, f"a key in {label}", "a str"))
        return {
            str.__str__(name): item if type(item) in _JSON_SCALARS else json_value(item, label, error, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [json_value(item, label, error, depth + 1) for item in value]
    raise error(type_error(value, label, "JSON"))


def _number(value: float, label: str, error: type[StoreError]) -> int | float:
    if isinstance(value, int):
        if value.bit_length() > MAX_INTEGER_BITS:
            message = f"{label} holds a whole number of {value.bit_length()} bits, at most {MAX_INTEGER_BITS}"
            raise error(message)
        return int(value)
    if not math.isfinite(value):
        message = f"{label} holds {value}, which is not JSON"
        raise error(message)
    if abs(value) >= EXACT_FLOAT:
        return int(Decimal(repr(float(value))))
    return float(value) or 0.0


def _short_text(value: object, label: str, limit: int, error: type[StoreError]) -> str:
    if not isinstance(value, str):
        raise error(type_error(value, label, "a str"))
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError:
        message = f"{label} holds a lone surrogate: {describe(value)}"
        raise error(message) from None
    if not 1 <= size <= limit:
        message = f"{label} must be 1 to {limit} bytes of UTF-8, got {size}: {describe(value)}"
        raise error(message)
    if "\0" in value:
        message = f"{label} holds a NUL character: {describe(value)}"
        raise error(message)
    # Not str(value): for a member of a string Enum that is its name.
    return str.__str__(value)


def type_error(value: object, label: str, kind: str) -> str:
    """Return the message for a value of the wrong type."""
    return f"{label} must be {kind}, got {describe(value)}"
