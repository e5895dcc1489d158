"""The two indexes that analysts may ask for: there when asked for, used, gone when dropped, and never in the way."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, create_engine, inspect, select, text

from session_store import ChatMessage, SchemaOutOfDate, SessionStore, analytics, migrations
from session_store.analytics import TURNS_V1
from session_store.analytics import indexes as analytics_indexes
from session_store.analytics.indexes import BY_DAY, BY_TURN
from tests.conftest import Database
from tests.hosts import host_engine

pytestmark = pytest.mark.once

SINCE = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """An engine of the host's on a migrated database."""
    engine = host_engine(database)
    yield engine
    engine.dispose()


def ours(bind: Engine, schema: str | None = None) -> set[str]:
    """Which of the two are there."""
    if bind.dialect.name == "sqlite":
        # SQLAlchemy does not read its indexes on expressions.
        with bind.connect() as db:
            names = set(db.scalars(text("SELECT name FROM sqlite_master WHERE type = 'index'")))
    else:
        names = {str(index["name"]) for index in inspect(bind).get_indexes("session_store_messages", schema=schema)}
    return names & set(analytics_indexes.NAMES)


def test_they_come_and_go(engine: Engine) -> None:
    """Made once or twice they are there, and nothing else has changed; dropped once or twice they are not."""
    for _ in range(2):
        assert analytics.create_indexes(engine) == [BY_DAY, BY_TURN]
        assert ours(engine) == {BY_DAY, BY_TURN}
        assert migrations.check(engine) == []
    for _ in range(2):
        analytics.drop_indexes(engine)
        assert ours(engine) == set()


def test_they_are_part_of_the_hosts_transaction(engine: Engine) -> None:
    """Rolled back by the host, they were never made."""
    with engine.connect() as db, db.begin() as transaction:
        analytics.create_indexes(db)
        transaction.rollback()

    assert ours(engine) == set()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_they_are_in_the_schema(engine: Engine) -> None:
    """In the one that holds the tables, and only there."""
    migrations.upgrade(engine, schema="chat")
    analytics.create_indexes(engine, schema="chat")

    assert (ours(engine, "chat"), ours(engine)) == ({BY_DAY, BY_TURN}, set())
    analytics.drop_indexes(engine, schema="chat")
    assert ours(engine, "chat") == set()


@pytest.mark.parametrize("call", [analytics.create_indexes, analytics.drop_indexes])
def test_without_tables_there_is_nothing_to_index(empty_database: Database, call: Callable[[Engine], object]) -> None:
    """The error says what to run."""
    engine = host_engine(empty_database)

    with pytest.raises(SchemaOutOfDate, match=r"session_store\.migrations upgrade"):
        call(engine)
    engine.dispose()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_month_is_read_by_its_days(engine: Engine) -> None:
    """SQLite goes through the days asked for, and reads no message for what the index has."""
    analytics.create_indexes(engine)
    question = analytics.activity("day", since=SINCE).compile(engine, compile_kwargs={"literal_binds": True})
    with engine.connect() as db:
        plan = [row[-1] for row in db.execute(text(f"EXPLAIN QUERY PLAN {question}".replace(":", r"\:")))]

    assert f"SEARCH m USING COVERING INDEX {BY_DAY} (<expr>>?)" in plan


def test_a_turn_finds_its_messages(database: Database) -> None:
    """By the index of turns, and not among all messages of the session."""
    engine = create_engine(database.url)
    with SessionStore(database.url) as store:
        for turn in range(200):
            store.set_session_state("ann", "running", f"turn_{turn}")
            store.append_many("ann", [ChatMessage.assistant("yes")] * 2)
    analytics.create_indexes(engine)
    explain = "EXPLAIN QUERY PLAN" if database.name == "sqlite" else "EXPLAIN"
    question = select(TURNS_V1.c.turn_id, TURNS_V1.c.messages)
    with engine.connect() as db:
        if database.name == "postgresql":
            db.execute(text("ANALYZE"))
        plan = "\n".join(str(row[-1]) for row in db.execute(text(f"{explain} {question.compile(engine)}")))
        rows = db.execute(question).all()
    engine.dispose()

    assert BY_TURN in plan
    assert {row.turn_id: row.messages for row in rows} == {f"turn_{turn}": 2 for turn in range(200)}
