"""The views: their columns are promised, and their rows are what the reference makes of the same conversations."""

import random
from datetime import timedelta
from typing import NamedTuple
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import example, given
from sqlalchemy import Engine, MetaData, inspect, select, text
from sqlalchemy.exc import ProgrammingError

from session_store import ChatMessage, SessionStore, migrations
from session_store.analytics import views
from session_store.testing import Clock
from tests.analytics import filling
from tests.analytics.asking import PREFIX, TABLES, every
from tests.analytics.comparing import as_given, differences, in_order
from tests.analytics.conftest import Analysed
from tests.analytics.conversations import conversations
from tests.analytics.crowd import CROWD
from tests.analytics.figures import VIEWS, Conversations
from tests.analytics.samples import FULL, NOTHING
from tests.conftest import Database, examples
from tests.migrations.steps import configured

NAMES = {f"{PREFIX}{view}" for view in VIEWS}


class Type(NamedTuple):
    """What the type of a value is called."""

    postgresql: str
    sqlite: str


TEXT, JSON = Type("text", "text"), Type("jsonb", "text")
TIME, DAY = Type("timestamp with time zone", "text"), Type("date", "text")
COUNT, FLOAT = Type("bigint", "integer"), Type("double precision", "real")
COLUMNS = {
    "sessions": {
        "session_key": TEXT,
        "name": TEXT,
        "owner": TEXT,
        "attributes": JSON,
        "created_at": TIME,
        "last_activity": TIME,
        "seconds": FLOAT,
        "message_count": COUNT,
        "state": TEXT,
        "turn_id": TEXT,
        "state_entered_at": TIME,
    },
    "messages": {
        "session_key": TEXT,
        "seq": COUNT,
        "created_at": TIME,
        "day": DAY,
        "role": TEXT,
        "turn_id": TEXT,
        "content": TEXT,
        "characters": COUNT,
        "tool_calls": COUNT,
        "tool_names": TEXT,
        "tool_call_id": TEXT,
        "model": TEXT,
        "input_tokens": COUNT,
        "output_tokens": COUNT,
        "latency_ms": FLOAT,
    },
    "tool_calls": {
        "session_key": TEXT,
        "seq": COUNT,
        "position": COUNT,
        "created_at": TIME,
        "day": DAY,
        "turn_id": TEXT,
        "name": TEXT,
    },
    "turns": {
        "session_key": TEXT,
        "seq": COUNT,
        "turn_id": TEXT,
        "started_at": TIME,
        "day": DAY,
        "ended_at": TIME,
        "seconds": FLOAT,
        "outcome": TEXT,
        "messages": COUNT,
        "input_tokens": COUNT,
        "output_tokens": COUNT,
    },
    "daily": {
        "day": DAY,
        "sessions_active": COUNT,
        "sessions_new": COUNT,
        "messages": COUNT,
        "messages_user": COUNT,
        "messages_assistant": COUNT,
        "messages_system": COUNT,
        "messages_tool": COUNT,
        "messages_other": COUNT,
        "turns": COUNT,
        "errors": COUNT,
        "turn_seconds_median": FLOAT,
        "turn_seconds_p95": FLOAT,
    },
}
"""What is promised: the columns of each view in their order, with their types on both databases."""
TYPE_OF = {"sqlite": "typeof({})", "postgresql": "CAST(pg_typeof({}) AS text)"}


def check_views(analysed: Analysed, said: Conversations) -> None:
    """Let each view have the reference's rows, read by SQL alone and as a table of ours."""
    for view, (_, rows) in VIEWS.items():
        expected = rows(said)
        by_sql = in_order(view, analysed.rows(every(view)))
        as_table = in_order(view, analysed.rows(select(TABLES[view])))

        given = [as_given(analysed.name, row) for row in expected]
        assert differences(by_sql, in_order(view, given)) == []
        assert differences(as_table, in_order(view, expected)) == []


@pytest.mark.parametrize("number", [15, pytest.param(1_000, marks=pytest.mark.long)])
@pytest.mark.timeout(900)
def test_rows_are_those_of_the_reference(analysed: Analysed, number: int) -> None:
    """Every view has exactly the rows of its description, whatever was said."""

    @examples(number)
    @example(NOTHING)
    @given(conversations())
    def check(said: Conversations) -> None:
        analysed.fill(said)
        check_views(analysed, said)

    check()


def test_many_sessions(analysed: Analysed) -> None:
    """So they have where much is to be told apart."""
    analysed.fill(CROWD)

    check_views(analysed, CROWD)


CALLS = [*["append"] * 6, *["run"] * 4, *["end"] * 3, "remove", "label", "prune"]


