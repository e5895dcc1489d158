"""What can be wrong with a database, each planted as it would come to be, with what the doctor must say of it.

``with fault.plant(database) as end`` leaves the fault in the database, filled with a few sessions; ``end()`` is the
part of mending it that no command does, such as ending somebody's program.
"""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from session_store import ChatMessage, Finding, SessionStore, Severity
from session_store.database.revisions import VERSION_TABLE
from session_store.migrations import views_v1
from session_store.search import fts5
from session_store.search import index as search_index
from session_store.store.arguments import utc_now
from tests.conftest import Database

KEY = "telegram_ann"
HOUR = 3600.0
MIB = 2**20

End = Callable[[], object]
Plant = Callable[[Database], AbstractContextManager[End]]

OF_THE_TESTS = {"server.fsync", "server.full_page_writes"}
"""What is said of the tests' own server, and rightly: it waits for no disk."""


@dataclass(frozen=True)
class Fault:
    """A fault and what is said of it: the ``check`` that finds it, and how the ``command`` begins that mends it."""

    name: str
    check: str
    command: str
    plant: Plant
    databases: tuple[str, ...] = ("sqlite", "postgresql")
    stuck_secs: float = HOUR
    """What to ask the doctor with."""

    def __str__(self) -> str:
        return self.name


def alarms(findings: list[Finding]) -> list[Finding]:
    """What is not well, but for what the tests' own server is."""
    return [it for it in findings if it.severity > Severity.INFO and it.check not in OF_THE_TESTS]


def fill(database: Database) -> None:
    """Write a few sessions, one of which has been at work and is no more."""
    with SessionStore(database.url) as store:
        for key in (KEY, "web_bo", "cli_eve"):
            store.append_many(key, [ChatMessage.user("What time is it?"), ChatMessage.assistant("Half past nine.")])
        store.set_session_state(KEY, "running", "turn_1")
        store.append(KEY, ChatMessage.user("And now?"))
        store.set_session_state(KEY, "idle")


def host_engine(database: Database) -> Engine:
    """An engine of a host that keeps no foreign keys on SQLite, and commits each statement."""
    driver = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}[database.name]
    return create_engine(database.url.set(drivername=driver), isolation_level="AUTOCOMMIT")


@contextmanager
def connection(database: Database) -> Iterator[Connection]:
    """A connection of such a host."""
    engine = host_engine(database)
    try:
        with engine.connect() as db:
            yield db
    finally:
        engine.dispose()


def nothing() -> None:
    """What is left to do where a command does all."""


def by(change: Callable[[Database], object]) -> Plant:
    """Fill the database and change it."""

    @contextmanager
    def plant(database: Database) -> Iterator[End]:
        fill(database)
        change(database)
        yield nothing

    return plant


def by_sql(*statements: str) -> Plant:
    """Fill the database and run SQL of somebody's own."""

    def change(database: Database) -> None:
        with connection(database) as db:
            if database.name == "postgresql":
                # As in a copy that was loaded with its constraints off.
                db.exec_driver_sql("SET session_replication_role = replica")
            for statement in statements:
                db.exec_driver_sql(statement)

    return by(change)


# Heads and logs.


def of_head(values: str) -> Plant:
    """Write something else into the head of one session."""
    return by_sql(f"UPDATE session_store_sessions SET {values} WHERE key = '{KEY}'")  # noqa: S608


WITHOUT_ITS_HEAD = (
    f"DELETE FROM session_store_messages WHERE session_key = '{KEY}'",  # noqa: S608
    f"DELETE FROM session_store_sessions WHERE key = '{KEY}'",  # noqa: S608
)
"""Of a session only its states are left."""


# The search index.


def past_the_triggers(*statements: str) -> Plant:
    """Change messages while the index does not follow them."""
    again = [f"CREATE TRIGGER {name} {what}" for name, what in fts5.TRIGGERS.items()]
    return by_sql(*(f"DROP TRIGGER {name}" for name in fts5.TRIGGERS), *statements, *again)


MESSAGE_UNHEARD = (
    f"""INSERT INTO session_store_messages (session_key, seq, role, content, created_at)
    VALUES ('{KEY}', 99, 'user', 'unheard', '2026-01-01T00:00:00.000000+00:00')""",  # noqa: S608
    f"UPDATE session_store_sessions SET last_seq = 99, message_count = 4 WHERE key = '{KEY}'",  # noqa: S608
)
UNFINISHED_INDEX = """
    UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'session_store_messages_search'::regclass
"""


# The schema.


def older(database: Database) -> None:
    """Go back to the revision before the views."""
    with connection(database) as db:
        for statement in views_v1.drop(database.name):
            db.exec_driver_sql(statement)
        db.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = 'ss_0002'")  # noqa: S608


# Who is at work, or was.


def stuck(database: Database) -> None:
    """Begin a turn two hours ago, and no more."""
    with SessionStore(database.url, clock=lambda: utc_now() - timedelta(hours=2)) as store:
        store.set_session_state("web_bo", "running", "turn_2")


