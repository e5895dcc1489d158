"""What cannot be stored or asked for is refused by a typed error before anything is written."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

import pytest
from sqlalchemy import Engine

from session_store import (
    ChatMessage,
    InvalidKey,
    InvalidMessage,
    InvalidQuery,
    NewMessage,
    SessionQuery,
    SessionStore,
    StoreError,
)
from session_store.testing import Clock
from tests.hosts import contents

pytestmark = pytest.mark.once

KEY: Final = "telegram_ann"
HELLO: Final = ChatMessage.user("hello")

DEEP: Final[list[Any]] = json.loads("[" * 900 + "]" * 900)
CIRCULAR: Final[list[Any]] = []
CIRCULAR.append({"again": CIRCULAR})
ENDLESS: Final[list[Any]] = []
for _ in range(100_000):
    ENDLESS[:] = [[*ENDLESS]]
HUGE: Final = 10**5000
"""A whole number Python cannot write in digits."""

OF_NO_KIND: Final = (object(), b"bytes", ["list"], {"a": 1}, {"set"}, [HUGE], ENDLESS, CIRCULAR, 1.5, Decimal(1), ...)
IDENTIFIERS: Final = ("", "\0", "a\0b", "\ud800", "a\udfff", 0, 1, True, HUGE, -HUGE, *OF_NO_KIND)
TOO_LONG: Final = ("x" * 513, "é" * 257, "é" * 256 + "x", "中" * 171, "\U0001f600" * 129, "x" * 1_000_000)
LONG_WORDS: Final = ("x" * 65, "é" * 33, "中" * 22, "\U0001f600" * 17, "\0" * 64)
NO_NUMBER: Final = ("1", "", True, False, 1.0, float("nan"), float("inf"), 1j, timedelta(1), *OF_NO_KIND)
NUMBERS: Final = (-1, -(2**63), 2**63, HUGE, -HUGE, *NO_NUMBER)
BATCHES: Final = (0, 10_001, None, *NUMBERS)
NO_AGE: Final = tuple(age for age in NO_NUMBER if not isinstance(age, float) or isinstance(age, bool))
AGES: Final = (-1, -0.1, -5e-324, -HUGE, float("nan"), float("inf"), float("-inf"), None, *NO_AGE)
TIMES: Final = (
    datetime(2026, 1, 1),  # noqa: DTZ001 - this is what is wrong with it
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
    datetime(1, 1, 1, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(9999, 12, 30, 0, 0, 0, 1, tzinfo=UTC),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
    date(2026, 1, 1),
    "2026-01-01T00:00:00+00:00",
    "",
    0,
    HUGE,
    *OF_NO_KIND,
)
NO_JSON: Final = (
    {1, 2},
    b"bytes",
    float("nan"),
    float("inf"),
    -float("inf"),
    {1: "a"},
    {None: "a"},
    {"a": {("b",): 1}},
    {HUGE: 1},
    [object()],
    [1, [2, {"x": {3}}]],
    datetime(2026, 1, 1, tzinfo=UTC),
    Decimal(1),
    1j,
    HUGE,
    [-HUGE],
    {"a": {"b": HUGE}},
    DEEP,
    json.loads("[" * 101 + "]" * 101),
    json.loads('{"a":' * 100 + "[]" + "}" * 100),
    ENDLESS,
    CIRCULAR,
)
MESSAGES: Final = (
    None,
    "hello",
    ("user", "hello", None),
    {"role": "user", "content": "hello"},
    0,
    HUGE,
    *OF_NO_KIND,
    *(ChatMessage(role, "x") for role in (*IDENTIFIERS, None, *LONG_WORDS)),
    *(ChatMessage("user", content) for content in (None, 0, HUGE, *OF_NO_KIND)),
    *(ChatMessage("user", "x", payload) for payload in NO_JSON),
)
SEVERAL: Final = (None, 0, HUGE, object(), "text", b"text", HELLO, NewMessage(HELLO), 1.5, ...)
NAMES: Final = ("x" * 1025, "\0" * 1025, None, 0, True, HUGE, *OF_NO_KIND)
NO_MAPPING: Final = (0, "text", [("a", 1)], {"a"}, HUGE, object(), ENDLESS, [HUGE], True)
ATTRIBUTES: Final = (*NO_MAPPING, *({"a": value} for value in NO_JSON), {1: 1}, {None: 1}, {("a",): 1}, {HUGE: 1})
WANTED: Final = (*ATTRIBUTES, *({"a": value} for value in (None, [], {}, [1], 2**63, -(2**63), 1e19)))
QUERIES: Final = ("text", 0, True, HUGE, *OF_NO_KIND)


def cursor(place: Any) -> str:
    """A cursor that holds this."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


