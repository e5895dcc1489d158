"""The messages of one session: reading them, and changing their end."""

import pytest

from session_store.interface.protocols import SessionBackend
from session_store.interface.values import ChatMessage, NewMessage
from session_store.testing.clock import Clock
from tests.conformance.helpers import (
    HELLO,
    KEY,
    LONG_AGO,
    OTHER,
    counts,
    head,
    last_activity,
    said,
    say,
    seqs,
)


def test_an_unknown_session_is_empty(store: SessionBackend) -> None:
    """Nothing is read from a session that is not there, nothing is changed, and reading does not make it."""
    assert store.load(KEY) == []
    assert store.load(KEY, last=3) == []
    assert store.history(KEY) == []
    assert list(store.iter_history(KEY)) == []
    assert store.pop_last(KEY) is None
    assert store.remove_last(KEY) is False
    assert store.update_last(KEY, HELLO) is False
    assert store.clear_messages(KEY) == 0
    assert not store.session_exists(KEY)


def test_load_last_gives_the_newest_oldest_first(store: SessionBackend) -> None:
    """``last=N`` is the end of what load gives."""
    say(store, "a b c d")
    store.remove_last(KEY)
    whole = store.load(KEY)

    assert [store.load(KEY, last=n) for n in range(5)] == [[], whole[2:], whole[1:], whole, whole]
    assert store.load(KEY, last=2**63 - 1) == whole


def test_history_pages_forwards_and_backwards(store: SessionBackend) -> None:
    """Every page is what its bounds cut out of the whole: its beginning, or with before_seq its end."""
    say(store, "a b c d e f g")
    store.pop_last(KEY)
    store.append(KEY, HELLO)
    whole = store.history(KEY)
    assert [message.seq for message in whole] == [1, 2, 3, 4, 5, 6, 8]
    bounds = [None, 0, 4, 7, 8, 2**63 - 1]

    for after in bounds:
        for before in bounds:
            inside = [
                message
                for message in whole
                if (after is None or message.seq > after) and (before is None or message.seq < before)
            ]
            for limit in (None, 0, 2, 2**63 - 1):
                size = len(inside) if limit is None else min(limit, len(inside))
                page = inside[:size] if before is None else inside[len(inside) - size :]
                assert store.history(KEY, after_seq=after, before_seq=before, limit=limit) == page


def test_iter_history_gives_all_by_pages(store: SessionBackend) -> None:
    """Whatever the size of its pages, the iterator gives what history does."""
    store.append_many(KEY, [ChatMessage.user(text) for text in "abcdef"])

    for batch in (1, 2, 3, 7, 10_000):
        assert list(store.iter_history(KEY, batch=batch)) == store.history(KEY)
        assert list(store.iter_history(KEY, after_seq=4, batch=batch)) == store.history(KEY, after_seq=4)


def test_iter_history_sees_what_is_appended_meanwhile(store: SessionBackend) -> None:
    """Between two pages the session is free: it may be written to, and the iterator goes on."""
    say(store, "a b")
    seen = []
    for message in store.iter_history(KEY, batch=1):
        seen.append(message.message.content)
        if len(seen) < 4:
            say(store, str(len(seen)))

    assert seen == ["a", "b", "1", "2", "3"]


# remove_last and pop_last


def test_remove_last_takes_the_last_one(store: SessionBackend) -> None:
    """Messages go from the end, until there is none."""
    say(store, "a b")

    assert [store.remove_last(KEY) for _ in range(3)] == [True, True, False]
    assert counts(store) == (0, 2)


def test_pop_last_hands_over_what_was_there(store: SessionBackend) -> None:
    """Popping gives the messages as history had them, last first, then None."""
    store.append(KEY, OTHER, created_at=LONG_AGO, idempotency_key="once")
    store.set_session_state(KEY, "running", "t1")
    store.append(KEY, ChatMessage.user("\0"))
    whole = store.history(KEY)

    assert [store.pop_last(KEY) for _ in range(3)] == [whole[1], whole[0], None]
    assert counts(store) == (0, 2)


@pytest.mark.parametrize("remove", ["remove_last", "pop_last", "clear_messages"])
def test_a_seq_is_never_used_twice(store: SessionBackend, remove: str) -> None:
    """What was removed, by whatever call, leaves a gap in the numbers."""
    say(store, "a b c")
    getattr(store, remove)(KEY)
    left = seqs(store)

    assert store.append(KEY, HELLO).seq == 4
    getattr(store, remove)(KEY)
    assert [message.seq for message in store.append_many(KEY, [HELLO] * 2)] == [5, 6]
    assert counts(store) == (len(seqs(store)), 6)
    assert seqs(store)[: len(left)] == (left if remove != "clear_messages" else [5, 6][: len(left)])


