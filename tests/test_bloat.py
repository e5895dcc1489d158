"""What is left behind does not pile up, and a cleanup leaves room for others: sizes and counts, never times.

How long things take beside a neighbour is what ``benchmarks/neighbours.py`` measures.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, event, text

from session_store import ChatMessage, SessionStore
from session_store.testing import Clock
from tests.conftest import Database

KEY = "telegram_ann"
HELLO = ChatMessage.user("Hello")
MIB = 2**20
PICTURE = ChatMessage.user("See", payload={"picture": "x" * MIB})
LOG_LIMIT = 64 * MIB
"""What the file of SQLite's write-ahead log is cut to, once it begins anew."""

pytestmark = pytest.mark.once

REST_SECS = 0.03

only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def log_size(database: Database) -> int:
    """How large the write-ahead log is."""
    return Path(f"{database.url.database}-wal").stat().st_size


@only_sqlite
def test_the_log_is_used_again(database: Database) -> None:
    """With nobody reading, the log stays at the size of what is written between two checkpoints."""
    with SessionStore(database.url) as store:
        for _ in range(16):
            store.append(KEY, PICTURE)

        assert log_size(database) < 8 * MIB


@only_sqlite
def test_the_log_shrinks_after_a_reader(database: Database) -> None:
    """It grows while a reader sits on a snapshot; of two appends after that one empties it, the other cuts it."""
    with SessionStore(database.url) as store, closing(sqlite3.connect(str(database.url.database))) as reader:
        store.append(KEY, HELLO)
        reader.execute("BEGIN")
        seen = reader.execute("SELECT count(*) FROM session_store_messages").fetchall()
        with store.engine.begin() as host:
            host.execute(text("CREATE TABLE host_files (content BLOB)"))
            host.execute(text("INSERT INTO host_files VALUES (zeroblob(:size))"), {"size": LOG_LIMIT})
        store.append(KEY, HELLO)
        assert reader.execute("SELECT count(*) FROM session_store_messages").fetchall() == seen
        assert log_size(database) > LOG_LIMIT
        reader.rollback()

        for _ in range(2):
            store.append(KEY, HELLO)
        assert log_size(database) <= LOG_LIMIT
        store.append(KEY, HELLO)
        assert log_size(database) <= LOG_LIMIT


@only_postgresql
def test_appends_move_no_index_while_a_snapshot_is_held(database: Database, clock: Clock) -> None:
    """Old versions of a head that cannot go yet fill pages: only the first on each new page is in the indexes.

    So the entries to go through, to find the head, are a sixtieth of the appends.
    """
    with SessionStore(database.url, clock=clock) as store, store.engine.connect() as reader:
        store.append(KEY, HELLO)
        reader.execution_options(isolation_level="REPEATABLE READ")
        reader.execute(text("SELECT count(*) FROM session_store_sessions"))
        for _ in range(400):
            store.append(KEY, HELLO)
        with store.engine.connect() as db:
            updated, heap_only = updates_of_heads(db, at_least=400)
            pages = db.execute(text("SELECT pg_relation_size('session_store_sessions') / 8192")).scalar_one()

    assert pages > 4, "the snapshot held nothing back"
    assert heap_only >= 0.95 * updated


def updates_of_heads(db: Connection, at_least: int) -> tuple[int, int]:
    """How many updates of heads the server has counted, and how many of them touched no index."""
    query = text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'session_store_sessions'")
    updated = heap_only = 0
    for _ in range(100):
        db.execute(text("SELECT pg_stat_force_next_flush()"))
        db.rollback()
        updated, heap_only = db.execute(query).one()
        if updated >= at_least:
            break
        time.sleep(0.05)
    assert updated >= at_least
    return updated, heap_only


def test_a_cleanup_holds_no_lock_between_batches(database: Database, clock: Clock) -> None:
    """After each batch somebody else who does not wait at all can write to every session that is left."""
    impatient = {
        "sqlite": {"timeout": 0},
        "postgresql": {"options": "-c lock_timeout=1ms"},
    }
    driver = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[database.name]
    neighbour = create_engine(database.url.set(drivername=driver), connect_args=impatient[database.name])
    left: list[int] = []

    def write(*_: object) -> None:
        with neighbour.begin() as db:
            left.append(db.execute(text("UPDATE session_store_sessions SET name = 'seen'")).rowcount)

    with SessionStore(database.url, clock=clock) as store:
        for number in range(10):
            store.append(f"{KEY}{number}", HELLO)
        clock.advance(7200)
        event.listen(store.engine, "checkin", write)
        assert store.cleanup_stale(1, batch_size=3) == 10
    neighbour.dispose()

    assert left == [7, 4, 1, 0]


@only_sqlite
def test_a_cleanup_rests_between_batches(database: Database, clock: Clock) -> None:
    """Whenever it has held SQLite's lock for 30 ms it leaves it alone for as long: whoever waits has to ask again."""
    moments: list[float] = []
    with SessionStore(database.url, clock=clock) as store:
        for number in range(1_000):
            store.append(f"stale_{number}", HELLO)
        clock.advance(7200)
        for name in ("checkout", "checkin"):
            event.listen(store.engine, name, lambda *_: moments.append(time.monotonic()))
        assert store.cleanup_stale(1, batch_size=25) == 1_000

    held, rests = 0.0, 0
    for taken, given, taken_again in zip(moments[::2], moments[1::2], moments[2::2], strict=False):
        held += given - taken
        if taken_again - given >= REST_SECS:
            held, rests = 0.0, rests + 1
        assert held < REST_SECS
    assert rests > 0
