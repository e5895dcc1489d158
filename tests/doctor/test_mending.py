"""Mending: all of it, nothing else, while others go on writing, and again where it was interrupted."""

import random
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, inspect, select, text, update

from session_store import (
    ChatMessage,
    Compaction,
    InvalidQuery,
    SchemaOutOfDate,
    SessionStore,
    StoreError,
    StoreUnavailable,
    doctor,
    maintenance,
    migrations,
)
from session_store.database import revisions
from session_store.maintenance import OrphanCounts, repair
from session_store.migrations import views_v1
from session_store.models.models import MESSAGES, SESSIONS, STATES
from tests.conftest import Database
from tests.doctor.faults import FAULTS, KEY, alarms, connection, fill
from tests.hosts import contents, disagreements, host_engine

pytestmark = pytest.mark.once

HELLO = ChatMessage.user("Hello")
WRITERS = 8
EACH = 40


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """A host's engine on a few sessions."""
    fill(database)
    engine = host_engine(database)
    yield engine
    engine.dispose()


def without_heads(database: Database, condition: str = "true") -> None:
    """Delete heads and leave their messages and states."""
    with connection(database) as db:
        if database.name == "postgresql":
            db.exec_driver_sql("SET session_replication_role = replica")
        db.exec_driver_sql(f"DELETE FROM session_store_sessions WHERE {condition}")  # noqa: S608


def rows(engine: Engine) -> Any:
    """All there is."""
    with engine.connect() as db:
        return contents(db)


# Heads.


def test_a_head_is_mended_as_compact_does(database: Database, engine: Engine) -> None:
    """What is wrong with a head is made right by the same rules as ``compact``'s, which then finds nothing to do."""
    before = rows(engine)
    wrong = {"message_count": 99, "last_seq": 1, "state_seq": 7, "state": "lost", "turn_id": "lost"}
    with engine.begin() as db:
        db.execute(update(SESSIONS).where(SESSIONS.c.key == KEY).values(wrong))

    assert maintenance.repair_heads(engine, dry_run=True) == 1
    told: list[int] = []
    assert maintenance.repair_heads(engine, on_progress=told.append) == 1
    assert told == [3]
    assert rows(engine) == before
    assert SessionStore(engine).compact(KEY) == Compaction(0, head_repaired=False)
    assert maintenance.repair_heads(database.url) == 0