def told_tomorrow(database: Database) -> None:
    """Write a message by a clock that is a day ahead."""
    with SessionStore(database.url, clock=lambda: utc_now() + timedelta(days=1)) as store:
        store.append("web_zoe", ChatMessage.user("Good morning"))


@contextmanager
def ahead(database: Database) -> Iterator[End]:
    """Messages of a clock that is a day ahead; they go with their session."""
    fill(database)
    told_tomorrow(database)
    with SessionStore(database.url) as store:
        yield lambda: store.delete_session("web_zoe")


TIME_OF_ELSEWHERE = """
    CREATE FUNCTION elsewhere.clock_timestamp() RETURNS timestamptz LANGUAGE sql
    AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$
"""


@contextmanager
def another_time(database: Database) -> Iterator[End]:
    """A server whose clock is an hour ahead, by a function of that name which stands before the server's own."""
    fill(database)
    name = database.url.database
    with connection(database) as db:
        for statement in (
            "CREATE SCHEMA elsewhere",
            TIME_OF_ELSEWHERE,
            f'ALTER DATABASE "{name}" SET search_path = elsewhere, public, pg_catalog',
        ):
            db.exec_driver_sql(statement)
        yield lambda: db.exec_driver_sql(f'ALTER DATABASE "{name}" RESET search_path')


@contextmanager
def transaction(database: Database, isolation: str) -> Iterator[End]:
    """A program that has begun a transaction, read something, and forgotten it."""
    fill(database)
    engine = host_engine(database)
    with engine.connect() as db:
        db.execution_options(isolation_level=isolation)
        db.execute(text("SELECT count(*) FROM session_store_messages")).all()
        time.sleep(0.1)
        yield nothing
        with suppress(DBAPIError):  # ended by the command
            db.rollback()
        db.invalidate()
    engine.dispose()


@contextmanager
def prepared(database: Database) -> Iterator[End]:
    """A transaction that was prepared for somebody to commit, who never came."""
    fill(database)
    with connection(database) as db:
        for statement in ("BEGIN", "CREATE TABLE host_notes (id integer)", "PREPARE TRANSACTION 'bob''s $(x)'"):
            db.exec_driver_sql(statement)
        time.sleep(0.1)
        yield nothing
        with suppress(DBAPIError):  # rolled back by the command
            db.exec_driver_sql("ROLLBACK PREPARED 'bob''s $(x)'")


