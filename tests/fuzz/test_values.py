"""What a store is made with, and what goes in and out of it, whatever it is: documented errors, and no trace left."""

import base64
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import strategies as st
from sqlalchemy import URL, create_engine

from session_store import (
    AsyncSessionStore,
    ChatMessage,
    InvalidQuery,
    NewMessage,
    SchemaOutOfDate,
    SessionMetadata,
    SessionQuery,
    SessionStore,
    StoreError,
    StoreUnavailable,
    migrations,
)
from session_store.search import index as search_index
from session_store.testing import Clock
from session_store.transfer import import_jsonl
from tests.conftest import Database
from tests.fuzz.allowed import is_identifier, is_text, is_time, own_errors, plain
from tests.fuzz.arguments import any_text, cursor, mixed
from tests.fuzz.database import begin_with_sessions, tables_of
from tests.fuzz.hostile import (
    CURSORS,
    HARD_TEXTS,
    HIT_CURSORS,
    JUNK,
    NOW,
    SIZED_TEXTS,
    TIMES,
    Untouchable,
    call_under_way,
)
from tests.fuzz.running import fuzz, raised, table_row, timeout

pytestmark = [timeout, pytest.mark.once]

SECRET: Final = "s3cr3t"  # noqa: S105 - of nobody


def told(error: Exception, kinds: type[StoreError] | tuple[type[StoreError], ...]) -> str:
    """What an error says: one that is documented, in a short line, and without a password."""
    if not isinstance(error, kinds):
        raise error
    said = str(error)
    assert 0 < len(said) < 500
    assert said.isprintable()
    assert SECRET not in said
    return said


# The values themselves.


@pytest.mark.parametrize("make", [ChatMessage, NewMessage, SessionQuery], ids=lambda make: make.__name__)
def test_a_value_holds_whatever_it_is_given(make: Any, record_property: Callable[[str, object], None]) -> None:
    """To make a value looks at nothing: it is checked where it is used, and nobody's method is called before."""
    names: list[str] = list(getattr(make, "_fields", None) or make.__dataclass_fields__)
    anything = st.sampled_from(JUNK) | any_text

    def example(values: list[Any]) -> None:
        with call_under_way():
            made = make(**dict(zip(names, values, strict=False)))

        assert all(getattr(made, name) is value for name, value in zip(names, values, strict=False))

    count = fuzz(example, st.lists(anything, min_size=2, max_size=len(names)), 50, 0.1)
    record_property("table", table_row(f"what a {make.__name__} is made of", count, Counter()))


