"""What migrating must not do to a host, and what it does not take from one."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, StaticPool, create_engine, orm, text
from sqlalchemy.ext.asyncio import create_async_engine

from session_store import AsyncSessionStore, InvalidQuery, SessionStore, StoreError, migrations
from session_store.database import revisions, transactions
from tests.conftest import Database
from tests.hosts import statements_of
from tests.migrations.steps import HELLO, KEY, OURS, tables


def test_a_database_as_it_should_be_is_only_read(database: Database, engine: Engine) -> None:
    """Who finds nothing to do waits for no lock, be it that of a writer or of a migration."""
    with engine.begin() as writer:
        SessionStore(engine).joined_to(writer).append(KEY, HELLO)
        if database.name == "postgresql":
            transactions.lock_for_migration(writer)
        for bind in (engine, database.url):
            migrations.upgrade(bind)
        with engine.connect() as db:
            migrations.upgrade(db)
            assert not db.in_transaction()


def test_a_part_of_it_is_not_left_in_the_host_s_transaction(empty: Engine) -> None:
    """The host that catches the error and commits has its own rows, and nothing of ours in the way of the next try."""
    with empty.begin() as db:
        db.execute(text("CREATE TABLE session_store_states (stray text)"))
    with empty.begin() as db:
        db.execute(text("CREATE TABLE host_notes (note text)"))
        with pytest.raises(StoreError, match="session_store_states"):
            migrations.upgrade(db)
        db.execute(text("INSERT INTO host_notes VALUES ('kept')"))
    assert tables(empty) == {"session_store_states", "host_notes"}
    with empty.begin() as db:
        db.execute(text("DROP TABLE session_store_states"))
        migrations.upgrade(db)
    assert migrations.check(empty) == []


def test_the_only_connection_s_transaction_is_not_ended() -> None:
    """In memory all share one connection: looked at or migrated past the host's transaction it would be ended."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    migrations.upgrade(engine)
    store = SessionStore(engine)
    with engine.connect() as db:
        store.joined_to(db).append(KEY, HELLO)
        for call in (migrations.upgrade, migrations.current, migrations.check):
            with pytest.raises(StoreError, match="is in a transaction"):
                call(engine)
            call(db)
        assert store.joined_to(db).load(KEY) == [HELLO]
        db.rollback()
    assert store.list_sessions() == []
    engine.dispose()


def test_a_host_s_own_tables_are_not_read(empty: Engine) -> None:
    """Where the tables themselves must tell, those of the host are not looked at, and nothing but ours counts."""
    with empty.begin() as db:
        migrations.upgrade(db)
        db.execute(text(f"DROP TABLE {revisions.VERSION_TABLE}"))
        db.execute(text("CREATE INDEX of_the_host ON session_store_messages (role)"))
        db.execute(text("CREATE TABLE host_notes (note text)"))
    with statements_of(empty) as statements:
        assert migrations.current(empty) == revisions.HEAD

    assert [statement for statement in statements if "host_notes" in statement] == []
    assert migrations.check(empty) == ["index session_store_messages.of_the_host is not ours"]
    migrations.upgrade(empty)


def test_a_host_s_revision_of_a_like_name_is_not_ours(empty: Engine) -> None:
    """Only ``ss_`` and four digits name one of our revisions."""
    with empty.begin() as db:
        db.execute(text("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL PRIMARY KEY)"))
        db.execute(text("INSERT INTO alembic_version VALUES ('ss_users'), ('ss_00011')"))
    assert migrations.current(empty) is None
    migrations.upgrade(empty)

    assert tables(empty) == OURS | {"alembic_version", revisions.VERSION_TABLE}


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_a_version_table_that_may_not_be_read_is_passed_over(empty: Engine) -> None:
    """Another application's, which our role has no right to."""
    role = f"session_store_guest_{uuid4().hex}"
    with empty.begin() as db:
        db.execute(text("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL PRIMARY KEY)"))
        db.execute(text(f"CREATE ROLE {role}"))
        db.execute(text(f"GRANT ALL ON SCHEMA public TO {role}"))
        db.execute(text(f"SET LOCAL ROLE {role}"))
        migrations.upgrade(db)
        assert migrations.current(db) == revisions.HEAD
        # Roles are of the whole server.
        db.rollback()


@pytest.mark.parametrize(
    "make",
    [lambda: None, lambda: 7, orm.Session, lambda: create_async_engine("sqlite+aiosqlite://")],
    ids=["nothing", "a number", "a session", "an asynchronous engine"],
)
def test_what_is_nothing_to_connect_with_is_refused(make: Callable[[], Any]) -> None:
    """The error names what was given."""
    bind = make()
    with pytest.raises(InvalidQuery, match=type(bind).__name__):
        migrations.upgrade(bind)


def test_an_empty_path_is_refused() -> None:
    """SQLite would keep such a database in a temporary file, and nobody would find it again."""
    for call in (migrations.upgrade, migrations.current, SessionStore, AsyncSessionStore):
        with pytest.raises(InvalidQuery, match="the path is empty"):
            call("")


def test_a_closed_connection_is_told(engine: Engine) -> None:
    """It cannot be used, and a typed error says so."""
    db = engine.connect()
    db.close()
    with pytest.raises(StoreError, match="closed"):
        migrations.upgrade(db)
