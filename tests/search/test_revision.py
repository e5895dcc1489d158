"""The revision that makes the index: when it does, when it leaves it to somebody, and what a database has after it."""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, MetaData, NullPool, inspect, text

from session_store import ChatMessage, SchemaOutOfDate, SessionQuery, SessionStore, doctor, migrations
from session_store.cli.app import run
from session_store.database import revisions
from session_store.search import fts5, tsvector
from session_store.search import index as search_index
from tests.conftest import Database
from tests.hosts import host_engine
from tests.migrations.steps import configured
from tests.search.test_exact import assert_exact

pytestmark = pytest.mark.once

FULL_TEXT = {"sqlite": "fts5", "postgresql": "tsvector"}
BEFORE, REVISION = "ss_0001", "ss_0002"
HELLO = ChatMessage.user("Hello, мир")
PATIENCE_SECS = 60.0
WRITERS = 4

MANY = """
    INSERT INTO session_store_messages (session_key, seq, role, content, created_at)
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :number)
    SELECT 'ann', n + 10, 'user', 'number ' || n, (SELECT created_at FROM session_store_sessions WHERE key = 'ann')
    FROM numbers
"""


@pytest.fixture
def engine(empty_database: Database) -> Iterator[Engine]:
    """A host's engine on a database with nothing in it."""
    engine = host_engine(empty_database, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def before(empty_database: Database, engine: Engine) -> Engine:
    """The same on one of the revision before, with two messages."""
    with pytest.MonkeyPatch.context() as patch:
        command.upgrade(configured(empty_database), BEFORE)
        patch.setattr(revisions, "HEAD", BEFORE)
        SessionStore(engine).append_many("ann", [HELLO, ChatMessage.assistant("Good bye")])
    return engine


def has_index(engine: Engine) -> bool:
    """Whether anything of the index is there."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as db:
            names = db.execute(text("SELECT name FROM sqlite_master WHERE name LIKE '%\\_search%' ESCAPE '\\'")).all()
        assert len(names) in {0, len(fts5.TABLES) + len(fts5.TRIGGERS)}
        return bool(names)
    return tsvector.INDEX in {index["name"] for index in inspect(engine).get_indexes("session_store_messages")}


def found(engine: Engine, keyword: str) -> list[int]:
    """The seqs a search finds."""
    return [hit.seq for hit in SessionStore(engine).search_messages(keyword, key="ann", limit=10)]


def test_it_makes_the_index_of_what_is_there(before: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """Messages that stood before it are found by the index, and nothing is said."""
    assert not has_index(before)
    migrations.upgrade(before)

    assert search_index.status(before).engine == FULL_TEXT[before.dialect.name]
    assert found(before, "МИР") == [1]
    assert found(before, "ell") == []
    assert_exact(before)
    assert caplog.records == []


@pytest.mark.parametrize("value", ["off", " OFF ", "0", "no", "False"])
def test_it_can_be_switched_off(
    engine: Engine, value: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Then the revision is there and the index is not, a warning says why and what to run, and LIKE serves."""
    monkeypatch.setenv(search_index.ENV_VAR, value)
    migrations.upgrade(engine)
    (record,) = caplog.records

    assert (record.name, record.levelno) == ("session_store.search.index", logging.WARNING)
    assert "not created: SESSION_STORE_SEARCH_INDEX is off" in record.getMessage()
    assert "session-store index create" in record.getMessage()
    assert not has_index(engine)
    assert migrations.current(engine) == revisions.HEAD
    assert migrations.check(engine) == []
    store = SessionStore(engine)
    store.append("ann", HELLO)
    assert (store.health().search, found(engine, "ell")) == ("like", [1])
    migrations.upgrade(engine)
    search_index.create(engine)
    assert (store.health().search, found(engine, "ell")) == (FULL_TEXT[engine.dialect.name], [])


@pytest.mark.parametrize("value", ["", "on", "1"])
def test_any_other_value_leaves_it_on(engine: Engine, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an empty variable does, which a composed service sets where nobody has said anything."""
    monkeypatch.setenv(search_index.ENV_VAR, value)
    migrations.upgrade(engine)

    assert has_index(engine)


@pytest.mark.parametrize("too_many", [0, 1])
def test_of_many_messages_it_is_left_to_somebody(
    before: Engine, too_many: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Of more than 100,000 it would take long: it says what to run instead, and that makes the index."""
    with before.begin() as db:
        db.execute(text(MANY), {"number": search_index.MANY_MESSAGES - 2 + too_many})
    migrations.upgrade(before)
    assert migrations.current(before) == revisions.HEAD
    assert has_index(before) is not bool(too_many)
    if not too_many:
        assert caplog.records == []
        return

    (said,) = caplog.messages
    assert "not created: there are more than 100,000 messages" in said
    assert found(before, "umber 99999") == [100009]
    assert "session_store.search.index.create(engine, concurrently=True)" in said
    search_index.create(before, concurrently=True)
    assert search_index.status(before).engine == FULL_TEXT[before.dialect.name]
    assert (found(before, "umber 99999"), found(before, '"number 99999"')) == ([], [100009])
    assert SessionStore(before).count_sessions(SessionQuery(keyword="bye")) == 1
    assert migrations.check(before) == []


def test_the_command_it_names(
    empty_database: Database, before: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Typed as it is said, the command makes the index."""
    monkeypatch.setenv(search_index.ENV_VAR, "off")
    migrations.upgrade(before)
    (said,) = caplog.messages
    program, *arguments = said.partition("until you run ")[2].partition(", or")[0].split()
    assert program == "session-store"
    assert run([*arguments, "--db", str(empty_database)]) == 0

    assert_exact(before)


def test_down_and_up_again(empty_database: Database, before: Engine) -> None:
    """Going down removes the index, or what is there of it, and going up makes it of all messages."""
    config = configured(empty_database)
    migrations.upgrade(before)
    for leave in (lambda: None, lambda: search_index.drop(before), lambda: search_index.create(before)):
        leave()
        command.downgrade(config, BEFORE)
        assert not has_index(before)
        assert migrations.current(before) == BEFORE
        with before.begin() as db:
            db.execute(text("UPDATE session_store_messages SET content = content || ' again'"))
        command.upgrade(config, "head")
        assert migrations.current(before) == revisions.HEAD
        assert_exact(before)
    command.downgrade(config, "base")
    assert set(inspect(before).get_table_names()) <= {revisions.VERSION_TABLE}


@pytest.mark.parametrize("schema", [None, "Chat"])
def test_offline(empty_database: Database, engine: Engine, schema: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SQL it gives makes a database on which words are found, by whatever runs it; with the switch by LIKE."""
    if empty_database.name == "sqlite" and schema is not None:
        assert "session_store_messages_search" in migrations.sql("postgresql", schema=schema)
        return
    script = migrations.sql(empty_database.name, schema=schema)
    monkeypatch.setenv(search_index.ENV_VAR, "off")
    assert "session_store_messages_search" not in migrations.sql(empty_database.name, schema=schema)
    if empty_database.name == "sqlite":
        with sqlite3.connect(str(empty_database.url.database)) as connection:
            connection.executescript(script)
        connection.close()
    else:
        with psycopg.connect(str(empty_database)) as connection:
            connection.execute(script.encode())
    store = SessionStore(engine, schema=schema)
    store.append_many("ann", [HELLO, ChatMessage.assistant("/etc/passwd 6e35d56a")])

    assert store.health()[:2] == (revisions.HEAD, FULL_TEXT[empty_database.name])
    assert [hit.seq for hit in store.search_messages("МИР OR passwd")] == [2, 1]
    assert store.search_messages("asswd") == []
    assert migrations.check(engine, schema=schema) == []
    if schema is None:
        assert_exact(engine)


def test_nobody_wants_to_change_it(engine: Engine) -> None:
    """With and without the index `check` finds nothing, nor does a host's autogenerate."""
    migrations.upgrade(engine)
    for change in (search_index.rebuild, search_index.drop, search_index.create):
        change(engine)
        assert migrations.check(engine) == []
        with engine.connect() as db:
            context = MigrationContext.configure(db, opts={"include_object": migrations.include_object})
            assert compare_metadata(context, MetaData()) == []
            reflected = MetaData()
            reflected.reflect(db, only=lambda name, _: not name.startswith(fts5.TABLE))
            assert compare_metadata(context, reflected) == []


def test_while_others_write(empty_database: Database, before: Engine) -> None:
    """Four threads append all the while: they wait a moment, nothing is lost, and the index is exact."""
    migrations.upgrade(before)
    config = configured(empty_database)
    stop = threading.Event()
    written: dict[str, list[int]] = {f"writer{place}": [] for place in range(WRITERS)}
    waited: list[float] = []

    def write(key: str) -> None:
        with SessionStore(empty_database.url) as store:
            for n in count():
                start = time.perf_counter()
                written[key].append(store.append(key, ChatMessage.user(f"again {n}, мир")).seq)
                waited.append(time.perf_counter() - start)
                if stop.wait(0.002):
                    return

    def goes_on() -> None:
        """Let each of them write some more."""
        before_it = {key: len(seqs) for key, seqs in written.items()}
        deadline = time.monotonic() + PATIENCE_SECS
        while any(len(seqs) < before_it[key] + 10 for key, seqs in written.items()):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    with ThreadPoolExecutor(WRITERS) as threads:
        works = [threads.submit(write, key) for key in written]
        try:
            for round_number in (1, 2):
                command.downgrade(config, BEFORE)
                with before.begin() as db:
                    db.execute(text(MANY.replace("n + 10", f"n + {round_number}0000")), {"number": 3000})
                waited.clear()
                goes_on()
                usual = sorted(waited)[len(waited) // 2]
                waited.clear()
                start = time.perf_counter()
                migrations.upgrade(before)
                took = time.perf_counter() - start
                goes_on()
                print(  # noqa: T201 - the lock time is to be seen
                    f"{before.dialect.name}: the upgrade took {took * 1000:.0f} ms, an append {usual * 1000:.1f} ms, "
                    f"the longest one meanwhile {max(waited) * 1000:.0f} ms"
                )
        finally:
            stop.set()
        for work in works:
            work.result()

    store = SessionStore(before)
    for key, seqs in written.items():
        assert seqs == list(range(1, len(seqs) + 1))
        assert [m.content for m in store.load(key)] == [f"again {n}, мир" for n in range(len(seqs))]
        assert len(store.search_messages("again", key=key, limit=10**6)) == len(seqs)
    assert_exact(before, ["again", "number", "мир -again", "number 7*"])


def test_an_old_revision_gets_no_index_by_hand(before: Engine, empty_database: Database) -> None:
    """The upgrade would find it there and fail: it is what the doctor names, and what makes the index."""
    for make in (search_index.create, search_index.rebuild):
        with pytest.raises(SchemaOutOfDate):
            make(before)
    named = {finding.command for finding in doctor(before) if finding.check.startswith(("schema.", "search."))}
    migrations.upgrade(empty_database.url)

    assert named == {"session-store upgrade", None}
    assert has_index(before)
