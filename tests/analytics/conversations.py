"""Conversations for Hypothesis: few and short, at moments at which clocks do something, and full of hostile values.

They are those a store would hold: JSON is spelled as it gives it back, a log never goes back in time, and its numbers
grow, though not by one, for entries and messages may have been removed.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate
from typing import Any, TypeVar

from hypothesis import strategies as st

from session_store import InvalidMessage
from session_store.models.validation import json_value
from tests.analytics.figures import Conversations, Entry, Message, Session

LISBON = "Europe/Lisbon"
ZONES = [
    "UTC",
    LISBON,
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Africa/Monrovia",
]
"""Among them one in which a day is missing, one whose summer is half an hour, and one that had seconds."""

ANCHORS = [
    datetime.fromisoformat(text)
    for text in (
        "2026-03-06T00:00Z",
        "2026-01-01T00:00Z",  # a year, and in the middle of a week
        "2026-01-05T00:00Z",  # a Monday
        "2024-02-29T12:00Z",
        "2026-03-29T01:00Z",  # summer begins in Lisbon
        "2026-10-25T01:00Z",  # and ends
        "2026-03-08T07:00Z",  # the same in New York
        "2026-11-01T06:00Z",
        "2026-01-04T18:30Z",  # a Monday in Kolkata
        "2011-12-30T10:00Z",  # the day that was none in Apia
        "2026-04-04T15:00Z",  # half an hour twice on Lord Howe
        "1972-01-07T00:44:30Z",  # Monrovia leaves its seconds behind
        "1900-01-01T00:00Z",
        "1970-01-01T00:00Z",
        "2050-07-03T23:00Z",
    )
]
NEAR = [
    timedelta(0),
    *(
        sign * timedelta(**{unit: 1})
        for unit in ("microseconds", "seconds", "hours", "days", "weeks")
        for sign in (1, -1)
    ),
    timedelta(minutes=30),
    timedelta(minutes=-31),
    timedelta(days=31),
]
EDGES = [datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)]
"""The first and the last time that can be stored."""

TEXTS = [
    *("", "hello", "x" * 500, "a\0b", "\x1a", "\x1a\x01\x01\x01", "\ud800", "\ud83d\ude00", "\U0001f600", "e\u0301"),
    *("%s :x", "',\"", "\\u0000", "\r\n\t", "\uffff", "null", "Ü,ü", "\x7f\x01"),
]
KEYS = ["a", "B", "a b", "ä", "\uffff", "\U00010000", "'\";", "x" * 512]
OWNERS = ["ann", "Ann", "bo's", "\u00e9"]
TURNS = ["t1", "t2", "T1", "t'\"1"]
STATES = ["running", "idle", "error", "waiting for Bo", "Running", "Error"]
ROLES = ["user", "assistant", "system", "tool", "developer", "User"]
NUMBERS = [
    *(0, 1, 12, 12.0, 12.5, 250, 0.1, -1, -0.0, -12.5, 1e-7, 5e-324, 1e15, 4e15 + 0.5),
    *(2**53 - 1, 2**53, 2.0**53, 2**53 + 1, 2.0**53 + 2, 1e16, 1e300, 2**63, 10**400, -(10**400)),
]
JUNK = [None, True, False, "", "12", "null", [], {}, [1], ["name"], {"name": "x"}, [[{"name": "x"}]]]
JUNK += [[{"input_tokens": 5, "output_tokens": 6}]]
NAMES = ["model", "usage.input_tokens", "$", '"model"', "model\0", "", "tool_calls[0].name", "[0]", "a.b", "MODEL"]
"""Of fields in a payload that are not those that are recognised, but for one."""

normalised = partial(json_value, label="a test's", error=InvalidMessage)


def nested(depth: int, inner: Any) -> Any:
    """A value in so many lists and objects."""
    for level in range(depth):
        inner = [inner] if level % 2 else {"usage": inner}
    return inner


T = TypeVar("T")


def mostly(usual: st.SearchStrategy[T], seldom: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """The one four times out of five."""
    return st.integers(0, 4).flatmap(lambda number: seldom if number == 4 else usual)


def seldom(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    """Two times out of three None."""
    return st.integers(0, 2).flatmap(lambda number: strategy if number == 2 else st.none())


texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=()), max_size=5)
junk = st.sampled_from([*JUNK, *NUMBERS])
counts = mostly(st.sampled_from([3, 5, 7, *NUMBERS]), junk)
names = mostly(st.sampled_from(["weather", "search", "a,b"]), texts)
no_calls = st.fixed_dictionaries({}, optional={"name": junk, "called": names, "name\0": names}) | junk
tool_calls = st.lists(
    mostly(st.fixed_dictionaries({"name": names}, optional={"id": texts}), no_calls), min_size=1, max_size=4
)
usages = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("input_tokens", "output_tokens", "prompt_tokens", "completion_tokens", "total"), counts),
)
recognised = st.fixed_dictionaries(
    {},
    optional={
        "tool_calls": mostly(tool_calls, junk),
        "tool_call_id": mostly(texts, junk),
        "model": mostly(st.sampled_from(["large", "small", "Large"]), texts | junk),
        "usage": mostly(usages, junk),
        "latency_ms": counts,
    },
)
others = st.dictionaries(st.sampled_from(NAMES), texts | junk, max_size=3)
payloads = mostly(
    mostly(recognised, st.builds(dict.__or__, others, recognised)),
    st.none() | junk | st.builds(nested, st.sampled_from([2, 97]), junk) | st.lists(recognised, max_size=2),
).map(normalised)
ATTRIBUTES = [
    *({}, {"channel": "web"}, {"channel": "web", "n": 1}, {"n": 1.0}, {"n": True}, {"n": "1"}, {"n": None}, {"n": [1]}),
    *({'a."b"': "x"}, {"\0": "\ud800"}, {"": 0}, {"channel": "Web", "n": 0.5}),
]
WANTED = [{}, {"channel": "web"}, {"n": 1}, {"n": True}, {"n": "1", "channel": "web"}, {"\0": "\ud800"}, {"": 0}]
"""Attributes to choose sessions by."""


def times_near(anchors: list[datetime]) -> st.SearchStrategy[datetime]:
    """Times that are in different periods, and some at the edges of all."""
    steps = st.sampled_from(NEAR) | st.integers(-(10**11), 10**11).map(lambda number: timedelta(microseconds=number))
    near = st.builds(lambda anchor, step: anchor + step, st.sampled_from(anchors), steps)
    return st.integers(0, 60).flatmap(lambda number: near if number else st.sampled_from(EDGES))


anchors = st.lists(st.sampled_from(ANCHORS), min_size=1, max_size=2)


@st.composite
def conversations(draw: st.DrawFn) -> Conversations:
    """Up to four sessions with a few messages and states, many of them at the same time."""
    times = st.sampled_from(draw(st.lists(times_near(draw(anchors)), min_size=2, max_size=8)))
    said = Conversations([], [], [])
    for key in draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True)):
        said.entries.extend(entries := draw(logs(key, times)))
        said.messages.extend(messages := draw(messages_of(key, times)))
        said.sessions.append(draw(heads(key, times, messages, entries)))
    return said


@st.composite
def numbered(draw: st.DrawFn, most: int) -> list[int]:
    """Numbers that grow."""
    return list(accumulate(draw(st.lists(st.sampled_from([1, 1, 1, 2, 9]), max_size=most))))


@st.composite
def logs(draw: st.DrawFn, key: str, times: st.SearchStrategy[datetime]) -> list[Entry]:
    """The state log of a session: half of it is turns."""
    seqs = draw(numbered(7))
    entered = sorted(draw(st.lists(times, min_size=len(seqs), max_size=len(seqs))))
    states = st.just("running") | st.sampled_from(STATES)
    turns = st.none() | st.sampled_from([*TURNS[:2], *TURNS])
    return [Entry(key, seq, draw(states), draw(turns), time) for seq, time in zip(seqs, entered, strict=True)]


@st.composite
def messages_of(draw: st.DrawFn, key: str, times: st.SearchStrategy[datetime]) -> list[Message]:
    """The messages of a session, in any order of time."""
    roles = st.sampled_from(["user", "assistant"]) | st.sampled_from(ROLES)
    turns = st.none() | st.sampled_from([*TURNS[:2], *TURNS])
    return [
        Message(key, seq, draw(times), draw(roles), draw(turns), draw(texts), draw(payloads))
        for seq in draw(numbered(9))
    ]


@st.composite
def heads(
    draw: st.DrawFn,
    key: str,
    times: st.SearchStrategy[datetime],
    messages: list[Message],
    entries: list[Entry],
) -> Session:
    """The head of a session; sometimes it counts many messages that are not there, for the lengths."""
    created_at, last_activity = sorted((draw(times), draw(times)))
    count = draw(st.sampled_from([None] * 9 + [63, 64, 1023, 2**31 - 1, 2**31]))
    current = entries[-1] if entries else Entry(key, 0, "idle", None, created_at)
    return Session(
        key=key,
        name=draw(st.none() | texts),
        owner=draw(st.none() | st.sampled_from([*OWNERS[:2], *OWNERS])),
        attributes=draw(st.sampled_from(ATTRIBUTES)),
        created_at=created_at,
        last_activity=last_activity,
        message_count=len(messages) if count is None else count,
        state=current.state,
        turn_id=current.turn_id,
        state_entered_at=current.entered_at if entries else None,
    )


@st.composite
def questions(draw: st.DrawFn) -> tuple[Conversations, dict[str, Any], str]:
    """Conversations, filters that choose some of them, and a zone."""
    said = draw(conversations())
    there = [message.created_at for message in said.messages] + [entry.entered_at for entry in said.entries]
    times = st.sampled_from(there or ANCHORS) | times_near(ANCHORS)
    filters = {
        "owner": draw(seldom(st.sampled_from([*OWNERS, "nobody"]))),
        "attributes": draw(seldom(st.sampled_from(WANTED))),
        "since": draw(seldom(times)),
        "until": draw(seldom(times)),
    }
    return said, {name: value for name, value in filters.items() if value is not None}, draw(st.sampled_from(ZONES))
