"""Whole sessions into a store: made with their numbers and times, added to, or skipped as a whole."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from session_store import ChatMessage, SessionStore
from session_store.transfer import SkippedSession, bulk_load
from session_store.transfer.bulk_load import BulkLoad
from session_store.transfer.session_importer import ImportedMessage, ImportedSession, SessionImporter, StateEntry
from tests.transfer.stories import everything

pytestmark = pytest.mark.once

BEGUN = datetime(2026, 3, 5, 9, 12, 3, 4, UTC)
SECOND = timedelta(seconds=1)

OTHER = "message 2 differs from the stored one"
TAKEN = "message 7 has the idempotency key of an earlier message"

Session = tuple[ImportedSession, Any, Any]


def head(key: str = "a", **given: Any) -> ImportedSession:
    """A session with nothing in it."""
    return ImportedSession(key, None, None, {}, BEGUN, BEGUN)._replace(**given)


def message(seq: int, content: str | None = None, **given: Any) -> ImportedMessage:
    """A message that no other number gives."""
    said = ChatMessage.user(f"message {seq}" if content is None else content, {"n": [seq, 1.5, None]})
    return ImportedMessage(seq, BEGUN + seq * SECOND, None, None, said)._replace(**given)


def several(*seqs: int) -> list[ImportedMessage]:
    """Messages of these numbers."""
    return list(map(message, seqs))


def write(
    store: SessionStore, *sessions: Session, dry_run: bool = False
) -> tuple[SessionImporter, list[SkippedSession]]:
    """Write sessions."""
    skipped: list[SkippedSession] = []
    with BulkLoad(store, dry_run=dry_run) as load:
        writer = SessionImporter(load, skipped.append)
        for session in sessions:
            writer.add(*session)
        writer.flush()
    return writer, skipped


def figures(writer: SessionImporter) -> tuple[int, int, int, set[str]]:
    """What a writer counted."""
    return writer.added, writer.already_there, writer.skipped, writer.keys


def test_a_session_gets_what_it_had(store: SessionStore) -> None:
    """Its numbers, with their gaps, its times, and what its head said of them."""
    begun = head(
        name="A \0 name",
        owner="ann",
        attributes={"n": 1, "no": None},
        last_activity=BEGUN + timedelta(days=1),
        last_seq=9,
        state="error",
        turn_id="t1",
        state_entered_at=BEGUN + SECOND,
        state_seq=3,
    )
    states = [StateEntry(2, "running", "t1", BEGUN), StateEntry(3, "error", "t1", BEGUN + SECOND)]
    write(store, (begun, states, [message(2), message(5, turn_id="t1", idempotency_key="once")]))

    there = store.get_session_metadata("a")
    assert there is not None
    assert there == (
        "a", "A \0 name", "ann", {"n": 1}, BEGUN, BEGUN + timedelta(days=1), 2, 9, "error", "t1", BEGUN + SECOND,
    )  # fmt: skip
    assert [(each.seq, each.created_at, each.turn_id) for each in store.history("a")] == [
        (2, BEGUN + 2 * SECOND, None),
        (5, BEGUN + 5 * SECOND, "t1"),
    ]
    assert store.append("a", ChatMessage.user("next")).seq == 10
    assert store.append("a", message(5).message, idempotency_key="once").seq == 5
    assert store.compact("a", dry_run=True).head_repaired is False


def test_what_came_later_counts_beyond_what_the_head_says(store: SessionStore) -> None:
    """The head's numbers and times are the least; without any it says what came with it."""
    write(store, (head(), [StateEntry(4, "running", "t", BEGUN)], several(3, 7)))

    there = store.get_session_metadata("a")
    assert there is not None
    assert (there.last_seq, there.last_activity, there.state, there.turn_id) == (7, BEGUN + 7 * SECOND, "running", "t")
    assert store.compact("a", dry_run=True).head_repaired is False


