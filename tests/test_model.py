"""Whatever is called in whatever order: the store does what plain dictionaries of lists would.

Hypothesis makes up the calls, with few keys, words and moments, so that they meet. The model is the whole
expectation; the store is compared with it after every step.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import Phase, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, text

from session_store import (
    ChatMessage,
    Compaction,
    IdempotencyConflict,
    MessageHit,
    NewMessage,
    SessionQuery,
    SessionState,
    SessionStore,
    StoredMessage,
)
from session_store.models.types import as_utc
from session_store.search import index as search_index
from session_store.testing import Clock
from tests.conftest import examples
from tests.model import BORN, Model
from tests.search.test_exact import check_integrity, through_the_index

pytestmark = pytest.mark.once

keys = st.sampled_from(["ann", "Bob", "é \U0001f600"])
names = st.sampled_from(["", "Ann", "\0\ud800"])
owners = st.sampled_from([None, "ann", "ann", "eve"])
turns = st.sampled_from([None, "t1", "t2"])
states = st.sampled_from(["idle", "running", "running", "error", "waiting"])
once = st.sampled_from([None, None, "once", "twice"])
messages = st.sampled_from(
    [
        ChatMessage.user("hello"),
        ChatMessage.user("hello", {"n": 1, "\ud800": ["\0"]}),
        ChatMessage.assistant("hello"),
        ChatMessage.assistant("Hello there, 100%\0\x1a"),
        # An index sees the mark and the number otherwise than we do.
        ChatMessage.tool("/etc/hello.d: \u041f\u0440\u0438\u0432\u0435\u0301\u0442 \u039f\u0394\u039f\u03a3 6e35d56a"),
        ChatMessage.user("\u041f\u0440\u0438\u0432\u0435\u0442! \u4f60\u597d\u4e16\u754c hello-\u4f60"),
    ]
)
attributes = st.dictionaries(st.sampled_from("xy"), st.sampled_from([None, 1, True, "1", [1]]), max_size=2)
scalars = st.dictionaries(st.sampled_from("xy"), st.sampled_from([1, True, "1", 1.0]), max_size=2)
seconds = st.sampled_from([0, 0, 1, 2, 60, 3600, -1, -60, 0.000001])
moments = st.none() | seconds
ages = st.sampled_from([0, 1, 2, 60, 3600, 7200])
batches = st.sampled_from([1, 2, 500])
places = st.sampled_from([None, None, 0, -1, -2])
"""Which seq to name: none, the last one, or one a bit off."""
bounds = st.none() | st.integers(0, 6)
KEYWORDS = [
    "hello",
    "HELLO there",
    "hel*",
    '"there 100%" OR "hello d"',
    "hello -there",
    "-hello",
    "etc/hello",
    "\u043f\u0440\u0438\u0432\u0435\u0442",
    "\u041f\u0440\u0438* -\u4f60*",
    "\u043f\u0440\u0438\u0432\u0435\u0301\u0442",
    "\u03bf\u03b4\u03bf\u03c2 OR nowhere",
    "6e35d56a",
    "\u597d\u4e16",
    "% \0",
    "_",
]
words = st.sampled_from(KEYWORDS)

FULL_TEXT = {"sqlite": "fts5", "postgresql": "tsvector"}


class Rollback(Exception):
    """Raised to end a transaction without its changes."""


class Conversations(RuleBasedStateMachine):
    """A store, and beside it what should be in it."""

    def __init__(self, store: SessionStore, engine: Engine, clock: Clock, model: Model | None = None) -> None:
        super().__init__()
        self.store, self.engine, self.clock = store, engine, clock
        self.full_text = FULL_TEXT[engine.dialect.name]
        if model is not None:
            self.model = model
            return
        search_index.create(engine)
        self.model = Model(clock, self.full_text)
        clock.set(Clock().now)
        with engine.begin() as db:
            for table in ("states", "messages", "sessions"):
                db.execute(text(f"DELETE FROM session_store_{table}"))  # noqa: S608

    # What is called: messages.

    @rule(offset=seconds)
    def time_goes_on(self, offset: float) -> None:
        """Or back."""
        self.clock.advance(offset)

    @rule(key=keys, message=messages, offset=moments, idempotency_key=once)
    def append(self, key: str, message: ChatMessage, offset: float | None, idempotency_key: str | None) -> None:
        """One message."""
        new = NewMessage(message, None if offset is None else self.model.at(offset), idempotency_key)
        try:
            expected = self.model.add(key, new)
        except IdempotencyConflict:
            with pytest.raises(IdempotencyConflict):
                self.store.append(key, message, created_at=new.created_at, idempotency_key=idempotency_key)
        else:
            assert (
                self.store.append(key, *new[:1], created_at=new.created_at, idempotency_key=idempotency_key) == expected
            )

    @rule(key=keys, offset=seconds)
    def say_again(self, key: str, offset: float) -> None:
        """What was said last, a little later."""
        history = self.model.history(key)
        message = history[-1].message if history else ChatMessage.user("hello")
        time = (history[-1].created_at if history else self.clock.now) + timedelta(seconds=offset)

        expected = self.model.add(key, NewMessage(message, time))
        assert self.store.append(key, message, created_at=time) == expected

    @rule(key=keys, several=st.lists(st.tuples(messages, moments, once), max_size=4))
    def append_many(self, key: str, several: list[tuple[ChatMessage, float | None, str | None]]) -> None:
        """All or none."""
        new = [
            NewMessage(message, None if offset is None else self.model.at(offset), once)
            for message, offset, once in several
        ]
        before = (
            {key: dict(head) for key, head in self.model.heads.items()},
            {key: [*log] for key, log in self.model.logs.items()},
        )
        try:
            expected = [self.model.add(key, message) for message in new]
        except IdempotencyConflict:
            self.model.heads, self.model.logs = before
            with pytest.raises(IdempotencyConflict):
                self.store.append_many(key, new)
        else:
            assert self.store.append_many(key, new) == expected

    @rule(key=keys, place=places, pop=st.booleans())
    def remove_last(self, key: str, place: int | None, pop: bool) -> None:  # noqa: FBT001 - drawn
        """Or pop it."""
        seq, history = self.model.seq(key, place), self.model.history(key)
        there = bool(history) and (pop or seq in {None, history[-1].seq})
        if there:
            self.model.logs[key].pop()
        if pop:
            assert self.store.pop_last(key) == (history[-1] if there else None)
        else:
            assert self.store.remove_last(key, seq=seq) is there

    @rule(key=keys, message=messages, place=places)
    def update_last(self, key: str, message: ChatMessage, place: int | None) -> None:
        """In place."""
        seq, log = self.model.seq(key, place), self.model.logs.get(key, [])
        there = bool(log) and seq in {None, log[-1][0].seq}
        if there:
            stored, idempotency_key = log[-1]
            log[-1] = stored._replace(message=message), idempotency_key
            self.model.touch(key, self.clock.now)

        assert self.store.update_last(key, message, seq=seq) is there

    @rule(key=keys)
    def clear_messages(self, key: str) -> None:
        """All of them."""
        expected = len(self.model.logs.get(key, []))
        self.model.logs.get(key, []).clear()

        assert self.store.clear_messages(key) == expected

    @rule(key=keys, within=ages, dry_run=st.booleans())
    def compact(self, key: str, within: int, dry_run: bool) -> None:  # noqa: FBT001
        """Without the doubles."""
        kept: list[tuple[StoredMessage, str | None]] = []
        log = self.model.logs.get(key, [])
        for stored, once in log:
            last = kept[-1][0] if kept else None
            alike = (
                last is not None and once is None and (last.message, last.turn_id) == (stored.message, stored.turn_id)
            )
            if not (
                last and alike and timedelta(0) <= stored.created_at - last.created_at <= timedelta(seconds=within)
            ):
                kept.append((stored, once))
        expected = Compaction(len(log) - len(kept), head_repaired=False)
        if not dry_run:
            log[:] = kept

        assert self.store.compact(key, within_secs=within, dry_run=dry_run) == expected

    # Sessions.

    @rule(key=keys, name=st.none() | names, owner=owners, given=st.none() | attributes)
    def create_session(self, key: str, name: str | None, owner: str | None, given: dict[str, Any] | None) -> None:
        """Only if it is new."""
        new = key not in self.model.heads
        if new:
            kept = {label: value for label, value in (given or {}).items() if value is not None}
            self.model.head(key).update(name=name or None, owner=owner, attributes=kept)

        assert self.store.create_session(key, name=name, owner=owner, attributes=given) is new

    @rule(key=keys, name=names, owner=owners, given=attributes)
    def label(self, key: str, name: str, owner: str | None, given: dict[str, Any]) -> None:
        """Name, owner and attributes."""
        head = self.model.head(key)
        merged = {label: value for label, value in {**head["attributes"], **given}.items() if value is not None}
        head.update(name=name or None, owner=owner, attributes=merged)
        self.store.set_session_attributes(key, given)
        self.store.set_session_name(key, name)
        self.store.set_session_owner(key, owner)

        assert self.store.get_session_name(key) == head["name"]

    @rule(key=keys)
    def delete_session(self, key: str) -> None:
        """With all it has."""
        there = key in self.model.heads
        self.model.remove([key] if there else [])

        assert self.store.delete_session(key) is there

    @rule(owner=owners.filter(bool), batch_size=batches)
    def delete_sessions(self, owner: str, batch_size: int) -> None:
        """Of one owner."""
        expected = self.model.remove([key for key, head in self.model.heads.items() if head["owner"] == owner])

        assert self.store.delete_sessions(owner=owner, batch_size=batch_size) == expected

    @rule(age=ages, batch_size=batches, dry_run=st.booleans(), running=st.booleans())
    def cleanup_stale(self, age: int, batch_size: int, dry_run: bool, running: bool) -> None:  # noqa: FBT001
        """What nobody used."""
        cutoff = self.model.at(-age)
        stale = [
            key
            for key, head in self.model.heads.items()
            if head["last_activity"] < cutoff
            and (head["entered_at"] is None or head["entered_at"] < cutoff)
            and (running or head["state"] != "running")
        ]
        expected = len(stale) if dry_run else self.model.remove(stale)
        options = {"batch_size": batch_size, "dry_run": dry_run, "include_running": running}

        assert self.store.cleanup_stale(age / 3600, **options) == expected

    @rule(key=keys, keep=bounds, offset=moments, batch_size=batches, dry_run=st.booleans())
    def trim(self, key: str, keep: int | None, offset: float | None, batch_size: int, dry_run: bool) -> None:  # noqa: FBT001
        """Too many messages, or too old ones."""
        if keep is None and offset is None:
            return
        before = None if offset is None else self.model.at(offset)
        old = self.model.old_messages(key, keep, before)
        if key in self.model.logs and not dry_run:
            self.model.logs[key] = [entry for entry in self.model.logs[key] if entry[0].seq not in old]
        trimmed = self.store.trim(key, keep_last=keep, before=before, batch_size=batch_size, dry_run=dry_run)

        assert trimmed == len(old)

    @rule(offset=seconds, batch_size=batches, dry_run=st.booleans())
    def prune_states(self, offset: float, batch_size: int, dry_run: bool) -> None:  # noqa: FBT001
        """What sessions were doing once."""
        old = self.model.old_states(self.model.at(offset))
        if not dry_run:
            for key, seqs in old.items():
                self.model.states[key] = [entry for entry in self.model.states[key] if entry[0] not in seqs]
        pruned = self.store.prune_states(self.model.at(offset), batch_size=batch_size, dry_run=dry_run)

        assert pruned == sum(map(len, old.values()))

    @rule(key=keys, message=messages, turn=turns, commit=st.booleans())
    def transaction(self, key: str, message: ChatMessage, turn: str | None, commit: bool) -> None:  # noqa: FBT001
        """Several calls that happen together, or not at all."""
        with suppress(Rollback), self.store.begin() as tx:
            tx.delete_session(key)
            tx.set_session_state(key, "running", turn)
            tx.append(key, message)
            if not commit:
                raise Rollback
        if commit:
            self.model.remove([key] if key in self.model.heads else [])
            self.model.change(key, "running", turn)
            self.model.add(key, NewMessage(message))

    @rule(there=st.booleans())
    def search_index(self, there: bool) -> None:  # noqa: FBT001
        """Removed, made anew, or made from what is there."""
        if there:
            change = search_index.create if self.model.engine == "like" else search_index.rebuild
            assert change(self.engine).engine == self.full_text
        else:
            search_index.drop(self.engine)
        self.model.engine = self.full_text if there else "like"

    # States.

    @rule(key=keys, state=states, turn=turns, guard=st.just("none given") | turns)
    def set_session_state(self, key: str, state: str, turn: str | None, guard: str | None) -> None:
        """Maybe only in a turn."""
        options = {} if guard == "none given" else {"if_turn": guard}
        current = self.model.heads.get(key, BORN)["turn_id"]
        may = not options or guard == current
        if may:
            self.model.change(key, state, turn)

        assert self.store.set_session_state(key, state, turn, **options) is may

    @rule(age=ages)
    def list_stuck_sessions(self, age: int) -> None:
        """Who runs for too long."""
        assert self.store.list_stuck_sessions(age) == self.model.stuck(age)

    @rule(age=ages, to=st.sampled_from(["error", "idle", "waiting"]))
    def recover_stuck(self, age: int, to: str) -> None:
        """Move them on."""
        recovered = sorted(session.key for session in self.model.stuck(age))
        for key in recovered:
            self.model.change(key, to, self.model.heads[key]["turn_id"])

        assert self.store.recover_stuck(age, to=to) == recovered

    # Reading.

    @rule(key=keys, last=bounds, after=bounds, before=bounds, limit=bounds)
    def read(self, key: str, last: int | None, after: int | None, before: int | None, limit: int | None) -> None:
        """Messages by pages."""
        whole = self.model.history(key)
        page = [m for m in whole if (after is None or m.seq > after) and (before is None or m.seq < before)]
        size = len(page) if limit is None else min(limit, len(page))
        said = [stored.message for stored in whole]

        assert self.store.load(key, last=last) == (said if last is None else said[max(len(said) - last, 0) :])
        assert self.store.history(key, after_seq=after, before_seq=before, limit=limit) == (
            page[:size] if before is None else page[len(page) - size :]
        )

    @rule(
        given=st.fixed_dictionaries(
            {}, optional={"owner": owners, "state": states, "attributes": scalars, "keyword": st.none() | words}
        ),
        moment=st.none() | st.sampled_from(["active_since", "active_before"]),
        offset=seconds,
        limit=bounds,
        start=bounds,
    )
    def query(
        self, given: dict[str, Any], moment: str | None, offset: float, limit: int | None, start: int | None
    ) -> None:
        """Sessions by everything one may ask for, at the edges most of all."""
        everything = self.model.recent()
        place = None if start is None or not everything else everything[start % len(everything)]
        if moment is not None and place is not None:
            given = {**given, moment: place.last_activity + timedelta(seconds=offset)}
        asked = SessionQuery(**given, limit=limit, after=place.cursor if place and moment is None else None)
        found = [session for session in everything if self.model.answers(session, asked)]
        behind = everything[everything.index(place) + 1 :] if place and asked.after else everything
        page = [session for session in found if session in behind]

        assert self.store.search(asked) == page[:limit]
        assert self.store.count_sessions(asked) == len(found)

    @rule(
        keyword=words,
        key=st.none() | keys,
        role=st.sampled_from([None, None, "user", "assistant"]),
        order=st.sampled_from(["recency", "relevance"]),
        limit=st.integers(1, 6),
    )
    def search_messages(self, keyword: str, key: str | None, role: str | None, order: str, limit: int) -> None:
        """Messages by words, page by page."""
        found: list[MessageHit] = []
        while page := self.store.search_messages(
            keyword, key=key, role=role, order=order, limit=limit, after=found[-1].cursor if found else None
        ):
            found += page
        expected = self.model.hits(keyword, key, role)
        places = [(hit.key, hit.seq) for hit in found]

        if order == "relevance":
            assert [hit.rank for hit in found] == sorted((hit.rank for hit in found), reverse=True)
            assert sorted(places) == sorted(expected)
        else:
            assert places == expected

    @invariant()
    def all_is_as_expected(self) -> None:
        """The list of all sessions is the model's, and so is who is running."""
        everything = self.model.recent()
        running = sorted(
            (session for session in everything if session.state == "running"),
            key=lambda session: (-session.state_entered_at.timestamp(), session.key),
        )

        assert self.store.list_sessions_with_metadata() == everything
        assert self.store.list_running_sessions() == running

    def teardown(self) -> None:
        """At the end every log is compared, row by row."""
        for key in [*self.model.heads, "nobody"]:
            assert list(self.store.iter_history(key, batch=2)) == self.model.history(key)
            head = self.model.heads.get(key)
            started_at = head["entered_at"] if head and head["state"] == "running" else None
            state = head and SessionState(head["state"], head["turn_id"], started_at, head["entered_at"])
            assert self.store.get_session_state(key) == state
        with self.engine.connect() as db:
            rows = db.execute(text("SELECT session_key, seq, state, turn_id, entered_at FROM session_store_states"))
            logged = sorted((key, seq, state, turn or "", as_utc(time)) for key, seq, state, turn, time in rows)
        assert logged == sorted(
            (key, seq, state, turn or "", time)
            for key, log in self.model.states.items()
            for seq, state, turn, time in log
        )
        self.search_finds_what_is_there()
        target(sum(map(len, self.model.logs.values())), label="messages")

    def search_finds_what_is_there(self) -> None:
        """FTS5 itself says that the index has the messages there are, and every keyword finds its own."""
        if self.model.engine == "fts5":
            check_integrity(self.engine)
        with through_the_index(self.engine) as db:
            joined = SessionStore(self.engine).joined_to(db)
            for keyword in KEYWORDS:
                hits = joined.search_messages(keyword, limit=10_000)
                assert [(hit.key, hit.seq) for hit in hits] == self.model.hits(keyword), keyword


