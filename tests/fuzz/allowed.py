"""What is allowed, as the contract says it and not what checks it; None where it says nothing: a damaged cursor."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from session_store import ChatMessage, NewMessage, SessionQuery
from tests.fuzz.hostile import CIRCULAR, ENDLESS, MOST, Lazy, Stream, Zone


def is_text(value: Any) -> bool:
    """Whether it is a `str`, of whatever class."""
    return isinstance(value, str)


def plain(value: str) -> str:
    """The characters of a `str`, whatever it says it is."""
    return str.__str__(value)


def is_identifier(value: Any, limit: int = 512) -> bool:
    """1 to ``limit`` bytes of UTF-8, without NUL and lone surrogates."""
    if not is_text(value):
        return False
    size = len(plain(value).encode("utf-8", "surrogatepass"))
    return 1 <= size <= limit and not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in plain(value))


def is_word(value: Any) -> bool:
    """1 to 64 bytes."""
    return is_identifier(value, 64)


def is_whole(value: Any, least: int = 0, most: int = MOST) -> bool:
    """An `int`, and neither True nor False."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_age(value: Any) -> bool:
    """A number, 0 or more, of which there is an end."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def is_time(value: Any) -> bool:
    """Aware, and within a day of what Python can say."""
    if not isinstance(value, datetime):
        return False
    try:
        if value.utcoffset() is None:
            return False
        time = value.astimezone(UTC)
    except Exception:  # noqa: BLE001 - whatever the zone raises
        return False
    return datetime(1, 1, 2, tzinfo=UTC) <= time <= datetime(9999, 12, 30, tzinfo=UTC)


def is_json(value: Any, depth: int = 0) -> bool:
    """String keys, no NaN, 100 levels, and numbers Python can write."""
    match value:
        case None | bool() | str():
            return True
        case int():
            return value.bit_length() <= 13_000
        case float():
            return math.isfinite(value)
        case dict():
            inner = [*value.values()] if all(map(is_text, value)) else [object()]
        case list() | tuple():
            inner = [*value]
        case _:
            return False
    return depth < 100 and all(is_json(item, depth + 1) for item in inner)


def is_attributes(value: Any) -> bool:
    """A mapping from `str` to JSON."""
    if isinstance(value, Lazy) and value.error is not None:
        return not value.content
    return isinstance(value, Mapping) and is_json(dict(value))


def is_wanted(value: Any) -> bool:
    """Attributes that can be asked for: strings, booleans, and numbers of a size."""
    if not is_attributes(value):
        return False
    return all(
        isinstance(item, str | bool) or (isinstance(item, int | float) and abs(item) <= MOST) for item in value.values()
    )


def is_message(value: Any) -> bool:
    """A `ChatMessage` that can be stored."""
    return isinstance(value, ChatMessage) and is_word(value.role) and is_text(value.content) and is_json(value.payload)


def is_new_message(value: Any) -> bool:
    """A message, or one with a time and an idempotency key."""
    if not isinstance(value, NewMessage):
        return is_message(value)
    return is_message(value.message) and opt(is_time)(value.created_at) and opt(is_identifier)(value.idempotency_key)


def is_several(value: Any) -> bool:
    """An iterable of messages, and not one of them."""
    if isinstance(value, Stream):
        return value.error is None and all(map(is_new_message, value.items))
    if isinstance(value, str | ChatMessage | NewMessage) or not isinstance(value, Iterable):
        return False
    return all(map(is_new_message, value))


def is_cursor(value: Any, known: frozenset[str]) -> bool | None:
    """One that a list gave; another text may be one too."""
    return (True if plain(value) in known else None) if is_text(value) else False


def is_order(value: Any) -> bool:
    """Newest first, or best first."""
    return is_text(value) and plain(value) in {"recency", "relevance"}


def all_of(verdicts: Iterable[bool | None]) -> bool | None:
    """False if one is, else None if one is, else True."""
    return min(verdicts, key=(False, None, True).index, default=True)


Allows = Callable[[Any], bool | None]


def opt(allows: Allows) -> Allows:
    """The same, or None."""
    return lambda value: value is None or allows(value)


def own_errors(value: Any) -> Iterator[Exception]:
    """What the caller's own objects raise when they are gone through."""
    match value:
        case Stream(each, error):
            yield from own_errors(each)
            if error is not None:
                yield error
        case Lazy() if value.error is not None:
            yield value.error
        case datetime() if isinstance(value.tzinfo, Zone) and isinstance(value.tzinfo.away, Exception):
            yield value.tzinfo.away
        case NewMessage():
            yield from own_errors(value.created_at)
        case SessionQuery():
            for field in fields(value):
                yield from own_errors(getattr(value, field.name))
        case list() | tuple() if not isinstance(value, ChatMessage) and value is not ENDLESS and value is not CIRCULAR:
            for item in value:
                yield from own_errors(item)
