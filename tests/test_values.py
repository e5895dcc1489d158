"""The values that go in and come out: plain, light, immutable, bound to no transaction."""

import copy
import pickle
from datetime import UTC, datetime

import pytest

from session_store import (
    ChatMessage,
    Compaction,
    Conflict,
    Health,
    IdempotencyConflict,
    InvalidKey,
    InvalidMessage,
    InvalidQuery,
    NewMessage,
    SchemaOutOfDate,
    SessionInUse,
    SessionMetadata,
    SessionQuery,
    SessionState,
    StoredMessage,
    StoreError,
    StoreUnavailable,
)

NOW = datetime(2026, 1, 5, tzinfo=UTC)
HELLO = ChatMessage.user("hello", {"a": 1})
METADATA = SessionMetadata("k", None, "ann", {"a": 1}, NOW, NOW, 2, 3, "running", "t1", NOW)
VALUES = [
    HELLO,
    NewMessage(HELLO),
    StoredMessage(1, NOW, None, HELLO),
    SessionState("running", "t1", NOW, NOW),
    METADATA,
    SessionQuery(keyword="hello", attributes={"a": 1}),
    Compaction(1, head_repaired=True),
    Health("ss_0001", "like", 0.1),
]
of_each = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)

ERRORS = [
    StoreError("x"),
    InvalidKey("x"),
    InvalidMessage("x"),
    InvalidQuery("x"),
    IdempotencyConflict("key", "once"),
    SessionInUse("key"),
    SessionInUse(),
    Conflict("x"),
    SchemaOutOfDate(None, "ss_0003"),
    SchemaOutOfDate("ss_0000", "ss_0003"),
    StoreUnavailable("x"),
]


@of_each
def test_a_value_cannot_be_changed(value: object) -> None:
    """No field of a value can be set."""
    for name in getattr(value, "_fields", ("keyword", "limit")):
        with pytest.raises(AttributeError):
            setattr(value, name, None)


@of_each
def test_a_value_can_be_sent_elsewhere(value: object) -> None:
    """A value survives pickling and copying: it holds no connection."""
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - our own
    assert copy.deepcopy(value) == value


@of_each
def test_a_value_shows_its_fields(value: object) -> None:
    """The repr is what would make the value again."""
    assert repr(value).startswith(f"{type(value).__name__}(")


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool"])
def test_each_role_has_a_short_form(role: str) -> None:
    """``ChatMessage.user("x")`` is a message of the role user, with or without a payload."""
    make = getattr(ChatMessage, role)

    assert make("hi") == ChatMessage(role, "hi") == (role, "hi", None)
    assert make("hi", {"a": 1}) == ChatMessage(role, "hi", {"a": 1})


def test_a_query_takes_names_only() -> None:
    """A filter is always named, so that new ones may come."""
    with pytest.raises(TypeError):
        SessionQuery("hello")


def test_cursors_name_a_place() -> None:
    """Two sessions differ in their cursor if their key or their last activity does, and only then."""
    cursors = {
        session.cursor
        for session in (
            METADATA,
            METADATA._replace(name="other", message_count=9, state="idle"),
            METADATA._replace(key="other"),
            METADATA._replace(last_activity=NOW.replace(microsecond=1)),
        )
    }

    assert len(cursors) == 3


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__ + str(len(str(error))))
def test_an_error_can_be_sent_elsewhere(error: StoreError) -> None:
    """An error survives pickling with its facts, as multiprocessing needs it."""
    back = pickle.loads(pickle.dumps(error))  # noqa: S301

    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))


def test_errors_are_one_family() -> None:
    """All of them are a StoreError, and what is invalid is a ValueError too."""
    assert all(isinstance(error, StoreError) for error in ERRORS)
    assert {type(error) for error in ERRORS if isinstance(error, ValueError)} == {
        InvalidKey,
        InvalidMessage,
        InvalidQuery,
    }


def test_an_error_tells_what_it_is_about() -> None:
    """The message names the keys, the revisions and what to do."""
    assert "'key'" in str(IdempotencyConflict("key", "once"))
    assert "'once'" in str(IdempotencyConflict("key", "once"))
    assert "'key'" in str(SessionInUse("key"))
    assert "migrations upgrade --db URL" in str(SchemaOutOfDate("ss_0000", "ss_0003"))
    assert "ss_0000" in str(SchemaOutOfDate("ss_0000", "ss_0003"))
