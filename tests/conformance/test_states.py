"""What a session is doing: its state now, and those who got stuck."""

from datetime import timedelta
from typing import Any

import pytest

from session_store.interface.protocols import SessionBackend
from session_store.interface.values import SessionState
from session_store.testing.clock import Clock
from tests.conformance.helpers import HELLO, KEY, head, say


def state(store: SessionBackend, key: str = KEY) -> SessionState:
    """The state of a session that is there."""
    current = store.get_session_state(key)
    assert current is not None
    return current


# set_session_state, get_session_state


def test_a_session_never_told_is_idle(store: SessionBackend) -> None:
    """Made by name or by message, it is idle, since no time."""
    store.create_session(KEY)
    say(store, "x", "bob")

    assert state(store) == state(store, "bob") == SessionState("idle", None, None, None)


def test_a_turn_begins_and_ends(store: SessionBackend, clock: Clock) -> None:
    """State, turn and times are those of the last change; the turn has a start only while it runs."""
    began = clock.now
    assert store.set_session_state(KEY, "running", "t1")
    assert state(store) == SessionState("running", "t1", began, began)

    ended = clock.advance(5)
    assert store.set_session_state(KEY, "idle", "t1")
    assert state(store) == SessionState("idle", None, None, ended)


def test_any_word_is_a_state(store: SessionBackend, clock: Clock) -> None:
    """The host's own states are kept with their turn; only running has a turn that started."""
    entered = clock.now
    for word in ("waiting for tool", "error", "Idle", "Running", "läuft"):
        assert store.set_session_state(KEY, word, "t1")
        assert state(store) == SessionState(word, "t1", None, entered)


def test_the_same_again_changes_nothing(store: SessionBackend, clock: Clock) -> None:
    """The same state and turn leave the head as it is, and say True: it is so."""
    for given in (("running", "t1"), ("running", None), ("error", None), ("idle", None)):
        store.set_session_state(KEY, *given)
        before = head(store)
        clock.advance(1)

        assert store.set_session_state(KEY, *given) is True
        assert head(store) == before
    assert store.set_session_state(KEY, "idle", "another turn") is True
    assert head(store) == before


def test_another_turn_is_a_change(store: SessionBackend, clock: Clock) -> None:
    """Running on in another turn, or in none, begins anew."""
    for turn in ("t1", "t2", None, "t1"):
        clock.advance(1)
        assert store.set_session_state(KEY, "running", turn)
        assert state(store) == SessionState("running", turn, clock.now, clock.now)


def test_idle_for_a_new_session_is_no_change(store: SessionBackend) -> None:
    """It is born idle: it is there, and idle since no time."""
    assert store.set_session_state(KEY, "idle") is True
    assert state(store) == SessionState("idle", None, None, None)


def test_states_never_go_backwards(store: SessionBackend, clock: Clock) -> None:
    """With a clock that goes back and forth, a state is entered no earlier than the one before it."""
    latest = clock.now
    for n, step in enumerate((0, 10, -5, -100, 94, 1, 10, -3600)):
        latest = max(latest, clock.advance(step))
        store.set_session_state(KEY, "running", f"t{n}")
        assert state(store) == SessionState("running", f"t{n}", latest, latest)


def test_messages_carry_the_turn_they_were_said_in(store: SessionBackend) -> None:
    """A message has the turn that is current when it is appended, running or not, and keeps it."""
    store.append(KEY, HELLO)
    for told in (("running", "t1"), ("error", "t1"), ("running", "t2"), ("idle", "t2"), ("running", None)):
        store.set_session_state(KEY, *told)
        store.append(KEY, HELLO)
        store.append_many(KEY, [HELLO])

    turns = [message.turn_id for message in store.history(KEY)]
    assert turns == [None, "t1", "t1", "t1", "t1", "t2", "t2", None, None, None, None]


# if_turn


def test_if_turn_lets_only_its_own_turn_change(store: SessionBackend, clock: Clock) -> None:
    """While another turn is current, or none, nothing is written and the answer is False."""
    store.set_session_state(KEY, "running", "t2")
    before = head(store)
    clock.advance(1)

    for if_turn in ("t1", None, "T2", "t2 "):
        for wanted in (("idle", None), ("running", "t2"), ("running", "t3"), ("error", "t1")):
            assert store.set_session_state(KEY, *wanted, if_turn=if_turn) is False
    assert head(store) == before

    assert store.set_session_state(KEY, "running", "t3", if_turn="t2") is True
    assert store.set_session_state(KEY, "idle", if_turn="t2") is False
    assert state(store).turn_id == "t3"
    assert store.set_session_state(KEY, "idle", if_turn="t3") is True
    assert state(store) == SessionState("idle", None, None, clock.now)


def test_if_turn_and_nothing_to_change(store: SessionBackend, clock: Clock) -> None:
    """If the turn is current and all is so already, the answer is True, and nothing is written."""
    store.set_session_state(KEY, "running", "t1")
    clock.advance(1)

    assert store.set_session_state(KEY, "running", "t1", if_turn="t1") is True
    assert state(store).entered_at == clock.now - timedelta(seconds=1)


