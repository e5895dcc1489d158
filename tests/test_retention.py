"""What was deleted is gone: from every table, from the index, and after a full vacuum from the files, byte by byte."""

import json
import random
import string
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text

from session_store import ChatMessage, SessionStore, StoreUnavailable, maintenance, migrations
from session_store.database import storage
from session_store.interface.errors import SchemaOutOfDate, StoreError
from session_store.models.models import METADATA, STATES
from session_store.search import index as search_index
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import begins_by_event, contents, disagreements, host_engine
from tests.processes import workers

KEY = "telegram_ann"
PIECE = 10
"""An index keeps of a word only what differs from the one before it: we look for its end."""


def secrets(number: int) -> list[str]:
    """Words that nothing else has."""
    chance = random.Random(number)  # noqa: S311 - no secret of anybody's
    return ["".join(chance.choices(string.ascii_lowercase, k=24)) for _ in range(number)]


GONE, KEPT = secrets(40), secrets(41)[:40]


@pytest.fixture
def blocking(database: Database, clock: Clock) -> Iterator[SessionStore]:
    """A store with what is to go, in messages, payloads, names and states, beside what is to stay."""
    with SessionStore(database.url, clock=clock) as store:
        for gone, kept in zip(GONE[:20], KEPT[:20], strict=True):
            store.append("trimmed", ChatMessage.user(gone, {"also": gone}))
            store.append("aged", ChatMessage.user(f"{gone} {gone}"))
            store.set_session_state("pruned", gone[:20])
            store.append("other", ChatMessage.user(kept, {"also": kept}))
        for gone, kept in zip(GONE[20:], KEPT[20:], strict=True):
            store.append(f"deleted {gone}", ChatMessage.user(gone), idempotency_key=gone)
            store.set_session_owner(f"deleted {gone}", "ann")
            store.set_session_name(f"deleted {gone}", gone)
            store.set_session_attributes(f"deleted {gone}", {"label": gone})
            store.append("other", ChatMessage.user(kept))
        clock.advance(60)
        store.append_many("trimmed", [ChatMessage.user(word) for word in KEPT[:3]])
        store.append("aged", ChatMessage.user(KEPT[0]))
        store.set_session_state("pruned", "idle")
        yield store


def remove_all(store: SessionStore, clock: Clock) -> int:
    """All that is to go, by every call there is."""
    return (
        store.trim("trimmed", keep_last=3, batch_size=7)
        + store.trim("aged", before=clock.now - timedelta(seconds=30), batch_size=7)
        + store.prune_states(clock.now, batch_size=7)
        + store.delete_sessions(owner="ann", batch_size=7)
    )


def in_tables(engine: Engine) -> list[str]:
    """The words that are to go and stand in any row of any table."""
    with engine.connect() as db:
        everything = str(contents(db))
    return [word for word in GONE if word in everything]


def in_files(engine: Engine, words: list[str]) -> list[str]:
    """The words of which there is a trace in the files of the database."""
    files = "".join(path.read_bytes().decode("latin-1") for path in files_of(engine))
    return [word for word in words if word[-PIECE:] in files]