NOW: Final = "2026-01-05T12:00:00+00:00"
CURSORS: Final = (
    *("", " ", "x", "====", "é", "\0", "\ud800", "a b", "W10", "bnVsbA", "[]", KEY, NOW, "%%%", "A" * 1_000_000),
    *map(cursor, ([], {}, None, 1, "ab", [NOW], [NOW, KEY, 1], [1, KEY], [NOW, 1], [NOW, ""], [NOW, "\0"], [KEY, NOW])),
    *map(cursor, ([NOW, None], ["2026-01-05T12:00:00", KEY], ["0001-01-01T00:00:00+14:00", KEY], [NOW, "x" * 513])),
    cursor([NOW, KEY])[:-2],
    cursor([NOW, KEY]) + "!",
    base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    base64.urlsafe_b64encode(b"1" * 5_000).decode(),
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    *(0, HUGE),
    *OF_NO_KIND,
)

Call = Callable[[SessionStore, Any], object]
Case = tuple[str, type[StoreError], tuple[object, ...], Call]

KEYED: Final[dict[str, Call]] = {
    "create_session": lambda store, key: store.create_session(key),
    "session_exists": lambda store, key: store.session_exists(key),
    "get_session_metadata": lambda store, key: store.get_session_metadata(key),
    "set_session_name": lambda store, key: store.set_session_name(key, "x"),
    "get_session_name": lambda store, key: store.get_session_name(key),
    "set_session_owner": lambda store, key: store.set_session_owner(key, "x"),
    "set_session_attributes": lambda store, key: store.set_session_attributes(key, {"a": 1}),
    "delete_session": lambda store, key: store.delete_session(key),
    "compact": lambda store, key: store.compact(key),
    "append": lambda store, key: store.append(key, HELLO),
    "append once": lambda store, key: store.append(key, HELLO, idempotency_key="once"),
    "append_many": lambda store, key: store.append_many(key, [HELLO]),
    "append_many of none": lambda store, key: store.append_many(key, []),
    "load": lambda store, key: store.load(key),
    "load last": lambda store, key: store.load(key, last=1),
    "history": lambda store, key: store.history(key),
    "iter_history": lambda store, key: store.iter_history(key),
    "remove_last": lambda store, key: store.remove_last(key),
    "pop_last": lambda store, key: store.pop_last(key),
    "update_last": lambda store, key: store.update_last(key, HELLO),
    "clear_messages": lambda store, key: store.clear_messages(key),
    "set_session_state": lambda store, key: store.set_session_state(key, "running"),
    "set_session_state if": lambda store, key: store.set_session_state(key, "running", if_turn="t1"),
    "get_session_state": lambda store, key: store.get_session_state(key),
}
QUERIED: Final[dict[str, Call]] = {
    name: lambda store, query, name=name: getattr(store, name)(query)
    for name in ("list_sessions", "list_sessions_with_metadata", "count_sessions", "search")
}


def _keyed() -> Iterator[Case]:
    for name, call in KEYED.items():
        yield f"{name} of key", InvalidKey, (*IDENTIFIERS, None, *TOO_LONG), call


