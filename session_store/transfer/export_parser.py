"""Parse the lines of `session_store.transfer.export_jsonl` into sessions.

The line of a session comes first, then its states and its messages. If one line is broken, the whole session is
skipped: nothing would reveal a message missing in the middle.
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
    """A line of a file: its number, its text and its fields."""

    number: int
    text: bytes
    fields: Mapping[str, Any]

    @property
    def kind(self) -> str | None:
        """The kind of an exported line; None for a message that is not part of an export."""
        match self.fields.get("kind"):
            case "message" if "seq" in self.fields:
                return "message"
            case "session" | "state" as kind if "role" not in self.fields:
                return str(kind)
        return None

    @property
    def key(self) -> Any:
        """The key of the session."""
        return self.fields.get("session_key")

    def get(self, name: str) -> Any:
        """Return a field.

        Raises:
            InvalidMessage: The field is missing.
        """
        if name not in self.fields:
            problem = f"has no {name}"
            raise InvalidMessage(problem)
        return self.fields[name]

    def text_of(self, name: str) -> Any:
        """Return a field, with its strings converted back from `session_store.models.types.to_portable`."""
        value = self.get(name)
        return map_strings(value, unescape) if _ESCAPE in self.text else value

    def time_of(self, name: str) -> datetime:
        """Return a field as a time."""
        time = parse_time(self.get(name), name)
        if time is None:
            problem = f"has no {name}"
            raise InvalidMessage(problem)
        return time


class PeekableLines:
    """An iterator of lines with one line of lookahead."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self.next: Line | None
        self.move()

    def move(self) -> None:
        """Consume the next line."""
        self.next = next(self._lines, None)

    def of(self, kind: str, key: object) -> Iterator[Line]:
        """Yield the next lines of a kind and a session; each is consumed after it was used."""
        while self.next is not None and self.next.kind == kind and self.next.key == key:
            yield self.next
            self.move()


def read_session(first: Line, ahead: PeekableLines, lines: Lines, writer: SessionImporter) -> None:
    """Pass the session that starts at a line to an importer, and consume all its lines.

    Args:
        first: The line of the session.
        ahead: The lines, of which ``first`` is the next.
        lines: Counts broken lines.
        writer: Imports the session, or reports why it is skipped.
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
    # The lines of a skipped session.
    while ahead.next is not None and ahead.next.kind in {"state", "message"} and ahead.next.key == first.key:
        ahead.move()


class _SessionLines:
    """The states and messages of a session, up to the first broken line."""

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
        # A broken line after the last one may belong to another session.
        if self._came < (self._head.message_count or 0) or self._state_seq < self._head.state_seq:
            self._require_whole()

    def _require_whole(self) -> None:
        if self._lines.broken > self._broken:
            problem = "a line of the session is missing or broken"
            raise InvalidMessage(problem)


def _head(line: Line) -> ImportedSession:
    if line.kind != "session":
        problem = f"a {line.kind} without the line of its session, which is broken or missing"
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
    """Add the number of the line to an error."""
    try:
        yield
    except ValueError as error:
        problem = f"line {line.number}: {error}"
        raise InvalidMessage(problem) from None
