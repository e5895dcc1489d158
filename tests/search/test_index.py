"""The index by hand: made, removed, made anew and looked at, by whoever asks and in whatever state it is."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, NullPool, text

from session_store import (
    ChatMessage,
    InvalidQuery,
    SchemaOutOfDate,
    SessionStore,
    StoreError,
    StoreUnavailable,
    migrations,
)
from session_store.search import fts5
from session_store.search import index as search_index
from tests.conftest import Database
from tests.hosts import ASYNC_DRIVERS, async_host_engine, begins_by_event, host_engine
from tests.search.test_exact import assert_exact

pytestmark = pytest.mark.once

FULL_TEXT = {"sqlite": "fts5", "postgresql": "tsvector"}
HELLO = ChatMessage.user("Hello, мир")

Work = Callable[..., Any]
"""One of the functions of `search_index`, which takes a bind."""


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """A host's engine on a database with two messages."""
    engine = host_engine(database)
    SessionStore(engine).append_many("ann", [HELLO, ChatMessage.assistant("Good bye")])
    yield engine
    engine.dispose()


def serves(bind: Any, **options: Any) -> str:
    """Who serves words in a database."""
    return search_index.status(bind, **options).engine


def who_serves(store: SessionStore) -> str:
    """Who serves a store's words, by what it finds: only LIKE finds a piece of a word."""
    # It looks at once; a search on PostgreSQL within a second.
    engine = store.health().search
    assert [hit.seq for hit in store.search_messages("hello", key="ann")] == [1]
    pieces = store.search_messages("ell")
    assert engine == ("like" if pieces else FULL_TEXT[store.engine.dialect.name])
    return "like" if pieces else "full text"


def objects(engine: Engine) -> dict[str, Any]:
    """What there is of the index, and by which number."""
    made = (
        "SELECT name, rootpage FROM sqlite_master WHERE name LIKE 'session_store_messages_search%'"
        if engine.dialect.name == "sqlite"
        else "SELECT nspname || '.' || relname, pg_class.oid FROM pg_class "
        "JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE relname = 'session_store_messages_search'"
    )
    with engine.connect() as db:
        return dict(db.execute(text(made)).all())


# By whom.


def by_connection(database: Database, work: Work) -> Any:
    """In the host's transaction, which is committed."""
    with host_engine(database, poolclass=NullPool).begin() as db:
        return work(db)


def by_idle_connection(database: Database, work: Work) -> Any:
    """On a connection without a transaction, which then still has none."""
    with host_engine(database, poolclass=NullPool).connect() as db:
        done = work(db)
        assert not db.in_transaction()
        return done


def by_beginning_host(database: Database, work: Work) -> Any:
    """On an engine that begins by itself, as SQLAlchemy's documentation has it for SQLite."""
    engine = host_engine(database, poolclass=NullPool, tuned=False)
    return work(begins_by_event(engine) if database.name == "sqlite" else engine)


def by_event_loop(database: Database, work: Work) -> Any:
    """Through ``run_sync`` on each driver, in a transaction."""

    async def main() -> list[Any]:
        done = []
        for driver in ASYNC_DRIVERS[database.name]:
            async with async_host_engine(database, driver, poolclass=NullPool).begin() as db:
                done.append(await db.run_sync(work))
        return done

    return asyncio.run(main())[-1]


WAYS: dict[str, Callable[[Database, Work], Any]] = {
    "engine": lambda database, work: work(host_engine(database, poolclass=NullPool)),
    "beginning host": by_beginning_host,
    "URL": lambda database, work: work(database.url),
    "text": lambda database, work: work(str(database.url.database) if database.name == "sqlite" else str(database)),
    "connection": by_connection,
    "idle connection": by_idle_connection,
    "event loop": by_event_loop,
}


