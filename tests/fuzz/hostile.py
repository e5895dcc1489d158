"""What a caller may hand over: objects that misbehave, and lists of values: good, at the edge, and junk."""

import base64
import json
import math
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

from session_store import ChatMessage, MessageHit, NewMessage, SessionMetadata, SessionQuery, Snippet
from session_store.interface.values import ANY_TURN

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


# Values.


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
