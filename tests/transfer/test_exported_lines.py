"""The lines of an export come back as whole sessions, or not at all; others come back as messages by themselves."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store import ChatMessage, SessionStore
from session_store.testing import Clock
from session_store.transfer import BrokenLine, SkippedSession, bulk_load
from tests.conftest import examples
from tests.transfer.stories import HARD, emptied, everything, exported, imported, lines_of

pytestmark = pytest.mark.once

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what happens before a database is asked."""

NAMES = {
    "session": [
        "kind", "session_key", "name", "owner", "attributes", "created_at", "last_activity", "message_count",
        "last_seq", "state", "turn_id", "state_entered_at", "state_seq",
    ],
    "state": ["kind", "session_key", "seq", "state", "turn_id", "entered_at"],
    "message": [
        "kind", "session_key", "seq", "created_at", "turn_id", "role", "content", "payload", "idempotency_key",
    ],
}  # fmt: skip


def fill(store: SessionStore) -> bytes:
    """Sessions with all that one can have, and what an export says of them."""
    for key in ("a", "b", "c"):
        store.create_session(key, name=f"named {key}", owner="ann", attributes={"n": 1})
        store.append(key, ChatMessage.user("hello", {"a": [1, None]}), idempotency_key="once")
        store.set_session_state(key, "running", "t1")
        store.append(key, ChatMessage.assistant("well"))
        store.set_session_state(key, "idle")
    return exported(store)


def without(data: bytes, number: int, instead: bytes | None = None) -> bytes:
    """A file in which a line, from 1, is another one or none."""
    lines = data.splitlines()
    lines[number - 1 : number] = [] if instead is None else [instead]
    return b"\n".join(lines)


def changed(data: bytes, number: int, **fields: Any) -> bytes:
    """A file in which a line has other fields; None: it does not have it."""
    line = {**lines_of(data)[number - 1], **fields}
    kept = {name: value for name, value in line.items() if value is not Ellipsis}
    return without(data, number, json.dumps(kept).encode())


def test_a_line_has_its_fields_in_their_order(store: SessionStore) -> None:
    """Each session its own line, its states, its messages; and nothing is left out."""
    lines = lines_of(fill(store))

    assert [line["kind"] for line in lines] == ["session", "state", "state", "message", "message"] * 3
    assert all(list(line) == NAMES[line["kind"]] for line in lines)