def test_a_deleted_session_begins_anew(store: SessionBackend) -> None:
    """Numbers are never used twice while the session lives; the next one of that key is another."""
    say(store, "a b")
    store.delete_session(KEY)

    assert store.append(KEY, HELLO).seq == 1


def test_remove_last_only_if_it_still_is(store: SessionBackend) -> None:
    """With a seq that is not the last one's nothing is removed."""
    say(store, "a b c")

    assert [store.remove_last(KEY, seq=seq) for seq in (0, 1, 2, 4, 2**63 - 1)] == [False] * 5
    assert counts(store) == (3, 3)
    assert store.remove_last(KEY, seq=3) is True
    assert store.remove_last(KEY, seq=3) is False
    assert seqs(store) == [1, 2]
    assert counts(store) == (2, 3)


# update_last


def test_update_last_replaces_in_place(store: SessionBackend, clock: Clock) -> None:
    """Role, content and payload are the new ones; seq, time, turn and idempotency key stay; activity moves."""
    store.set_session_state(KEY, "running", "t1")
    store.append(KEY, HELLO)
    first = store.append(KEY, HELLO, idempotency_key="once")
    clock.advance(90)
    store.set_session_state(KEY, "running", "t2")

    assert store.update_last(KEY, OTHER) is True
    assert store.history(KEY, after_seq=1) == [first._replace(message=OTHER)]
    assert store.append(KEY, OTHER, idempotency_key="once") == first._replace(message=OTHER)
    assert last_activity(store) == clock.now
    assert counts(store) == (2, 2)
    assert said(store)[0] == "hello"


def test_update_last_can_take_the_payload_away(store: SessionBackend) -> None:
    """The new message is all there is: without a payload there is none."""
    store.append(KEY, OTHER)
    store.update_last(KEY, HELLO)

    assert store.load(KEY) == [HELLO]


def test_update_last_only_if_it_still_is(store: SessionBackend, clock: Clock) -> None:
    """With a seq that is not the last one's nothing changes, last_activity neither."""
    say(store, "a b c")
    store.remove_last(KEY)
    before = clock.now
    clock.advance(60)

    assert [store.update_last(KEY, OTHER, seq=seq) for seq in (0, 1, 3, 4, 2**63 - 1)] == [False] * 5
    assert said(store) == ["a", "b"]
    assert last_activity(store) == before
    assert store.update_last(KEY, OTHER, seq=2) is True
    assert said(store) == ["a", "hi"]


def test_streaming_updates_what_was_appended(store: SessionBackend) -> None:
    """The seq that append returned guides the updates of a growing answer."""
    seq = store.append(KEY, ChatMessage.assistant("")).seq
    for text in ("th", "think", "thinking"):
        assert store.update_last(KEY, ChatMessage.assistant(text), seq=seq)
    say(store, "interrupted")

    assert store.update_last(KEY, ChatMessage.assistant("thinking on"), seq=seq) is False
    assert said(store) == ["thinking", "interrupted"]


# clear_messages


def test_clear_messages_leaves_the_session(store: SessionBackend, clock: Clock) -> None:
    """All messages go, and of the head only the count changes."""
    store.create_session(KEY, name="Ann", owner="ann", attributes={"a": 1})
    store.set_session_state(KEY, "running", "t1")
    say(store, "a b c")
    say(store, "x", "telegram_bob")
    before = head(store)
    clock.advance(60)

    assert store.clear_messages(KEY) == 3
    assert head(store) == before._replace(message_count=0)
    assert store.load(KEY) == []
    assert said(store, "telegram_bob") == ["x"]
    assert store.clear_messages(KEY) == 0


def test_the_head_counts_as_the_history_does(store: SessionBackend) -> None:
    """After any calls the head's numbers are those of the messages."""
    say(store, "a b c d e f")
    store.append(KEY, HELLO, idempotency_key="once")
    store.append(KEY, HELLO, idempotency_key="once")
    store.append_many(KEY, [NewMessage(HELLO, None, "once"), HELLO, HELLO])
    store.pop_last(KEY)
    store.remove_last(KEY, seq=7)
    store.update_last(KEY, OTHER, seq=9)

    assert seqs(store) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert counts(store) == (8, 9)
