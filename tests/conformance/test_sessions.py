"""Sessions as a whole: made, named, labelled, deleted."""

import pytest

from session_store.interface.protocols import SessionBackend
from session_store.interface.values import ChatMessage, SessionMetadata, SessionQuery
from session_store.testing.clock import Clock
from tests.conformance.helpers import KEY, head, said, say

# create_session, session_exists, get_session_metadata


def test_create_session_says_whether_it_is_new(store: SessionBackend) -> None:
    """The first call makes the session, the others find it."""
    assert not store.session_exists(KEY)
    assert [store.create_session(KEY) for _ in range(3)] == [True, False, False]
    assert store.session_exists(KEY)


def test_a_new_session_has_what_it_was_given(store: SessionBackend, clock: Clock) -> None:
    """Metadata of a session made with everything: what was given, the time, and zeros."""
    store.create_session(KEY, name="Ann", owner="ann", attributes={"channel": "telegram", "none": None})

    assert store.get_session_metadata(KEY) == SessionMetadata(
        key=KEY,
        name="Ann",
        owner="ann",
        attributes={"channel": "telegram"},
        created_at=clock.now,
        last_activity=clock.now,
        message_count=0,
        last_seq=0,
        state="idle",
        turn_id=None,
        state_entered_at=None,
    )


def test_a_new_session_needs_nothing(store: SessionBackend) -> None:
    """Without name, owner and attributes there are none; an empty name is none as well."""
    store.create_session(KEY)
    store.create_session("unnamed", name="")

    assert head(store)[1:4] == (None, None, {})
    assert head(store, "unnamed").name is None


def test_create_session_leaves_an_existing_one_alone(store: SessionBackend, clock: Clock) -> None:
    """Neither what it was given nor its times change, whether it was made on purpose or by a message."""
    store.create_session(KEY, name="Ann", owner="ann", attributes={"a": 1})
    say(store, "x", "bob")
    before = store.list_sessions_with_metadata()
    clock.advance(60)

    assert not store.create_session(KEY, name="Eve", owner="eve", attributes={"b": 2})
    assert not store.create_session("bob", name="Eve")
    assert store.list_sessions_with_metadata() == before


def test_an_unknown_session_has_no_metadata(store: SessionBackend) -> None:
    """None for what is not there, and asking does not make it."""
    assert store.get_session_metadata(KEY) is None
    assert store.get_session_name(KEY) is None
    assert store.get_session_state(KEY) is None
    assert store.count_sessions() == 0


def test_metadata_is_the_same_wherever_it_comes_from(store: SessionBackend) -> None:
    """One session is told the same by itself, in a list, in a search and among the running."""
    store.create_session(KEY, name="\ud800", owner="ann", attributes={"a": [1, {"b": None}]})
    store.set_session_state(KEY, "running", "t1")
    say(store, "hello")
    one = head(store)

    assert store.list_sessions_with_metadata() == [one]
    assert store.search(SessionQuery(keyword="hello")) == [one]
    assert store.list_running_sessions() == [one]


def test_keys_are_told_apart_byte_by_byte(store: SessionBackend) -> None:
    """Case, accents, spaces and ways to compose a letter all make another session."""
    keys = ["ann", "Ann", "ann ", " ann", "änn", "a\u0308nn", "ANN", "\uff41nn", "ann\n", "an'n", 'a"n;--', "%", "_"]
    for key in keys:
        assert store.append(key, ChatMessage.user(key)).seq == 1

    assert all(said(store, key) == [key] for key in keys)
    assert sorted(store.list_sessions()) == sorted(keys)


# names, owners, attributes


def test_a_name_is_set_changed_and_taken_away(store: SessionBackend) -> None:
    """The last name given is the name; the empty one is none."""
    told = []
    for name in ("Ann", "Ann, again", "", "Ann", ""):
        store.set_session_name(KEY, name)
        told.append(store.get_session_name(KEY))
        assert head(store).name == told[-1]

    assert told == ["Ann", "Ann, again", None, "Ann", None]


def test_an_owner_is_set_changed_and_taken_away(store: SessionBackend) -> None:
    """The last owner given is the owner; None is nobody."""
    told = []
    for owner in ("ann", "bob", None):
        store.set_session_owner(KEY, owner)
        told.append(head(store).owner)

    assert told == ["ann", "bob", None]