def test_if_turn_may_drop_the_turn(store: SessionBackend, clock: Clock) -> None:
    """The same state without the turn is a change, made only by the turn that is current."""
    store.set_session_state(KEY, "running", "t1")
    clock.advance(1)

    assert store.set_session_state(KEY, "running", if_turn="t1") is True
    assert state(store) == SessionState("running", None, clock.now, clock.now)


def test_if_no_turn(store: SessionBackend, clock: Clock) -> None:
    """``if_turn=None`` changes a session that has no turn, whatever it is doing, and one that is new."""
    assert store.set_session_state(KEY, "running", "t1", if_turn=None) is True
    assert store.set_session_state(KEY, "running", "t2", if_turn=None) is False
    assert store.set_session_state(KEY, "running", "t1", if_turn=None) is False
    assert state(store).turn_id == "t1"
    entered = clock.now
    store.set_session_state(KEY, "error")
    clock.advance(1)
    assert store.set_session_state(KEY, "error", if_turn=None) is True
    assert state(store) == SessionState("error", None, None, entered)
    assert store.set_session_state(KEY, "running", "t3", if_turn=None) is True
    assert state(store).turn_id == "t3"

    assert store.set_session_state("bob", "idle", if_turn=None) is True
    assert store.session_exists("bob")


def test_if_turn_on_a_session_that_is_not_there(store: SessionBackend) -> None:
    """A turn that cannot be current makes no session."""
    assert store.set_session_state(KEY, "running", "t1", if_turn="t1") is False
    assert store.set_session_state(KEY, "idle", if_turn="t1") is False
    assert not store.session_exists(KEY)


# list_running_sessions, list_stuck_sessions, recover_stuck


def run(store: SessionBackend, clock: Clock, starts: dict[str, float]) -> None:
    """Let sessions run, each started so many seconds before now."""
    now = clock.now
    for key, ago in starts.items():
        clock.set(now - timedelta(seconds=ago))
        store.set_session_state(key, "running", f"turn of {key}")
    clock.set(now)


def keys(sessions: list[Any]) -> list[str]:
    """The keys of sessions."""
    return [session.key for session in sessions]


def test_running_sessions_newest_turn_first(store: SessionBackend, clock: Clock) -> None:
    """Only those that run, the one that began last first, ties by key; activity does not matter."""
    assert store.list_running_sessions() == []
    run(store, clock, {"b": 10, "c": 0, "a": 10, "d": 0.000001, "done": 5, "odd": 5})
    store.set_session_state("done", "idle")
    store.set_session_state("odd", "waiting", "turn of odd")
    store.create_session("new")
    store.append("b", HELLO)

    assert keys(store.list_running_sessions()) == ["c", "d", "a", "b"]


def test_stuck_is_running_for_longer(store: SessionBackend, clock: Clock) -> None:
    """The oldest turn first, ties by key, to the microsecond; at the threshold it is not stuck yet."""
    run(store, clock, {"now": 0, "at": 60, "past": 60.000001, "before": 59.999999, "b": 90, "a": 90, "old": 3600})
    store.set_session_state("old", "error", "turn of old")

    assert keys(store.list_stuck_sessions(60)) == ["a", "b", "past"]
    assert keys(store.list_stuck_sessions(60.0000005)) == ["a", "b", "past"]
    assert keys(store.list_stuck_sessions(90)) == []
    assert keys(store.list_stuck_sessions(0)) == ["a", "b", "past", "at", "before"]
    assert store.list_stuck_sessions(1e300) == store.list_stuck_sessions(10**5000) == []


def test_recover_stuck_moves_only_the_stuck(store: SessionBackend, clock: Clock) -> None:
    """Each gets the state and keeps its turn; the others are left alone."""
    run(store, clock, {"b": 61, "a": 3600, "at": 60, "young": 1, "done": 99})
    store.set_session_state("done", "idle")
    store.append("a", HELLO)
    before = {session.key: session for session in store.list_sessions_with_metadata()}

    assert store.recover_stuck(60) == ["a", "b"]
    assert {session.key: session for session in store.list_sessions_with_metadata()} == before | {
        key: before[key]._replace(state="error", state_entered_at=clock.now) for key in ("a", "b")
    }
    assert store.recover_stuck(60) == []


@pytest.mark.parametrize(("to", "turn"), [("idle", None), ("waiting", "turn of a"), ("Idle", "turn of a")])
def test_recover_stuck_to_another_state(store: SessionBackend, clock: Clock, to: str, turn: str | None) -> None:
    """The state is the caller's; idle has no turn."""
    run(store, clock, {"a": 10})

    assert store.recover_stuck(5, to=to) == ["a"]
    assert state(store, "a") == SessionState(to, turn, None, clock.now)


def test_a_recovered_turn_cannot_end(store: SessionBackend, clock: Clock) -> None:
    """Who was given up and comes back finds that with if_turn only what it still owns can be changed."""
    run(store, clock, {"a": 10})
    store.recover_stuck(5, to="idle")

    assert store.set_session_state("a", "idle", if_turn="turn of a") is False
