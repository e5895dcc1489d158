"""Lists of sessions: their order, their filters, and walking them by pages."""

from datetime import timedelta
from typing import Any

import pytest

from session_store.interface.protocols import SessionBackend
from session_store.interface.values import ChatMessage, SessionMetadata, SessionQuery
from session_store.testing.clock import Clock
from tests.conformance.helpers import HELLO, KEY, head, say


def found(store: SessionBackend, **query: Any) -> list[str]:
    """The keys a query finds, told alike by all calls that take one."""
    asked = SessionQuery(**query)
    keys = store.list_sessions(asked)
    metadata = store.list_sessions_with_metadata(asked)
    assert [session.key for session in metadata] == keys
    assert store.search(asked) == metadata
    assert query.keys() & {"limit", "after"} or store.count_sessions(asked) == len(keys)
    return keys


# order


def test_no_session_no_list(store: SessionBackend) -> None:
    """A new store is empty, asked in any way."""
    assert store.list_sessions() == []
    assert store.list_sessions_with_metadata() == []
    assert store.count_sessions() == 0
    assert found(store, keyword="x", owner="y") == []


def test_newest_activity_comes_first(store: SessionBackend, clock: Clock) -> None:
    """Sessions are ordered by their last activity, to the microsecond, within a minute and across minutes."""
    steps = {"d": 0.0, "a": 0.000001, "c": 59.0, "e": 0.999999, "b": 0.000001, "f": 3600.0}
    for key, step in steps.items():
        clock.advance(step)
        say(store, "x", key)
    assert store.list_sessions() == list("fbecad")

    clock.advance(0.000001)
    store.append("a", HELLO)
    store.append("f", HELLO, created_at=clock.now - timedelta(days=1))
    assert store.list_sessions() == list("afbecd")


def test_ties_are_ordered_by_key(store: SessionBackend) -> None:
    """Sessions of one moment come in the order of their keys, byte by byte, the last one first."""
    keys = ["a", "B", "é", "Z", "\U0001f600", "\uffff", "a b", "ab", "A"]
    for key in keys:
        store.create_session(key)

    assert store.list_sessions() == sorted(keys, key=str.encode, reverse=True)


# pages


def test_a_walk_by_cursor_visits_each_session_once(store: SessionBackend, clock: Clock) -> None:
    """Page after page the whole list comes, in its order, ties and equal minutes included."""
    for n, key in enumerate("hgfedcba"):
        clock.advance(n % 3 * 0.5)
        store.create_session(key + "é\U0001f600")
    whole = store.list_sessions_with_metadata()
    assert len(whole) == 8

    for limit in (1, 2, 3, 100):
        walked: list[SessionMetadata] = []
        place: str | None = None
        while page := store.list_sessions_with_metadata(SessionQuery(limit=limit, after=place)):
            assert len(page) <= limit
            walked += page
            place = page[-1].cursor
        assert walked == whole


def test_a_cursor_is_safe_in_a_url(store: SessionBackend) -> None:
    """A cursor has letters, digits, - and _ only, whatever the key."""
    for key in ("a/b?c=d&e#f", "\U0001f600" * 128, "\x01\x1f\n "):
        store.create_session(key)
        cursor = head(store, key).cursor

        assert cursor.isascii()
        assert cursor.replace("-", "").replace("_", "").isalnum()


def test_a_cursor_outlives_its_session(store: SessionBackend, clock: Clock) -> None:
    """It names a place in the order, so the walk goes on when the session there is gone or was used."""
    for key in "abcd":
        store.create_session(key)
        clock.advance(1)
    place = head(store, "c").cursor
    store.delete_session("c")
    assert found(store, after=place) == ["b", "a"]

    store.append("b", HELLO)
    assert found(store, after=place) == ["a"]


def test_pages_and_filters_go_together(store: SessionBackend, clock: Clock) -> None:
    """A page is of what the filters leave; the count is of all pages."""
    for n in range(6):
        store.create_session(f"s{n}", owner="ann" if n % 2 else "bob")
        clock.advance(1)
    first = store.list_sessions_with_metadata(SessionQuery(owner="ann", limit=2))

    assert [session.key for session in first] == ["s5", "s3"]
    assert found(store, owner="ann", limit=2, after=first[-1].cursor) == ["s1"]
    assert store.count_sessions(SessionQuery(owner="ann", limit=1, after=first[-1].cursor)) == 3


def test_limits(store: SessionBackend) -> None:
    """A limit of 0 gives nothing, one that is larger than there are sessions gives all."""
    for key in "abc":
        store.create_session(key)

    assert [len(found(store, limit=limit)) for limit in (0, 1, 3, 4, 2**63 - 1)] == [0, 1, 3, 3, 3]


