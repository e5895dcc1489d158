"""`check` says in words what a database has otherwise than this version needs it."""

import pytest
from sqlalchemy import Engine, inspect, text

from session_store import StoreError, migrations
from session_store.database import revisions
from session_store.migrations import views_v1
from session_store.models.indexes import METADATA
from tests.conftest import Database


def test_every_difference_is_said(engine: Engine) -> None:
    """What is missing, what is too much, what is of another type, and an old revision, each in words."""
    assert migrations.check(engine) == []
    with engine.begin() as db:
        for change in (
            "ALTER TABLE session_store_sessions ADD COLUMN stray text",
            "DROP INDEX session_store_sessions_state",
            "CREATE TABLE session_store_stray (id integer)",
            "CREATE TABLE host_notes (id integer)",
            f"UPDATE {revisions.VERSION_TABLE} SET version_num = 'ss_0000'",  # noqa: S608
        ):
            db.execute(text(change))
    assert set(migrations.check(engine)) == {
        "the revision is ss_0000, this package needs ss_0003",
        "column session_store_sessions.stray is not ours",
        "index session_store_sessions.session_store_sessions_state is missing",
        "table session_store_stray is not ours",
    }


def test_every_index_that_is_missing_is_said(engine: Engine) -> None:
    """Whichever is dropped, those of kinds only PostgreSQL has among them."""
    made = {
        (table, str(index["name"]))
        for table in METADATA.tables
        for index in inspect(engine).get_indexes(table)
        if ("index", index["name"]) not in migrations.IGNORED_OBJECTS and "duplicates_constraint" not in index
    }
    assert len(made) == (7 if engine.dialect.name == "postgresql" else 4)
    with engine.begin() as db:
        for _, name in made:
            db.execute(text(f"DROP INDEX {name}"))
    assert set(migrations.check(engine)) == {f"index {table}.{name} is missing" for table, name in made}


def test_a_column_of_another_kind_is_said(database: Database, engine: Engine) -> None:
    """A column that may be empty, and one of another type, are named with both."""
    if database.name == "sqlite":
        with engine.begin() as db:
            db.execute(text("DROP TABLE session_store_states"))
            made = "session_key text, seq text NOT NULL, state text, turn_id text, entered_at varchar(32) NOT NULL"
            db.execute(text("CREATE TABLE session_store_states (" + made + ")"))
    else:
        with engine.begin() as db:
            for statement in views_v1.drop("postgresql"):
                db.execute(text(statement))
            db.execute(text("ALTER TABLE session_store_states ALTER seq TYPE text, ALTER state DROP NOT NULL"))
            for statement in views_v1.create("postgresql"):
                db.execute(text(statement))
    said = "\n".join(migrations.check(engine))

    assert "column session_store_states.seq: its type is TEXT(), not BigInteger()" in said
    assert "column session_store_states.state: its nullable is True, not False" in said


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_tables_not_born_from_the_revisions_are_told(empty: Engine) -> None:
    """``create_all`` makes a message's row without the number that its index will go by: that is not our schema."""
    METADATA.create_all(empty)

    assert migrations.check(empty)[-1] == "column session_store_messages.id is missing"
    assert migrations.current(empty) is None
    with pytest.raises(StoreError, match="do not match this version"):
        migrations.upgrade(empty)
