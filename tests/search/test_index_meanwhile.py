"""Making the index while others write, where it was broken off, and where a database cannot have one."""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from multiprocessing.synchronize import Barrier
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, NullPool, QueuePool, create_engine, inspect, text

from session_store import ChatMessage, SessionQuery, SessionStore, StoreError, migrations
from session_store.database.functions import AUTOCOMMIT
from session_store.search import fts5, tsvector
from session_store.search import index as search_index
from tests.conftest import Database
from tests.hosts import host_engine
from tests.search.test_exact import assert_exact
from tests.search.test_index import FULL_TEXT, HELLO, Work, engine, serves, who_serves
from tests.servers import Server

pytestmark = pytest.mark.once

__all__ = ["engine"]  # the fixture

PATIENCE_SECS = 30.0
PROCESSES = 8


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
                with pytest.raises(StoreError, match="does not work in a transaction"):
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
        assert "is being built" in reason
        with engine.connect() as db:
            found = tsvector.find_index(db, None)
            assert found is not None
            assert not found.is_valid
        status = search_index.status(engine)
        assert (status.engine, "interrupted: rebuild it" in status.reason) == ("like", True)
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


def make_at_once(work: str, url: str, options: dict[str, bool]) -> None:
    """Do it when all are ready."""
    (barrier,) = barriers
    barrier.wait(3 * PATIENCE_SECS)
    getattr(search_index, work)(url, **options)


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
        assert [each.exception() for each in done] == [None] * PROCESSES
        # Asked when all are done: between the two halves of a rebuild that goes on concurrently there is none.
        assert serves(engine) == FULL_TEXT[database.name]
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
        assert "not created: this PostgreSQL database is not in UTF-8" in caplog.text
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
