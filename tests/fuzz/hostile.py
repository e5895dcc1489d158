"""What a caller may hand over: good values, those at the edge of what is allowed, and junk; and which is which.

What is allowed is said here as the contract says it, and not by what checks it. Of some values it says nothing, of a
damaged cursor for example: they may be taken or refused.
"""

import base64
import json
import math
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from session_store import (
    ChatMessage,
    InvalidKey,
    InvalidMessage,
    InvalidQuery,
    MessageHit,
    NewMessage,
    SessionMetadata,
    SessionQuery,
    Snippet,
    StoreError,
)
from session_store.values import ANY_TURN

HUGE: Final = 10**5000
"""A whole number Python cannot write in digits."""

MOST: Final = 2**63 - 1
NOW: Final = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


class OwnError(Exception):
    """Raised by what a caller hands over to be gone through: a mapping, an iterable, a zone."""


class OwnOSError(OwnError, OSError):
    """The same, and it looks like an error of the network."""


class Touched(Exception):
    """Raised by an object that can be refused without calling any method of it."""


class Untouchable:
    """Raises, while a call is under way, whatever is done with it but asking for its type."""

    under_way = False

    def __getattribute__(self, name: str) -> Any:
        if Untouchable.under_way and name != "__class__":
            raise Touched(name)
        return super().__getattribute__(name)


def _guarded(name: str) -> Callable[..., Any]:
    usual = getattr(object, name, lambda _: True)

    def method(self: Untouchable, *args: Any) -> Any:
        if Untouchable.under_way:
            raise Touched(name)
        return usual(self, *args)

    return method


for _name in ("bool", "eq", "format", "ge", "gt", "hash", "le", "lt", "ne", "repr", "str"):
    setattr(Untouchable, f"__{_name}__", _guarded(f"__{_name}__"))


@contextmanager
def call_under_way() -> Iterator[None]:
    """Let the untouchable be so, and not while Hypothesis looks at what it has drawn."""
    Untouchable.under_way = True
    try:
        yield
    finally:
        Untouchable.under_way = False


class Word(str):
    """A `str` that says it is another one."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another"

    __repr__ = __str__


class Number(int):
    """An `int` that says it is another one."""

    def __repr__(self) -> str:
        return "another"

    __str__ = __repr__


class Named(str, Enum):  # noqa: UP042 - as hosts on Python 3.10 have it
    """Text as hosts name it."""

    KEY = "telegram_ann"
    STATE = "running"
    ORDER = "relevance"
    EMPTY = ""
    LONG = "x" * 600


class Numbered(IntEnum):
    """Numbers as hosts name them."""

    ONE = 1
    BELOW = -1


class Zone(tzinfo):
    """A zone of the caller's own: away by so much, or raises, or says what no zone may."""

    def __init__(self, away: Any) -> None:
        self.away = away

    def utcoffset(self, _when: datetime | None) -> Any:
        """Say how far it is away."""
        if isinstance(self.away, Exception):
            raise self.away
        return self.away

    def dst(self, _when: datetime | None) -> timedelta | None:
        """Know of no summer time."""
        return None

    def tzname(self, _when: datetime | None) -> str | None:
        """Have no name."""
        return None


class Lazy(Mapping[str, Any]):
    """A mapping that reads its values somewhere else, which may fail."""

    def __init__(self, content: dict[Any, Any], error: Exception | None = None) -> None:
        self.content = content
        self.error = error

    def __getitem__(self, name: str) -> Any:
        if self.error is not None:
            raise self.error
        return self.content[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.content)

    def __len__(self) -> int:
        return len(self.content)


@dataclass(frozen=True)
class Stream:
    """What a generator yields, and what it raises then; it is made for the call, being good for one only."""

    items: list[Any]
    error: Exception | None = None

    def generator(self) -> Iterator[Any]:
        """Return it, fresh."""
        yield from self.items
        if self.error is not None:
            raise self.error


# What is allowed.


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


def is_query(value: Any) -> bool | None:
    """A `SessionQuery` of which every field is allowed."""
    return isinstance(value, SessionQuery) and all_of(
        QUERY_FIELDS[field.name].allows(getattr(value, field.name)) for field in fields(SessionQuery)
    )


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


# What is drawn.


def nested(depth: int, inner: Any = ()) -> Any:
    """So many lists in each other."""
    value = list(inner)
    for _ in range(depth - 1):
        value = [value]
    return value


