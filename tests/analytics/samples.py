"""Conversations made by hand."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.analytics.figures import Conversations, Entry, Message, Session

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
DAY, LATER = NOON.date(), date(2026, 3, 9)


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


LATER_NOON = at(4 * 86_400)


def head(key: str, owner: str | None = None, created: float = 0, count: int = 0, **attributes: Any) -> Session:
    """A session."""
    return Session(key, None, owner, attributes, at(created), at(created), count, "idle", None, None)


def said(key: str, seq: int, role: str, when: float, turn_id: str | None = None) -> Message:
    """A message."""
    return Message(key, seq, at(when), role, turn_id, "four", None)


def with_payload(message: Message, payload: Any) -> Message:
    """The message with something beside its content."""
    return message._replace(payload=payload)


NOTHING = Conversations([], [], [])
USED = {"model": "m", "usage": {"input_tokens": 10, "output_tokens": 2}}
SHOP = Conversations(
    sessions=[
        head("a", "ann", 0, 5, channel="web"),
        head("b", "bo", -86_400, 1),
        head("c", None, 0, 0),
    ],
    messages=[
        said("a", 1, "user", 0, "t1"),
        with_payload(said("a", 2, "assistant", 4, "t1"), USED),
        with_payload(said("a", 3, "user", 10, "t2"), {"tool_calls": [{"name": "x"}, {"name": "y"}, {"name": "x"}]}),
        said("a", 4, "user", 11, "t2"),
        with_payload(said("a", 5, "assistant", 9, "t2"), {"usage": {"prompt_tokens": 5}}),
        with_payload(said("b", 1, "critic", 4 * 86_400), [1]),
    ],
    entries=[
        Entry("a", 1, "running", "t1", at(0)),
        Entry("a", 2, "idle", None, at(5)),
        Entry("a", 3, "running", "t2", at(10)),
        Entry("a", 4, "error", "t2", at(12)),
        Entry("a", 5, "running", "t2", at(20)),
        Entry("b", 1, "running", None, at(86_400 * 4)),
    ],
)
"""Two sessions with messages, in one of which a turn failed and ran again; and one without."""

FULL = Conversations(
    sessions=[Session("a", "Ann's", "ann", {"n": 1}, NOON, NOON, 1, "idle", "t1", NOON)],
    messages=[
        Message("a", 1, NOON, "assistant", "t1", "Hello", {
            "tool_calls": [{"name": "weather"}],
            "tool_call_id": "call_1",
            "model": "large",
            "usage": {"input_tokens": 12, "output_tokens": 3},
            "latency_ms": 250,
        })
    ],
    entries=[Entry("a", 1, "running", "t1", NOON), Entry("a", 2, "idle", "t1", NOON)],
)  # fmt: skip
"""One row in each view, with a value in each column."""
