"""What an operator does: clean up what is old, take doubles out, mend a head."""

from datetime import timedelta
from typing import Any

import pytest

from session_store.interface.errors import InvalidQuery
from session_store.interface.protocols import SessionBackend
from session_store.interface.values import ChatMessage, Compaction
from session_store.testing.clock import Clock
from tests.conformance.helpers import HELLO, KEY, OTHER, counts, head, said, say, seqs

HOUR = 3600


# cleanup_stale


def test_cleanup_keeps_what_was_used_in_time(store: SessionBackend, clock: Clock) -> None:
    """A session goes if its last activity is older than the TTL; at the TTL, to the microsecond, it stays."""
    now = clock.now
    for key, hours in {"old": 100.0, "over": 24.0, "at": 24.0, "under": 24.0, "new": 0.0}.items():
        off = {"over": 1, "under": -1}.get(key, 0)
        clock.set(now - timedelta(hours=hours, microseconds=off))
        say(store, "x", key)
    clock.set(now)

    assert store.cleanup_stale(24, dry_run=True) == 2
    assert store.count_sessions() == 5
    assert store.cleanup_stale(24) == 2
    assert sorted(store.list_sessions()) == ["at", "new", "under"]
    assert store.cleanup_stale(24) == 0


def test_cleanup_of_everything_older_than_now(store: SessionBackend, clock: Clock) -> None:
    """A TTL of 0 takes all that is older than now, one without end takes nothing, parts of hours count."""
    store.create_session("old")
    clock.advance(1)
    store.create_session("now")

    assert [store.cleanup_stale(ttl) for ttl in (1e300, 10**5000, 1 / HOUR)] == [0, 0, 0]
    assert store.cleanup_stale(0.9 / HOUR) == 1
    assert store.cleanup_stale(0) == 0
    assert store.list_sessions() == ["now"]


@pytest.mark.parametrize("include_running", [False, True])
@pytest.mark.parametrize("dry_run", [False, True])
def test_cleanup_keeps_running_sessions(
    store: SessionBackend,
    clock: Clock,
    include_running: bool,  # noqa: FBT001 - the parameters of the call
    dry_run: bool,  # noqa: FBT001
) -> None:
    """One that runs is kept, however old, unless the caller wants it gone; other states do not keep it."""
    for word in ("running", "error", "waiting", "idle"):
        store.set_session_state(word, word, "t1")
    clock.advance(2 * HOUR)
    deleted = {"running", "error", "waiting", "idle"} - (set() if include_running else {"running"})

    assert store.cleanup_stale(1, include_running=include_running, dry_run=dry_run) == len(deleted)
    assert set(store.list_sessions()) == {"running", "error", "waiting", "idle"} - (set() if dry_run else deleted)


@pytest.mark.parametrize("include_running", [False, True])
def test_a_change_of_state_keeps_a_session(store: SessionBackend, clock: Clock, include_running: bool) -> None:  # noqa: FBT001
    """Without a message for long, but with a state entered within the TTL, it is still in use."""
    for key in ("changed", "at", "left"):
        say(store, "x", key)
    clock.advance(10 * HOUR)
    store.set_session_state("left", "error")
    clock.advance(0.000001)
    store.set_session_state("at", "error")
    store.set_session_state("changed", "running")
    store.set_session_state("changed", "idle")
    clock.advance(HOUR)

    assert store.cleanup_stale(1, include_running=include_running) == 1
    assert sorted(store.list_sessions()) == ["at", "changed"]


@pytest.mark.parametrize("batch_size", [1, 2, 10_000])
def test_cleanup_by_batches_takes_all(store: SessionBackend, clock: Clock, batch_size: int) -> None:
    """Whatever the batch, every stale session goes with its messages and states, and no other."""
    for n in range(6):
        store.set_session_state(f"old{n}", "error")
        say(store, "a b", f"old{n}")
    clock.advance(2 * HOUR)
    say(store, "a b", "old and used again")
    store.create_session("new")

    assert store.cleanup_stale(1, batch_size=batch_size) == 6
    assert sorted(store.list_sessions()) == ["new", "old and used again"]
    assert [said(store, f"old{n}") for n in range(6)] == [[]] * 6
    assert said(store, "old and used again") == ["a", "b"]


# compact


def said_at(store: SessionBackend, clock: Clock, messages: list[tuple[float, ChatMessage]], key: str = KEY) -> None:
    """Append messages, each so many seconds after now."""
    for after, message in messages:
        store.append(key, message, created_at=clock.now + timedelta(seconds=after))