@pytest.mark.parametrize("way", WAYS)
def test_whoever_asks(database: Database, engine: Engine, way: str) -> None:
    """An engine, a URL, a path and a connection of any host: each can remove the index, make it and look at it."""
    ask = partial(WAYS[way], database)
    there = ask(search_index.status)
    assert there.engine == FULL_TEXT[database.name]
    assert there.size > 0

    assert ask(search_index.drop) is None
    assert objects(engine) == {}
    assert ask(search_index.status) == ("like", "there is no search index", None)
    made = ask(search_index.create)
    assert made[:2] == ask(search_index.status)[:2]
    assert made.engine == FULL_TEXT[database.name]
    assert ask(search_index.rebuild).engine == FULL_TEXT[database.name]
    assert_exact(engine)


def test_again_changes_nothing(engine: Engine) -> None:
    """What is there is not made again, what is not there cannot be removed again; ``rebuild`` does make it anew."""
    before = objects(engine)
    search_index.create(engine)
    assert objects(engine) == before
    search_index.rebuild(engine)
    assert engine.dialect.name == "sqlite" or objects(engine) != before
    for _ in range(2):
        search_index.drop(engine)
        assert objects(engine) == {}
    search_index.rebuild(engine)
    assert_exact(engine)


@pytest.mark.parametrize("work", [search_index.create, search_index.rebuild, search_index.drop])
def test_the_host_s_transaction_decides(engine: Engine, work: Work) -> None:
    """Within a transaction it is seen at once and by nobody else; a rollback takes it back, a commit lets it stay."""
    if work is search_index.create:
        search_index.drop(engine)
    before, served = objects(engine), serves(engine)
    then = "like" if work is search_index.drop else FULL_TEXT[engine.dialect.name]
    store = SessionStore(engine)
    for end, kept in ((Connection.rollback, False), (Connection.commit, True)):
        with engine.connect() as db:
            joined = store.joined_to(db)
            joined.append("bob", HELLO)
            work(db)
            assert serves(db) == then
            assert [hit.key for hit in joined.search_messages("hello")] == ["bob", "ann"]
            assert bool(joined.search_messages("ell")) is (then == "like")
            end(db)
        assert serves(engine) == (then if kept else served)
        # What is rebuilt is made in the same places of a file.
        assert (objects(engine) != before) is kept or (engine.dialect.name, work) == ("sqlite", search_index.rebuild)
        who_serves(store)
        assert store.session_exists("bob") is kept
    search_index.create(engine)
    assert_exact(engine)


def test_what_failed_leaves_the_host_s_transaction_usable(engine: Engine) -> None:
    """Where the index cannot be made, what the host did before is not lost."""
    search_index.drop(engine)
    stray = "VIEW" if engine.dialect.name == "sqlite" else "SEQUENCE"
    with engine.connect() as db:
        SessionStore(engine).joined_to(db).append("bob", HELLO)
        db.execute(text(f"CREATE {stray} {fts5.TABLE}" + (" AS SELECT 1" if stray == "VIEW" else "")))
        with pytest.raises(StoreError, match=fts5.TABLE):
            search_index.create(db)
        db.commit()
    assert SessionStore(engine).session_exists("bob")


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_schema_of_postgresql(engine: Engine) -> None:
    """Each of two schemas has its own index, and what is done to one leaves the other alone."""
    migrations.upgrade(engine, schema="Chat")
    store = SessionStore(engine, schema="Chat")
    store.append("ann", HELLO)
    names = {"Chat.session_store_messages_search", "public.session_store_messages_search"}
    assert set(objects(engine)) == names

    search_index.drop(engine, schema="Chat")
    assert set(objects(engine)) == {"public.session_store_messages_search"}
    assert (serves(engine, schema="Chat"), serves(engine)) == ("like", "tsvector")
    assert (who_serves(store), who_serves(SessionStore(engine))) == ("like", "full text")
    with engine.begin() as db:
        db.execute(text("SET LOCAL search_path TO pg_catalog"))
        search_index.create(db, schema="Chat")
        assert db.scalar(text("SHOW search_path")) == "pg_catalog"
    assert set(objects(engine)) == names
    assert (who_serves(store), store.health().search) == ("full text", "tsvector")
    search_index.drop(engine)
    assert (serves(engine, schema="Chat"), serves(engine)) == ("tsvector", "like")
    translated = engine.execution_options(schema_translate_map={None: "Chat"})
    assert serves(translated) == "tsvector"
    assert search_index.rebuild(translated).engine == "tsvector"
    assert set(objects(engine)) == {"Chat.session_store_messages_search"}


