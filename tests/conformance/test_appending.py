"""Messages come to a session: one, many, and none twice."""

from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from session_store.interface.errors import IdempotencyConflict
from session_store.interface.protocols import SessionBackend
from session_store.interface.values import ChatMessage, NewMessage, StoredMessage
from session_store.testing.clock import Clock
from tests.conformance.helpers import HELLO, KEY, LONG_AGO, OTHER, counts, head, last_activity, said, say


def test_seq_counts_from_one(store: SessionBackend) -> None:
    """The first message has seq 1 and each next one follows on, in each session for itself."""
    assert [message.seq for message in say(store, "a b c")] == [1, 2, 3]
    assert [message.seq for message in say(store, "a b", "telegram_bob")] == [1, 2]
    assert [message.seq for message in say(store, "d")] == [4]


def test_append_returns_what_history_gives(store: SessionBackend, clock: Clock) -> None:
    """What append and append_many return is what is read later."""
    one = store.append(KEY, OTHER)
    clock.advance(1)
    many = store.append_many(KEY, [HELLO, NewMessage(OTHER, LONG_AGO, "idempotent")])

    assert [one, *many] == store.history(KEY)
    assert one == StoredMessage(1, clock.now - timedelta(seconds=1), None, OTHER)
    assert many == [StoredMessage(2, clock.now, None, HELLO), StoredMessage(3, LONG_AGO, None, OTHER)]


def test_a_message_is_loaded_as_it_was_said(store: SessionBackend) -> None:
    """Role, content and payload come back, an empty content, an empty payload and one of null's kin too."""
    payloads: list[Any] = [{}, [], "", 0, False, 1.5, [None]]
    messages = [
        ChatMessage.system("be kind"),
        ChatMessage.user(""),
        ChatMessage.tool("42", {"tool_call_id": "c1", "tool_calls": [{"name": "sum"}], "usage": {}}),
        *(ChatMessage("critic", "x", payload) for payload in payloads),
    ]
    store.append_many(KEY, messages[:4])
    for message in messages[4:]:
        store.append(KEY, message)

    assert [(m.role, m.content, m.payload) for m in store.load(KEY)] == messages
    assert [type(m.payload) for m in store.load(KEY)] == [type(m.payload) for m in messages]


def test_appending_creates_the_session_as_of_its_first_message(store: SessionBackend, clock: Clock) -> None:
    """A session made by a message was created, and last active, when that message was made."""
    store.append(KEY, HELLO, created_at=LONG_AGO)
    store.append_many("many", [NewMessage(HELLO, LONG_AGO), HELLO])

    assert head(store).created_at == head(store).last_activity == LONG_AGO
    assert head(store, "many").created_at == LONG_AGO
    assert head(store, "many").last_activity == clock.now


def test_created_at_of_a_session_never_moves(store: SessionBackend, clock: Clock) -> None:
    """A session that is there keeps the time of its birth, whatever is appended."""
    store.create_session(KEY)
    born = clock.now
    store.append(KEY, HELLO, created_at=LONG_AGO)
    clock.advance(100)
    say(store, "later")

    assert head(store).created_at == born


def test_last_activity_never_goes_backwards(store: SessionBackend, clock: Clock) -> None:
    """A message older than the last activity, by hours or by microseconds, does not move it."""
    store.append(KEY, HELLO)
    newest = clock.now
    for back in (timedelta(hours=1), timedelta(microseconds=1)):
        store.append(KEY, HELLO, created_at=newest - back)
        store.append_many(KEY, [NewMessage(HELLO, newest - back)])
    assert last_activity(store) == newest

    clock.advance(-3600)
    store.append(KEY, HELLO)
    store.update_last(KEY, OTHER)

    assert last_activity(store) == newest


def test_last_activity_is_the_newest_message_of_many(store: SessionBackend, clock: Clock) -> None:
    """Wherever the newest message stands in a call, it is the last activity."""
    store.append_many(KEY, [NewMessage(HELLO, LONG_AGO), HELLO, NewMessage(HELLO, LONG_AGO)])

    assert last_activity(store) == clock.now


def test_only_messages_are_activity(store: SessionBackend, clock: Clock) -> None:
    """Names, owners, attributes, states and removals leave last_activity alone."""
    say(store, "a b c")
    born = clock.now
    clock.advance(3600)
    store.create_session(KEY)
    store.set_session_name(KEY, "Ann")
    store.set_session_owner(KEY, "ann")
    store.set_session_attributes(KEY, {"channel": "telegram"})
    store.set_session_state(KEY, "running", "t1")
    store.recover_stuck(0)
    store.remove_last(KEY)
    store.pop_last(KEY)
    store.compact(KEY)
    store.clear_messages(KEY)
    store.update_last(KEY, HELLO)

    assert last_activity(store) == born


def test_created_at_may_go_backwards(store: SessionBackend, clock: Clock) -> None:
    """The order of messages is that of their seq, not of their times."""
    times = [clock.now, LONG_AGO, clock.now + timedelta(days=1)]
    for time in times:
        store.append(KEY, HELLO, created_at=time)

    assert [message.created_at for message in store.history(KEY)] == times


# append_many


