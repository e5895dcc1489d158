"""What goes into a store and comes out of it.

What comes out by the thousand is a NamedTuple: per 1,000 values a frozen dataclass took 487 us and a
NamedTuple 200, beside 600 to 930 for the rows themselves. Values are bound to no transaction.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, NamedTuple

IDLE = "idle"
"""The state of a session nobody ever told otherwise."""

RUNNING = "running"
"""The state of a session in which an agent works on a turn."""


class ChatMessage(NamedTuple):
    """One entry of a conversation: who speaks, what they say, and whatever JSON belongs to it.

    Keys of ``payload`` the store recognises: ``tool_calls[].name``, ``tool_call_id``, ``model``,
    ``usage.input_tokens``, ``usage.output_tokens``, ``latency_ms``. The rest is the host's.
    """

    role: str
    content: str
    payload: Any = None

    @classmethod
    def user(cls, content: str, payload: Any = None) -> ChatMessage:
        """Return a message of the person."""
        return cls("user", content, payload)

    @classmethod
    def assistant(cls, content: str, payload: Any = None) -> ChatMessage:
        """Return a message of the model."""
        return cls("assistant", content, payload)

    @classmethod
    def system(cls, content: str, payload: Any = None) -> ChatMessage:
        """Return an instruction to the model."""
        return cls("system", content, payload)

    @classmethod
    def tool(cls, content: str, payload: Any = None) -> ChatMessage:
        """Return what a tool was asked or has answered."""
        return cls("tool", content, payload)


class NewMessage(NamedTuple):
    """A message to append, with the time it was made and a key that makes appending it again harmless."""

    message: ChatMessage
    created_at: datetime | None = None
    idempotency_key: str | None = None


class StoredMessage(NamedTuple):
    """A message with its number in the session, its time (UTC) and the turn it was appended in."""

    seq: int
    created_at: datetime
    turn_id: str | None
    message: ChatMessage


class AnyTurn(Enum):
    """The default of ``if_turn``: whatever turn is current. None is a turn to ask for, namely none."""

    ANY_TURN = "any turn"


ANY_TURN: Final = AnyTurn.ANY_TURN


class SessionState(NamedTuple):
    """What a session is doing; times are UTC, and None where no state was ever set."""

    state: str
    turn_id: str | None
    turn_started_at: datetime | None
    entered_at: datetime | None


class SessionMetadata(NamedTuple):
    """A session without its messages; times are UTC."""

    key: str
    name: str | None
    owner: str | None
    attributes: dict[str, Any]
    created_at: datetime
    last_activity: datetime
    message_count: int
    last_seq: int
    state: str
    turn_id: str | None
    state_entered_at: datetime | None

    @property
    def cursor(self) -> str:
        """Where a list goes on after this session: opaque, safe in a URL, for ``SessionQuery.after``."""
        return _encode_cursor([self.last_activity.isoformat(), self.key])


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionQuery:
    """Which sessions to list, count or search; every condition given must hold.

    Attributes:
        keyword: What one message of the session must have, in the language of `session_store.search.query`: words,
            ``"phrases"``, ``prefix*``, ``-without``, ``this OR that``. None, or without a word: any session.
        limit: At most so many, 0 or more; None: all.
        after: The ``cursor`` of a `SessionMetadata`: go on behind it.
        owner: Only sessions of this owner.
        state: Only sessions in this state now.
        attributes: Only sessions whose attributes have these values, strings, numbers or booleans.
        active_since: Only sessions active then or later; aware.
        active_before: Only sessions not active since; aware.
    """

    keyword: str | None = None
    limit: int | None = None
    after: str | None = None
    owner: str | None = None
    state: str | None = None
    attributes: Mapping[str, str | int | float | bool] | None = None
    active_since: datetime | None = None
    active_before: datetime | None = None


class Snippet(NamedTuple):
    """A piece of a message around what was found in it.

    ``matches`` are the places of the matches in ``text``, start and end, in order and apart. An ellipsis at the start
    or the end of ``text`` says that the message goes on there.
    """

    text: str
    matches: tuple[tuple[int, int], ...]

    def highlight(self, before: str, after: str, *, escape: Callable[[str], str] = str) -> str:
        """Return the text with each match between two marks.

        Args:
            before: What comes before a match, ``"<mark>"`` for example.
            after: What comes after it.
            escape: Applied to the text and not to the marks: `html.escape` for a page.
        """
        pieces: list[str] = []
        done = 0
        for start, end in self.matches:
            pieces += (escape(self.text[done:start]), before, escape(self.text[start:end]), after)
            done = end
        return "".join((*pieces, escape(self.text[done:])))


class MessageHit(NamedTuple):
    """A message that a search found; its time is UTC.

    ``rank`` is higher for a better match; its scale is that of the engine that served, so ranks of two databases do
    not compare.
    """

    key: str
    seq: int
    role: str
    created_at: datetime
    rank: float
    snippet: Snippet

    @property
    def cursor(self) -> str:
        """Where a search goes on after this message: opaque, safe in a URL, for ``after``."""
        return _encode_cursor([self.created_at.isoformat(), self.rank, self.key, self.seq])


class Compaction(NamedTuple):
    """What `SessionStore.compact` did, or would do: messages removed as doubles, and whether the head was wrong."""

    duplicates_removed: int
    head_repaired: bool


class Health(NamedTuple):
    """What `SessionStore.health` found.

    ``schema`` is the revision (None where a host keeps it in a version table of another name), ``search``
    the engine that serves, ``latency`` the seconds one round trip took.
    """

    schema: str | None
    search: str
    latency: float


class ImportedSession(NamedTuple):
    """What a session has beside its messages and its state log, as it is copied from one place to another.

    ``last_seq`` and ``state_seq`` are the highest numbers that were ever taken, which may be those of nothing that is
    still there. They and ``last_activity`` are the least that the copy gets: what comes with it may go beyond.
    ``message_count`` says how many messages there are to come, where that is known: if fewer do, the copy gets no other
    numbers than theirs, so that the others can still come.
    """

    key: str
    name: str | None
    owner: str | None
    attributes: Mapping[str, Any]
    created_at: datetime
    last_activity: datetime
    last_seq: int = 0
    state: str = IDLE
    turn_id: str | None = None
    state_entered_at: datetime | None = None
    state_seq: int = 0
    message_count: int | None = None


class StateEntry(NamedTuple):
    """A change of a session's state, with its number in the log."""

    seq: int
    state: str
    turn_id: str | None
    entered_at: datetime


class ImportedMessage(NamedTuple):
    """A message with all that belongs to it."""

    seq: int
    created_at: datetime
    turn_id: str | None
    idempotency_key: str | None
    message: ChatMessage


def _encode_cursor(position: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")