def test_many_heads_are_mended(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, all are gone through, whatever stands at the edge of a batch."""
    monkeypatch.setattr(repair, "_HEAD_BATCH_SIZE", 3)
    monkeypatch.setattr(repair, "_SESSION_BATCH_SIZE", 2)
    store = SessionStore(engine)
    for number in range(8):
        store.append(f"web_{number}", HELLO)
    before = rows(engine)
    with engine.begin() as db:
        db.execute(update(SESSIONS).where(SESSIONS.c.key != "web_3").values(message_count=99))

    assert [maintenance.repair_heads(engine, dry_run=dry_run) for dry_run in (True, False, False)] == [10, 10, 0]
    assert rows(engine) == before


def spoil(engine: Engine, keys: list[str], chance: random.Random) -> None:
    """Write something wrong into a head, but for numbers too low, which would keep the writers out."""
    values: dict[str, Any] = chance.choice(
        [{"message_count": chance.randrange(99)}, {"last_seq": SESSIONS.c.last_seq + 3}, {"state": "lost"}]
    )
    with engine.begin() as db:
        db.execute(update(SESSIONS).where(SESSIONS.c.key == chance.choice(keys)).values(values))


def test_heads_are_mended_while_writers_append(database: Database, engine: Engine) -> None:
    """With eight writers at work what was acknowledged is there in the end, and every head says what its log says."""
    keys = ["telegram_ann", "web_bo", "cli_eve"]
    chance = random.Random(8)  # noqa: S311 - the same in every run
    acknowledged: list[tuple[str, int, str]] = []
    failed: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with SessionStore(database.url) as store:
                for count in range(EACH):
                    key, said = keys[count % 3], f"{number}/{count}"
                    acknowledged.append((key, store.append(key, ChatMessage.user(said)).seq, said))
        except BaseException as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    with engine.begin() as db:
        db.execute(update(SESSIONS).values(message_count=99))
    writers = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    mended = maintenance.repair_heads(engine)
    while any(writer.is_alive() for writer in writers):
        spoil(engine, keys, chance)
        mended += maintenance.repair_heads(engine)
    for writer in writers:
        writer.join()
    spoil(engine, keys, chance)
    maintenance.repair_heads(engine)
    with engine.connect() as db:
        said = {tuple(row) for row in db.execute(select(MESSAGES.c.session_key, MESSAGES.c.seq, MESSAGES.c.content))}

        assert disagreements(db) == []
    assert failed == []
    assert mended >= len(keys)
    assert len(acknowledged) == WRITERS * EACH
    assert set(acknowledged) <= said


def test_what_is_right_by_now_is_left_alone(engine: Engine) -> None:
    """A session that has gone since it was found wrong, or was mended by another one, is passed over."""
    with engine.begin() as db:
        assert repair._repair_heads([("gone",), (KEY,)], db) == 0


# Orphans.


@pytest.mark.parametrize("batch_size", [2, pytest.param(500, marks=pytest.mark.long)])
def test_orphans_are_deleted(database: Database, engine: Engine, batch_size: int) -> None:
    """Messages and states without a head go, whatever the size of a batch; all others stay."""
    without_heads(database, f"key <> '{KEY}'")
    with engine.connect() as db:
        left = [[row for row in table if row[0] == KEY] for table in contents(db)]
    foreseen = maintenance.delete_orphans(engine, dry_run=True, batch_size=batch_size)

    assert foreseen == OrphanCounts(messages=4, states=0)
    assert maintenance.delete_orphans(engine, batch_size=batch_size) == foreseen
    assert rows(engine) == left
    assert maintenance.delete_orphans(database.url) == OrphanCounts(0, 0)


def test_orphans_are_adopted(database: Database, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their sessions are there again, with all that the logs tell, and can be written to."""
    monkeypatch.setattr(repair, "_SESSION_BATCH_SIZE", 2)
    _, *logs = rows(engine)
    told = SessionStore(engine).list_sessions_with_metadata()
    without_heads(database)

    assert maintenance.adopt_orphans(engine) == 3
    assert rows(engine)[1:] == logs
    assert SessionStore(engine).list_sessions_with_metadata() == told
    assert alarms(doctor(database.url)) == []
    assert SessionStore(engine).append(KEY, HELLO).seq == 4
    assert maintenance.adopt_orphans(database.url) == 0


def test_a_session_of_states_only_is_adopted(database: Database, engine: Engine) -> None:
    """One that never said anything is as old as its first state, and in its last one."""
    with engine.begin() as db:
        db.execute(MESSAGES.delete().where(MESSAGES.c.session_key == KEY))
        first, last = db.scalars(select(STATES.c.entered_at).order_by(STATES.c.seq)).all()
    without_heads(database, f"key = '{KEY}'")

    assert maintenance.adopt_orphans(database.url) == 1
    (session,) = (it for it in SessionStore(engine).list_sessions_with_metadata() if it.key == KEY)
    assert (session.message_count, session.created_at, session.last_activity) == (0, first, first)
    assert (session.state, session.state_entered_at) == ("idle", last)


def test_a_session_adopted_is_as_old_as_its_oldest_entry(database: Database, engine: Engine) -> None:
    """Whichever log has that: here its first state is a day older than what was said."""
    with engine.begin() as db:
        first = db.scalar(select(func.min(MESSAGES.c.created_at)).where(MESSAGES.c.session_key == KEY))
        earlier = first - timedelta(days=1)
        db.execute(STATES.update().where(STATES.c.session_key == KEY, STATES.c.seq == 1).values(entered_at=earlier))
    without_heads(database, f"key = '{KEY}'")
    maintenance.adopt_orphans(database.url)
    (session,) = (it for it in SessionStore(engine).list_sessions_with_metadata() if it.key == KEY)

    assert session.created_at == earlier
    assert session.last_activity > first - timedelta(seconds=1)


@pytest.mark.parametrize("batch_size", [0, -1, 10_001, 1.5, True, None])
def test_a_batch_that_is_none(batch_size: Any) -> None:
    """A size out of its range is refused before anything is looked for."""
    with pytest.raises(InvalidQuery, match="batch_size"):
        maintenance.delete_orphans("none.db", batch_size=batch_size)


# The schema.


def schema_of(engine: Engine) -> Any:
    """Every index, view and version there is."""
    look = inspect(engine)
    made = {
        "sqlite": "SELECT name, replace(sql, '!=', '<>') FROM sqlite_master WHERE type = 'index'",
        "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    }
    with engine.connect() as db:
        indexes = {tuple(row) for row in db.execute(text(made[engine.dialect.name]))}
    views = {name: look.get_view_definition(name) for name in sorted(look.get_view_names())}
    version = [look.get_pk_constraint(revisions.VERSION_TABLE), migrations.current(engine)]
    columns = [{**column, "type": str(column["type"])} for column in look.get_columns(revisions.VERSION_TABLE)]
    return indexes, views, version, columns


def test_all_that_can_be_dropped_is_made_again(database: Database, engine: Engine) -> None:
    """Without any index, view or version table, what is made is what the revisions make."""
    before = schema_of(engine)
    names = {index["name"] for table in ("sessions", "messages", "states") for index in indexes_of(engine, table)}
    with connection(database) as db:
        for name in reversed(views_v1.NAMES):
            db.exec_driver_sql(f"DROP VIEW {name}")
        for name in names:
            db.exec_driver_sql(f"DROP INDEX {name}")
        db.exec_driver_sql(f"DROP TABLE {revisions.VERSION_TABLE}")
    made = migrations.restore(database.url)

    assert set(made) == {*names, *views_v1.NAMES, revisions.VERSION_TABLE}
    assert schema_of(engine) == before
    assert migrations.restore(engine) == []
    assert alarms(doctor(database.url)) == []


def indexes_of(engine: Engine, table: str) -> list[Any]:
    """The indexes of a table that are no constraint and not the search index."""
    found = inspect(engine).get_indexes(f"session_store_{table}")
    return [it for it in found if "duplicates_constraint" not in it and not str(it["name"]).endswith("_search")]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_orphans_are_in_the_way_of_a_reference(database: Database) -> None:
    """A reference to sessions is made when what has none is gone; until then that is told, and nothing is made."""
    fill(database)
    with connection(database) as db:
        db.exec_driver_sql("ALTER TABLE session_store_messages DROP CONSTRAINT session_store_messages_session_key_fkey")
        db.exec_driver_sql("DROP INDEX session_store_sessions_recency")
    without_heads(database, f"key = '{KEY}'")
    with pytest.raises(StoreError, match="3 rows of session_store_messages have no session"):
        migrations.restore(database.url)
    assert {"schema.index", "schema.reference"} <= {finding.check for finding in alarms(doctor(database.url))}
    maintenance.delete_orphans(database.url)

    assert migrations.restore(database.url) == [
        "session_store_sessions_recency",
        "session_store_messages_session_key_fkey",
    ]
    assert alarms(doctor(database.url)) == []


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_an_index_that_is_not_used_is_made_anew(database: Database, engine: Engine) -> None:
    """One whose making was broken off is told as missing, and is used again."""
    with connection(database) as db:
        db.exec_driver_sql(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'session_store_sessions_recency'::regclass"
        )
    (finding,) = alarms(doctor(engine))

    assert (finding.check, finding.value) == ("schema.index", "session_store_sessions_recency")
    assert migrations.restore(engine) == ["session_store_sessions_recency"]
    assert alarms(doctor(engine)) == []


def test_nobody_says_what_is_not_so(database: Database, engine: Engine) -> None:
    """Tables that differ get no version table, and a host's own run keeps its say; nothing is written then."""
    with connection(database) as db:
        db.exec_driver_sql(f"DROP TABLE {revisions.VERSION_TABLE}")
        db.exec_driver_sql("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL)")
        db.exec_driver_sql("INSERT INTO alembic_version VALUES ('a1b2')")
        assert migrations.restore(engine) == []
        assert alarms(doctor(engine)) == []
        db.exec_driver_sql("DROP TABLE alembic_version")
        for name in reversed(views_v1.NAMES):
            db.exec_driver_sql(f"DROP VIEW {name}")
        db.exec_driver_sql("ALTER TABLE session_store_sessions DROP COLUMN name")
        with pytest.raises(StoreError, match="name is missing"):
            migrations.restore(engine)
    with engine.connect() as db:
        assert not inspect(db).get_view_names()


def test_an_old_schema_is_to_be_upgraded(database: Database, engine: Engine) -> None:
    """What an older revision does not have is not missing, and not made by hand."""
    with connection(database) as db:
        for statement in views_v1.drop(database.name):
            db.exec_driver_sql(statement)
        db.exec_driver_sql(f"UPDATE {revisions.VERSION_TABLE} SET version_num = 'ss_0002'")  # noqa: S608

    with pytest.raises(SchemaOutOfDate):
        migrations.restore(engine)
    assert [finding.check for finding in alarms(doctor(engine))] == ["schema.revision"]


def test_a_newer_schema(database: Database, engine: Engine) -> None:
    """A revision of a version to come is told to be one, with what brings it."""
    with connection(database) as db:
        db.exec_driver_sql(f"UPDATE {revisions.VERSION_TABLE} SET version_num = 'ss_9999'")  # noqa: S608
    (finding,) = alarms(doctor(engine))

    assert (finding.check, finding.value) == ("schema.revision", "ss_9999")
    assert finding.command == "pip install --upgrade session-store"


# Pragmas, and who cannot be mended.


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("by", ["engine", "url"])
def test_pragmas_of_a_file(database: Database, by: str) -> None:
    """What a file keeps is set once, on an engine of the host's that nobody tuned, and by its name."""
    with connection(database) as db:
        db.exec_driver_sql("PRAGMA journal_mode = DELETE")
    engine = host_engine(database, tuned=False)
    bind = engine if by == "engine" else database.url

    assert [maintenance.enable_wal(bind) for _ in range(2)] == [["journal_mode = WAL"], []]
    engine.dispose()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_pragmas_of_a_file_in_use(database: Database) -> None:
    """While somebody has it open in the old way nothing is switched, and that is told."""
    with connection(database) as db:
        db.exec_driver_sql("PRAGMA journal_mode = DELETE")
        engine = host_engine(database, tuned=False, connect_args={"timeout": 0})
        db.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            maintenance.enable_wal(engine)
        db.exec_driver_sql("ROLLBACK")
        assert db.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "delete"
    engine.dispose()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_full_vacuum_lets_a_file_know_its_free_pages(database: Database) -> None:
    """A file that was made without a list of them has one afterwards, so that the next vacuum need not be full."""
    fault = next(fault for fault in FAULTS if fault.name == "free pages without a list")
    with fault.plant(database):
        maintenance.vacuum(database.url, full=True)
    with connection(database) as db:
        db.exec_driver_sql("INSERT INTO host_files VALUES (zeroblob(20000000))")
        db.exec_driver_sql("DELETE FROM host_files")
    (finding,) = alarms(doctor(database.url))

    assert finding.command == "session-store vacuum"
    maintenance.vacuum(database.url)
    assert alarms(doctor(database.url)) == []


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_pragmas_are_those_of_sqlite(database: Database) -> None:
    """PostgreSQL has none."""
    with pytest.raises(InvalidQuery, match="postgresql"):
        maintenance.enable_wal(database.url)


MENDS: list[Callable[[Any], object]] = [maintenance.repair_heads, maintenance.delete_orphans, maintenance.adopt_orphans]


@pytest.mark.parametrize("mend", MENDS)
def test_there_is_nothing_to_mend(empty_database: Database, mend: Callable[[Any], object], tmp_path: Any) -> None:
    """Without tables that is told, and a file that is not there is not made."""
    if empty_database.name == "sqlite":
        (tmp_path / "empty.db").touch()
    with pytest.raises(SchemaOutOfDate):
        mend(empty_database.url)
    with pytest.raises(StoreUnavailable, match="there is no file"):
        mend(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_in_a_schema(database: Database) -> None:
    """Mended is what is in the schema that is named, and nothing beside it."""
    fill(database)
    migrations.upgrade(database.url, schema="chat")
    with SessionStore(database.url, schema="chat") as store:
        store.append(KEY, HELLO)
        with store.engine.begin() as db:
            for schema in ("chat", "public"):
                db.execute(text(f"UPDATE {schema}.session_store_sessions SET message_count = 9"))  # noqa: S608
                db.execute(text(f"DROP INDEX {schema}.session_store_sessions_recency"))
    assert maintenance.repair_heads(database.url, schema="chat") == 1
    assert migrations.restore(database.url, schema="chat") == ["session_store_sessions_recency"]

    assert alarms(doctor(database.url, schema="chat")) == []
    assert {finding.check for finding in alarms(doctor(database.url))} == {"heads.message_count", "schema.index"}