def test_every_session_has_a_cursor(clock: Clock, record_property: Callable[[str, object], None]) -> None:
    """Of any key and any time: it is text for a URL, and taken where it is to be."""
    keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=512)

    with SessionStore.open("sqlite://", clock=clock) as store:

        def example(session: SessionMetadata) -> None:
            assert set(session.cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
            assert store.list_sessions(SessionQuery(after=session.cursor, limit=1)) == []

        made = fuzz(
            example,
            st.builds(
                lambda key, time: SessionMetadata(key, None, None, {}, NOW, time, 0, 0, "idle", None, None),
                (keys | st.sampled_from([*HARD_TEXTS, *SIZED_TEXTS])).filter(is_identifier),
                st.sampled_from([time.astimezone(UTC) for time in TIMES if is_time(time)]),
            ),
            100,
            0.25,
        )
    record_property("table", table_row("sessions with their cursors", made, Counter()))


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A cursor in which bytes were changed, lost or doubled, before or after it was encoded."""
    whole = draw(st.sampled_from(sorted(CURSORS | HIT_CURSORS)))
    inside = draw(st.booleans())
    content = bytearray(base64.b64decode(whole + "=" * (-len(whole) % 4), altchars=b"-_") if inside else whole.encode())
    for place in draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place : place + draw(st.integers(0, 4))] = draw(st.binary(max_size=3) | st.sampled_from(_BYTES))
    return base64.urlsafe_b64encode(content).decode().rstrip("=") if inside else content.decode("latin-1")


_BYTES: Final = (
    b"9" * 400, b"9" * 5000, b"[" * 3000, b"NaN", b"1e999", b'"', b",", b"null", b"\\ud800", b"\\u0000", b"-",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["session", "message"])
def test_a_damaged_cursor(
    database: Database, clock: Clock, kind: str, record_property: Callable[[str, object], None]
) -> None:
    """It is the place of another session or message, or `InvalidQuery`; the one of a list is taken."""
    known = CURSORS if kind == "session" else HIT_CURSORS
    done: Counter[str] = Counter()

    with SessionStore(database.url, clock=clock) as store:
        begin_with_sessions(store, clock)

        def example(given: tuple[Any, str]) -> None:
            after, order = given
            error = raised(
                lambda: (
                    store.list_sessions(SessionQuery(after=after))
                    if kind == "session"
                    else store.search_messages("hello", after=after, order=order)
                )
            )
            if error is None:
                done["taken"] += 1
                assert after is None or is_text(after)
            else:
                done["refused"] += 1
                assert told(error, InvalidQuery).startswith("after must be the cursor of a ")
                assert not is_text(after) or plain(after) not in known

        cursors = cursor(known).values | damaged()
        orders = st.sampled_from(["recency", "relevance"])
        made = fuzz(example, st.tuples(cursors, orders), 150, 0.5 if database.name == "sqlite" else 0.2)
    record_property("table", table_row(f"cursors of a {kind}, {database.name}", made, done))


def test_a_clock_that_is_none(database: Database, clock: Clock, record_property: Callable[[str, object], None]) -> None:
    """What the clock says is a time, or the call that asked is refused, and nothing is written."""
    calls: list[Callable[[SessionStore], object]] = [
        lambda store: store.append("new", ChatMessage.user("x")),
        lambda store: store.append_many("new", [ChatMessage.user("x")]),
        lambda store: store.update_last("telegram_ann", ChatMessage.user("x")),
        lambda store: store.set_session_state("new", "running", "t1"),
        lambda store: store.set_session_name("new", "x"),
        lambda store: store.cleanup_stale(0),
        lambda store: store.recover_stuck(0),
        lambda store: store.compact("telegram_ann"),
    ]
    now: Any = NOW
    done: Counter[str] = Counter()

    with SessionStore(database.url, clock=clock) as store:
        begin_with_sessions(store, clock)
    with tables_of(database) as tables, SessionStore(database.url, clock=lambda: now) as store:
        start = tables.contents()

        def example(given: tuple[Any, Callable[[SessionStore], object]]) -> None:
            nonlocal now
            now, call = given
            error = raised(lambda: call(store))
            if error is None:
                done["done"] += 1
                assert is_time(now)
                tables.restore()
                return
            assert tables.contents() == start
            if any(error is own for own in own_errors(now)):
                done["the clock's own"] += 1
            else:
                done["refused"] += 1
                assert "the clock's time" in told(error, InvalidQuery)
                assert not is_time(now)

        times = mixed([*TIMES, *JUNK], [*TIMES, *JUNK])
        made = fuzz(example, st.tuples(times, st.sampled_from(calls)), 60, 0.25 if database.name == "sqlite" else 0.05)
    record_property("table", table_row(f"what a clock says, {database.name}", made, done))


# Where the store is.


class Place(os.PathLike[str]):
    """A path of the caller's own kind."""

    def __init__(self, says: Any) -> None:
        self.says = says

    def __fspath__(self) -> Any:
        return self.says


AT_NOWHERE: Final = (
    "1/x", "0/x", "-1/x", "99999/x", "port/x", "1/\0", "1/\ud800", "1/x y", "1/", "1/x?none=1", "1/x?sslmode=abc",
    "1/x?connect_timeout=abc", "1/x?host=/none&host=/none", "1/x?port=1,2&host=/none", "1/x?options=a&options=b",
    f"1/x?host={'h' * 300}", "1/x?hostaddr=abc", "1/x?prepare_threshold=1.5", "1/x?client_encoding=none",
    "1/x?host=%00",
)  # fmt: skip
NOWHERE: Final = (
    "", "a\0b", "\ud800", "x" * 300, "x" * 5000, "/", ".", "..", "/dev/null", "none/x.db", "/proc/none/x.db",
    "sqlite:///none/x.db", "sqlite:///a\0b", "sqlite:///\ud800", f"sqlite:///{'x' * 5000}", "sqlite:////",
    "sqlite:///.", "sqlite:///file:none?mode=ro&uri=true", "sqlite:///file:none/x?uri=true",
    "sqlite:///file:x?vfs=none&uri=true", "sqlite://u@h/x", f"sqlite://u:{SECRET}@h/x", "sqlite+none:///x", "://", "//",
    "a://b", "http://127.0.0.1",
    *(f"sqlite:///x?{name}=abc" for name in ("timeout", "detect_types", "cached_statements", "check_same_thread")),
    "sqlite:///x?uri=abc",
    *(f"{driver}://u:{SECRET}@127.0.0.1:{at}" for driver in ("postgresql", "postgresql+psycopg2") for at in AT_NOWHERE),
    f"postgresql:///x?host=/none/{SECRET[:2]}", "postgresql://[::1/x", "postgresql+none://h/x",
    f"postgres://u:{SECRET}@127.0.0.1:1/x", "mysql://h/x", f"oracle://u:{SECRET}@h/x", "mssql://h/x", "none://h/x",
    "postgresql+psycopg+x://h/x", b"x.db", Path("none") / "x.db", Path("/"), Place("none/x.db"), Place(b"x.db"),
    Place("a\0b"), Place("\ud800"), URL.create("none"), URL.create("sqlite", database="a\0b"),
    URL.create("sqlite", host="h"), URL.create("postgresql", port=-1),
    URL.create("postgresql", host="/none", database="\0"),
    URL.create("postgresql", host="127.0.0.1", port=1, password=SECRET),
)  # fmt: skip
"""Paths and URLs of nothing that is there."""

SCHEMAS: Final = (None, *HARD_TEXTS, "x" * 63, "x" * 64, "é" * 32, "public", "pg_catalog", "none", 'a"b', *JUNK)


def _opened(bind: Any, schema: Any) -> None:
    SessionStore.open(bind, schema=schema).close()


def _loaded(bind: Any, schema: Any) -> None:
    with SessionStore(bind, schema=schema) as store:
        store.load("telegram_ann")


def _awaitable(bind: Any, schema: Any) -> None:
    AsyncSessionStore(bind, schema=schema)


WAYS: Final[dict[str, Callable[[Any, Any], object]]] = {
    "open": _opened,
    "load": _loaded,
    "async": _awaitable,
    "upgrade": lambda bind, schema: migrations.upgrade(bind, schema=schema),
    "current": lambda bind, schema: migrations.current(bind, schema=schema),
    "check": lambda bind, schema: migrations.check(bind, schema=schema),
    "status": lambda bind, schema: search_index.status(bind, schema=schema),
    "create": lambda bind, schema: search_index.create(bind, schema=schema),
    "rebuild": lambda bind, schema: search_index.rebuild(bind, schema=schema, concurrently=True),
    "drop": lambda bind, schema: search_index.drop(bind, schema=schema),
    "disable": lambda bind, _: search_index.disable(bind),
    "is_disabled": lambda bind, _: search_index.is_disabled(bind),
}
_BINDS: Final = tuple(value for value in JUNK if not isinstance(value, Untouchable | str))


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory to be in; nothing is left in it."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    yield directory
    assert list(directory.iterdir()) == []


def test_a_bind_that_leads_nowhere(nothing_here: Path, record_property: Callable[[str, object], None]) -> None:
    """`InvalidQuery` if it names nothing that could be there, else `StoreUnavailable`; no file, and no password."""
    closed = create_engine("sqlite://").connect()
    closed.close()
    binds = [*NOWHERE, *_BINDS, sqlite3.connect(":memory:"), closed, create_engine("sqlite:///none/x.db")]
    done: Counter[str] = Counter()

    def example(given: tuple[Any, str]) -> None:
        bind, way = given
        error = raised(lambda: WAYS[way](bind, None))
        done["done" if error is None else type(error).__name__] += 1
        # It connects to nothing yet.
        assert error is not None or way == "async"
        assert error is None or told(error, StoreError if bind is closed else (InvalidQuery, StoreUnavailable))
        assert list(nothing_here.iterdir()) == []

    made = fuzz(example, st.tuples(st.sampled_from(binds), st.sampled_from(sorted(WAYS))), 400, 0.1)
    binds[-3].close()
    record_property("table", table_row("binds that lead nowhere", made, done))


def test_a_schema_that_is_none(
    database: Database, nothing_here: Path, record_property: Callable[[str, object], None]
) -> None:
    """`InvalidQuery` if none can have that name, `SchemaOutOfDate` if it has not our tables."""
    done: Counter[str] = Counter()
    # These would make one, and search it in vain.
    ways = sorted(set(WAYS) - {"open", "upgrade", "disable", "is_disabled", "current", "check"})

    def is_name(value: Any) -> bool:
        return database.name == "postgresql" and is_identifier(value, 63)

    def example(given: tuple[Any, str]) -> None:
        schema, way = given
        error = raised(lambda: WAYS[way](database.url, schema))
        done["done" if error is None else type(error).__name__] += 1
        if error is None:
            assert schema is None or (is_name(schema) and (plain(schema) == "public" or way == "async"))
        elif is_name(schema):
            assert told(error, SchemaOutOfDate)
        else:
            assert "schema" in told(error, InvalidQuery)
            assert schema is not None

    made = fuzz(example, st.tuples(st.sampled_from(SCHEMAS), st.sampled_from(ways)), 60, 0.02)
    assert nothing_here.exists()
    record_property("table", table_row(f"schemas, {database.name}", made, done))


@pytest.mark.parametrize("what", ["durability", "dialect", "schema of a script", "joined_to", "files"])
def test_other_arguments_that_are_junk(nothing_here: Path, what: str) -> None:
    """`InvalidQuery`, in a short line."""
    store = SessionStore.open("sqlite://")
    calls: dict[str, Callable[[Any], object]] = {
        "durability": lambda value: SessionStore("sqlite://", durability=value),
        "dialect": migrations.sql,
        "schema of a script": lambda value: migrations.sql("postgresql", schema=value),
        "joined_to": store.joined_to,
        "files": lambda value: import_jsonl(store, [value]),
    }
    junk = [value for value in (*JUNK, *HARD_TEXTS) if value is not None or what != "schema of a script"]
    if what in {"joined_to", "files"}:
        # They are known by what they can do, which is asked.
        junk = [value for value in junk if not isinstance(value, Untouchable)]
    if what == "schema of a script":
        junk = [value for value in junk if not is_identifier(value, 63)]
    if what == "files":
        junk = [value for value in junk if not is_text(value)]
    astray: list[str] = []
    for number, value in enumerate(junk):
        error = raised(lambda value=value: calls[what](value))
        if not isinstance(error, InvalidQuery):
            astray.append(f"{number}, {type(value).__name__}: {type(error).__name__}")
        else:
            assert told(error, InvalidQuery)
    store.close()

    assert nothing_here.exists()
    assert astray == []
