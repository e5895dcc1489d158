"""What the tables hold that no call shows, and what is made of a head that raw SQL has damaged."""

from datetime import UTC, datetime

import pytest

from session_store import Compaction, NewMessage, SessionStore
from session_store.testing import Clock
from tests.conformance.conftest import Sql
from tests.conformance.helpers import HELLO, KEY, LONG_AGO, OTHER, counts, say


def rows(sql: Sql, key: str) -> list[int]:
    """How many heads, messages and states a key has in the tables."""
    return [
        sql(f"SELECT count(*) FROM session_store_{table} WHERE {column} = :key", key=key)[0][0]  # noqa: S608
        for table, column in (("sessions", "key"), ("messages", "session_key"), ("states", "session_key"))
    ]


def test_the_active_minute_follows_last_activity(store: SessionStore, clock: Clock, sql: Sql) -> None:
    """The indexed minute is the last activity without its seconds, however that came about."""

    def minute_is_right() -> bool:
        ((minute, activity),) = sql("SELECT active_minute, last_activity FROM session_store_sessions")
        return str(minute)[:16] == str(activity)[:16] and str(minute)[17:19] == "00"

    clock.set(datetime(2026, 1, 5, 12, 0, 59, 999999, tzinfo=UTC))
    for step in (
        lambda: store.set_session_name(KEY, "Ann"),
        lambda: store.append(KEY, HELLO),
        lambda: store.append(KEY, HELLO, created_at=LONG_AGO),
        lambda: store.append_many(KEY, [HELLO, NewMessage(HELLO, clock.advance(70))]),
        lambda: clock.advance(61) and store.update_last(KEY, OTHER),
        lambda: clock.advance(-500) and store.update_last(KEY, OTHER),
    ):
        step()
        assert minute_is_right()


# what is deleted


def test_delete_session_leaves_no_row(store: SessionStore, sql: Sql) -> None:
    """Head, messages and states go; the other session keeps all of its own."""
    for key in (KEY, "bob"):
        store.set_session_state(key, "running", "t1")
        say(store, "a b", key)
        store.set_session_state(key, "idle")
    assert rows(sql, KEY) == [1, 2, 2]

    store.delete_session(KEY)
    assert rows(sql, KEY) == [0, 0, 0]
    assert rows(sql, "bob") == [1, 2, 2]


@pytest.mark.parametrize("batch_size", [1, 2, 10_000])
def test_many_sessions_leave_no_row(store: SessionStore, clock: Clock, sql: Sql, batch_size: int) -> None:
    """All of an owner, or all that are stale: whatever the batch, nothing is left of them."""
    mine, stale = ([f"{word}{n}" for n in range(3)] for word in ("mine", "stale"))
    for key in (*mine, *stale, "kept"):
        store.set_session_state(key, "error", "t1")
        say(store, "a", key)
    for key in mine:
        store.set_session_owner(key, "ann")
    clock.advance(7200)
    say(store, "b", "kept")

    assert store.delete_sessions(owner="ann", batch_size=batch_size) == 3
    assert [rows(sql, key) for key in (*mine, *stale)] == [[0, 0, 0]] * 3 + [[1, 1, 1]] * 3
    assert store.cleanup_stale(1, batch_size=batch_size) == 3
    assert [rows(sql, key) for key in stale] == [[0, 0, 0]] * 3
    assert rows(sql, "kept") == [1, 2, 1]


# what is mended


DAMAGES = [
    "message_count = 99",
    "last_seq = 1",
    "state_seq = 0",
    "state = 'lost'",
    "turn_id = 'lost'",
    "turn_id = NULL",
    "state_entered_at = NULL",
    "state_entered_at = '2001-01-01T00:00:00.000000+00:00'",
    "last_activity = '2001-01-01T00:00:00.000000+00:00', active_minute = '2001-01-01T00:00:00.000000+00:00'",
    "active_minute = '2001-01-01T00:00:00.000000+00:00'",
    "message_count = 0, last_seq = 0, state_seq = 0, state = 'idle', turn_id = NULL, state_entered_at = NULL",
]


def test_a_head_is_mended_from_its_logs(store: SessionStore, clock: Clock, sql: Sql) -> None:
    """Whatever raw SQL made of a head, it says again what the logs say; a dry run only tells."""
    store.set_session_state(KEY, "waiting", "t0")
    clock.advance(1)
    store.set_session_state(KEY, "running", "t1")
    store.append_many(KEY, [OTHER, HELLO, OTHER])
    whole = "SELECT * FROM session_store_sessions"
    right = sql(whole)

    for damage in DAMAGES:
        sql(f"UPDATE session_store_sessions SET {damage}")  # noqa: S608
        damaged = sql(whole)
        assert store.compact(KEY, dry_run=True) == Compaction(0, head_repaired=True)
        assert sql(whole) == damaged
        assert store.compact(KEY) == Compaction(0, head_repaired=True), damage
        assert sql(whole) == right, damage
        assert store.compact(KEY) == Compaction(0, head_repaired=False)


def test_a_mended_head_gives_no_seq_again(store: SessionStore, sql: Sql) -> None:
    """Though the newest message was a double and went, the number it had is not used for another one."""
    store.append_many(KEY, [HELLO, OTHER, OTHER])
    sql("UPDATE session_store_sessions SET last_seq = 1, message_count = 9")

    assert store.compact(KEY) == Compaction(1, head_repaired=True)
    assert counts(store) == (2, 3)
    assert store.append(KEY, HELLO).seq == 4