@pytest.mark.timeout(1800)
def test_a_store_does_what_the_model_does(store: SessionStore, engine: Engine, clock: Clock) -> None:
    """No order of calls makes the store differ from dictionaries of lists."""
    # What the ways share is tried where it is fastest.
    fastest = isinstance(store, SessionStore) and engine.dialect.name == "sqlite"
    run_state_machine_as_test(
        lambda: Conversations(store, engine, clock),
        settings=settings(examples(120 if fastest else 25), stateful_step_count=40),
    )


class Endless(Conversations):
    """Goes on where another one ended."""

    steps = 0

    @invariant()
    def count(self) -> None:
        """After each step, and once before the first."""
        Endless.steps += 1


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("store", ["sync"], indirect=True)
def test_nothing_goes_wrong_little_by_little(store: SessionStore, engine: Engine, clock: Clock) -> None:
    """After 5,000 operations on the same tables the index is whole, and every keyword finds its messages."""
    Endless.steps = 0
    first = Conversations(store, engine, clock)
    # Not to be made shorter where it fails: what came before is not done again.
    once = settings(max_examples=150, stateful_step_count=40, phases=[Phase.generate])
    run_state_machine_as_test(lambda: Endless(store, engine, clock, first.model), settings=once)
    first.model.engine = search_index.create(engine).engine
    first.search_finds_what_is_there()
    print(f"{Endless.steps} operations on {engine.dialect.name}")  # noqa: T201 - how much was done

    assert Endless.steps - once.max_examples >= 5_000
