"""What the selects of `session_store.analytics` say, by their description alone and without any database.

Each function here has the name and the arguments of the one it stands for, returns the rows as tuples, and the
conversations come first. Where the description is silent, the readings are:

- A period has a row if something is counted in it: a message, a turn, an answer, an active owner.
- Texts are in the order of the bytes they are stored as, and None comes first.
- The messages of a session of a certain length are all of its messages, as its head counts them.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from tests.analytics.figures import (
    Conversations,
    Message,
    Session,
    TurnRow,
    calls,
    message_row,
    percentile,
    seconds_between,
    turn_rows,
)

ESCAPE_DIGITS = "\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x10\x11\x12\x13\x14\x15"
"""What stands for the digits of a character that cannot be stored, behind SUB."""

Row = tuple[Any, ...]
T = TypeVar("T")


class Filters(NamedTuple):
    """Which messages, turns and sessions are counted."""

    owner: str | None = None
    attributes: Mapping[str, Any] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def choose_session(self, head: Session) -> bool:
        """Whether a session is of the owner, and has the attributes."""
        return (self.owner is None or head.owner == self.owner) and all(
            name in head.attributes and same_scalar(head.attributes[name], value)
            for name, value in (self.attributes or {}).items()
        )

    def choose_time(self, time: datetime) -> bool:
        """Whether a time is between the two."""
        return (self.since is None or self.since <= time) and (self.until is None or time < self.until)

    def sessions(self, said: Conversations) -> dict[str, Session]:
        """The sessions of the owner that have the attributes, of any time."""
        return {head.key: head for head in said.sessions if self.choose_session(head)}

    def messages(self, said: Conversations) -> list[Message]:
        """The messages of such sessions and of the time, each session's in their order."""
        sessions = self.sessions(said)
        chosen = [
            message
            for message in said.messages
            if message.session_key in sessions and self.choose_time(message.created_at)
        ]
        return sorted(chosen, key=lambda message: (message.session_key, message.seq))

    def turns(self, said: Conversations) -> list[TurnRow]:
        """The turns of such sessions and of the time."""
        sessions = self.sessions(said)
        return [turn for turn in turn_rows(said) if turn.session_key in sessions and self.choose_time(turn.started_at)]


