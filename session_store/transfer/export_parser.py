"""Lines that `session_store.transfer.export_jsonl` wrote, put together as sessions again.

A session's own line comes first, then its states and its messages, whose fields are those that the export has. Where
one of them is broken, nothing of the session is taken: a message missing in the middle would never be missed.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from session_store.interface.errors import InvalidMessage
from session_store.interface.values import ChatMessage, ImportedMessage, ImportedSession, StateEntry
from session_store.models.types import map_strings, unescape
from session_store.models.validation import integer
from session_store.transfer.line_reader import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from session_store.transfer.line_reader import Lines
    from session_store.transfer.session_importer import SessionImporter

_ESCAPE: Final = b"\\u001"


class Line(NamedTuple):
    """A line of a file: its number, the text, and what that says."""

    number: int
    text: bytes
    fields: Mapping[str, Any]

    @property
    def kind(self) -> str | None:
        """What an export calls it; None where it is a message by itself."""
        match self.fields.get("kind"):
            case "message" if "seq" in self.fields:
                return "message"
            case "session" | "state" as kind if "role" not in self.fields:
                return str(kind)
        return None

    @property
    def key(self) -> Any:
        """The session it is of."""
        return self.fields.get("session_key")

    def get(self, name: str) -> Any:
        """Return a field.

        Raises:
            InvalidMessage: There is none of that name.
        """
        if name not in self.fields:
            problem = f"has no {name}"
            raise InvalidMessage(problem)
        return self.fields[name]

    def text_of(self, name: str) -> Any:
        """Return a field whose strings are as `session_store.models.types.to_portable` makes them."""
        value = self.get(name)
        return map_strings(value, unescape) if _ESCAPE in self.text else value

    def time_of(self, name: str) -> datetime:
        """Return a field that is a time."""
        time = parse_time(self.get(name), name)
        if time is None:
            problem = f"has no {name}"
            raise InvalidMessage(problem)
        return time


class PeekableLines:
    """Lines, of which the next one can be looked at."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self.next: Line | None
        self.move()

    def move(self) -> None:
        """Go on to the line behind the next one."""
        self.next = next(self._lines, None)

    def of(self, kind: str, key: object) -> Iterator[Line]:
        """Give the lines of a kind and a session that come next; each is the next one until it has been used."""
        while self.next is not None and self.next.kind == kind and self.next.key == key:
            yield self.next
            self.move()


def read_session(first: Line, ahead: PeekableLines, lines: Lines, writer: SessionImporter) -> None:
    """Hand the session that a line begins to a writer, and pass by all lines of it.

    Args:
        first: The line.
        ahead: It is the next one.
        lines: Counts those that are broken.
        writer: Gets the session, or is told why there is none.
    """
    broken = lines.broken
    ahead.move()
    try:
        with _located(first):
            head = _head(first)
    except InvalidMessage as error:
        writer.skip(first.key, str(error))
    else:
        its = _SessionLines(head, ahead, lines, broken)
        writer.add(head, its.states(), its.messages())
    # Of one that was skipped.
    while ahead.next is not None and ahead.next.kind in {"state", "message"} and ahead.next.key == first.key:
        ahead.move()


class _SessionLines:
    """What comes behind a session's own line, as long as no line of it is broken."""

    def __init__(self, head: ImportedSession, ahead: PeekableLines, lines: Lines, broken: int) -> None:
        self._head = head
        self._ahead = ahead
        self._lines = lines
        self._broken = broken
        self._state_seq = self._came = 0

    def states(self) -> Iterator[StateEntry]:
        for line in self._ahead.of("state", self._head.key):
            self._require_whole()
            with _located(line):
                entry = StateEntry(line.get("seq"), line.get("state"), line.get("turn_id"), line.time_of("entered_at"))
            yield entry
            self._state_seq = entry.seq

    def messages(self) -> Iterator[ImportedMessage]:
        for line in self._ahead.of("message", self._head.key):
            self._require_whole()
            with _located(line):
                message = ImportedMessage(
                    line.get("seq"),
                    line.time_of("created_at"),
                    line.get("turn_id"),
                    line.get("idempotency_key"),
                    ChatMessage(line.get("role"), line.text_of("content"), line.text_of("payload")),
                )
            yield message
            self._came += 1
        # A line that is broken behind the last one may be of another session.
        if self._came < (self._head.message_count or 0) or self._state_seq < self._head.state_seq:
            self._require_whole()

    def _require_whole(self) -> None:
        if self._lines.broken > self._broken:
            problem = "a line of it is missing or broken"
            raise InvalidMessage(problem)


def _head(line: Line) -> ImportedSession:
    if line.kind != "session":
        problem = f"a {line.kind} whose session's own line is broken or missing"
        raise InvalidMessage(problem)
    return ImportedSession(
        line.get("session_key"),
        line.text_of("name"),
        line.get("owner"),
        line.text_of("attributes"),
        line.time_of("created_at"),
        line.time_of("last_activity"),
        line.get("last_seq"),
        line.get("state"),
        line.get("turn_id"),
        parse_time(line.get("state_entered_at"), "state_entered_at"),
        integer(line.get("state_seq"), "state_seq"),
        integer(line.get("message_count"), "message_count"),
    )


@contextmanager
def _located(line: Line) -> Iterator[None]:
    """Say in which line something is wrong."""
    try:
        yield
    except ValueError as error:
        problem = f"line {line.number}: {error}"
        raise InvalidMessage(problem) from None
