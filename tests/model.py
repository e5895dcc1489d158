"""What a store should hold, as plain dictionaries of lists: the whole expectation of `test_model`."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from session_store import IdempotencyConflict, NewMessage, SessionMetadata, SessionQuery, StoredMessage
from session_store.testing import Clock
from tests.search import search_reference
from tests.search.queries import finds_with

BORN: Final = {
    "name": None,
    "owner": None,
    "attributes": {},
    "last_seq": 0,
    "state_seq": 0,
    "state": "idle",
    "turn_id": None,
    "entered_at": None,
}


class Model:
    """Sessions by their keys: a head, and two logs."""

    def __init__(self, clock: Clock, engine: str) -> None:
        self.clock = clock
        self.engine = engine
        """What serves words."""
        self.heads: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[tuple[StoredMessage, str | None]]] = {}
        self.states: dict[str, list[tuple[int, str, str | None, datetime]]] = {}

    def at(self, offset: float | None) -> datetime:
        """A moment near the clock's."""
        return self.clock.now + timedelta(seconds=offset or 0)

    def head(self, key: str, born: datetime | None = None) -> dict[str, Any]:
        """The session of a key, made if it is not there."""
        if key not in self.heads:
            born = born or self.clock.now
            self.heads[key] = {**BORN, "created_at": born, "last_activity": born}
            self.logs[key], self.states[key] = [], []
        return self.heads[key]

    def touch(self, key: str, time: datetime) -> None:
        """Let a session have been active."""
        self.heads[key]["last_activity"] = max(self.heads[key]["last_activity"], time)

    def add(self, key: str, new: NewMessage) -> StoredMessage:
        """Append a message, unless it is there."""
        for stored, idempotency_key in self.logs.get(key, []):
            if idempotency_key is not None and idempotency_key == new.idempotency_key:
                if stored.message != new.message:
                    raise IdempotencyConflict(key, idempotency_key)
                return stored
        time = new.created_at or self.clock.now
        head = self.head(key, time)
        head["last_seq"] += 1
        stored = StoredMessage(head["last_seq"], time, head["turn_id"], new.message)
        self.logs[key].append((stored, new.idempotency_key))
        self.touch(key, time)
        return stored

    def change(self, key: str, state: str, turn: str | None) -> None:
        """Let a session enter a state."""
        head = self.head(key)
        turn = None if state == "idle" else turn
        if (head["state"], head["turn_id"]) != (state, turn):
            entered_at = max(head["entered_at"] or self.clock.now, self.clock.now)
            head.update(state=state, turn_id=turn, entered_at=entered_at, state_seq=head["state_seq"] + 1)
            self.states[key].append((head["state_seq"], state, turn, entered_at))

    def remove(self, gone: list[str]) -> int:
        """Take sessions away."""
        for key in gone:
            del self.heads[key], self.logs[key], self.states[key]
        return len(gone)

    def old_messages(self, key: str, keep_last: int | None, before: datetime | None) -> list[int]:
        """The seqs of the messages that are too many, or too old, or both if both are asked for."""
        log = self.history(key)
        return [
            stored.seq
            for place, stored in enumerate(log)
            if (keep_last is None or place < len(log) - keep_last) and (before is None or stored.created_at < before)
        ]

    def old_states(self, before: datetime) -> dict[str, list[int]]:
        """The seqs of the states that had ended by then, by session."""
        return {
            key: [entry[0] for entry, following in pairwise(log) if following[3] <= before]
            for key, log in self.states.items()
        }

    def metadata(self, key: str) -> SessionMetadata:
        """What the store should say of a session."""
        head = self.heads[key]
        return SessionMetadata(
            key, head["name"], head["owner"], head["attributes"], head["created_at"], head["last_activity"],
            len(self.logs[key]), head["last_seq"], head["state"], head["turn_id"], head["entered_at"],
        )  # fmt: skip

    def recent(self) -> list[SessionMetadata]:
        """All sessions, newest activity first."""
        return sorted(
            map(self.metadata, self.heads), key=lambda session: (session.last_activity, session.key), reverse=True
        )

    def history(self, key: str) -> list[StoredMessage]:
        """What a session holds."""
        return [stored for stored, _ in self.logs.get(key, [])]

    def seq(self, key: str, place: int | None) -> int | None:
        """The seq at a place: of the last message, or of none."""
        last = self.history(key)[-1].seq if self.logs.get(key) else 3
        return None if place is None else max(last + place, 0)

    def stuck(self, age: int) -> list[SessionMetadata]:
        """Those that run for longer, oldest first."""
        running = [session for session in self.recent() if session.state == "running"]
        late = [session for session in running if session.state_entered_at < self.at(-age)]
        return sorted(late, key=lambda session: (session.state_entered_at, session.key))

    def answers(self, session: SessionMetadata, asked: SessionQuery) -> bool:
        """Whether a session is what was asked for."""
        texts = [stored.message.content for stored in self.history(session.key)]
        # Without a word it is as if there were no keyword: then a session needs no message.
        worded = search_reference.finds(asked.keyword or "", "") is not None
        finds = finds_with(self.engine, asked.keyword or "")
        return (
            asked.owner in {None, session.owner}
            and asked.state in {None, session.state}
            and (asked.active_since is None or session.last_activity >= asked.active_since)
            and (asked.active_before is None or session.last_activity < asked.active_before)
            and all(is_same(session.attributes.get(label), value) for label, value in (asked.attributes or {}).items())
            and (not worded or any(map(finds, texts)))
        )

    def hits(self, keyword: str, key: str | None = None, role: str | None = None) -> list[tuple[str, int]]:
        """The messages a keyword finds, latest first: their keys and seqs."""
        finds = finds_with(self.engine, keyword)
        found = [
            (stored.created_at, session, stored.seq)
            for session in self.logs
            for stored in self.history(session)
            if key in {None, session} and role in {None, stored.message.role} and finds(stored.message.content)
        ]
        return [(session, seq) for _, session, seq in sorted(found, reverse=True)]


def is_same(value: object, other: object) -> bool:
    """Whether two values are the same JSON."""
    kinds = {bool if isinstance(each, bool) else str if isinstance(each, str) else float for each in (value, other)}
    return len(kinds) == 1 and value == other