CIRCULAR: Final[list[Any]] = []
CIRCULAR.append({"again": CIRCULAR})
ENDLESS: Final = nested(100_000)

HARD_TEXTS: Final = (
    "", " ", "\0", "a\0b", "\ud800", "a\udfffb", "\ud83d\ude00", "\x1a", "\x1a\x01\x01\x01", "\x1a\x1a", "\x7f",
    "\ufffd", "\ufeff", "\uffff", "\U0010ffff", "e\u0301", "\u0301", "क्षि", "שלום", "\u202eabc\u202c", "İß ς", "%s",
    "'; --", '"', "\\", "{}", "[red]", "\x1b[31m", "\r\n", "\u2028", "你好", "👩‍👩‍👧", "null", "idle", "error",
    "running", Word("telegram_ann"), Word(""), *Named,
)  # fmt: skip
SIZED_TEXTS: Final = tuple(
    char * (size // len(char.encode()))
    for size in (63, 64, 65, 66, 511, 512, 513, 516, 1023, 1024, 1025, 4096, 4100)
    for char in ("x", "é", "中", "\U0001f600", "\x01")
)
KEYS: Final = ("telegram_ann", "web_bo", "empty", "\u00e9" * 256, "not there")
"""Of sessions that are there, but for the last one."""

ONCE: Final = ("once", "twice", "new")
TURNS: Final = ("t1", "t2", "x" * 512)
ROLES: Final = ("user", "assistant", "system", "tool", "x" * 64, Word("user"))
STATES: Final = ("idle", "running", "error", "waiting for Bo", "x" * 64, Named.STATE)
LONG: Final = "x" * 1_000_000
WORDS: Final = ("hello", "umbrella Porto", '"hello world"', "um*", "-hello", "hello -porto", "this OR that", "你好", "")
HARD_WORDS: Final = (
    '"', '""', '"a', "*", "-", "--", "OR", "OR OR", "a OR", "NEAR(a b)", "a AND b", "content:a", "^a", "{a}", "a+b",
    "%", "_", "\\", "' OR 1=1", "\ud800", "\0", "a\0b", "\x1a\x01\x01\x01", "\u0301", "İ", "ς", "ﬁ", "6e35d56a", "1e9",
    "a " * 3000, "a OR " * 3000, "-a " * 3000, "a* " * 500, '"a b" ' * 500, "ab" * 3000, "é" * 5000, "中" * 5000,
    " ".join(map(str, range(3000))), " OR ".join(map(str, range(300))), '"' + "a " * 5000 + '"', "я" * 500 + "*",
)  # fmt: skip

NUMBERS: Final = (
    0, 1, 2, 3, 5, 10, 100, 1000, 9_999, 10_000, 10_001, 2**31, 2**53, MOST - 1, MOST, MOST + 1, -1, -MOST, -MOST - 2,
    HUGE, -HUGE, True, False, *Numbered, Number(1), Number(-1), "1", Decimal(1), 0.0, -0.0, 0.5, 1.0, 1e16, 1e308,
    -1e308, 5e-324, -5e-324, math.nan, math.inf, -math.inf, 1j,
)  # fmt: skip

EAST: Final = timezone(timedelta(hours=23, minutes=59, seconds=59, microseconds=999_999))
WEST: Final = timezone(-timedelta(hours=23, minutes=59, seconds=59, microseconds=999_999))
ZONES: Final = (
    UTC, EAST, WEST, timezone(timedelta(seconds=1)), ZoneInfo("Europe/Amsterdam"), ZoneInfo("Asia/Kathmandu"),
    Zone(timedelta(hours=1)), Zone(timedelta(microseconds=-1)), Zone(None), None,
)  # fmt: skip
MISBEHAVED: Final = (
    Zone(OwnError("no zone")), Zone(OwnOSError("no zone file")), Zone("UTC"), Zone(timedelta(days=2)),
)  # fmt: skip
MOMENTS: Final = tuple(
    datetime.fromisoformat(text)
    for text in (
        *("2026-01-05T11:30", "1970-01-01", "1900-01-01", "2037-12-31T23:59:59.999999"),
        *("0001-01-01", "0001-01-01T23:59:59.999999", "0001-01-02", "9999-12-31T23:59:59.999999", "9999-12-30"),
        *("9999-12-30T00:00:00.000001", "2026-03-29T02:30", "2026-10-25T02:30"),
    )
)
GOOD_TIMES: Final = tuple(NOW + timedelta(hours=hours) for hours in (-1000, -1, 0, 1))
TIMES: Final = tuple(moment.replace(tzinfo=zone) for moment in MOMENTS for zone in (*ZONES, *MISBEHAVED))

SCALARS: Final = (
    "", "a", "\0", "\ud800", "\x1a", Word("a"), Named.KEY, 0, -1, 1, MOST, Number(3), True, False, 1.5, 0.1,
)  # fmt: skip
GOOD_JSON: Final = (
    None, *SCALARS, -0.0, 1e16, 1e308, -1e308, 5e-324, 1e23, 2**53 + 1, 10**3900, -(10**3900), [], {}, (), (1, "a"),
    [[]], {"\0": "\0", "\ud800": ["\udfff", "\x1a"]}, {Word("a"): Word("b")}, {Named.KEY: Named.STATE},
    {"": {"": [{}]}}, {"tool_calls": [{"name": "weather"}], "usage": {"input_tokens": 1}, "latency_ms": 1e3},
    {"n": 10**3900}, nested(100), {"1": 1, "true": True, "null": None}, json.loads('{"a":' * 99 + "[]" + "}" * 99),
    {"a" * 5000: ["b" * 5000]},
)  # fmt: skip
NO_JSON: Final = (
    math.nan, math.inf, -math.inf, [math.nan], {"a": math.inf}, HUGE, [-HUGE], {"n": {"n": HUGE}}, 2**13_000, {1, 2},
    {1: "a"}, {None: "a"}, {True: 1}, {("b",): 1}, {"a": {b"b": 1}}, {HUGE: 1}, {1.5: 1}, [object()], [Untouchable()],
    {"a": [Untouchable()]}, {Untouchable(): 1}, b"bytes", bytearray(b"bytes"), Decimal(1), NOW, NOW.date(), 1j, ...,
    range(3), nested(101), nested(900), ENDLESS, CIRCULAR, [[[CIRCULAR]], 1],
    json.loads('{"a":' * 100 + "[]" + "}" * 100), MappingProxyType({"a": 1}), Lazy({"a": 1}),
    Lazy({"a": 1}, OwnError("gone")),
)  # fmt: skip
NO_ATTRIBUTES: Final = (
    *({"a": value} for value in NO_JSON), {1: 1}, {None: 1}, {("a",): 1}, {Untouchable(): 1}, {b"a": 1}, Lazy({1: 1}),
    [("a", 1)], "text", Lazy({"a": 1}, OwnError("gone")), Lazy({"a": 1}, OwnOSError("gone")),
    Lazy({"a": 1}, KeyError("a")), {LONG: []},
)  # fmt: skip
ATTRIBUTES: Final = (
    {}, {"channel": "telegram"}, {"channel": None}, {"n": 1}, {"n": 1, "channel": "telegram", "on": True},
    *({"a": value} for value in GOOD_JSON), MappingProxyType({"n": 2}), ChainMap({"n": 3}, {"m": 4}), Lazy({"n": 5}),
    Lazy({}, OwnError("gone")), {"\0": "\ud800", "\x1a\x01\x01\x01": "\x1a"}, {"a" * 5000: "b" * 5000},
    {str(n): n for n in range(50)},
)  # fmt: skip
WANTED: Final = (
    {}, {"channel": "telegram"}, {"n": 1}, {"n": 1, "channel": "telegram"}, {"on": True}, {"\0": "\ud800"},
    *({"a": value} for value in SCALARS),
    *({"a": value} for value in (1e16, 1e18, MOST + 1, -MOST - 1, 1e19, 1e308, 10**3900, None, [], {}, 5e-324, -0.0)),
)  # fmt: skip

METADATA: Final = SessionMetadata("telegram_ann", None, None, {}, NOW, NOW, 0, 0, "idle", None, None)
HIT: Final = MessageHit("telegram_ann", 1, "user", NOW, 0.5, Snippet("", ()))
CURSORS: Final = frozenset(
    METADATA._replace(key=key, last_activity=time).cursor for key in (*KEYS, "\x01" * 512) for time in GOOD_TIMES
)
"""Of sessions."""
HIT_CURSORS: Final = frozenset(
    HIT._replace(key=key, rank=rank, seq=seq).cursor
    for key in KEYS
    for rank in (0.0, -1e3, 1e-300)
    for seq in (1, MOST)
)
"""Of messages."""


def encoded(text: str | bytes) -> str:
    """What a cursor of this text would be."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


PARTS: Final = (
    '"2026-01-05T12:00:00+00:00"', '"2026-01-05T12:00:00"', '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-12:00"', '"telegram_ann"', '""', '"\\u0000"', '"\\ud800"', f'"{"x" * 513}"', "null", "true",
    "[]", "{}", "-1", "0", "1", "0.5", "1e999", "NaN", "-Infinity", str(10**400), "1" * 5000, str(2**63), '"0.5"',
    '"nan"', '"1_0"', '"20260105T120000Z"', "\ud800",
)  # fmt: skip
BROKEN_CURSORS: Final = (
    "", " ", "x", "====", "é", "\0", "\ud800", "a b", "%%%", "A" * 100_000, LONG, Word("W10"), Named.KEY, KEYS[0],
    *map(encoded, ("[]", "{}", "null", "1", '"ab"', "[" * 5000, "1" * 5000, b"\xff\xfe", '{"a":1,"b":2}', "[1,2,3,4]")),
    *(cursor[:-1] for cursor in sorted(CURSORS)[:5]),
)  # fmt: skip


JUNK: Final[tuple[Any, ...]] = (
    None, object(), Untouchable(), b"bytes", bytearray(b"x"), memoryview(b"x"), ["list"], [], {"a": 1}, {}, {"set"}, (),
    ("user", "hello", None), {"role": "user"}, 0, 1, -1, HUGE, -HUGE, True, False, 1.5, math.nan, Decimal(1), 1j, ...,
    int, len, timedelta(1), date(2026, 1, 5), NOW, NOW.replace(tzinfo=None), "text", "", "\0", LONG, [HUGE], ENDLESS,
    CIRCULAR, {HUGE}, [Untouchable()], Stream([Untouchable()]), Stream([], OwnError("no more")), ANY_TURN, Numbered.ONE,
    ChatMessage.user("x"), NewMessage(ChatMessage.user("x")), SessionQuery(), Named.KEY, OwnError("x"), range(3),
)  # fmt: skip

any_text = st.text(st.characters(exclude_categories=()), max_size=12)
any_json = st.recursive(
    st.sampled_from(SCALARS) | st.floats() | st.integers() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=5,
)

Values = st.SearchStrategy[Any]


def mixed(usual: Sequence[Any], seldom: Sequence[Any], made: Values | None = None) -> Values:
    """Mostly a usual value: a call of which all is junk is refused for the first of it.

    ``made`` gives some more that are new. One number is drawn: drawing takes longer than most calls.
    """
    shares = [(usual, 45), (seldom, 43), (JUNK, 8)]
    rounds = max(-(-len(values) // share) for values, share in shares)
    pool = [values[number % len(values)] for values, share in shares for number in range(rounds * share)]

    @st.composite
    def values(draw: st.DrawFn) -> Any:
        number = draw(st.integers(0, len(pool) - 1 + 4 * rounds * (made is not None)))
        return pool[number] if number < len(pool) or made is None else draw(made)

    return values()


@dataclass(frozen=True)
class Argument:
    """What is drawn for a parameter, what is allowed, how the rest is refused, and words one of which says of what."""

    values: Values
    allows: Allows
    errors: frozenset[type[StoreError]]
    words: tuple[str, ...]


def argument(
    usual: Sequence[Any],
    seldom: Sequence[Any],
    allows: Allows,
    *words: str,
    error: type[StoreError] = InvalidQuery,
    made: Values | None = None,
) -> Argument:
    """An argument that is refused by one error."""
    return Argument(mixed(usual, seldom, made), allows, frozenset([error]), words)


def optional(it: Argument) -> Argument:
    """The same, or None."""
    return Argument(st.none() | it.values, opt(it.allows), it.errors, it.words)


def identifier(*usual: str, what: str, allows: Allows = is_identifier) -> Argument:
    """An identifier, mostly one that is there."""
    return argument(usual, (*HARD_TEXTS, *SIZED_TEXTS), allows, what, error=InvalidKey, made=any_text)


def number(*usual: int, what: str, least: int = 0, most: int = MOST) -> Argument:
    """A whole number of this range."""
    return argument(usual, NUMBERS, lambda it: is_whole(it, least, most), what, made=st.integers())


def age(what: str) -> Argument:
    """An age in whatever unit."""
    return argument((0, 0.5, 1, 2, 1e6), NUMBERS, is_age, what, made=st.floats())


def time(what: str, error: type[StoreError] = InvalidQuery) -> Argument:
    """An aware time."""
    made = st.datetimes(timezones=st.sampled_from([*ZONES[:8], None]))
    return argument(GOOD_TIMES, TIMES, is_time, what, error=error, made=made)


def cursor(known: frozenset[str]) -> Argument:
    """Where a list goes on; one of another kind of list is like any text."""
    parts = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4)
    made = parts.map(lambda some: encoded(f"[{','.join(some)}]"))
    others = (*BROKEN_CURSORS, *sorted((CURSORS | HIT_CURSORS) - known)[:20], *map(encoded, DAMAGED))
    return argument(sorted(known), others, lambda it: is_cursor(it, known), "after", made=made)


PLACE: Final = ('"2026-01-05T12:00:00+00:00"', "0.5", '"telegram_ann"', "1")
DAMAGED: Final = tuple(
    f"[{','.join((*whole[:position], part, *whole[position + 1 :]))}]"
    for whole in (PLACE, PLACE[::2])
    for position in range(len(whole))
    for part in PARTS
)
"""Cursors of both kinds with another part in one place."""

flag = Argument(st.sampled_from([False, True, 0, 1, None, "", "yes", [], 0.0]), lambda _: True, frozenset(), ())
"""Taken by its truth, like any flag in Python."""

keyword = argument(WORDS, (*HARD_WORDS, *HARD_TEXTS, *SIZED_TEXTS), is_text, "keyword", made=any_text)
name = argument(
    ("Ann", "", "Porto"), (*HARD_TEXTS, *SIZED_TEXTS), lambda it: is_text(it) and len(it) <= 1024, "name", made=any_text
)
attributes = argument(
    ATTRIBUTES, NO_ATTRIBUTES, is_attributes, "attribute", made=st.dictionaries(any_text, any_json, max_size=3)
)
wanted = argument(WANTED, NO_ATTRIBUTES, is_wanted, "attribute")
owner = identifier("ann", "bo", "x" * 512, what="owner")
state = identifier(*STATES, what="state", allows=is_word)
once = identifier(*ONCE, "x" * 512, what="idempotency_key")
role = identifier(*ROLES, what="role", allows=is_word)
key = identifier(*KEYS, what="key")
created_at = time("created_at", InvalidMessage)

CHATS: Final = (
    ChatMessage.user("hello", {"a": 1}), ChatMessage.user("hello"), ChatMessage.user("same"),
    ChatMessage.assistant("hi"), *(ChatMessage(role, "umbrella Porto", [1]) for role in ROLES),
)  # fmt: skip
HARD_CHATS: Final = (
    *(ChatMessage(role, "hello") for role in (*HARD_TEXTS, *SIZED_TEXTS, *JUNK)),
    *(ChatMessage("user", content) for content in (*HARD_TEXTS, *SIZED_TEXTS, *HARD_WORDS, *JUNK)),
    *(ChatMessage("tool", "hello", payload) for payload in (*GOOD_JSON, *NO_JSON, *JUNK)),
)  # fmt: skip
message = Argument(
    mixed(CHATS, HARD_CHATS, st.builds(ChatMessage, role.values, any_text, any_json)),
    is_message,
    frozenset([InvalidMessage]),
    ("message", "role", "content", "payload"),
)
_each = mixed(
    (*CHATS, *(NewMessage(CHATS[0], None, once) for once in ONCE), NewMessage(CHATS[2], GOOD_TIMES[0], "x" * 512)),
    (
        *HARD_CHATS,
        *(NewMessage(CHATS[0], time) for time in TIMES),
        *(NewMessage(CHATS[1], None, text) for text in (*HARD_TEXTS, *SIZED_TEXTS, *JUNK)),
        *(NewMessage(some, NOW, "new") for some in (*HARD_CHATS, *JUNK)),
    ),
)
_items = st.lists(_each, max_size=4)
messages = Argument(
    st.one_of(
        _items,
        _items.map(tuple),
        _items.map(Stream),
        st.builds(Stream, _items, st.sampled_from([OwnError("no more"), OwnOSError("no more")])),
        st.sampled_from(JUNK),
    ),
    is_several,
    frozenset([InvalidMessage, InvalidKey]),
    (*message.words, "created_at", "idempotency_key"),
)

QUERY_FIELDS: Final[Mapping[str, Argument]] = {
    "keyword": optional(keyword),
    "limit": optional(number(0, 1, 2, 100, what="limit")),
    "after": optional(cursor(CURSORS)),
    "owner": optional(owner),
    "state": optional(state),
    "attributes": optional(wanted),
    "active_since": optional(time("active_since")),
    "active_before": optional(time("active_before")),
}


@st.composite
def queries(draw: st.DrawFn) -> Any:
    """One to three conditions, or junk."""
    names = [draw(st.sampled_from(sorted(QUERY_FIELDS))) for _ in range(draw(st.integers(0, 3)))]
    return (
        SessionQuery(**{name: draw(QUERY_FIELDS[name].values) for name in names}) if names else draw(mixed(JUNK, JUNK))
    )


query = Argument(queries(), is_query, frozenset([InvalidQuery, InvalidKey]), ("query", "attribute", *QUERY_FIELDS))

ARGUMENTS: Final[Mapping[tuple[str, str], Argument]] = {
    ("key", "str"): key,
    ("key", "str | None"): optional(key),
    ("name", "str"): name,
    ("name", "str | None"): optional(name),
    ("owner", "str"): owner,
    ("owner", "str | None"): optional(owner),
    ("attributes", "Mapping[str, Any]"): attributes,
    ("attributes", "Mapping[str, Any] | None"): optional(attributes),
    ("query", "SessionQuery"): query,
    ("query", "SessionQuery | None"): optional(query),
    ("batch_size", "int"): number(1, 2, 500, 10_000, what="batch_size", least=1, most=10_000),
    ("batch", "int"): number(1, 2, 500, 10_000, what="batch", least=1, most=10_000),
    ("ttl_hours", "float"): age("ttl_hours"),
    ("within_secs", "float"): age("within_secs"),
    ("threshold_secs", "float"): age("threshold_secs"),
    ("dry_run", "bool"): flag,
    ("include_running", "bool"): flag,
    ("message", "ChatMessage"): message,
    ("messages", "Iterable[ChatMessage | NewMessage]"): messages,
    ("created_at", "datetime | None"): optional(created_at),
    ("idempotency_key", "str | None"): optional(once),
    ("last", "int | None"): optional(number(0, 1, 2, what="last")),
    ("keep_last", "int | None"): optional(number(0, 1, 2, what="keep_last")),
    ("before", "datetime | None"): optional(time("before")),
    ("before", "datetime"): time("before"),
    ("seq", "int | None"): optional(number(0, 1, 2, 3, 4, what="seq")),
    ("after_seq", "int | None"): optional(number(0, 1, 2, what="after_seq")),
    ("after_seq", "int"): number(0, 1, 2, what="after_seq"),
    ("before_seq", "int | None"): optional(number(0, 1, 2, what="before_seq")),
    ("limit", "int | None"): optional(number(0, 1, 2, what="limit")),
    ("limit", "int"): number(0, 1, 2, what="limit"),
    ("keyword", "str"): keyword,
    ("role", "str | None"): optional(role),
    ("since", "datetime | None"): optional(time("since")),
    ("until", "datetime | None"): optional(time("until")),
    ("after", "str | None"): optional(cursor(HIT_CURSORS)),
    ("order", "str"): argument(("recency", "relevance", Named.ORDER), HARD_TEXTS, is_order, "order", made=any_text),
    ("state", "str"): state,
    ("turn_id", "str | None"): optional(identifier(*TURNS, what="turn_id")),
    ("if_turn", "str | AnyTurn | None"): Argument(
        mixed((ANY_TURN, None, *TURNS), (*HARD_TEXTS, *SIZED_TEXTS), any_text),
        lambda it: it is ANY_TURN or opt(is_identifier)(it),
        frozenset([InvalidKey]),
        ("if_turn",),
    ),
    ("to", "str"): Argument(
        state.values,
        lambda it: is_word(it) and plain(it) != "running",
        frozenset([InvalidKey, InvalidQuery]),
        ("state",),
    ),
}
"""By the name of a parameter and its annotation: a new one needs a line here."""