def _arguments() -> Iterator[Case]:
    owners = (*IDENTIFIERS, *TOO_LONG)
    yield "create_session owner", InvalidKey, owners, lambda s, it: s.create_session("new", owner=it)
    yield "create_session name", InvalidQuery, NAMES[:2] + NAMES[3:], lambda s, it: s.create_session("new", name=it)
    yield "create_session attributes", InvalidQuery, ATTRIBUTES, lambda s, it: s.create_session("new", attributes=it)
    for key in (KEY, "new"):
        yield f"set name of {key}", InvalidQuery, NAMES, lambda s, it, key=key: s.set_session_name(key, it)
        yield f"set owner of {key}", InvalidKey, owners, lambda s, it, key=key: s.set_session_owner(key, it)
        yield (
            f"set attributes of {key}",
            InvalidQuery,
            (*ATTRIBUTES, None),
            lambda s, it, key=key: s.set_session_attributes(key, it),
        )
        words = (*IDENTIFIERS, *LONG_WORDS, None)
        yield f"set state of {key}", InvalidKey, words, lambda s, it, key=key: s.set_session_state(key, it)
        yield f"set turn of {key}", InvalidKey, owners, lambda s, it, key=key: s.set_session_state(key, "running", it)
        yield (
            f"set if_turn of {key}",
            InvalidKey,
            (*IDENTIFIERS, *TOO_LONG),
            lambda s, it, key=key: s.set_session_state(key, "running", "t9", if_turn=it),
        )
        yield (
            f"append to {key}",
            InvalidMessage,
            (*MESSAGES, NewMessage(HELLO)),
            lambda s, it, key=key: s.append(key, it),
        )
        yield f"append_many to {key}", InvalidMessage, SEVERAL, lambda s, it, key=key: s.append_many(key, it)
        yield (
            f"append_many a bad one to {key}",
            InvalidMessage,
            (*MESSAGES, *map(NewMessage, MESSAGES)),
            lambda s, it, key=key: s.append_many(key, [HELLO, NewMessage(HELLO, None, "new"), it]),
        )
        yield f"append at {key}", InvalidMessage, TIMES, lambda s, it, key=key: s.append(key, HELLO, created_at=it)
        yield (
            f"append_many at {key}",
            InvalidMessage,
            TIMES,
            lambda s, it, key=key: s.append_many(key, [HELLO, NewMessage(HELLO, it)]),
        )
        yield (
            f"append once to {key}",
            InvalidKey,
            owners,
            lambda s, it, key=key: s.append(key, HELLO, idempotency_key=it),
        )
        yield (
            f"append_many once to {key}",
            InvalidKey,
            owners,
            lambda s, it, key=key: s.append_many(key, [HELLO, NewMessage(HELLO, None, it)]),
        )
    yield "update_last", InvalidMessage, (*MESSAGES, NewMessage(HELLO)), lambda s, it: s.update_last(KEY, it)
    yield "update_last seq", InvalidQuery, NUMBERS, lambda s, it: s.update_last(KEY, HELLO, seq=it)
    yield "remove_last seq", InvalidQuery, NUMBERS, lambda s, it: s.remove_last(KEY, seq=it)
    yield "load last", InvalidQuery, NUMBERS, lambda s, it: s.load(KEY, last=it)
    for name in ("after_seq", "before_seq", "limit"):
        yield f"history {name}", InvalidQuery, NUMBERS, lambda s, it, name=name: s.history(KEY, **{name: it})
    yield "iter_history after", InvalidQuery, (*NUMBERS, None), lambda s, it: s.iter_history(KEY, after_seq=it)
    yield "iter_history batch", InvalidQuery, BATCHES, lambda s, it: s.iter_history(KEY, batch=it)
    yield "delete_sessions owner", InvalidKey, (*owners, None), lambda s, it: s.delete_sessions(owner=it)
    yield (
        "delete_sessions batch",
        InvalidQuery,
        BATCHES,
        lambda s, it: s.delete_sessions(owner="ann", batch_size=it),
    )
    yield "list_stuck_sessions", InvalidQuery, AGES, lambda s, it: s.list_stuck_sessions(it)
    yield "recover_stuck", InvalidQuery, AGES, lambda s, it: s.recover_stuck(it)
    yield "recover_stuck to running", InvalidQuery, ("running",), lambda s, it: s.recover_stuck(0, to=it)
    yield "recover_stuck to", InvalidKey, (*IDENTIFIERS, *LONG_WORDS, None), lambda s, it: s.recover_stuck(0, to=it)
    for dry_run in (False, True):
        yield (
            f"cleanup_stale {dry_run}",
            InvalidQuery,
            AGES,
            lambda s, it, dry=dry_run: s.cleanup_stale(it, dry_run=dry),
        )
        yield (
            f"cleanup_stale batch {dry_run}",
            InvalidQuery,
            BATCHES,
            lambda s, it, dry=dry_run: s.cleanup_stale(0, batch_size=it, dry_run=dry),
        )
    yield "compact", InvalidQuery, AGES, lambda s, it: s.compact(KEY, within_secs=it)


