"""Rows of a database beside rows of the reference: equal, and of the same kinds."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import zip_longest
from typing import Any

from tests.analytics.select_figures import compact_json, stored, stored_json

KEYS = {"sessions": 1, "messages": 2, "tool_calls": 3, "turns": 2, "daily": 1}
"""The columns of each view, from the first one on, that name a row."""


def differences(found: Sequence[Any], expected: Sequence[Any]) -> list[tuple[Any, Any]]:
    """What was found and what should have been, where they are not the same; in this order."""
    pairs = zip_longest(found, expected)
    return [(mine and tuple(mine), theirs and tuple(theirs)) for mine, theirs in pairs if not same_row(mine, theirs)]


def same_row(one: Sequence[Any] | None, other: Sequence[Any] | None) -> bool:
    """Whether two rows say the same."""
    return one is not None and other is not None and len(one) == len(other) and all(map(same, one, other))


def same(found: Any, expected: Any) -> bool:
    """Whether two values are equal and of one type; floats but for the last bits, which are no microsecond."""
    if type(found) is not type(expected):
        return False
    if isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-14, abs_tol=1e-300)
    return bool(found == expected)


def in_order(view: str, rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a view by what names them, which is different for each."""
    return sorted(map(tuple, rows), key=lambda row: row[: KEYS[view]])


def as_given(database: str, row: Sequence[Any]) -> tuple[Any, ...]:
    """A row as SQL gives it, without the types of SQLAlchemy: escaped text, and on SQLite times as text."""
    return tuple(_value_as_given(database, value) for value in row)


def _value_as_given(database: str, value: Any) -> Any:
    if isinstance(value, dict):
        return compact_json(value) if database == "sqlite" else stored_json(value)
    if isinstance(value, str):
        return stored(value)
    if database == "sqlite" and isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if database == "sqlite" and isinstance(value, date):
        return value.isoformat()
    return value
