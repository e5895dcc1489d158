"""The tables as the databases themselves describe them: much of this `alembic check` does not see."""

import sqlite3
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from session_store import ChatMessage, NewMessage, SessionStore
from session_store.search import tsvector
from tests.conftest import Database
from tests.hosts import host_engine

only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

UTC_DAY = "((({} AT TIME ZONE 'UTC'::text))::date)"
TABLES = ["session_store_messages", "session_store_sessions", "session_store_states"]


@pytest.fixture
def db(database: Database) -> Iterator[Connection]:
    """A connection to a migrated database."""
    engine = host_engine(database, tuned=False)
    with engine.connect() as db:
        yield db
    engine.dispose()


def rows(db: Connection, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """What a query finds."""
    return [tuple(row) for row in db.execute(text(query), values)]


# PostgreSQL.


@only_postgresql
def test_postgresql_has_these_columns(db: Connection) -> None:
    """The types, whether they may be null, and the defaults of all columns; a session's key sorts byte by byte."""
    found = rows(
        db,
        """SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                  pg_get_expr(d.adbin, d.adrelid), nullif(l.collname, 'default')
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
           LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
           LEFT JOIN pg_collation l ON l.oid = a.attcollation
           WHERE c.relname = ANY(:tables) AND a.attnum > 0 AND NOT a.attisdropped
           ORDER BY c.relname, a.attnum""",
        tables=TABLES,
    )
    time = "timestamp with time zone"

    assert found == [
        ("session_store_messages", "session_key", "text", True, None, "C"),
        ("session_store_messages", "seq", "bigint", True, None, None),
        ("session_store_messages", "turn_id", "text", False, None, None),
        ("session_store_messages", "role", "text", True, None, None),
        ("session_store_messages", "content", "text", True, None, None),
        ("session_store_messages", "payload", "jsonb", False, None, None),
        ("session_store_messages", "idempotency_key", "text", False, None, None),
        ("session_store_messages", "created_at", time, True, None, None),
        ("session_store_sessions", "key", "text", True, None, "C"),
        ("session_store_sessions", "name", "text", False, None, None),
        ("session_store_sessions", "owner", "text", False, None, None),
        ("session_store_sessions", "attributes", "jsonb", True, "'{}'::jsonb", None),
        ("session_store_sessions", "created_at", time, True, None, None),
        ("session_store_sessions", "last_activity", time, True, None, None),
        ("session_store_sessions", "active_minute", time, True, None, None),
        ("session_store_sessions", "message_count", "bigint", True, "0", None),
        ("session_store_sessions", "last_seq", "bigint", True, "0", None),
        ("session_store_sessions", "state_seq", "bigint", True, "0", None),
        ("session_store_sessions", "state", "text", True, "'idle'::text", None),
        ("session_store_sessions", "turn_id", "text", False, None, None),
        ("session_store_sessions", "state_entered_at", time, False, None, None),
        ("session_store_states", "session_key", "text", True, None, "C"),
        ("session_store_states", "seq", "bigint", True, None, None),
        ("session_store_states", "state", "text", True, None, None),
        ("session_store_states", "turn_id", "text", False, None, None),
        ("session_store_states", "entered_at", time, True, None, None),
    ]


@only_postgresql
def test_postgresql_has_these_constraints(db: Connection) -> None:
    """Primary keys begin with the session's key, and the logs go with their session."""
    found = rows(
        db,
        """SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
           WHERE conrelid::regclass::text = ANY(:tables) AND contype <> 'n' ORDER BY conname""",
        tables=TABLES,
    )
    reference = "FOREIGN KEY (session_key) REFERENCES session_store_sessions(key) ON DELETE CASCADE"

    assert found == [
        ("session_store_messages_pkey", "PRIMARY KEY (session_key, seq)"),
        ("session_store_messages_session_key_fkey", reference),
        ("session_store_sessions_pkey", "PRIMARY KEY (key)"),
        ("session_store_states_pkey", "PRIMARY KEY (session_key, seq)"),
        ("session_store_states_session_key_fkey", reference),
    ]


@only_postgresql
def test_postgresql_has_these_indexes(db: Connection) -> None:
    """Every index with its method, columns, directions, operators and predicate."""
    found = rows(
        db,
        """SELECT indexname, split_part(indexdef, ' USING ', 2), indexdef LIKE 'CREATE UNIQUE%'
           FROM pg_indexes WHERE tablename = ANY(:tables) AND indexname <> :left_out ORDER BY indexname""",
        tables=TABLES,
        left_out=tsvector.INDEX,  # its expression is tried by what it finds
    )

    assert found == [
        ("session_store_messages_created_at", "brin (created_at)", False),
        ("session_store_messages_day", f"brin ({UTC_DAY.format('created_at')})", False),
        (
            "session_store_messages_idempotency",
            "btree (session_key, idempotency_key) WHERE (idempotency_key IS NOT NULL)",
            True,
        ),
        ("session_store_messages_pkey", "btree (session_key, seq)", True),
        ("session_store_sessions_attributes", "gin (attributes jsonb_path_ops)", False),
        (
            "session_store_sessions_owner_recency",
            "btree (owner, active_minute DESC, key) WHERE (owner IS NOT NULL)",
            False,
        ),
        ("session_store_sessions_pkey", "btree (key)", True),
        ("session_store_sessions_recency", "btree (active_minute DESC, key)", False),
        (
            "session_store_sessions_state",
            "btree (state, state_entered_at) WHERE (state <> 'idle'::text)",
            False,
        ),
        ("session_store_states_day", f"brin ({UTC_DAY.format('entered_at')})", False),
        ("session_store_states_entered_at", "brin (entered_at)", False),
        ("session_store_states_pkey", "btree (session_key, seq)", True),
    ]


@only_postgresql
def test_postgresql_stores_heads_with_room(db: Connection) -> None:
    """The page of a head has room for its next version, and the vacuum comes early; no trigger, no ENUM."""
    options = rows(
        db, "SELECT relname, reloptions FROM pg_class WHERE relname = ANY(:tables) ORDER BY 1", tables=TABLES
    )
    triggers = rows(db, "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
    enums = rows(db, "SELECT typname FROM pg_type WHERE typtype = 'e'")

    assert options == [
        ("session_store_messages", None),
        ("session_store_sessions", ["fillfactor=90", "autovacuum_vacuum_scale_factor=0.01"]),
        ("session_store_states", None),
    ]
    assert triggers == enums == []


@only_postgresql
def test_appends_move_no_index_of_the_head(database: Database, db: Connection) -> None:
    """Of the updates of one hot session nearly all are heap-only: no index of the head is written."""
    with SessionStore(database.url) as store:
        for _ in range(100):
            store.append("hot", ChatMessage.user("Hello"))
        with store.engine.connect() as other:
            other.execute(text("SELECT pg_stat_force_next_flush()"))
    query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'session_store_sessions'"
    for _ in range(100):
        [(updated, heap_only)] = rows(db, query)
        db.rollback()
        if updated >= 99:
            break
        rows(db, "SELECT pg_sleep(0.05), pg_stat_clear_snapshot()")

    assert updated >= 99
    assert heap_only >= 95


# SQLite.


@only_sqlite
def test_sqlite_has_these_columns(db: Connection) -> None:
    """The types, whether they may be null, the defaults, and the place of each column in the primary key."""
    found = {
        table: rows(db, 'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(:table)', table=table)
        for table in TABLES
    }

    assert found == {
        "session_store_messages": [
            ("id", "INTEGER", 1, None, 1),
            ("session_key", "TEXT", 1, None, 0),
            ("seq", "BIGINT", 1, None, 0),
            ("turn_id", "TEXT", 0, None, 0),
            ("role", "TEXT", 1, None, 0),
            ("content", "TEXT", 1, None, 0),
            ("payload", "TEXT", 0, None, 0),
            ("idempotency_key", "TEXT", 0, None, 0),
            ("created_at", "VARCHAR(32)", 1, None, 0),
        ],
        "session_store_sessions": [
            ("key", "TEXT", 1, None, 1),
            ("name", "TEXT", 0, None, 0),
            ("owner", "TEXT", 0, None, 0),
            ("attributes", "TEXT", 1, "'{}'", 0),
            ("created_at", "VARCHAR(32)", 1, None, 0),
            ("last_activity", "VARCHAR(32)", 1, None, 0),
            ("active_minute", "VARCHAR(32)", 1, None, 0),
            ("message_count", "BIGINT", 1, "0", 0),
            ("last_seq", "BIGINT", 1, "0", 0),
            ("state_seq", "BIGINT", 1, "0", 0),
            ("state", "TEXT", 1, "'idle'", 0),
            ("turn_id", "TEXT", 0, None, 0),
            ("state_entered_at", "VARCHAR(32)", 0, None, 0),
        ],
        "session_store_states": [
            ("session_key", "TEXT", 1, None, 1),
            ("seq", "BIGINT", 1, None, 2),
            ("state", "TEXT", 1, None, 0),
            ("turn_id", "TEXT", 0, None, 0),
            ("entered_at", "VARCHAR(32)", 1, None, 0),
        ],
    }


@only_sqlite
def test_sqlite_has_these_indexes(db: Connection) -> None:
    """Every index with its columns, ``-`` before those that descend, and its predicate."""
    found = {}
    for table in TABLES:
        for name, unique, partial in rows(db, 'SELECT name, "unique", partial FROM pragma_index_list(:t)', t=table):
            columns = rows(db, 'SELECT name, "desc", coll FROM pragma_index_xinfo(:i) WHERE key', i=name)
            assert {collation for _, _, collation in columns} == {"BINARY"}
            [(sql,)] = rows(db, "SELECT sql FROM sqlite_master WHERE name = :i", i=name)
            predicate = sql.partition(" WHERE ")[2] if partial else None
            listed = ", ".join("-" * descends + column for column, descends, _ in columns)
            found[table, listed] = (bool(unique), predicate)

    assert found == {
        ("session_store_messages", "session_key, seq"): (True, None),
        ("session_store_messages", "session_key, idempotency_key"): (True, "idempotency_key IS NOT NULL"),
        ("session_store_sessions", "key"): (True, None),
        ("session_store_sessions", "-active_minute, key"): (False, None),
        ("session_store_sessions", "owner, -active_minute, key"): (False, "owner IS NOT NULL"),
        ("session_store_sessions", "state, state_entered_at"): (False, "state <> 'idle'"),
        ("session_store_states", "session_key, seq"): (True, None),
    }


@only_sqlite
def test_sqlite_has_these_references(db: Connection) -> None:
    """The logs go with their session, and nothing else refers to anything."""
    query = 'SELECT "table", "from", "to", on_delete FROM pragma_foreign_key_list(:table)'
    reference = ("session_store_sessions", "session_key", "key", "CASCADE")

    assert {table: rows(db, query, table=table) for table in TABLES} == {
        "session_store_messages": [reference],
        "session_store_sessions": [],
        "session_store_states": [reference],
    }


@only_sqlite
def test_a_message_keeps_its_row_number(database: Database, db: Connection) -> None:
    """On SQLite the number of a message's row survives a rebuild of the file, which an index by it relies on."""
    with SessionStore(database.url) as store:
        store.append_many("a", [ChatMessage.user(str(n)) for n in range(9)])
        store.append("b", ChatMessage.user("x"))
        store.delete_session("a")
        store.append("b", ChatMessage.user("y"))
    before = rows(db, "SELECT rowid, id, content FROM session_store_messages")
    db.rollback()
    vacuum = sqlite3.connect(str(database.url.database))
    vacuum.execute("VACUUM")
    vacuum.close()

    assert rows(db, "SELECT rowid, id, content FROM session_store_messages") == before
    assert before[0][0] == before[0][1] > 1


# Both.


@pytest.mark.parametrize("letter", ["a", "é", "好", "👋"])
def test_the_longest_of_everything_fits_into_the_indexes(database: Database, letter: str) -> None:
    """Identifiers of the greatest size, in text that does not compress, are stored; no index row is too long."""
    size = 512 // len(letter.encode())
    dice = Random(0)  # noqa: S311 - PostgreSQL would compress text with a pattern, and hide its size
    key, owner, turn, once = ("".join(chr(ord(letter) + dice.randrange(20)) for _ in range(size)) for _ in range(4))
    with SessionStore(database.url) as store:
        store.create_session(key, owner=owner, name=letter * 1024)
        store.set_session_state(key, "s" * 64, turn)
        store.append_many(key, [NewMessage(ChatMessage("r" * 64, "Hello", None), None, once)])
        metadata = store.get_session_metadata(key)
    assert metadata is not None

    assert [len(text.encode()) for text in (metadata.key, str(metadata.owner), str(metadata.turn_id))] == [
        size * len(letter.encode())
    ] * 3


def test_one_key_constraint_says_no(database: Database, db: Connection) -> None:
    """A second message under one seq, and a log entry without its session, are refused by the database itself."""
    with SessionStore(database.url) as store:
        store.append("a", ChatMessage.user("Hello"))
    if database.name == "sqlite":
        db.exec_driver_sql("PRAGMA foreign_keys = ON")
    insert = text(
        "INSERT INTO session_store_messages (session_key, seq, role, content, created_at) "
        "SELECT :key, :seq, role, content, created_at FROM session_store_messages"
    )
    for key, seq in (("a", 1), ("b", 1)):
        with pytest.raises(IntegrityError):
            db.execute(insert, {"key": key, "seq": seq})
        db.rollback()