def test_append_many_of_nothing_does_nothing(store: SessionBackend) -> None:
    """No message, no session."""
    assert store.append_many(KEY, []) == []
    assert not store.session_exists(KEY)


def test_append_many_takes_any_iterable(store: SessionBackend) -> None:
    """A generator serves as well as a list."""
    stored = store.append_many(KEY, (ChatMessage.user(text) for text in "abc"))

    assert [message.seq for message in stored] == [1, 2, 3]
    assert said(store) == ["a", "b", "c"]


def test_append_many_follows_on(store: SessionBackend) -> None:
    """The numbers of many go on where the last one stood, and count."""
    say(store, "a")
    stored = store.append_many(KEY, [HELLO] * 300)

    assert [message.seq for message in stored] == list(range(2, 302))
    assert counts(store) == (301, 301)


@pytest.mark.parametrize("born", [True, False], ids=["known", "new"])
def test_append_many_is_all_or_nothing(store: SessionBackend, born: bool) -> None:  # noqa: FBT001 - a parameter
    """If one of the messages conflicts, none is there: not the others, and not their session."""
    if born:
        store.append(KEY, HELLO, idempotency_key="taken")
    before = store.get_session_metadata(KEY)
    same_key: list[ChatMessage | NewMessage] = [
        NewMessage(HELLO, None, "taken"),
        HELLO,
        NewMessage(OTHER, None, "taken"),
    ]

    with pytest.raises(IdempotencyConflict):
        store.append_many(KEY, same_key)

    assert store.get_session_metadata(KEY) == before
    assert said(store) == (["hello"] if born else [])


# idempotency


def test_the_same_message_again_is_the_first_one(store: SessionBackend, clock: Clock) -> None:
    """The same idempotency key and message return the first row; nothing is written, its time and turn stay."""
    store.set_session_state(KEY, "running", "t1")
    first = store.append(KEY, OTHER, idempotency_key="once")
    before = head(store)
    clock.advance(60)
    store.set_session_state(KEY, "idle")
    again = store.append(KEY, OTHER, idempotency_key="once", created_at=LONG_AGO)
    many = store.append_many(KEY, [NewMessage(OTHER, None, "once")] * 2)

    assert [again, *many] == [first] * 3
    assert store.history(KEY) == [first]
    assert counts(store) == (1, 1)
    assert last_activity(store) == before.last_activity


def test_another_message_under_a_key_conflicts(store: SessionBackend) -> None:
    """The same idempotency key and another message is an error that names both keys; nothing is written."""
    first = store.append(KEY, ChatMessage.user("hello", {"a": 1}), idempotency_key="once")
    before = head(store)
    others = [
        ChatMessage.assistant("hello", {"a": 1}),
        ChatMessage.user("hello!", {"a": 1}),
        *(ChatMessage.user("hello", payload) for payload in (None, {}, {"a": 2}, {"a": "1"}, {"a": True}, {"a": [1]})),
    ]
    calls = (
        lambda other: store.append(KEY, other, idempotency_key="once"),
        lambda other: store.append_many(KEY, [HELLO, NewMessage(other, None, "once")]),
    )

    for other, call in product(others, calls):
        with pytest.raises(IdempotencyConflict) as caught:
            call(other)
        assert (caught.value.key, caught.value.idempotency_key) == (KEY, "once")
    assert store.history(KEY) == [first]
    assert head(store) == before


def test_same_is_what_comes_back_the_same(store: SessionBackend) -> None:
    """Messages are compared as they are decoded: the order of keys and 1 beside 1.0 make no difference."""
    first = store.append(KEY, ChatMessage.user("x\0", {"a": 1, "b": (2, "\ud800")}), idempotency_key="once")

    again = ChatMessage.user("x\0", {"b": [2.0, "\ud800"], "a": 1.0})
    assert store.append(KEY, again, idempotency_key="once") == first


def test_idempotency_keys_are_of_one_session(store: SessionBackend) -> None:
    """Another session may use the same key for another message."""
    store.append(KEY, HELLO, idempotency_key="once")

    assert store.append("telegram_bob", OTHER, idempotency_key="once").seq == 1


def test_a_key_is_free_again_when_its_message_is_gone(store: SessionBackend) -> None:
    """What was removed is not there, so its idempotency key may be used anew."""
    for remove in (store.remove_last, store.clear_messages, store.delete_session):
        store.append(KEY, HELLO, idempotency_key="once")
        remove(KEY)
        store.append(KEY, OTHER, idempotency_key="once")
        store.clear_messages(KEY)

    assert store.load(KEY) == []


def test_many_with_keys_old_new_and_twice(store: SessionBackend) -> None:
    """In one call each message is the first of its key: from before, from this call, or itself."""
    old = store.append(KEY, HELLO, idempotency_key="old")
    new = NewMessage(OTHER, LONG_AGO, "new")
    stored = store.append_many(KEY, [new, NewMessage(HELLO, None, "old"), HELLO, new, HELLO])

    assert [message.seq for message in stored] == [2, 1, 3, 2, 4]
    assert stored[1] == old
    assert stored[0] == stored[3]
    assert counts(store) == (4, 4)
    assert store.append_many(KEY, [new, NewMessage(HELLO, None, "old")]) == [stored[0], old]
