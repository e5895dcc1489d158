"""What goes in comes out: text, JSON and time, to the last bit and on every database."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from session_store import ChatMessage, SessionQuery, SessionStore
from session_store.models.types import escape, unescape
from tests.conftest import examples

SUB: Final = "\x1a"
DIGITS: Final = "\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x10\x11\x12\x13\x14\x15"
"""What may stand behind SUB in stored text; see section 5 of the contract."""

hard_characters = st.sampled_from(
    [
        *DIGITS,
        "\0",
        SUB,
        SUB * 2,
        "\ud800",
        "\udbff",
        "\udc00",
        "\udfff",
        "\ud83d\ude00",
        "\ufffd",
        "\x7f",
        "\\",
        '"',
        "'",
        "%",
    ]
)
escapes = st.text(st.sampled_from(DIGITS), min_size=3, max_size=3).map(SUB.__add__)
any_text = st.lists(hard_characters | escapes | st.text(st.characters(exclude_categories=()), max_size=3)).map("".join)
plain_text = st.text(st.characters(exclude_characters="\0" + SUB, exclude_categories=["Cs"]))

numbers = (
    st.integers()
    | st.integers(-(10**3000), 10**3000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1e16, 1e15, 9007199254740993.0, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 1e-7, 1e23, 0.1, 1.0])
)
any_json = st.recursive(
    st.none() | st.booleans() | numbers | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)
zones = st.timezones() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
scalars = (
    st.sampled_from([0, 1, True, False, 0.0, 1.0, "0", "1", "true", "", -1, 0.5, 1.5, 10**16, 1e16, 2**53, 2**53 + 1])
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(-(2.0**62), 2.0**62)
    | any_text
)
_numbers = count()


def new_key() -> str:
    """A session no other example has."""
    return f"session {next(_numbers)}"


def spelled(value: Any) -> str:
    """A JSON value as text: 1 is not 1.0, minus zero is not zero, and the order of keys does not matter."""
    return json.dumps(value, sort_keys=True)


def same_json(given: Any, back: Any) -> bool:
    """Whether a value came back equal; what was a float equals it as a float."""
    match given:
        case dict():
            return given.keys() == back.keys() and all(same_json(item, back[name]) for name, item in given.items())
        case list() | tuple():
            return len(given) == len(back) and all(map(same_json, given, back))
        case float():
            return isinstance(back, int | float) and not isinstance(back, bool) and float(back) == given
        case _:
            return type(given) is type(back) and bool(given == back)


# text


@given(any_text)
def test_an_escaped_text_is_the_text(said: str) -> None:
    """Escaping loses nothing, and makes what every database can store."""
    stored = escape(said)

    assert unescape(stored) == said
    assert "\0" not in stored
    stored.encode()


@given(any_text)
def test_only_three_kinds_of_characters_are_escaped(said: str) -> None:
    """NUL, lone surrogates and SUB become SUB and three control characters; all others stay as they are."""
    kept = re.sub("[\0\x1a\ud800-\udfff]", "", said)

    assert re.sub(f"{SUB}[{DIGITS}]{{3}}", "", escape(said)) == kept
    assert len(escape(said)) == len(said) + 3 * (len(said) - len(kept))


@given(plain_text)
def test_ordinary_text_is_stored_as_it_is(said: str) -> None:
    """Text without those characters is not changed."""
    assert escape(said) == said


@pytest.mark.parametrize("code", [0, 0x1A, *range(0xD800, 0xE000, 0xFF), 0xDBFF, 0xDC00, 0xDFFF])
def test_each_escape_has_one_meaning(code: int) -> None:
    """SUB and three digits of the code's lower twelve bits, as the analyst who reads the tables is told."""
    high, middle, low = (DIGITS[code >> shift & 15] for shift in (8, 4, 0))

    assert escape(chr(code)) == SUB + high + middle + low


@examples(25)
@given(texts=st.lists(any_text, min_size=1, max_size=8))
def test_any_text_comes_back(store: SessionStore, texts: list[str]) -> None:
    """Content, name, strings in JSON and its keys are what they were, by every call that gives them."""
    key = new_key()
    messages = [ChatMessage("user", said, {said: [said], "key": said}) for said in texts]
    stored = store.append_many(key, messages[:-1])
    stored.append(store.append(key, messages[-1], idempotency_key="once"))
    store.set_session_name(key, texts[0])
    store.set_session_owner(key, key)
    store.set_session_attributes(key, {said: said for said in texts})

    metadata = store.get_session_metadata(key)
    assert store.load(key) == store.load(key, last=len(texts)) == messages
    assert store.history(key) == stored
    assert [message.message for message in stored] == messages
    assert store.append(key, messages[-1], idempotency_key="once") == stored[-1]
    assert metadata is not None
    assert metadata.name == store.get_session_name(key) == (texts[0] or None)
    assert metadata.attributes == {said: said for said in texts}
    assert store.list_sessions(SessionQuery(owner=key, attributes={texts[0]: texts[0]})) == [key]
    assert store.update_last(key, messages[0])
    assert store.pop_last(key) == stored[-1]._replace(message=messages[0])


