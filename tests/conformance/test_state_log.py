"""The log of a session's states, which no call shows: what an analyst finds there."""

from datetime import UTC, datetime
from typing import Any

import pytest

from session_store import SessionStore
from session_store.testing import Clock
from tests.conformance.conftest import Sql
from tests.conformance.helpers import HELLO, KEY, head, say


def as_time(stored: Any) -> datetime:
    """A time as raw SQL gives it, in UTC."""
    return (datetime.fromisoformat(stored) if isinstance(stored, str) else stored).astimezone(UTC)


def log(sql: Sql, key: str = KEY) -> list[tuple[int, str, str | None, datetime]]:
    """A session's log of states: seq, state, turn, time."""
    rows = sql(
        "SELECT seq, state, turn_id, entered_at FROM session_store_states WHERE session_key = :key ORDER BY seq",
        key=key,
    )
    return [(seq, state, turn_id, as_time(entered_at)) for seq, state, turn_id, entered_at in rows]


def test_to_be_born_idle_is_no_entry(store: SessionStore, sql: Sql) -> None:
    """Made by name, by message or by being told so: the log of a session that was only idle is empty."""
    store.create_session(KEY)
    say(store, "x", "bob")
    store.set_session_state("eve", "idle")
    assert [log(sql, key) for key in (KEY, "bob", "eve")] == [[], [], []]

    store.set_session_state("eve", "error")
    assert [entry[:2] for entry in log(sql, "eve")] == [(1, "error")]


def test_every_change_is_an_entry(store: SessionStore, clock: Clock, sql: Sql) -> None:
    """Another state, another turn or none: each has its number, what it was, and when it began."""
    began = []
    for told in (("running", "t1"), ("running", "t2"), ("running", None), ("läuft", "t1"), ("idle", "t1")):
        began.append(clock.advance(5))
        store.set_session_state(KEY, *told)

    assert log(sql) == [
        (1, "running", "t1", began[0]),
        (2, "running", "t2", began[1]),
        (3, "running", None, began[2]),
        (4, "läuft", "t1", began[3]),
        (5, "idle", None, began[4]),
    ]


def test_the_same_again_is_no_entry(store: SessionStore, clock: Clock, sql: Sql) -> None:
    """What is so already is not written down, with ``if_turn`` or without."""
    for state, turn in (("running", "t1"), ("running", None), ("error", None), ("idle", None)):
        store.set_session_state(KEY, state, turn)
        logged = log(sql)
        clock.advance(1)
        store.set_session_state(KEY, state, turn)
        store.set_session_state(KEY, state, turn, if_turn=turn)

        assert log(sql) == logged
    store.set_session_state(KEY, "idle", "another turn")
    assert log(sql) == logged
    assert len(logged) == 4


def test_the_log_never_goes_backwards(store: SessionStore, clock: Clock, sql: Sql) -> None:
    """With a clock that goes back and forth, entries keep their order, without gaps, and the head is the last."""
    for n, step in enumerate((0, 10, -5, -100, 94, 1, 10, -3600)):
        clock.advance(step)
        store.set_session_state(KEY, "running", f"t{n}")
    store.recover_stuck(0)
    logged = log(sql)

    assert [entry[0] for entry in logged] == list(range(1, len(logged) + 1))
    assert [entry[3] for entry in logged] == sorted(entry[3] for entry in logged)
    assert logged[-1][1:] == (head(store).state, head(store).turn_id, head(store).state_entered_at)


def test_a_turn_that_is_not_current_writes_no_entry(store: SessionStore, sql: Sql) -> None:
    """What ``if_turn`` refused left no trace; what it let through is there."""
    store.set_session_state(KEY, "running", "t1", if_turn=None)
    for if_turn in ("t2", None, "T1", "t1 "):
        for told in (("idle", None), ("running", "t1"), ("running", "t3"), ("error", "t2")):
            store.set_session_state(KEY, *told, if_turn=if_turn)
    assert [entry[:3] for entry in log(sql)] == [(1, "running", "t1")]

    store.set_session_state(KEY, "running", "t3", if_turn="t1")
    store.set_session_state(KEY, "idle", if_turn="t1")
    store.set_session_state(KEY, "running", if_turn="t3")
    store.set_session_state(KEY, "error", if_turn=None)
    assert [entry[:3] for entry in log(sql)][1:] == [(2, "running", "t3"), (3, "running", None), (4, "error", None)]


@pytest.mark.parametrize(
    ("to", "turn"), [("error", "turn of a"), ("idle", None), ("waiting", "turn of a"), ("Idle", "turn of a")]
)
def test_to_recover_is_an_entry(store: SessionStore, clock: Clock, sql: Sql, to: str, turn: str | None) -> None:
    """A session given up has one more entry, of its own turn unless it is idle; one not stuck has none."""
    store.set_session_state("a", "running", "turn of a")
    clock.advance(10)
    store.set_session_state("young", "running", "turn of young")
    store.append("a", HELLO)
    store.recover_stuck(5, to=to)
    store.recover_stuck(5, to=to)

    assert log(sql, "a")[1:] == [(2, to, turn, clock.now)]
    assert len(log(sql, "young")) == 1
