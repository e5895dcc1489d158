"""What the views say, by their description alone and without any database: they must have the rows that this makes.

Slow and plain on purpose, and nothing is shared with the package: a conversation is looked at message by message.
What the selects say, which is made of the same, is in `tests.analytics.select_figures`.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

LARGEST = 2**53
"""The largest number a payload may count something with: up to here a double is exact."""


class Session(NamedTuple):
    """The head of a session."""

    key: str
    name: str | None
    owner: str | None
    attributes: dict[str, Any]
    created_at: datetime
    last_activity: datetime
    message_count: int
    state: str
    turn_id: str | None
    state_entered_at: datetime | None


class Message(NamedTuple):
    """A message."""

    session_key: str
    seq: int
    created_at: datetime
    role: str
    turn_id: str | None
    content: str
    payload: Any


class Entry(NamedTuple):
    """An entry of a state log."""

    session_key: str
    seq: int
    state: str
    turn_id: str | None
    entered_at: datetime


class Conversations(NamedTuple):
    """What is in a store."""

    sessions: list[Session]
    messages: list[Message]
    entries: list[Entry]


# What a payload says.


def calls(payload: Any) -> dict[int, str]:
    """The names of the tools that are called, by their places in the list."""
    listed = payload.get("tool_calls") if isinstance(payload, dict) else None
    if not isinstance(listed, list):
        return {}
    return {
        place: call["name"]
        for place, call in enumerate(listed, start=1)
        if isinstance(call, dict) and isinstance(call.get("name"), str)
    }


def text_at(payload: Any, name: str) -> str | None:
    """The text under a name of an object, None for anything else."""
    value = payload.get(name) if isinstance(payload, dict) else None
    return value if isinstance(value, str) else None


def number_at(payload: Any, name: str) -> int | float | None:
    """The number under a name of an object if it can count something, None for anything else."""
    value = payload.get(name) if isinstance(payload, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST:
        return None
    return value


def tokens(payload: Any, name: str, alias: str) -> int | None:
    """The tokens that were used, under their name or else their alias."""
    usage = payload.get("usage") if isinstance(payload, dict) else None
    for number in (number_at(usage, name), number_at(usage, alias)):
        if number is not None and number == math.floor(number):
            return math.floor(number)
    return None


def latency(payload: Any) -> float | None:
    """How long the answer took."""
    number = number_at(payload, "latency_ms")
    return None if number is None else float(number)


# Times.


def day_of(time: datetime) -> date:
    """The UTC day."""
    return time.astimezone(UTC).date()


def seconds_between(earlier: datetime, later: datetime) -> float:
    """The seconds from one time to another."""
    return (later - earlier).total_seconds()


def percentile(hundredths: int, values: Iterable[float]) -> float | None:
    """The value below which so many of a hundred lie, on a straight line between the two that are next to it."""
    ordered = sorted(values)
    if not ordered:
        return None
    low, rest = divmod(hundredths * (len(ordered) - 1), 100)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + rest / 100 * (ordered[high] - ordered[low])


# The views: the fields of a row are the columns, in their order.


class SessionRow(NamedTuple):
    """A row of ``session_store_v1_sessions``."""

    session_key: str
    name: str | None
    owner: str | None
    attributes: dict[str, Any]
    created_at: datetime
    last_activity: datetime
    seconds: float
    message_count: int
    state: str
    turn_id: str | None
    state_entered_at: datetime | None


class MessageRow(NamedTuple):
    """A row of ``session_store_v1_messages``."""

    session_key: str
    seq: int
    created_at: datetime
    day: date
    role: str
    turn_id: str | None
    content: str
    characters: int
    tool_calls: int
    tool_names: str | None
    tool_call_id: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    latency_ms: float | None


class ToolCallRow(NamedTuple):
    """A row of ``session_store_v1_tool_calls``."""

    session_key: str
    seq: int
    position: int
    created_at: datetime
    day: date
    turn_id: str | None
    name: str


class TurnRow(NamedTuple):
    """A row of ``session_store_v1_turns``."""

    session_key: str
    seq: int
    turn_id: str | None
    started_at: datetime
    day: date
    ended_at: datetime | None
    seconds: float | None
    outcome: str | None
    messages: int
    input_tokens: int
    output_tokens: int


class DailyRow(NamedTuple):
    """A row of ``session_store_v1_daily``."""

    day: date
    sessions_active: int
    sessions_new: int
    messages: int
    messages_user: int
    messages_assistant: int
    messages_system: int
    messages_tool: int
    messages_other: int
    turns: int
    errors: int
    turn_seconds_median: float | None
    turn_seconds_p95: float | None


def session_rows(said: Conversations) -> list[SessionRow]:
    """Every session."""
    return [
        SessionRow(
            *(head.key, head.name, head.owner, head.attributes, head.created_at, head.last_activity),
            *(seconds_between(head.created_at, head.last_activity), head.message_count),
            *(head.state, head.turn_id, head.state_entered_at),
        )
        for head in said.sessions
    ]


def message_rows(said: Conversations) -> list[MessageRow]:
    """Every message."""
    return [message_row(message) for message in said.messages]


def message_row(message: Message) -> MessageRow:
    """A message with what its payload says."""
    payload = message.payload
    names = calls(payload).values()
    return MessageRow(
        session_key=message.session_key,
        seq=message.seq,
        created_at=message.created_at,
        day=day_of(message.created_at),
        role=message.role,
        turn_id=message.turn_id,
        content=message.content,
        characters=len(message.content),
        tool_calls=len(names),
        tool_names=",".join(names) if names else None,
        tool_call_id=text_at(payload, "tool_call_id"),
        model=text_at(payload, "model"),
        input_tokens=tokens(payload, "input_tokens", "prompt_tokens"),
        output_tokens=tokens(payload, "output_tokens", "completion_tokens"),
        latency_ms=latency(payload),
    )


def tool_call_rows(said: Conversations) -> list[ToolCallRow]:
    """Every call of a tool."""
    return [
        ToolCallRow(
            *(message.session_key, message.seq, position),
            *(message.created_at, day_of(message.created_at), message.turn_id, name),
        )
        for message in said.messages
        for position, name in calls(message.payload).items()
    ]


class Interval(NamedTuple):
    """A time in which a session was running: the entry that began it, and the next one of the session."""

    entry: Entry
    following: Entry | None


def turn_rows(said: Conversations) -> list[TurnRow]:
    """Every interval in which a session was running."""
    messages_in: dict[tuple[str, int], list[Message]] = defaultdict(list)
    for interval, message in in_turns(said):
        messages_in[interval.entry.session_key, interval.entry.seq].append(message)
    return [turn_row(interval, messages_in[interval.entry[:2]]) for interval in intervals(said.entries)]


def turn_row(interval: Interval, messages: list[Message]) -> TurnRow:
    """An interval with what became of it."""
    entry, following = interval
    rows = [message_row(message) for message in messages]
    return TurnRow(
        session_key=entry.session_key,
        seq=entry.seq,
        turn_id=entry.turn_id,
        started_at=entry.entered_at,
        day=day_of(entry.entered_at),
        ended_at=following.entered_at if following else None,
        seconds=seconds_between(entry.entered_at, following.entered_at) if following else None,
        outcome=following.state if following else None,
        messages=len(rows),
        input_tokens=sum(row.input_tokens or 0 for row in rows),
        output_tokens=sum(row.output_tokens or 0 for row in rows),
    )


def intervals(entries: list[Entry]) -> list[Interval]:
    """The running intervals, those of one session in their order."""
    logs: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.seq):
        logs[entry.session_key].append(entry)
    return [
        Interval(entry, following)
        for log in logs.values()
        for entry, following in zip(log, [*log[1:], None], strict=True)
        if entry.state == "running"
    ]


def in_turns(said: Conversations) -> Iterator[tuple[Interval, Message]]:
    """Every message that is in a turn, with the interval in which it is counted."""
    of_turn: dict[tuple[str, str | None], list[Interval]] = defaultdict(list)
    for interval in intervals(said.entries):
        of_turn[interval.entry.session_key, interval.entry.turn_id].append(interval)
    for message in said.messages:
        candidates = of_turn.get((message.session_key, message.turn_id), [])
        if message.turn_id is None:
            for interval in candidates:
                if holds(interval, message.created_at):
                    yield interval, message
        elif candidates:
            begun = [interval for interval in candidates if interval.entry.entered_at <= message.created_at]
            yield (begun or candidates[:1])[-1], message


def holds(interval: Interval, time: datetime) -> bool:
    """Whether a time is in an interval, which ends as the next one begins."""
    entry, following = interval
    return entry.entered_at <= time and (following is None or time < following.entered_at)


def daily_rows(said: Conversations) -> list[DailyRow]:
    """Every day on which something happened, in order."""
    messages, turns = defaultdict(list), defaultdict(list)
    for message in said.messages:
        messages[day_of(message.created_at)].append(message)
    for turn in turn_rows(said):
        turns[turn.day].append(turn)
    new = Counter(day_of(head.created_at) for head in said.sessions)
    return [
        daily_row(day, new[day], messages[day], turns[day])
        for day in sorted(new.keys() | messages.keys() | turns.keys())
    ]


def daily_row(day: date, new: int, messages: list[Message], turns: list[TurnRow]) -> DailyRow:
    """A day with what happened on it."""
    roles = [message.role for message in messages]
    usual = ("user", "assistant", "system", "tool")
    lengths = [turn.seconds for turn in turns if turn.seconds is not None]
    return DailyRow(
        day,
        len({message.session_key for message in messages}),
        new,
        len(messages),
        *(roles.count(role) for role in usual),
        sum(role not in usual for role in roles),
        len(turns),
        sum(turn.outcome == "error" for turn in turns),
        percentile(50, lengths),
        percentile(95, lengths),
    )


VIEWS = {
    "sessions": (SessionRow, session_rows),
    "messages": (MessageRow, message_rows),
    "tool_calls": (ToolCallRow, tool_call_rows),
    "turns": (TurnRow, turn_rows),
    "daily": (DailyRow, daily_rows),
}
"""Each view by its name behind ``session_store_v1_``: what a row is, and all its rows."""