@on_sqlite
def test_a_session_with_a_broken_line_is_skipped_as_a_whole(store: SessionStore, copy: SessionStore) -> None:
    """Whichever line it is; the line is told as any other, and the other sessions are taken."""
    data = fill(store)
    for number in range(1, 16):
        emptied(copy)
        key = "abc"[(number - 1) // 5]
        done, broken, skipped = imported(copy, without(data, number, b"{broken"))

        assert [line.line for line in broken] == [number]
        assert [session.session_key for session in skipped] == [key]
        assert (done.lines, done.added, done.broken, done.sessions, done.skipped) == (15, 4, 1, 2, 1)
        assert sorted(copy.list_sessions()) == sorted({"a", "b", "c"} - {key})


@on_sqlite
def test_a_broken_line_between_two_whole_sessions_costs_neither(store: SessionStore, copy: SessionStore) -> None:
    """Each has as many messages as it is to have."""
    data = fill(store)
    done, broken, skipped = imported(copy, without(data, 5, data.splitlines()[4] + b"\nbroken"))

    assert ([line.line for line in broken], skipped) == ([6], [])
    assert done.sessions == 3


@on_sqlite
@pytest.mark.parametrize(
    ("number", "fields", "reason"),
    [
        (1, {"created_at": ...}, "line 1: has no created_at"),
        (1, {"attributes": ...}, "line 1: has no attributes"),
        (1, {"created_at": None}, "line 1: has no created_at"),
        (1, {"last_activity": "soon"}, "line 1: last_activity is not a time in ISO 8601: 'soon'"),
        (1, {"state_entered_at": 7}, "line 1: state_entered_at must be a str, got int"),
        (1, {"message_count": None}, "line 1: message_count must be an int"),
        (1, {"name": 7}, "name must be a str"),
        (2, {"entered_at": ...}, "line 2: has no entered_at"),
        (3, {"seq": 1}, "a state's seq must be 2 to"),
        (4, {"content": ...}, "line 4: has no content"),
        (4, {"created_at": "2026-01-05"}, "line 4: created_at must have a time zone"),
        (4, {"role": ["user"]}, "role must be a str"),
        (5, {"seq": 1}, "seq must be 2 to"),
        (5, {"payload": {"n": float("inf")}}, None),
    ],
    ids=str,
)  # fmt: skip
def test_a_session_whose_line_does_not_say_what_it_must_is_skipped(
    store: SessionStore, copy: SessionStore, number: int, fields: dict[str, Any], reason: str | None
) -> None:
    """It is told in which line, or what of it cannot be stored."""
    done, broken, skipped = imported(copy, changed(fill(store), number, **fields))

    assert "a" in {session.session_key for session in skipped}
    assert reason is None or skipped[0].reason.startswith(reason)
    assert (done.added, done.sessions) == (4, 2)
    assert len(broken) == (reason is None)
    assert sorted(copy.list_sessions()) == ["b", "c"]


@on_sqlite
def test_lines_without_their_session_are_told_once(store: SessionStore, copy: SessionStore) -> None:
    """Where the session's own line is gone, or was behind them."""
    done, broken, skipped = imported(copy, without(fill(store), 6))

    assert (done.sessions, broken) == (2, [])
    assert skipped == [
        SkippedSession("b", "line 6: a state without the line of its session, which is broken or missing")
    ]


def test_a_file_that_was_cut_gives_the_beginning_of_its_last_session(store: SessionStore, other: SessionStore) -> None:
    """At the end of a line: what is there is taken, which is told; and the whole file completes it."""
    data = fill(store)
    done, _, skipped = imported(other, b"\n".join(data.splitlines()[:-1]))

    assert (done.added, done.sessions) == (5, 2)
    assert skipped == [SkippedSession("c", "only 1 of its 2 messages are in the file")]
    assert imported(other, data)[0][1:5] == (1, 5, 0, 3)
    assert everything(other) == everything(store)


@on_sqlite
def test_a_file_that_was_cut_within_a_line_gives_the_sessions_before(store: SessionStore, copy: SessionStore) -> None:
    """The last one is skipped as a whole, for a line of it is broken."""
    data = fill(store)
    for size in range(len(data) - 2, len(data) - 120, -7):
        emptied(copy)
        _, broken, skipped = imported(copy, data[:size])

        assert (len(broken), [session.session_key for session in skipped]) == (1, ["c"])
        assert sorted(copy.list_sessions()) == ["a", "b"]


@on_sqlite
def test_compressed_it_is_the_same(store: SessionStore, copy: SessionStore) -> None:
    """As every file to import."""
    imported(copy, gzip.compress(fill(store)))

    assert everything(copy) == everything(store)


def test_messages_by_themselves_may_call_themselves_what_they_like(store: SessionStore) -> None:
    """A ``kind`` of theirs is passed over as any other field."""
    entry = {"session_key": "a", "role": "user", "content": "hello"}
    kinds: list[Any] = ["session", "state", "message", "chat", None, 7, [], {}]
    done, broken, skipped = imported(store, b"\n".join(json.dumps({**entry, "kind": kind}).encode() for kind in kinds))

    assert (done.added, done.already_there, broken, skipped) == (len(kinds), 0, [], [])


def test_a_file_may_have_both(store: SessionStore, other: SessionStore) -> None:
    """Each line is written after those before it: the messages by themselves come behind the session's own."""
    data = fill(store)
    entry = json.dumps({"session_key": "a", "role": "user", "content": "by itself"}).encode() + b"\n"
    done, broken, skipped = imported(other, data + entry * 2)

    assert (done.lines, done.added, done.sessions, broken, skipped) == (17, 8, 3, [], [])
    assert [stored.message.content for stored in other.history("a")] == ["hello", "well", "by itself", "by itself"]
    before, after = imported(other, entry), imported(other, entry + data)
    assert before[0].already_there == 1
    assert (after[0].added, after[0].already_there, after[2]) == (0, 7, [])
    emptied(other)
    assert imported(other, entry + data)[2] == [SkippedSession("a", "message 1 differs from the stored one")]


def test_any_text_comes_back(store: SessionStore, other: SessionStore) -> None:
    """In a name, a content, a payload and attributes, as values and as keys; and the file is plain where it can be."""
    for text in [*HARD, "\x1a\x01\x02", "\ud83d\ude00 \x1a\x01\x02\x03", "a" * 70_000 + "\udc00"]:
        emptied(store, other)
        store.append("a", ChatMessage.user(text, {text: [text]}))
        store.set_session_name("a", text[:1000])
        store.set_session_attributes("a", {text: text})
        data = exported(store)
        imported(other, data)

        assert other.load("a") == [ChatMessage.user(text, {text: [text]})]
        assert everything(other) == everything(store)
        assert data.isascii()
        assert ("\x1a\x01\x02\x03" in text or "\ud83d\ude00" in text) == (lines_of(data)[1]["content"] != text)


entries = st.sampled_from(
    [
        *(json.dumps({"session_key": key, "role": "user", "content": text}).encode() for key in "abd" for text in "xy"),
        b"broken",
        b'{"session_key": ""}',
    ]
)  # fmt: skip


def test_a_trial_says_what_is_then_done(
    store: SessionStore, other: SessionStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any file, of both kinds and broken in places: the same figures and reasons, and nothing is written."""
    data = fill(store).splitlines()
    clock.advance(60)
    store.append("b", ChatMessage.user("since"))
    newer = exported(store).splitlines()
    monkeypatch.setattr(bulk_load, "LINE_BATCH_SIZE", 5)
    emptied(other)

    @examples(12)
    @given(st.lists(st.sampled_from([*data, *newer]) | entries, max_size=12), st.lists(entries, max_size=4))
    def example(first: list[bytes], second: list[bytes]) -> None:
        emptied(other)
        imported(other, b"\n".join(second))
        before = everything(other)
        files = b"\n".join(newer + first), b"\n".join(first + second)

        trial = imported(other, *files, dry_run=True)
        assert everything(other) == before
        assert trial == imported(other, *files)

    example()


def test_a_trial_in_memory(store: SessionStore) -> None:
    """Where all share one connection too."""
    data = fill(store)
    with SessionStore.open("sqlite://") as memory:
        trial = imported(memory, data, dry_run=True)

        assert memory.count_sessions() == 0
        assert imported(memory, data) == trial


@on_sqlite
def test_what_is_told_names_the_file(store: SessionStore, copy: SessionStore) -> None:
    """As for every line that is broken."""
    _, broken, _ = imported(copy, without(fill(store), 3, b"[]"))

    assert broken == [BrokenLine("<bytes>", 3, "must be a JSON object, got list")]