def test_what_a_store_wrote(analysed: Analysed, clock: Clock) -> None:
    """So they have when it was the store that filled the tables, and removed something again."""
    analysed.fill(NOTHING)
    store = SessionStore(analysed.engine, clock=clock)
    chance = random.Random(7)  # noqa: S311 - the same each time
    payloads = [None, FULL.messages[0].payload, {"usage": {"completion_tokens": 5}}, {"model": "small"}]
    for _ in range(150):
        key = chance.choice("abc")
        now = clock.advance(chance.choice([0, 0.000001, 1, 60, 4_000]))
        match chance.choice(CALLS):
            case "append":
                message = ChatMessage(chance.choice(["user", "assistant", "tool"]), "é\0", chance.choice(payloads))
                store.append(key, message, created_at=chance.choice([None, now.replace(hour=0)]))
            case "run":
                store.set_session_state(key, "running", chance.choice([None, "t1", "t2"]))
            case "end":
                store.set_session_state(key, chance.choice(["idle", "error", "waiting"]), chance.choice([None, "t1"]))
            case "remove":
                store.remove_last(key)
            case "label":
                store.set_session_owner(key, chance.choice(["ann", "bo"]))
                store.set_session_attributes(key, {"n": chance.randint(0, 3), "\0": "\ud800"})
            case "prune":
                store.prune_states(now - timedelta(days=1))
    with analysed.engine.connect() as db:
        said = filling.read(db)

    assert min(len(said.messages), len(said.entries)) > 20
    check_views(analysed, said)


@pytest.mark.parametrize("view", COLUMNS)
def test_columns_are_as_promised(analysed: Analysed, view: str) -> None:
    """Names, order and types: whoever changes one breaks what somebody built on it, and makes version 2."""
    analysed.fill(FULL)
    type_of = TYPE_OF[analysed.name]
    (row,) = analysed.rows(every(view))
    types = [analysed.rows(f"SELECT {type_of.format(name)} FROM {PREFIX}{view}")[0][0] for name in row._fields]  # noqa: S608

    promised = COLUMNS[view]
    assert list(zip(row._fields, types, strict=True)) == [
        (name, getattr(promised[name], analysed.name)) for name in promised
    ]
    assert [column.name for column in TABLES[view].c] == list(VIEWS[view][0]._fields) == list(promised)


def test_nothing_is_drift(analysed: Analysed) -> None:
    """The views are no difference for `check`, nor for a host's autogenerate, even one that has read or named them."""
    assert migrations.check(analysed.engine) == []
    with analysed.engine.connect() as db:
        context = MigrationContext.configure(db, opts={"include_object": migrations.include_object})
        reflected = MetaData()
        reflected.reflect(db, views=True)
        assert reflected.tables.keys() >= NAMES
        for metadata in (MetaData(), reflected, views.SESSIONS_V1.metadata):
            assert compare_metadata(context, metadata) == []
        found = str(compare_metadata(MigrationContext.configure(db), MetaData()))
    assert not [name for name in NAMES if name in found]


def test_they_come_and_go_with_their_revision(database: Database, engine: Engine) -> None:
    """Going down removes the views and nothing else; going up makes them again, over the rows that are there."""
    with engine.begin() as db:
        filling.fill(db, FULL)
    assert set(inspect(engine).get_view_names()) == NAMES
    command.downgrade(configured(database), "ss_0002")
    inspect(engine).clear_cache()
    assert inspect(engine).get_view_names() == []
    with engine.connect() as db:
        assert filling.read(db) == FULL

    command.upgrade(configured(database), "head")
    assert set(inspect(engine).get_view_names()) == NAMES
    with engine.connect() as db:
        assert [len(db.execute(text(every(view))).all()) for view in VIEWS] == [1] * 5


def test_in_a_host_s_schema(postgresql: Engine) -> None:
    """There they are with the tables, and answer wherever the one who asks looks for names."""
    migrations.upgrade(postgresql, schema="chat")
    with postgresql.connect().execution_options(schema_translate_map={None: "chat"}) as db, db.begin():
        filling.fill(db, FULL)
        for table in TABLES.values():
            assert len(db.execute(select(table)).all()) == 1

    assert set(inspect(postgresql).get_view_names("chat")) == NAMES
    assert inspect(postgresql).get_view_names("public") == []
    with postgresql.connect() as db:
        db.execute(text("SET search_path TO pg_catalog"))
        for view, (_, rows) in VIEWS.items():
            found = db.execute(text(every(view, "chat."))).all()
            assert differences(found, [as_given("postgresql", row) for row in rows(FULL)]) == []


def test_whoever_may_read_them_needs_no_more(postgresql: Engine) -> None:
    """A role that may SELECT the views reads them, and not the tables."""
    role = f"analyst_{uuid4().hex}"
    migrations.upgrade(postgresql)
    with postgresql.begin() as db:
        filling.fill(db, FULL)
    with postgresql.connect() as db:
        # Rolled back, it was never there: roles are the server's, not the database's.
        db.execute(text(f"CREATE ROLE {role}"))
        db.execute(text(f"GRANT SELECT ON {', '.join(NAMES)} TO {role}"))
        db.execute(text(f"SET LOCAL ROLE {role}"))
        assert [len(db.execute(text(every(view))).all()) for view in VIEWS] == [1] * 5
        with pytest.raises(ProgrammingError, match="permission denied"):
            db.execute(text("SELECT * FROM session_store_messages"))
