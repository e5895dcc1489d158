"""The index by hand: made, removed, made anew and looked at, by whoever asks and in whatever state it is."""

import asyncio
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from multiprocessing.synchronize import Barrier
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, inspect, text

from session_store import (
    ChatMessage,
    InvalidQuery,
    SchemaOutOfDate,
    SessionQuery,
    SessionStore,
    StoreError,
    StoreUnavailable,
    migrations,
    search_index,
)
from session_store.dialects.sql import AUTOCOMMIT
from session_store.search import fts5, tsvector
from tests.conftest import Database
from tests.hosts import ASYNC_DRIVERS, async_host_engine, begins_by_event, host_engine
from tests.search.test_exact import assert_exact
from tests.servers import Server

pytestmark = pytest.mark.once

FULL_TEXT = {"sqlite": "fts5", "postgresql": "tsvector"}
HELLO = ChatMessage.user("Hello, мир")
PATIENCE_SECS = 30.0
PROCESSES = 8

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
    engine = store.check().search
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
    assert (who_serves(store), store.check().search) == ("full text", "tsvector")
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
        "": ("fts5", "there and kept"),
        "DROP TRIGGER session_store_messages_search_insert": ("like", "search_insert is missing, rebuild"),
        "DROP TRIGGER session_store_messages_search_update": ("like", "search_update is missing, rebuild"),
        "DROP TRIGGER session_store_messages_search_delete": ("like", "search_delete is missing, rebuild"),
        "DROP TABLE session_store_messages_search": ("like", "there is no search index"),
    },
    "postgresql": {
        "": ("tsvector", "there, and parts and folds"),
        "DROP INDEX session_store_messages_search": ("like", "there is no search index"),
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'session_store_messages_search'::regclass": (
            "like",
            "broken off: rebuild",
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
            program = f"import sys; from session_store import search_index; search_index.{name}(sys.argv[1])"
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


# Meanwhile.


@contextmanager
def writers(database: Database, number: int = 4) -> Iterator[list[list[int]]]:
    """So many threads that append as fast as they can; the numbers of each one's messages."""
    stop = threading.Event()
    seqs: list[list[int]] = [[] for _ in range(number)]

    def write(key: str, mine: list[int]) -> None:
        with SessionStore(database.url) as store:
            for n in count():
                mine.append(store.append(key, ChatMessage.user(f"hello again {n}")).seq)
                if stop.wait(0.002):  # SQLite lets nobody in who waits while others ask again at once
                    return

    with ThreadPoolExecutor(number) as threads:
        works = [threads.submit(write, f"writer{place}", mine) for place, mine in enumerate(seqs)]
        while not all(seqs) and not any(work.done() for work in works):
            time.sleep(0.01)
        try:
            yield seqs
        finally:
            stop.set()
        for work in works:
            work.result()


@pytest.mark.parametrize("concurrently", [False, True])
def test_nothing_is_lost_meanwhile(database: Database, engine: Engine, concurrently: bool) -> None:  # noqa: FBT001
    """The index is removed and made several times while four threads write: it has all that they wrote."""
    with writers(database) as seqs:
        for work in (search_index.drop, search_index.create, search_index.rebuild, search_index.rebuild):
            options = {} if work is search_index.drop else {"concurrently": concurrently}
            work(engine, **options)
    store = SessionStore(engine)

    for place, mine in enumerate(seqs):
        assert mine == list(range(1, len(mine) + 1))
        assert len(store.search_messages("again", key=f"writer{place}", limit=10**6)) == len(mine)
    assert_exact(engine)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_concurrently_is_not_in_a_transaction(database: Database, engine: Engine) -> None:
    """PostgreSQL makes an index concurrently in transactions of its own, so a connection's cannot be joined."""
    search_index.drop(engine)
    with engine.connect() as db:
        for _ in range(2):
            for work in (search_index.create, search_index.rebuild):
                with pytest.raises(StoreError, match="outside of any transaction"):
                    work(db, concurrently=True)
            db.execute(text("SELECT 1"))
    assert serves(engine) == "like"
    for bind in (database.url, str(database), engine):
        assert search_index.create(bind, concurrently=True).engine == "tsvector"
        assert search_index.rebuild(bind, concurrently=True).engine == "tsvector"
    assert_exact(engine)


def test_on_sqlite_concurrently_is_passed_over(tmp_path: Any) -> None:
    """There a connection's transaction is joined all the same."""
    migrations.upgrade(tmp_path / "sessions.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'sessions.db'}", poolclass=NullPool)
    search_index.drop(engine)
    with engine.begin() as db:
        assert search_index.create(db, concurrently=True).engine == "fts5"
    assert_exact(engine)


def test_a_pool_of_one_connection_is_enough(database: Database) -> None:
    """A host's pool may have no second connection to give."""
    engine = host_engine(database, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=2)
    for concurrently in (False, True):
        search_index.drop(engine)
        assert search_index.create(engine, concurrently=concurrently).engine == FULL_TEXT[database.name]
        assert search_index.rebuild(engine, concurrently=concurrently).engine == FULL_TEXT[database.name]
    engine.dispose()


@contextmanager
def broken_off(engine: Engine, *, rebuild: bool = False) -> Iterator[str]:
    """Begin to make the index concurrently, which waits for a writer, and kill it; says what the status was then."""
    waiting = text(
        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'"
    )
    kill = text("SELECT pg_terminate_backend(:pid)")
    work = search_index.rebuild if rebuild else search_index.create
    with ThreadPoolExecutor(1) as thread, engine.connect() as writer, engine.connect() as watcher:
        SessionStore(engine).joined_to(writer).append("ann", ChatMessage.user("again"))
        making = thread.submit(work, engine, concurrently=True)
        deadline = time.monotonic() + PATIENCE_SECS
        pid = None
        while pid is None and not making.done() and time.monotonic() < deadline:
            pid = watcher.scalar(waiting)
            watcher.rollback()
        reason = search_index.status(watcher).reason
        watcher.rollback()
        watcher.execute(kill, {"pid": pid})
        watcher.rollback()
        with pytest.raises(StoreError):
            making.result()
        writer.commit()
    yield reason


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("concurrently", [False, True])
@pytest.mark.parametrize("mend", [search_index.create, search_index.rebuild])
def test_one_that_was_broken_off_is_mended(engine: Engine, mend: Work, concurrently: bool) -> None:  # noqa: FBT001
    """CREATE INDEX CONCURRENTLY that is killed leaves an invalid index: it is told, not used, and made anew."""
    search_index.drop(engine)
    store = SessionStore(engine)
    with broken_off(engine) as reason:
        assert "is being made" in reason
        with engine.connect() as db:
            found = tsvector.find(db, None)
            assert found is not None
            assert not found.is_valid
        status = search_index.status(engine)
        assert (status.engine, "broken off: rebuild it" in status.reason) == ("like", True)
        assert who_serves(store) == "like"

        assert mend(engine, concurrently=concurrently).engine == "tsvector"
        assert who_serves(store) == "full text"
        assert_exact(engine)


# Each process that makes it.

barriers: list[Barrier] = []
"""In each process the one at which it waits for the others."""


def meet_at(barrier: Barrier) -> None:
    """Be told when the process starts."""
    barriers.append(barrier)


def make_at_once(work: str, url: str, options: dict[str, bool]) -> str:
    """Do it when all are ready, and say who then serves."""
    (barrier,) = barriers
    barrier.wait(3 * PATIENCE_SECS)
    getattr(search_index, work)(url, **options)
    return serves(url)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Processes of their own memory, started once for all tests here."""
    spawning = multiprocessing.get_context("spawn")
    barrier = spawning.Barrier(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, spawning, initializer=meet_at, initargs=(barrier,)) as started:
        yield started


@pytest.mark.once
@pytest.mark.parametrize(
    ("database", "concurrently"),
    [("sqlite", False), ("postgresql", False), ("postgresql", True)],
    indirect=["database"],
)
def test_eight_processes_at_once(
    database: Database,
    engine: Engine,
    processes: ProcessPoolExecutor,
    concurrently: bool,  # noqa: FBT001
) -> None:
    """All of them succeed, whether they make it, or make it anew, and it is exact."""
    search_index.drop(engine)
    for work in ("create", "rebuild"):
        done = [
            processes.submit(make_at_once, work, str(database), {"concurrently": concurrently})
            for _ in range(PROCESSES)
        ]
        for each in done:
            each.exception()
        assert [each.result() for each in done] == [FULL_TEXT[database.name]] * PROCESSES
        assert_exact(engine)


# Databases that cannot have one, or cannot be written to.


@contextmanager
def made_with(server: Server, options: str) -> Iterator[URL]:
    """An empty database made in a way of its own."""
    name = f"session_store_{uuid4().hex}"
    maintenance = create_engine(server.url.set(drivername="postgresql+psycopg"), poolclass=NullPool)
    alone = maintenance.execution_options(isolation_level=AUTOCOMMIT)
    with alone.connect() as db:
        db.execute(text(f"CREATE DATABASE {name} TEMPLATE template0 {options}"))
    try:
        yield server.url.set(database=name)
    finally:
        with alone.connect() as db:
            db.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_is_not_in_utf8(
    postgresql_server: Server, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is migrated without the index, which is said, and its words are found by LIKE."""
    options = f"ENCODING '{encoding}' LC_CTYPE 'C' LC_COLLATE 'C'"
    with made_with(postgresql_server, options) as url:
        reached = url.update_query_dict({"client_encoding": "UTF8"})
        migrations.upgrade(reached)
        assert "left out: this PostgreSQL database is not in UTF-8" in caplog.text
        assert migrations.check(reached) == []
        with SessionStore(reached) as store:
            store.append_many(
                "ann",
                [HELLO if encoding == "SQL_ASCII" else ChatMessage.user("Hello, café"), HELLO._replace(content="Bye")],
            )
            assert who_serves(store) == "like"
            for keyword in ("HELLO", '"hello, "', "hello -bye", "hel*"):
                assert [found.key for found in store.search(SessionQuery(keyword=keyword))] == ["ann"]
            word = "МИР" if encoding == "SQL_ASCII" else "café"
            assert [hit.seq for hit in store.search_messages(word)] == [1]
        for work in (search_index.create, search_index.rebuild):
            with pytest.raises(StoreError, match="not in UTF-8"):
                work(reached)
        search_index.drop(reached)
        assert search_index.status(reached) == ("like", "there is no search index", None)


def test_a_locale_that_knows_only_ascii(postgresql_server: Server) -> None:
    """By the locale C letters beyond ASCII are not folded: the index is there, and LIKE serves."""
    with made_with(postgresql_server, "ENCODING 'UTF8' LC_CTYPE 'C' LC_COLLATE 'C'") as url:
        migrations.upgrade(url)
        for work in (search_index.status, search_index.create, search_index.rebuild):
            status = work(url)
            assert (status.engine, "locale" in status.reason) == ("like", True)
            assert status.size
        with SessionStore(url) as store:
            store.append("ann", HELLO)
            assert who_serves(store) == "like"
            assert [hit.seq for hit in store.search_messages("МИР")] == [1]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("there", [True, False])
def test_a_sqlite_that_may_only_be_read(database: Database, engine: Engine, there: bool) -> None:  # noqa: FBT001
    """A search writes nothing: on a file opened read-only, on one that cannot change, and on a connection told so."""
    if not there:
        search_index.drop(engine)
    with engine.connect() as db:
        db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    path = database.url.database
    for query in ("mode=ro", "mode=ro&immutable=1", ""):
        reading = create_engine(f"sqlite:///file:{path}?{query}&uri=true", poolclass=NullPool)
        with reading.connect() as db:
            if not query:
                db.exec_driver_sql("PRAGMA query_only = ON")
            joined = SessionStore(reading).joined_to(db)
            assert bool(joined.search_messages("ell")) is not there
            assert [found.key for found in joined.search(SessionQuery(keyword="bye OR hello", limit=10))] == ["ann"]
            assert joined.count_sessions(SessionQuery(keyword="мир")) == 1
            assert search_index.status(db) == search_index.status(engine)
            for work in (search_index.rebuild, search_index.drop):
                if there:
                    with pytest.raises(StoreError):
                        work(db)
            db.rollback()
        assert who_serves(SessionStore(reading)) == ("full text" if there else "like")
    assert inspect(engine).has_table(fts5.TABLE) is there