def files_of(engine: Engine) -> list[Path]:
    """The files of a database: of SQLite all of them, of PostgreSQL those of our tables and their indexes."""
    if engine.dialect.name == "sqlite":
        file = Path(str(engine.url.database))
        return list(file.parent.glob(f"{file.name}*"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(text("CHECKPOINT"))
        where = Path(str(db.scalar(text("SHOW data_directory"))))
        paths = text(
            "SELECT pg_relation_filepath(oid) FROM pg_class WHERE relname LIKE 'session_store%'"
            " OR oid IN (SELECT reltoastrelid FROM pg_class WHERE relname LIKE 'session_store%')"
        )
        files = [where / path for path in db.scalars(paths) if path]
    try:
        return [path for path in files if path.exists()]
    except PermissionError:
        pytest.skip("the server's files belong to somebody else")


def test_nothing_of_it_is_found(blocking: SessionStore, engine: Engine, clock: Clock) -> None:
    """After the calls no table has a word of it and no search finds one; what is to stay is there."""
    assert len(in_tables(engine)) == 40
    assert remove_all(blocking, clock) == 80

    assert in_tables(engine) == []
    assert [blocking.search_messages(word) for word in GONE] == [[]] * 40
    assert all(blocking.search_messages(word) for word in KEPT)
    with engine.connect() as db:
        assert disagreements(db) == ["pruned"], "of its log only the end is there"
    assert blocking.prune_states(clock.now) == 0


def test_a_full_vacuum_leaves_no_byte(blocking: SessionStore, engine: Engine, clock: Clock) -> None:
    """Before, the files have traces of what was deleted; after a full vacuum none, and all else is as it was."""
    remove_all(blocking, clock)
    assert in_files(engine, GONE)
    with engine.connect() as db:
        before = contents(db)
    vacuumed = maintenance.vacuum(blocking.engine, full=True)

    assert vacuumed.complete
    assert in_files(engine, GONE) == []
    assert in_files(engine, KEPT) == KEPT
    with engine.connect() as db:
        assert contents(db) == before
    assert all(blocking.search_messages(word) for word in KEPT)
    assert blocking.append("other", ChatMessage.user("goes on")).seq == 41


def test_a_vacuum_gives_space_back(database: Database, engine: Engine) -> None:
    """What thousands of messages took is free for others, on SQLite for the file system."""
    with SessionStore(database.url) as store:
        store.append_many(KEY, [ChatMessage.user(f"{n} {'lorem ipsum ' * 40}") for n in range(3_000)])
        store.append("other", ChatMessage.user("stays"))
        store.delete_session(KEY)
        light = maintenance.vacuum(database.url)
        full = maintenance.vacuum(engine, full=True)
        assert light.complete
        assert full.complete
        assert (full.after, full.before) < (light.before / 4, light.before)
        if database.name == "sqlite":
            assert light.after < light.before / 4
        assert store.load("other") == [ChatMessage.user("stays")]


@pytest.mark.once
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_reader_keeps_the_log(database: Database) -> None:
    """Where a reader of SQLite looks at the time before, the vacuum says that it is not complete; later it is."""
    with SessionStore(database.url) as store:
        store.append(KEY, ChatMessage.user(GONE[0]))
        reader = host_engine(database)
        with reader.connect() as db:
            db.exec_driver_sql("BEGIN")
            assert db.scalar(text("SELECT count(*) FROM session_store_messages")) == 1
            store.delete_session(KEY)
            assert not maintenance.vacuum(store.engine).complete
        reader.dispose()
        assert maintenance.vacuum(store.engine, full=True).complete
        assert in_files(store.engine, GONE) == []


def test_a_full_vacuum_needs_no_index(database: Database) -> None:
    """Where the search index was dropped, to have its room, the rest is written anew all the same."""
    with SessionStore(database.url) as store:
        store.append(KEY, ChatMessage.user("stays"))
        search_index.drop(store.engine)
        done = maintenance.vacuum(database.url, full=True)

        assert done.complete
        assert done.after <= done.before
        assert store.load(KEY) == [ChatMessage.user("stays")]


def test_vacuum_on_a_host_s_engine(database: Database) -> None:
    """An engine whose transactions a host's event begins, or of one connection, is served too, and left as it was."""
    host = host_engine(database, pool_size=1, max_overflow=0)
    if database.name == "sqlite":
        begins_by_event(host)
    store = SessionStore(host)
    store.append(KEY, ChatMessage.user("hello"))
    for full in (False, True):
        assert maintenance.vacuum(host, full=full).complete
    with host.connect() as db, db.begin():
        store.joined_to(db).append(KEY, ChatMessage.user("hello"))
        db.rollback()

    assert len(store.load(KEY)) == 1
    host.dispose()


@pytest.mark.once
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_who_may_not_vacuum_is_told(database: Database) -> None:
    """PostgreSQL would pass over the tables with a warning, and it would look as if nothing were left in them."""
    engine = host_engine(database)
    with engine.connect() as db:
        db.execute(text("CREATE ROLE nobody_much"))
        db.commit()
        try:
            db.execute(text("GRANT SELECT, DELETE ON ALL TABLES IN SCHEMA public TO nobody_much"))
            db.commit()
            db.execute(text("SET ROLE nobody_much"))
            db.commit()
            for full in (False, True):
                with pytest.raises(StoreError, match="may not vacuum"):
                    storage.vacuum(db, METADATA.tables, None, full=full)
        finally:
            db.rollback()
            db.execute(text("RESET ROLE"))
            db.execute(text("DROP OWNED BY nobody_much"))
            db.execute(text("DROP ROLE nobody_much"))
            db.commit()
    engine.dispose()


def test_vacuum_needs_the_tables(empty_database: Database) -> None:
    """Without them it says which command makes them; a file that is not there is not made."""
    if empty_database.name == "sqlite":
        with pytest.raises(StoreUnavailable):
            maintenance.vacuum(empty_database.url)
        assert not Path(str(empty_database.url.database)).exists()
        migrations.upgrade(empty_database.url)
        with host_engine(empty_database).begin() as db:
            for table in reversed(METADATA.sorted_tables):
                db.execute(text(f"DROP TABLE {table.name}"))
    with pytest.raises(SchemaOutOfDate):
        maintenance.vacuum(empty_database.url)


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "arguments", "all_of_it"),
    [
        ("trim", {"key": "long", "keep_last": 5}, 55),
        ("prune_states", {"before": "2100-01-01T00:00:00+00:00"}, 40),
        ("delete_sessions", {"owner": "ann"}, 40),
    ],
    ids=["trim", "prune_states", "delete_sessions"],
)
def test_whoever_is_killed_calls_again(
    call: str, arguments: dict[str, object], all_of_it: int, database: Database
) -> None:
    """SIGKILL between or within batches: heads agree with logs, and the same call again does the rest."""
    with SessionStore(database.url) as store:
        for n in range(40):
            store.create_session(f"s{n}", owner="ann")
            store.set_session_state(f"s{n}", "running")
            store.set_session_state(f"s{n}", "error")
        store.append_many("long", [ChatMessage.user("x")] * 60)
        for _ in range(2):
            with workers(["call", str(database), call, json.dumps({**arguments, "batch_size": 1})]) as [worker]:
                assert worker.hears() == "ready"
                worker.go()
                time.sleep(random.uniform(0, 0.03))  # noqa: S311 - any moment
                worker.process.kill()
                worker.process.wait()
        # The server may still be at the last statement of the dead.
        time.sleep(0.2)
        with store.engine.connect() as db:
            log, heads = len(store.load("long")), store.count_sessions()
            states = db.scalar(select(func.count()).select_from(STATES))
            assert call == "prune_states" or disagreements(db) == []
        if "before" in arguments:
            arguments = {"before": datetime.fromisoformat(str(arguments["before"]))}
        left = {"trim": log - 5, "prune_states": states - 40, "delete_sessions": heads - 1}[call]

        assert 0 <= left <= all_of_it
        assert getattr(store, call)(**arguments) == left
        assert getattr(store, call)(**arguments) == 0


def test_trim_keeps_what_comes_meanwhile(blocking: SessionStore) -> None:
    """While somebody appends, the newest so many are there after each batch, and nobody's message is lost."""
    told: list[int] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            told.append(blocking.append(KEY, ChatMessage.user("x")).seq)

    blocking.append_many(KEY, [ChatMessage.user("x")] * 300)
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        for _ in range(10):
            blocking.trim(KEY, keep_last=50, batch_size=20)
            seqs = [message.seq for message in blocking.history(KEY)]
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
            assert len(seqs) >= 50
        stop.set()
        writing.result()
    blocking.trim(KEY, keep_last=50)

    assert told == list(range(301, 301 + len(told)))
    assert [message.seq for message in blocking.history(KEY)] == list(range(251 + len(told), 301 + len(told)))