def same_scalar(one: Any, other: Any) -> bool:
    """Whether two JSON scalars are equal, of which true is no number."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def period(time: datetime, by: str, tz: str) -> date:
    """The period a time is in, by the clock of a zone."""
    local = time.astimezone(zone(tz)).replace(tzinfo=None, fold=0)
    if by == "hour":
        return local.replace(minute=0, second=0, microsecond=0)
    if by == "month":
        return local.date().replace(day=1)
    return local.date() if by == "day" else local.date() - timedelta(days=local.weekday())


zone = cache(ZoneInfo)


def by_period(things: Iterable[T], time_of: Callable[[T], datetime], by: str | None, tz: str) -> dict[Row, list[T]]:
    """The things by what stands first in their row, in order; all of them, even if none, where that is nothing."""
    groups: dict[Row, list[T]] = defaultdict(list)
    if by is None:
        return {(): list(things)}
    for thing in things:
        groups[(period(time_of(thing), by, tz),)].append(thing)
    return dict(sorted(groups.items()))


def created_at(message: Message) -> datetime:
    """When a message was made."""
    return message.created_at


# The selects.


def activity(said: Conversations, by: str | None = "day", *, tz: str = "UTC", **filters: Any) -> list[Row]:
    """Messages, sessions and owners of a period."""
    owner_of = {head.key: head.owner for head in said.sessions}
    rows = []
    for when, messages in by_period(Filters(**filters).messages(said), created_at, by, tz).items():
        roles = [message.role for message in messages]
        sessions = {message.session_key for message in messages}
        owners = {owner_of[key] for key in sessions} - {None}
        counts = (len(messages), roles.count("user"), roles.count("assistant"), len(sessions), len(owners))
        rows.append((*when, *counts))
    return rows


def span(said: Conversations, **filters: Any) -> list[Row]:
    """The first and the last message."""
    times = [message.created_at for message in Filters(**filters).messages(said)]
    return [(min(times, default=None), max(times, default=None))]


def owners(said: Conversations, by: str = "week", *, tz: str = "UTC", **filters: Any) -> list[Row]:
    """Owners who said something in a period, and how many of them had a session before."""
    chosen = Filters(**filters)
    sessions = chosen.sessions(said)
    began: dict[str, list[date]] = defaultdict(list)
    for head in sessions.values():
        if head.owner is not None:
            began[head.owner].append(period(head.created_at, by, tz))
    first = {owner: min(periods) for owner, periods in began.items()}
    rows = []
    for (when,), messages in by_period(chosen.messages(said), created_at, by, tz).items():
        active = {owner for message in messages if (owner := sessions[message.session_key].owner) is not None}
        returning = {owner for owner in active if first[owner] < when}
        if active:
            rows.append((when, len(active), len(active - returning), len(returning)))
    return rows


def session_lengths(said: Conversations, **filters: Any) -> list[Row]:
    """Sessions by the power of two they reach with their messages."""
    chosen = Filters(**filters)
    lengths: dict[int, list[int]] = defaultdict(list)
    for head in chosen.sessions(said).values():
        if chosen.choose_time(head.created_at):
            at_least = 0
            while max(1, 2 * at_least) <= head.message_count:
                at_least = max(1, 2 * at_least)
            lengths[at_least].append(head.message_count)
    return [(at_least, len(counts), sum(counts)) for at_least, counts in sorted(lengths.items())]


def response_times(said: Conversations, by: str | None = None, *, tz: str = "UTC", **filters: Any) -> list[Row]:
    """How long a user waited for the next answer."""
    answered: list[tuple[Message, Message]] = []
    answer: Message | None = None
    for message in reversed(Filters(**filters).messages(said)):
        if answer is not None and answer.session_key != message.session_key:
            answer = None
        if message.role == "assistant":
            answer = message
        elif message.role == "user" and answer is not None:
            answered.append((message, answer))
    rows = []
    for when, pairs in by_period(answered, lambda pair: pair[0].created_at, by, tz).items():
        waits = [max(0.0, seconds_between(asked.created_at, said.created_at)) for asked, said in pairs]
        rows.append((*when, len(waits), percentile(50, waits), percentile(95, waits)))
    return rows


def turns(said: Conversations, by: str | None = None, *, tz: str = "UTC", **filters: Any) -> list[Row]:
    """Turns, how many of them failed, and how long they took."""
    rows = []
    for when, some in by_period(Filters(**filters).turns(said), lambda turn: turn.started_at, by, tz).items():
        lengths = [turn.seconds for turn in some if turn.seconds is not None]
        errors = sum(turn.outcome == "error" for turn in some)
        rate = errors / len(lengths) if lengths else None
        counts = (len(some), len(lengths), errors, rate)
        rows.append((*when, *counts, percentile(50, lengths), percentile(95, lengths)))
    return rows


def tools(said: Conversations, by: str | None = None, *, tz: str = "UTC", **filters: Any) -> list[Row]:
    """Tools, how often they were called and in how many sessions; the most used first."""
    rows: list[Row] = []
    for when, messages in by_period(Filters(**filters).messages(said), created_at, by, tz).items():
        sessions: dict[str, list[str]] = defaultdict(list)
        for message in messages:
            for name in calls(message.payload).values():
                sessions[name].append(message.session_key)
        counts = [(name, len(keys), len(set(keys))) for name, keys in sessions.items()]
        rows += [(*when, *count) for count in sorted(counts, key=lambda count: (-count[1], stored(count[0])))]
    return rows


def tokens(
    said: Conversations,
    by: str | None = None,
    *,
    tz: str = "UTC",
    prices: Mapping[str, Any] | None = None,
    **filters: Any,
) -> list[Row]:
    """Tokens that the models used, and what they cost."""
    rows: list[Row] = []
    for when, messages in by_period(Filters(**filters).messages(said), created_at, by, tz).items():
        used: dict[str | None, list[tuple[int, int]]] = defaultdict(list)
        for row in map(message_row, messages):
            if row.input_tokens is not None or row.output_tokens is not None:
                used[row.model].append((row.input_tokens or 0, row.output_tokens or 0))
        for model in sorted(used, key=lambda model: (model is not None, stored(model or ""))):
            came, went = (sum(numbers) for numbers in zip(*used[model], strict=True))
            cost: Row = ()
            if prices is not None:
                price = prices.get(model) if model is not None else None
                cost = (None if price is None else (came * price.input + went * price.output) / 1_000_000,)
            rows.append((*when, model, len(used[model]), came, went, *cost))
    return rows


def busiest_sessions(said: Conversations, limit: int = 20, **filters: Any) -> list[Row]:
    """The sessions with the most messages."""
    chosen = Filters(**filters)
    sessions = chosen.sessions(said)
    times: dict[str, list[datetime]] = defaultdict(list)
    for message in chosen.messages(said):
        times[message.session_key].append(message.created_at)
    rows: list[Row] = [
        (key, sessions[key].name, sessions[key].owner, len(some), min(some), max(some)) for key, some in times.items()
    ]
    return sorted(rows, key=lambda row: (-row[3], row[0]))[:limit]


def storage(
    said: Conversations,
    by: str | None = None,
    *,
    tz: str = "UTC",
    json_text: Callable[[Any], str],
    **filters: Any,
) -> list[Row]:
    """Bytes of contents and payloads; the latter as the database writes JSON."""
    rows = []
    for when, messages in by_period(Filters(**filters).messages(said), created_at, by, tz).items():
        contents = sum(len(stored(message.content).encode()) for message in messages)
        payloads = sum(len(json_text(message.payload).encode()) for message in messages if message.payload is not None)
        rows.append((*when, len(messages), contents, payloads))
    return rows


# How text and JSON are stored.


def stored(text: str) -> str:
    """A text as it is in the database: SUB and three digits for each NUL, lone surrogate and SUB."""
    return "".join(map(stored_character, text)) if any(map(cannot_be_stored, text)) else text


def cannot_be_stored(char: str) -> bool:
    """Whether a character has to be written as something else."""
    return char in "\0\x1a" or "\ud800" <= char <= "\udfff"


def stored_character(char: str) -> str:
    """A character as it is in the database."""
    if not cannot_be_stored(char):
        return char
    digits = f"{ord(char):04x}"[-3:]
    return "\x1a" + "".join(ESCAPE_DIGITS[int(digit, 16)] for digit in digits)


def stored_json(value: Any) -> Any:
    """A JSON value with its texts as they are in the database, names too."""
    if isinstance(value, str):
        return stored(value)
    if isinstance(value, dict):
        return {stored(name): stored_json(item) for name, item in value.items()}
    return [stored_json(item) for item in value] if isinstance(value, list) else value


def compact_json(value: Any) -> str:
    """The text of a JSON value without any space, as SQLite has it."""
    return json.dumps(stored_json(value), ensure_ascii=False, separators=(",", ":"))


def jsonb_text(value: Any) -> str:
    """The text of a JSON value as PostgreSQL writes JSONB, but for the order of names."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{jsonb_text(name)}: {jsonb_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(jsonb_text, value)) + "]"
    if isinstance(value, float):
        # A decimal number, never with an exponent.
        return format(Decimal(repr(value)), "f")
    return json.dumps(stored_json(value), ensure_ascii=False)


SELECTS = {
    select.__name__: select
    for select in (
        *(activity, span, owners, session_lengths, response_times, turns),
        *(tools, tokens, busiest_sessions, storage),
    )
}
"""Each function by its name."""