def compacted(store: SessionBackend, key: str = KEY, **options: Any) -> list[int]:
    """Compact, first dry; the two reports agree, a dry run writes nothing, and the seqs that went are told."""
    before = store.history(key)
    metadata = head(store, key)
    foreseen = store.compact(key, dry_run=True, **options)
    assert (store.history(key), head(store, key)) == (before, metadata)
    done = store.compact(key, **options)
    after = store.history(key)
    assert foreseen == done == Compaction(len(before) - len(after), head_repaired=False)
    assert counts(store, key) == (len(after), metadata.last_seq)
    assert [message for message in before if message in after] == after
    assert store.compact(key, **options) == Compaction(0, head_repaired=False)
    return [message.seq for message in before if message not in after]


def test_a_double_is_as_old_as_the_time_allows(store: SessionBackend, clock: Clock) -> None:
    """Equal and at most so much younger is a double, to the microsecond; one that is older than its twin is none."""
    for key in ("usual", "none", "more"):
        said_at(store, clock, [(0, HELLO), (0, HELLO), (2, HELLO), (4.000001, HELLO), (4, HELLO), (-9, HELLO)], key)

    assert compacted(store, "usual") == [2, 3]
    assert compacted(store, "none", within_secs=0) == [2]
    assert compacted(store, "more", within_secs=4.000001) == [2, 3, 4, 5]


def test_a_chain_is_measured_from_the_one_kept(store: SessionBackend, clock: Clock) -> None:
    """Of a row of equal messages one stays for every stretch of time, not only the first."""
    said_at(store, clock, [(second * 1.5, HELLO) for second in range(6)])

    assert compacted(store) == [2, 4, 6]
    assert seqs(store) == [1, 3, 5]


def test_only_neighbours_are_doubles(store: SessionBackend) -> None:
    """The same again after something else was said on purpose."""
    for message in (HELLO, OTHER, HELLO, HELLO, OTHER, OTHER):
        store.append(KEY, message)

    assert compacted(store) == [4, 6]
    assert said(store) == ["hello", "hi", "hello", "hi"]


def test_what_differs_is_no_double(store: SessionBackend) -> None:
    """Another role, content or payload is another message."""
    payloads = [{"a": 1}, None, {}, {"a": "1"}, {"a": True}, {"a": 1, "b": None}, {"a": 1.5}, [], [0], [False]]
    differing = [ChatMessage.user("hello", payload) for payload in payloads]
    differing += [ChatMessage.assistant("hello"), ChatMessage.assistant("hello "), ChatMessage.assistant("Hello ")]
    store.append_many(KEY, differing)

    assert compacted(store) == []


def test_another_turn_is_no_double(store: SessionBackend) -> None:
    """The same said in another turn, or in none, was said on purpose."""
    for told in (("running", "t1"), ("running", "t2"), ("idle", None), ("error", None)):
        store.set_session_state(KEY, *told)
        store.append_many(KEY, [HELLO, HELLO])

    assert compacted(store) == [2, 4, 6, 7, 8]


def test_payloads_equal_as_json_are_doubles(store: SessionBackend) -> None:
    """What comes back equal is equal: the order of keys and characters that cannot be stored do not hide it."""
    store.append(KEY, ChatMessage.user("\0", {"a": 1, "b": ["\ud800"]}))
    store.append(KEY, ChatMessage.user("\0", {"b": ("\ud800",), "a": 1.0}))

    assert compacted(store) == [2]


def test_an_idempotency_key_protects(store: SessionBackend) -> None:
    """A message with such a key is never removed, but one without may be the double of it."""
    store.append(KEY, HELLO)
    store.append(KEY, HELLO, idempotency_key="one")
    store.append(KEY, HELLO, idempotency_key="two")
    store.append(KEY, HELLO)

    assert compacted(store) == [4]


def test_many_doubles_go(store: SessionBackend) -> None:
    """More than a page of doubles, across pages, go at once."""
    store.append_many(KEY, [HELLO] * 1_100 + [OTHER] * 3)

    assert compacted(store) == [*range(2, 1_101), 1_102, 1_103]


def test_nothing_to_compact(store: SessionBackend) -> None:
    """A session that is not there, or has no message, is left alone, and not made."""
    assert store.compact(KEY) == Compaction(0, head_repaired=False)
    assert not store.session_exists(KEY)
    store.create_session(KEY)
    assert compacted(store) == []


def test_a_sound_head_stays(store: SessionBackend, clock: Clock) -> None:
    """Gaps in the seqs, a clock that went back and an empty log are no damage."""
    say(store, "a b c")
    store.pop_last(KEY)
    clock.advance(-60)
    store.set_session_state(KEY, "running")
    store.update_last(KEY, OTHER)
    assert compacted(store) == []

    store.clear_messages(KEY)
    assert compacted(store) == []
    assert store.append(KEY, HELLO).seq == 4


# trim and prune_states