def test_setting_creates_the_session(store: SessionBackend, clock: Clock) -> None:
    """What is set on a session that is not there makes it, now and without messages."""
    for field, value, told in (
        ("name", "Ann", "Ann"),
        ("name", "", None),
        ("owner", "ann", "ann"),
        ("owner", None, None),
        ("attributes", {"a": 1}, {"a": 1}),
        ("attributes", {"a": None}, {}),
        ("state", "running", "running"),
        ("state", "idle", "idle"),
    ):
        key = f"{field} {value}"
        getattr(store, f"set_session_{field}")(key, value)
        made = head(store, key)

        assert getattr(made, field) == told
        assert (made.created_at, made.last_activity, made.message_count) == (clock.now, clock.now, 0)


def test_setting_one_thing_leaves_the_others(store: SessionBackend, clock: Clock) -> None:
    """Name, owner, attributes and state do not touch each other, nor the messages."""
    store.create_session(KEY, name="Ann", owner="ann", attributes={"a": 1})
    say(store, "a b")
    before = head(store)
    clock.advance(60)

    store.set_session_name(KEY, "Bob")
    assert head(store) == before._replace(name="Bob")
    store.set_session_owner(KEY, "bob")
    assert head(store) == before._replace(name="Bob", owner="bob")
    store.set_session_attributes(KEY, {"b": 2})
    assert head(store) == before._replace(name="Bob", owner="bob", attributes={"a": 1, "b": 2})


def test_attributes_merge_at_the_top_level(store: SessionBackend) -> None:
    """What is given is set, None removes, the rest stays; a value that is an object is replaced as a whole."""
    told = []
    for change in (
        {"channel": "telegram", "tags": ["a"], "nested": {"x": 1, "y": 2}},
        {"channel": "slack", "nested": {"z": None}},
        {},
        {"tags": None, "never there": None},
        {"nested": False, "": 0},
    ):
        store.set_session_attributes(KEY, change)
        told.append(head(store).attributes)

    assert told == [
        {"channel": "telegram", "tags": ["a"], "nested": {"x": 1, "y": 2}},
        {"channel": "slack", "tags": ["a"], "nested": {"z": None}},
        {"channel": "slack", "tags": ["a"], "nested": {"z": None}},
        {"channel": "slack", "nested": {"z": None}},
        {"channel": "slack", "nested": False, "": 0},
    ]


# delete_session


def test_delete_session_takes_everything(store: SessionBackend) -> None:
    """However asked, nothing of it is left; made anew it is empty; the other session keeps all of its own."""
    for key in (KEY, "bob"):
        store.set_session_state(key, "running", "t1")
        say(store, "a b", key)
    other = head(store, "bob")

    assert [store.delete_session(KEY) for _ in range(2)] == [True, False]
    assert not store.session_exists(KEY)
    assert (store.load(KEY), store.get_session_metadata(KEY), store.get_session_state(KEY)) == ([], None, None)
    assert store.list_sessions_with_metadata() == store.list_running_sessions() == [other]
    assert said(store, "bob") == ["a", "b"]

    assert store.create_session(KEY)
    assert store.load(KEY) == []
    assert head(store)[6:] == (0, 0, "idle", None, None)


def test_a_session_without_messages_can_be_deleted(store: SessionBackend) -> None:
    """Nothing but a head is enough to be there and to go."""
    store.create_session(KEY)

    assert store.delete_session(KEY) is True
    assert store.list_sessions() == []


@pytest.mark.parametrize("batch_size", [1, 2, 10_000])
def test_delete_sessions_takes_all_of_an_owner(store: SessionBackend, batch_size: int) -> None:
    """Whatever the batch, every session of the owner goes, running or not, and no other one."""
    mine = [f"s{n}" for n in range(6)]
    for key in (*mine, "not mine", "nobody's"):
        store.set_session_state(key, "running", "t1")
        say(store, "a", key)
    for key in mine:
        store.set_session_owner(key, "ann")
    store.set_session_owner("not mine", "Ann")

    assert store.delete_sessions(owner="ann", batch_size=batch_size) == 6
    assert sorted(store.list_sessions()) == ["nobody's", "not mine"]
    assert [said(store, key) for key in mine] == [[]] * 6
    assert said(store, "not mine") == ["a"]
    assert store.delete_sessions(owner="ann", batch_size=batch_size) == 0


# check


def test_check_tells_what_serves(store: SessionBackend) -> None:
    """A healthy backend names what serves its searches, and took some time."""
    health = store.health()

    assert health.search
    assert 0 <= health.latency < 60
