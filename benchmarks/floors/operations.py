"""What is done by hand, as steps: a statement with its values goes out, its rows come back.

How the steps are made is the driver's: awaited or not, through SQLAlchemy or not.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.floors import sql

if TYPE_CHECKING:
    from session_store import ChatMessage

Step = tuple[sql.Sql, Any]
"""A statement and its values: a dictionary, or a list of them."""
Steps = Generator[Step, Any, Any]


class Read(NamedTuple):
    """One statement, and what is made of its rows."""

    statement: sql.Sql
    values: Callable[..., dict[str, Any]]
    made: Callable[[Any], Any]


class Write(NamedTuple):
    """Steps; several are one transaction, which has the lock from its beginning."""

    steps: Callable[..., Steps]
    in_transaction: bool


def reads(reading: sql.Reading) -> dict[str, Read]:
    """Return what is read."""
    return {
        "load": Read(reading.load, lambda key: {"key": key}, sql.messages),
        "load_last": Read(
            reading.load_last,
            lambda key, number: {"key": key, "limit": number},
            lambda rows: sql.messages(reversed(rows)),
        ),
        "page": Read(
            reading.page,
            lambda key, before_seq, limit: {"key": key, "before_seq": before_seq, "limit": limit},
            sql.page,
        ),
        "metadata": Read(reading.metadata, lambda key: {"key": key}, lambda rows: sql.sessions(rows)[0]),
        "newest": Read(reading.newest, lambda number: {"limit": number}, sql.sessions),
        "search": Read(reading.search, lambda word, number: {"word": word, "limit": number}, sql.sessions),
    }


def writes_on_sqlite() -> dict[str, Write]:
    """Return what is written, where times are text and no statement changes two tables."""
    stored = partial(datetime.isoformat, timespec="microseconds")
    return {
        "append": Write(partial(_append_in_two, stored), in_transaction=True),
        "append_many": Write(partial(_append_many_in_two, stored), in_transaction=True),
        "update_last": Write(partial(_update_last, stored), in_transaction=True),
        "set_state": Write(partial(_set_state_in_two, stored), in_transaction=True),
    }


def writes_on_postgresql() -> dict[str, Write]:
    """Return what is written, nearly always by one statement."""
    return {
        "append": Write(_append, in_transaction=False),
        "append_many": Write(_append_many, in_transaction=False),
        "update_last": Write(partial(_update_last, lambda time: time), in_transaction=True),
        "set_state": Write(_set_state, in_transaction=False),
    }


def _now(key: str, stored: Callable[[datetime], Any] = lambda time: time) -> tuple[datetime, dict[str, Any]]:
    now = datetime.now(UTC)
    return now, {"key": key, "now": stored(now), "minute": stored(now.replace(second=0, microsecond=0))}


def _columns(message: ChatMessage) -> dict[str, Any]:
    return {"role": message.role, "content": message.content, "payload": sql.to_json(message.payload)}


def _append_in_two(stored: Callable[[datetime], Any], key: str, message: ChatMessage) -> Steps:
    now, values = _now(key, stored)
    ((seq, turn_id),) = yield sql.COUNT_ON, {**values, "count": 1}
    yield sql.INSERT, {**values, **_columns(message), "seq": seq, "turn_id": turn_id}
    return seq, now, turn_id, message


def _append(key: str, message: ChatMessage) -> Steps:
    now, values = _now(key)
    ((seq, turn_id),) = yield sql.APPEND, {**values, **_columns(message), "count": 1}
    return seq, now, turn_id, message


def _append_many_in_two(stored: Callable[[datetime], Any], key: str, messages: list[ChatMessage]) -> Steps:
    now, values = _now(key, stored)
    ((last, turn_id),) = yield sql.COUNT_ON, {**values, "count": len(messages)}
    numbered = list(enumerate(messages, last - len(messages) + 1))
    yield sql.INSERT, [{**values, **_columns(message), "seq": seq, "turn_id": turn_id} for seq, message in numbered]
    return [(seq, now, turn_id, message) for seq, message in numbered]


def _append_many(key: str, messages: list[ChatMessage]) -> Steps:
    now, values = _now(key)
    new = [{"role": role, "content": content, "payload": payload} for role, content, payload in messages]
    rows = yield sql.APPEND_MANY, {**values, "count": len(messages), "rows": sql.to_json(new)}
    return [(seq, now, turn_id, message) for (seq, turn_id), message in zip(sorted(rows), messages, strict=True)]


def _update_last(stored: Callable[[datetime], Any], key: str, message: ChatMessage) -> Steps:
    _, values = _now(key, stored)
    if not (yield sql.TOUCH, values):
        return False
    return bool((yield sql.REPLACE_LAST, {**values, **_columns(message)}))


def _set_state_in_two(stored: Callable[[datetime], Any], key: str, state: str, turn_id: str | None) -> Steps:
    _, values = _now(key, stored)
    heads = yield sql.CHANGE_STATE, {**values, "state": state, "turn_id": turn_id}
    for key_, seq, state_, turn, entered_at in heads:
        entry = {"key": key_, "seq": seq, "state": state_, "turn_id": turn, "entered_at": entered_at}
        yield sql.INSERT_STATE, entry
    return True


def _set_state(key: str, state: str, turn_id: str | None) -> Steps:
    _, values = _now(key)
    yield sql.SET_STATE, {**values, "state": state, "turn_id": turn_id}
    return True