@examples(25)
@given(texts=st.lists(plain_text, min_size=1, max_size=8))
def test_ordinary_text_is_what_sql_reads(store: SessionStore, engine: Engine, texts: list[str]) -> None:
    """Who reads the tables without this package finds ordinary text as it was said."""
    key = new_key()
    store.append_many(key, [ChatMessage.user(said) for said in texts])
    store.set_session_name(key, texts[0])
    with engine.connect() as db:
        contents = "SELECT content FROM session_store_messages WHERE session_key = :key ORDER BY seq"
        name = "SELECT name FROM session_store_sessions WHERE key = :key"

        assert list(db.scalars(text(contents), {"key": key})) == texts
        assert db.scalar(text(name), {"key": key}) == (texts[0] or None)


# JSON


@examples(30)
@given(payloads=st.lists(any_json.filter(lambda payload: payload is not None), min_size=1, max_size=5))
def test_any_json_comes_back(store: SessionStore, payloads: list[Any]) -> None:
    """A payload comes back equal, and spelled exactly as append returned it, whatever the database."""
    key = new_key()
    one = [store.append(key, ChatMessage.user("x", payload)).message.payload for payload in payloads]
    many = store.append_many(key, [ChatMessage.user("x", payload) for payload in payloads])
    loaded = [message.payload for message in store.load(key)]

    assert [spelled(payload) for payload in loaded] == [spelled(payload) for payload in one] * 2
    assert [spelled(message.message.payload) for message in many] == [spelled(payload) for payload in one]
    assert all(map(same_json, payloads * 2, loaded))


@examples(25)
@given(value=any_json)
def test_attributes_hold_any_json(store: SessionStore, value: Any) -> None:
    """An attribute is any JSON value but null."""
    key = new_key()
    store.create_session(key, attributes={"it": value})
    store.set_session_attributes(key, {"again": value})
    metadata = store.get_session_metadata(key)

    assert metadata is not None
    assert same_json({} if value is None else {"it": value, "again": value}, metadata.attributes)


@examples(30)
@given(one=scalars, other=scalars)
def test_a_filter_finds_the_same_json(store: SessionStore, one: Any, other: Any) -> None:
    """A scalar attribute is found by itself, and by another one only if they are the same JSON."""
    key = new_key()
    store.create_session(key, owner=key, attributes={"it": one})
    kinds = {bool if isinstance(value, bool) else str if isinstance(value, str) else float for value in (one, other)}

    assert store.list_sessions(SessionQuery(owner=key, attributes={"it": one})) == [key]
    found = store.list_sessions(SessionQuery(owner=key, attributes={"it": other}))
    assert found == ([key] if len(kinds) == 1 and one == other else [])


NESTED: Final = json.loads("[" * 100 + "]" * 100)


@pytest.mark.parametrize(
    "spelling",
    [
        (1e16, 10**16),
        (-1e16, -(10**16)),
        (1e15, 1e15),
        (1e23, 10**23),
        (1e308, 10**308),
        (-0.0, 0.0),
        (5e-324, 5e-324),
        (1.0, 1.0),
        (0.1, 0.1),
        (2**64, 2**64),
        (10**3900, 10**3900),
        (-(10**3900), -(10**3900)),
        ((1, (2,)), [1, [2]]),
        (True, True),
        ({"": {"": ""}}, {"": {"": ""}}),
        ({"\\u0000": "\\u001a"}, {"\\u0000": "\\u001a"}),
        (NESTED, NESTED),
    ],
)
def test_json_is_spelled_as_jsonb_spells_it(store: SessionStore, spelling: tuple[Any, Any]) -> None:
    """Both databases give what the narrower of the two can keep."""
    value, back = spelling
    returned = store.append("s", ChatMessage.user("x", value)).message.payload
    (loaded,) = store.load("s")

    assert spelled(returned) == spelled(loaded.payload) == spelled(back)


def test_an_analyst_can_take_json_apart(store: SessionStore, engine: Engine) -> None:
    """A payload is JSON to the database: its keys are read by SQL."""
    store.append("s", ChatMessage.tool("42", {"tool_call_id": "c1", "usage": {"input_tokens": 7}}))
    with engine.connect() as db:
        taken = db.execute(
            text("SELECT payload ->> 'tool_call_id', payload -> 'usage' ->> 'input_tokens' FROM session_store_messages")
        )

        assert [str(item) for item in taken.one()] == ["c1", "7"]