@pytest.mark.parametrize("batch_size", [1, 3, 10_000])
@pytest.mark.parametrize("keep_last", [0, 1, 4, 6, 7])
def test_trim_keeps_the_newest(store: SessionBackend, keep_last: int, batch_size: int) -> None:
    """The newest so many stay, whatever the batch; the numbering goes on, and a dry run counts only."""
    say(store, "a b c d e f")
    say(store, "a b", "other")
    removed = max(0, 6 - keep_last)

    assert store.trim(KEY, keep_last=keep_last, dry_run=True, batch_size=batch_size) == removed
    assert counts(store) == (6, 6)
    assert store.trim(KEY, keep_last=keep_last, batch_size=batch_size) == removed
    assert said(store) == list("abcdef")[removed:]
    assert counts(store) == (6 - removed, 6)
    assert store.trim(KEY, keep_last=keep_last, batch_size=batch_size) == 0
    assert store.append(KEY, HELLO).seq == 7
    assert said(store, "other") == ["a", "b"]


@pytest.mark.parametrize("batch_size", [1, 2, 500])
def test_trim_takes_what_is_older(store: SessionBackend, clock: Clock, batch_size: int) -> None:
    """What was made before a time goes, wherever it stands; what was made then stays, to the microsecond."""
    said_at(store, clock, [(-2, HELLO), (0, OTHER), (-0.000001, HELLO), (5, OTHER), (-7, HELLO)])
    metadata = head(store)

    assert store.trim(KEY, before=clock.now, dry_run=True) == 3
    assert store.trim(KEY, before=clock.now, batch_size=batch_size) == 3
    assert seqs(store) == [2, 4]
    assert head(store) == metadata._replace(message_count=2)
    assert compacted(store) == []


def test_trim_with_both_limits(store: SessionBackend, clock: Clock) -> None:
    """What is among the newest stays however old it is, and what is young stays however many there are."""
    said_at(store, clock, [(-9, HELLO), (5, HELLO), (-8, HELLO), (-7, HELLO)])

    assert store.trim(KEY, keep_last=2, before=clock.now) == 1
    assert seqs(store) == [2, 3, 4]
    assert store.trim(KEY, keep_last=0, before=clock.now) == 2
    assert seqs(store) == [2]


def test_trim_of_nothing(store: SessionBackend, clock: Clock) -> None:
    """A session that is not there is not made; without a limit nothing is asked for."""
    assert store.trim(KEY, keep_last=0) == 0
    assert store.trim(KEY, before=clock.now) == 0
    assert not store.session_exists(KEY)
    with pytest.raises(InvalidQuery):
        store.trim(KEY)


def test_a_trimmed_idempotency_key_is_free(store: SessionBackend) -> None:
    """It goes with its message: the same key appends again."""
    store.append(KEY, HELLO, idempotency_key="once")
    say(store, "a")
    store.trim(KEY, keep_last=1)

    assert store.append(KEY, HELLO, idempotency_key="once").seq == 3


@pytest.mark.parametrize("batch_size", [1, 2, 500])
def test_prune_keeps_what_goes_on(store: SessionBackend, clock: Clock, batch_size: int) -> None:
    """A state goes once it had ended by then; the one of that time stays, and what a session is doing now."""
    for turn in range(5):
        for key in ("often", "seldom")[: 1 + (turn == 0)]:
            store.set_session_state(key, "running", f"t{turn}")
        clock.advance(10)
    long_after, heads = clock.now + timedelta(days=1), [head(store, key) for key in ("often", "seldom")]

    assert store.prune_states(clock.now - timedelta(seconds=20.000001), dry_run=True) == 2
    assert store.prune_states(clock.now - timedelta(seconds=20), batch_size=batch_size) == 3
    assert store.prune_states(clock.now - timedelta(seconds=20), batch_size=batch_size) == 0
    assert store.prune_states(long_after, batch_size=batch_size) == 1
    assert store.prune_states(long_after, dry_run=True) == 0
    assert [head(store, key) for key in ("often", "seldom")] == heads
    assert compacted(store, "often") == []
    assert store.set_session_state("often", "idle", if_turn="t4")
    assert store.prune_states(long_after) == 1


@pytest.mark.parametrize("dry_run", [True, False])
def test_deletion_of_an_owner_s_sessions_is_rehearsed(store: SessionBackend, dry_run: bool) -> None:  # noqa: FBT001
    """A dry run counts the sessions and leaves them."""
    for key in ("a", "b", "c"):
        store.create_session(key, owner="ann" if key != "c" else "bob")

    assert store.delete_sessions(owner="ann", dry_run=dry_run) == 2
    assert sorted(store.list_sessions()) == (["a", "b", "c"] if dry_run else ["c"])