def _queries() -> Iterator[Case]:
    fields: dict[str, tuple[type[StoreError], tuple[object, ...]]] = {
        "keyword": (InvalidQuery, (0, True, HUGE, *OF_NO_KIND)),
        "owner": (InvalidKey, (*IDENTIFIERS, *TOO_LONG)),
        "state": (InvalidKey, (*IDENTIFIERS, *LONG_WORDS)),
        "attributes": (InvalidQuery, WANTED),
        "active_since": (InvalidQuery, TIMES),
        "active_before": (InvalidQuery, TIMES),
        "limit": (InvalidQuery, NUMBERS),
        "after": (InvalidQuery, CURSORS),
    }
    for name, call in QUERIED.items():
        yield name, InvalidQuery, QUERIES, call
        for field, (error, values) in fields.items():
            if name != "count_sessions" or field not in {"limit", "after"}:
                queries = tuple(SessionQuery(**{field: value}) for value in values)
                yield f"{name} {field}", error, queries, call


CASES: Final = [*_keyed(), *_arguments(), *_queries()]


def written(engine: Engine) -> list[list[tuple[Any, ...]]]:
    """All rows of all tables."""
    with engine.connect() as db:
        return contents(db)


def refuse(store: SessionStore, error: type[StoreError], values: tuple[object, ...], call: Call) -> list[str]:
    """Make the call with each value; what did not raise the error, short enough to read."""
    astray: list[str] = []
    for number, value in enumerate(values):
        try:
            call(store, value)
        except error as refused:
            told = "" if 0 < len(str(refused)) < 400 else f"{len(str(refused))} characters"
        except Exception as other:  # noqa: BLE001 - which one is what the test tells
            told = type(other).__name__
        else:
            told = "nothing raised"
        if told:
            astray.append(f"value {number}: {told}")
    return astray


def some_session(store: SessionStore) -> None:
    """Something that a call gone wrong could damage."""
    store.create_session(KEY, name="Ann", owner="ann", attributes={"a": 1})
    store.set_session_state(KEY, "running", "t1")
    store.append_many(KEY, [HELLO, NewMessage(HELLO, None, "once")])


@pytest.mark.parametrize("store", ["sync", pytest.param("async", marks=pytest.mark.long)], indirect=True)
@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_nothing_is_written(store: SessionStore, engine: Engine, clock: Clock, case: Case) -> None:
    """What cannot be stored or asked for is a typed error, a ValueError too, and every table stays as it is."""
    _, error, values, call = case
    some_session(store)
    clock.advance(1)
    before = written(engine)

    assert issubclass(error, ValueError)
    assert refuse(store, error, values, call) == []
    assert written(engine) == before


@pytest.mark.parametrize("part", range(4))
def test_a_transaction_goes_on(store: SessionStore, engine: Engine, part: int) -> None:
    """After any of these errors the transaction it was raised in is as it was, and is committed."""
    some_session(store)
    before = written(engine)
    with store.begin() as transaction:
        for _, error, values, call in CASES[part::4]:
            assert refuse(transaction, error, values[::5], call) == []
        transaction.append("after all", HELLO)
    after = written(engine)

    assert [row for table in after for row in table if row[0] != "after all"] == [
        row for table in before for row in table
    ]
    assert store.load("after all") == [HELLO]


@pytest.mark.parametrize("call", ["append", "set_session_name", "set_session_state", "cleanup_stale", "recover_stuck"])
def test_a_clock_without_a_zone_is_refused(store: SessionStore, engine: Engine, clock: Clock, call: str) -> None:
    """What the clock says is checked like any other time."""
    some_session(store)
    before = written(engine)
    clock.set(datetime(2026, 1, 1))  # noqa: DTZ001
    arguments: dict[str, tuple[Any, ...]] = {
        "append": ("new", HELLO),
        "set_session_name": ("new", "x"),
        "set_session_state": ("new", "running"),
    }
    with pytest.raises(InvalidQuery):
        getattr(store, call)(*arguments.get(call, (0,)))

    assert written(engine) == before