READS = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN")
print(db.execute("SELECT count(*) FROM session_store_messages").fetchall(), flush=True)
sys.stdin.read()
"""


@contextmanager
def reader_of_the_log(database: Database) -> Iterator[End]:
    """A program that reads SQLite and does not end its transaction, while others write a lot."""
    fill(database)
    file = str(database.url.database)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", READS, file], **pipes) as reader:  # type: ignore[call-overload]
        reader.stdout.readline()
        with closing(sqlite3.connect(file)) as writer:
            writer.execute("CREATE TABLE host_files (content BLOB)")
            writer.execute("INSERT INTO host_files VALUES (zeroblob(?))", (65 * MIB,))
            writer.commit()
        yield reader.communicate


# What piles up, and what is not kept.


def not_durable(database: Database) -> None:
    """Let a server tell that it has committed what it may lose."""
    with connection(database) as db:
        db.exec_driver_sql(f'ALTER DATABASE "{database.url.database}" SET synchronous_commit = off')


def much_deleted(database: Database) -> None:
    """Delete most of what there is, where nothing cleans up behind."""
    with connection(database) as db:
        if database.name == "sqlite":
            db.exec_driver_sql("CREATE TABLE host_files (content BLOB)")
            db.exec_driver_sql("INSERT INTO host_files VALUES (zeroblob(?))", (20 * MIB,))
            db.exec_driver_sql("DELETE FROM host_files")
            return
        db.exec_driver_sql("ALTER TABLE session_store_messages SET (autovacuum_enabled = false)")
        for statement in (
            f"""INSERT INTO session_store_messages (session_key, seq, role, content, created_at)
            SELECT '{KEY}', 1000 + n, 'user', 'x', now() FROM generate_series(1, 20000) AS n""",  # noqa: S608
            "DELETE FROM session_store_messages WHERE seq > 1000",
            "SELECT pg_stat_force_next_flush()",
            "SELECT 1",
        ):
            db.exec_driver_sql(statement)


def much_deleted_for_good(database: Database) -> None:
    """Delete most of a file that was made by a host, and does not keep track of its free pages."""
    with closing(sqlite3.connect(str(database.url.database))) as db:
        db.execute("PRAGMA auto_vacuum = NONE")
        db.execute("VACUUM")
    much_deleted(database)


MEND_HEADS = "session-store repair heads"
MEND_ORPHANS = "session-store repair orphans"
MEND_SCHEMA = "session-store repair schema"
REBUILD = "session-store index rebuild"
ON_SQLITE = ("sqlite",)
ON_POSTGRESQL = ("postgresql",)

FAULTS = [
    Fault("head count wrong", "heads.message_count", MEND_HEADS, of_head("message_count = message_count + 5")),
    Fault("last_seq too low", "heads.last_seq", MEND_HEADS, of_head("last_seq = 1")),
    Fault("last activity too early", "heads.last_activity", MEND_HEADS, of_head("last_activity = created_at")),
    Fault("minute of another time", "heads.active_minute", MEND_HEADS, of_head("active_minute = created_at")),
    Fault("state_seq too low", "heads.state_seq", MEND_HEADS, of_head("state_seq = 1")),
    Fault("state of another time", "heads.state", MEND_HEADS, of_head("state = 'error'")),
    Fault(
        "orphaned messages",
        "orphans.messages",
        MEND_ORPHANS,
        by_sql("DELETE FROM session_store_sessions WHERE key = 'web_bo'"),
    ),
    Fault(
        "orphaned states",
        "orphans.states",
        MEND_ORPHANS,
        by_sql(*WITHOUT_ITS_HEAD),
    ),
    Fault(
        "missing search index",
        "search.index",
        "session-store index create",
        by(lambda database: search_index.drop(database.url)),
    ),
    Fault(
        "search index without its triggers",
        "search.index",
        REBUILD,
        by(lambda database: search_index.disable(database.url)),
        ON_SQLITE,
    ),
    Fault(
        "search index that lacks messages",
        "search.rows",
        REBUILD,
        past_the_triggers(*MESSAGE_UNHEARD),
        ON_SQLITE,
    ),
    Fault(
        "search index with other words",
        "search.words",
        REBUILD,
        past_the_triggers("UPDATE session_store_messages SET content = 'Half past ten.' WHERE content LIKE 'Half%'"),
        ON_SQLITE,
    ),
    Fault(
        "damaged search index",
        "search.words",
        REBUILD,
        by_sql("UPDATE session_store_messages_search_data SET block = x'00ff' WHERE id > 10"),
        ON_SQLITE,
    ),
    Fault("unfinished search index", "search.index", REBUILD, by_sql(UNFINISHED_INDEX), ON_POSTGRESQL),
    Fault("old revision", "schema.revision", "session-store upgrade", by(older)),
    Fault("missing revision table", "schema.version_table", MEND_SCHEMA, by_sql(f"DROP TABLE {VERSION_TABLE}")),
    Fault("dropped recency index", "schema.index", MEND_SCHEMA, by_sql("DROP INDEX session_store_sessions_recency")),
    Fault(
        "dropped day index", "schema.index", MEND_SCHEMA, by_sql("DROP INDEX session_store_messages_day"), ON_POSTGRESQL
    ),
    Fault("dropped view", "schema.view", MEND_SCHEMA, by_sql("DROP VIEW session_store_v1_daily")),
    Fault(
        "dropped reference",
        "schema.reference",
        MEND_SCHEMA,
        by_sql("ALTER TABLE session_store_states DROP CONSTRAINT session_store_states_session_key_fkey"),
        ON_POSTGRESQL,
    ),
    Fault(
        "SQLite without WAL",
        "sqlite.journal_mode",
        "session-store repair pragmas",
        by_sql("PRAGMA journal_mode = DELETE"),
        ON_SQLITE,
    ),
    Fault("stuck session", "sessions.stuck", "session-store stuck --longer-than 1h --recover", by(stuck)),
    Fault(
        "snapshot held for long",
        "transactions.snapshot",
        "psql ",
        lambda database: transaction(database, "REPEATABLE READ"),
        ON_POSTGRESQL,
        stuck_secs=0.05,
    ),
    Fault(
        "transaction left open",
        "transactions.idle",
        "psql ",
        lambda database: transaction(database, "READ COMMITTED"),
        ON_POSTGRESQL,
        stuck_secs=0.05,
    ),
    Fault("prepared transaction", "transactions.prepared", "psql ", prepared, ON_POSTGRESQL, stuck_secs=0.05),
    Fault("reader that keeps the log", "sqlite.log", "session-store vacuum", reader_of_the_log, ON_SQLITE),
    Fault("free pages", "sqlite.free_pages", "session-store vacuum", by(much_deleted), ON_SQLITE),
    Fault(
        "free pages without a list",
        "sqlite.free_pages",
        "session-store vacuum --full",
        by(much_deleted_for_good),
        ON_SQLITE,
    ),
    Fault("commits that are not durable", "server.synchronous_commit", "psql ", by(not_durable), ON_POSTGRESQL),
    Fault("dead rows", "server.dead_rows", "session-store vacuum", by(much_deleted), ON_POSTGRESQL),
    Fault("clock that differs", "clock.difference", "timedatectl ", another_time, ON_POSTGRESQL),
    Fault("messages from the future", "clock.future", "timedatectl ", ahead),
]