def test_a_session_without_messages_is_one(store: SessionStore) -> None:
    """It is made, and counted once."""
    assert figures(write(store, (head(), [], []), (head(), [], []))[0]) == (0, 0, 0, {"a"})
    assert store.list_sessions() == ["a"]


def test_a_session_that_is_there_keeps_what_it_has(store: SessionStore) -> None:
    """Its name, owner and attributes are its own; what has higher numbers is added, and the head follows."""
    write(store, (head(name="first", owner="ann"), [StateEntry(1, "running", "t1", BEGUN)], several(1, 2)))
    more = [StateEntry(1, "running", "t1", BEGUN), StateEntry(2, "idle", "t1", BEGUN + SECOND)]
    writer, skipped = write(store, (head(name="second", attributes={"n": 1}, last_seq=8), more, several(1, 2, 4)))

    there = store.get_session_metadata("a")
    assert (figures(writer), skipped) == ((1, 2, 0, {"a"}), [])
    assert there is not None
    assert there[1:4] == ("first", "ann", {})
    assert (there.message_count, there.last_seq, there.state, there.turn_id) == (3, 8, "idle", None)
    assert store.compact("a", dry_run=True).head_repaired is False


@pytest.mark.parametrize(
    ("messages", "equal", "reason"),
    [
        ([message(1), message(2, "other"), message(3)], 1, OTHER),
        ([message(1), message(2, message=ChatMessage.tool("message 2", {"n": [2, 1.5, None]}))], 1, OTHER),
        ([message(1), message(2, message=ChatMessage.user("message 2", {"n": [2, 1.5, False]}))], 1, OTHER),
        ([message(1), message(2, message=ChatMessage.user("message 2"))], 1, OTHER),
        (several(1, 2, 3, 4, 5), 2, "message 3 was deleted in the store"),
        (several(1, 2, 4, 5, 6), 3, "message 5 was deleted in the store"),
        ([message(1), message(7, idempotency_key="once")], 1, TAKEN),
        ([message(n, idempotency_key="k") for n in (7, 8)], 0, TAKEN.replace("7", "8")),
    ],
    ids=["content", "role", "payload", "no payload", "removed", "removed last", "idempotency key", "its own key"],
)  # fmt: skip
def test_a_session_that_differs_is_skipped_as_a_whole(
    store: SessionStore, messages: list[ImportedMessage], equal: int, reason: str
) -> None:
    """Nothing of it is added, it is told once and why, and the others are taken."""
    there = [message(1), message(2), message(4, idempotency_key="once")]
    write(store, (head(last_seq=6), [StateEntry(1, "running", "t", BEGUN)], there))
    before = everything(store)
    its = (head(last_seq=9), [StateEntry(2, "error", "t", BEGUN)], messages)

    writer, skipped = write(store, its)
    assert skipped == [("a", reason)]
    assert figures(writer) == (0, equal, 1, set())
    assert everything(store) == before

    writer, skipped = write(store, (head("0"), [], several(1)), its, (head("b"), [], several(1)))
    assert skipped == [("a", reason)]
    assert (writer.added, writer.skipped, writer.keys) == (2, 1, {"0", "b"})


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("session", "reason"),
    [
        ((head(""), [], []), "key must be 1 to 512 bytes of UTF-8, got 0: str ''"),
        ((head(7), [], []), "key must be a str, got int 7"),
        ((head(name="n" * 1025), [], []), "name has 1025 characters"),
        ((head(owner="\0"), [], []), "owner holds a NUL character"),
        ((head(attributes=[1]), [], []), "attributes must be a mapping, got list"),
        ((head(created_at=BEGUN.replace(tzinfo=None)), [], []), "created_at must have a time zone"),
        ((head(last_activity="now"), [], []), "last_activity must be a datetime"),
        ((head(last_seq=-1), [], []), "last_seq must be 0 to"),
        ((head(state="s" * 65), [], []), "state must be 1 to 64 bytes"),
        ((head(state_entered_at=7), [], []), "state_entered_at must be a datetime"),
        ((head(state_seq=True), [], []), "state_seq must be an int, got bool"),
        ((head(message_count="1"), [], []), "message_count must be an int"),
        ((head(), [StateEntry(0, "running", None, BEGUN)], []), "a state's seq must be 1 to"),
        ((head(), [StateEntry(1, "running", "", BEGUN)], []), "turn_id must be 1 to 512 bytes"),
        ((head(), [StateEntry(1, "running", None, None)], []), "entered_at must be a datetime"),
        ((head(), [], several(2, 2)), "seq must be 3 to"),
        ((head(), [], [message(1)._replace(seq=2**63)]), "seq must be 1 to"),
        ((head(), [], [message(1, created_at=None)]), "created_at must be a datetime"),
        ((head(), [], [message(1, idempotency_key="")]), "idempotency_key must be 1 to 512 bytes"),
        ((head(), [], [message(1, message=("user", "x"))]), "message must be a ChatMessage"),
        ((head(), [], [message(1, message=ChatMessage("user", "x", {1}))]), "payload must be JSON, got set"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_be_stored_costs_the_session(store: SessionStore, session: Session, reason: str) -> None:
    """It is told as an append would, nothing of the session is written, and the others are taken."""
    writer, ((key, told),) = write(store, (head("0"), [], several(1)), session, (head("b"), [], several(1)))

    assert told.startswith(reason)
    assert key == {7: "int 7"}.get(session[0].key, session[0].key)
    assert figures(writer) == (2, 0, 1, {"0", "b"})
    assert sorted(store.list_sessions()) == ["0", "b"]


def test_fewer_messages_than_counted_are_a_beginning(store: SessionStore) -> None:
    """They are taken, which is told; the numbers of the others are left free, so that they can still come."""
    begun = head(last_seq=3, message_count=3, last_activity=BEGUN + timedelta(days=1))
    writer, skipped = write(store, (begun, [], several(1, 2)))

    assert figures(writer) == (2, 0, 1, set())
    assert skipped == [("a", "only 2 of its 3 messages are in the file")]
    assert figures(write(store, (begun, [], several(1, 2, 3)))[0]) == (1, 2, 0, {"a"})
    assert store.get_session_metadata("a").last_activity == BEGUN + timedelta(days=1)


def test_small_sessions_share_a_transaction(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as fit; none is parted."""
    monkeypatch.setattr(bulk_load, "LINE_BATCH_SIZE", 10)
    begun: list[int] = []
    event.listen(store.engine, "commit", lambda _: begun.append(1))
    sizes = [3, 3, 3, 5, 1, 0, 0, 9, 2]
    write(store, *((head(f"k{n}"), [], several(*range(1, size + 1))) for n, size in enumerate(sizes)))

    assert len(begun) <= 5
    assert [len(store.load(f"k{n}")) for n in range(len(sizes))] == sizes


def test_an_end_of_a_transaction_by_bytes(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long messages are committed before there are many."""
    monkeypatch.setattr(bulk_load, "BATCH_MAX_BYTES", 1000)
    begun: list[int] = []
    event.listen(store.engine, "commit", lambda _: begun.append(1))
    write(store, (head(), [], [message(n, "x" * 600) for n in range(1, 7)]))

    assert len(begun) == 3 + 1


class Broken(Exception):
    """What reads the source has failed."""


def failing(messages: list[ImportedMessage], after: int) -> Iterator[ImportedMessage]:
    """Messages of a source that cannot be read to its end."""
    yield from messages[:after]
    raise Broken


def test_a_long_session_comes_in_parts_each_a_beginning(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it ends, what is there is whole as far as it goes; again completes it, as if nothing had happened."""
    monkeypatch.setattr(bulk_load, "LINE_BATCH_SIZE", 4)
    states = [StateEntry(n, "running", f"t{n}", BEGUN + n * SECOND) for n in (2, 3, 5, 8, 9)]
    states.append(StateEntry(10, "idle", None, BEGUN + 10 * SECOND))
    messages = several(1, 2, 5, 6, 7, 8, 11, 12, 13)
    begun = head(
        name="n",
        last_seq=15,
        last_activity=BEGUN + timedelta(days=1),
        state_seq=10,
        state_entered_at=BEGUN + 10 * SECOND,
    )
    write(store, (begun, states, messages))
    whole = everything(store)
    store.delete_session("a")
    lengths = []
    for after in range(len(messages)):
        with pytest.raises(Broken):
            write(store, (begun, states, failing(messages, after)))
        there = [stored.seq for stored in store.history("a")]
        lengths.append(len(there))
        assert there == [each.seq for each in messages[: len(there)]]
        assert not there or store.get_session_metadata("a").last_seq == there[-1]
        assert store.compact("a", dry_run=True).head_repaired is False

    assert sorted(set(lengths)) == [0, 2, 6]
    writer, _ = write(store, (begun, states, messages))
    assert (writer.added, writer.already_there) == (3, 6)
    assert everything(store) == whole


def test_a_source_that_fails_keeps_what_came_before(store: SessionStore) -> None:
    """The session being read is not there, and what its reader raised comes out."""
    with BulkLoad(store) as load:
        writer = SessionImporter(load)
        writer.add(head("0"), [], several(1))
        with pytest.raises(Broken):
            writer.add(head(), [], failing(several(1, 2), 1))
        writer.flush()

    assert store.list_sessions() == ["0"]


def test_two_at_once(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message is there once, whoever came first; neither waits for the other for ever."""
    monkeypatch.setattr(bulk_load, "LINE_BATCH_SIZE", 20)
    sessions = [(head(f"k{n}"), [StateEntry(1, "running", "t", BEGUN)], several(*range(1, 8))) for n in range(12)]
    done: list[SessionImporter] = []
    threads = [
        threading.Thread(target=lambda order=order: done.append(write(store, *order)[0]))
        for order in (sessions, sessions[::-1], sessions[6:] + sessions[:6])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(done) == 3
    assert sum(writer.added for writer in done) == 12 * 7
    assert sum(writer.already_there for writer in done) == 2 * 12 * 7
    assert {len(store.load(f"k{n}")) for n in range(12)} == {7}


def test_beside_a_writer_of_the_same_session(store: SessionStore) -> None:
    """What is appended meanwhile has a number of its own: the rest of the copy then differs, and is told."""
    write(store, (head(), [], several(1, 2)))
    store.append("a", ChatMessage.user("own"))

    writer, skipped = write(store, (head(), [], several(1, 2, 3, 4)))
    assert (figures(writer), skipped) == ((0, 2, 1, set()), [("a", "message 3 differs from the stored one")])


def test_a_trial_writes_nothing(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its figures are those of what is then done, though a session comes twice and in parts."""
    monkeypatch.setattr(bulk_load, "LINE_BATCH_SIZE", 4)
    monkeypatch.setattr(bulk_load, "MANY_MESSAGES", 4)
    write(store, (head("b"), [], several(1)))
    before = everything(store)
    sessions: list[Session] = [
        (head(), [], several(*range(1, 12))),
        (head("b"), [], [message(1, "other")]),
        (head(), [], several(*range(1, 14))),
        (head("c"), [], []),
    ]

    trial = write(store, *sessions, dry_run=True)
    assert everything(store) == before
    assert store.health().search in {"fts5", "tsvector"}
    done = write(store, *sessions)
    assert (figures(trial[0]), trial[1]) == (figures(done[0]), done[1]) == ((13, 11, 1, {"a", "c"}), [
        ("b", "message 1 differs from the stored one")
    ])  # fmt: skip


def test_what_was_copied_is_found(store: SessionStore) -> None:
    """The search index follows."""
    write(store, (head(), [], [message(1, "an umbrella in Porto")]))

    assert [hit.seq for hit in store.search_messages("umbrella porto")] == [1]