# filters


def test_owners_are_matched_exactly(store: SessionBackend) -> None:
    """Only the same bytes are the same owner; a session of nobody belongs to none."""
    for owner in ("ann", "Ann", "ann ", "änn"):
        store.create_session(f"of {owner}", owner=owner)
    store.create_session("of nobody")

    assert found(store, owner="ann") == ["of ann"]
    assert found(store, owner="eve") == []


def test_states_are_the_current_ones(store: SessionBackend) -> None:
    """A session is found by the state it is in now; one that was never told is idle."""
    store.create_session("new")
    for key, states in {"a": ["running"], "b": ["running", "waiting"], "c": ["running", "idle"]}.items():
        for state in states:
            store.set_session_state(key, state)

    assert {state: found(store, state=state) for state in ("idle", "running", "waiting", "error")} == {
        "idle": ["new", "c"],
        "running": ["a"],
        "waiting": ["b"],
        "error": [],
    }


SCALARS: list[Any] = [
    1, 1.0, True, "1", "true", 0, False, "", "0", 1.5, "1.5", -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63) + 1,
    1e300, 0.1, 5e-324, "a", "A", "\0", "\ud800", "\x1a\x01\x01\x01", "ä", '"', "\\", "null", 1e15, 10**15 + 1,
]  # fmt: skip


def test_attributes_are_compared_as_json(store: SessionBackend) -> None:
    """A value finds what is the same JSON: 1 is 1.0, but neither true nor "1"."""
    for n, value in enumerate(SCALARS):
        store.create_session(f"s{n}", attributes={"it": value, "other": "x"})

    for wanted in SCALARS:
        if isinstance(wanted, float) and wanted >= 1e19:
            continue  # as a whole number it has more than 64 bits
        expected = [
            f"s{n}"
            for n, value in enumerate(SCALARS)
            if value == wanted and (type(value) is type(wanted) or {type(value), type(wanted)} == {int, float})
        ]
        query = SessionQuery(attributes={"it": wanted})
        assert sorted(store.list_sessions(query)) == sorted(expected), repr(wanted)


def test_every_attribute_asked_for_must_be_there(store: SessionBackend) -> None:
    """All of several must hold; none at all is no condition; what is no scalar equals none."""
    store.create_session("both", attributes={"a": 1, "b": "x", 'q"\\\n\x1a.$': "\0"})
    store.create_session("one", attributes={"a": 1, "b": "y"})
    store.create_session("deep", attributes={"a": [1], "b": {"b": "x"}, "c": None, "d": {"a": 1}})
    store.create_session("none")

    assert found(store, attributes={"a": 1, "b": "x"}) == ["both"]
    assert found(store, attributes={"a": 1}) == ["one", "both"]
    assert found(store, attributes={'q"\\\n\x1a.$': "\0"}) == ["both"]
    assert found(store, attributes={}) == ["one", "none", "deep", "both"]
    assert found(store, attributes={"missing": "x"}) == []


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(microseconds=1), timedelta(seconds=59)])
def test_active_since_and_before_share_no_session(store: SessionBackend, clock: Clock, offset: timedelta) -> None:
    """Since means then or later, before means earlier: together they are all, to the microsecond."""
    base = clock.now + offset
    microsecond = timedelta(microseconds=1)
    for key, time in {"early": base - microsecond, "then": base, "late": base + microsecond}.items():
        store.append(key, ChatMessage.user("x"), created_at=time)

    assert found(store, active_since=base) == ["late", "then"]
    assert found(store, active_before=base) == ["early"]
    assert found(store, active_since=base, active_before=base + microsecond) == ["then"]
    assert found(store, active_since=base, active_before=base) == []
    assert found(store, active_since=base - timedelta(days=400), active_before=base + timedelta(days=1)) == [
        "late",
        "then",
        "early",
    ]


def test_all_conditions_must_hold(store: SessionBackend, clock: Clock) -> None:
    """Each filter that is given narrows the others."""
    start = clock.now
    store.create_session(KEY, owner="ann", attributes={"a": 1})
    store.set_session_state(KEY, "running")
    say(store, "hello")
    right: dict[str, Any] = {
        "keyword": "hello",
        "owner": "ann",
        "state": "running",
        "attributes": {"a": 1},
        "active_since": start,
        "active_before": start + timedelta(seconds=1),
    }
    wrong: dict[str, Any] = {
        "keyword": "bye",
        "owner": "bob",
        "state": "idle",
        "attributes": {"a": 2},
        "active_since": start + timedelta(seconds=1),
        "active_before": start,
    }

    assert found(store, **right) == [KEY]
    assert {name: found(store, **right | {name: value}) for name, value in wrong.items()} == {
        name: [] for name in wrong
    }