def test_what_is_not_there_is_told(empty_database: Database) -> None:
    """Tables that are missing, a file that is missing, a schema that no SQLite has."""
    engine = host_engine(empty_database)
    for work in (search_index.status, search_index.create, search_index.rebuild):
        with pytest.raises(SchemaOutOfDate):
            work(engine)
    if empty_database.name == "sqlite":
        for work in (search_index.status, search_index.create, search_index.drop):
            with pytest.raises(InvalidQuery, match="schema"):
                work(engine, schema="chat")
            with pytest.raises(StoreUnavailable, match=r"none\.db"):
                work("none.db")
    engine.dispose()


# Why.


SAYS = {
    "sqlite": {
        "": ("fts5", "exists and is up to date"),
        "DROP TRIGGER session_store_messages_search_insert": ("like", "search_insert is missing, rebuild"),
        "DROP TRIGGER session_store_messages_search_update": ("like", "search_update is missing, rebuild"),
        "DROP TRIGGER session_store_messages_search_delete": ("like", "search_delete is missing, rebuild"),
        "DROP TABLE session_store_messages_search": ("like", "there is no search index"),
    },
    "postgresql": {
        "": ("tsvector", "splits and folds words"),
        "DROP INDEX session_store_messages_search": ("like", "there is no search index"),
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'session_store_messages_search'::regclass": (
            "like",
            "interrupted: rebuild",
        ),
    },
}


@pytest.mark.parametrize(
    ("database", "done"), [(name, done) for name, all_done in SAYS.items() for done in all_done], indirect=["database"]
)
def test_the_reason_is_said(database: Database, engine: Engine, done: str) -> None:
    """Whatever is wrong is said, a store that runs then goes by LIKE, and both ``create`` and ``rebuild`` mend it."""
    store = SessionStore(engine)
    served, said = SAYS[database.name][done]
    for mend in (search_index.create, search_index.rebuild):
        assert who_serves(store) == "full text"
        if done:
            with engine.begin() as db:
                db.execute(text(done))
        status = search_index.status(engine)

        assert status.engine == served
        assert said in status.reason
        assert who_serves(store) == ("like" if served == "like" else "full text")
        assert mend(engine).engine == FULL_TEXT[database.name]
        assert_exact(engine)


@pytest.mark.parametrize(
    ("store", "by"), [("sync", "engine"), ("async", "engine"), ("sync", "process")], indirect=["store"]
)
def test_a_running_store_notices(store: SessionStore, database: Database, by: str) -> None:
    """What another engine or process made of the index shows at once, or within a second."""
    other = host_engine(database, poolclass=NullPool)
    store.append("ann", HELLO)
    for name, served in (("drop", "like"), ("create", "full text"), ("rebuild", "full text"), ("drop", "like")):
        if by == "engine":
            getattr(search_index, name)(other)
        else:
            program = f"import sys; from session_store.search import index; index.{name}(sys.argv[1])"
            subprocess.run([sys.executable, "-c", program, str(database)], check=True)
        assert who_serves(store) == served


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_was_rolled_back_is_not_remembered(engine: Engine) -> None:
    """SQLite numbers the changes of a schema: after a rollback another change has the number of the one undone."""
    store = SessionStore(engine)
    for _ in range(2):
        with engine.connect() as db:
            store.joined_to(db).append("bob", HELLO)
            db.execute(text("DROP TRIGGER session_store_messages_search_insert"))
            assert serves(db) == "like"
            assert store.joined_to(db).search_messages("ell")
            db.rollback()
        with engine.begin() as db:
            db.execute(text("CREATE VIEW IF NOT EXISTS host_view AS SELECT 1"))
            db.execute(text("DROP VIEW host_view"))
        assert who_serves(store) == "full text"
