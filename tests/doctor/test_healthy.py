"""Where nothing is wrong nothing is said to be, whoever asks and by whichever way."""

import asyncio
import itertools
import subprocess
import threading
from datetime import timedelta

import pytest
from sqlalchemy import Connection, create_engine, event, text

from session_store import ChatMessage, Finding, NewMessage, SessionStore, StoreUnavailable, doctor, migrations
from session_store.maintenance.doctor import runner, sqlite
from session_store.search import index as search_index
from session_store.store.arguments import utc_now
from tests.conftest import Database
from tests.doctor.faults import KEY, alarms, connection, fill
from tests.hosts import ASYNC_DRIVERS, SYNC_DRIVERS, async_host_engine, host_engine

pytestmark = pytest.mark.once

only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

OTHER_PLACES = 'we\'ird "$(chat)"\n\x1b[31m'
"""A schema of a host that likes to try things."""


def facts(findings: list[Finding]) -> set[str]:
    """The checks that told something and found nothing wrong."""
    assert alarms(findings) == []
    return {finding.check for finding in findings}


def use(store: SessionStore) -> None:
    """Do to a few sessions whatever can be done to one."""
    for key in ("telegram_ann", "web_bo", "cli_eve", "b"):
        old = [NewMessage(ChatMessage.user("old"), utc_now() - timedelta(days=days)) for days in (1, 9, 3)]
        store.append_many(key, old)
        for turn in ("t1", "t2"):
            store.set_session_state(key, "running", turn)
            store.append(key, ChatMessage.assistant("Привет, мир", {"tool_calls": [{"name": "weather"}]}))
            store.append(key, ChatMessage.tool("12 °C\0", {"tool_call_id": "1"}), idempotency_key=turn)
            store.set_session_state(key, "error" if turn == "t1" else "idle")
        store.update_last(key, ChatMessage.assistant("😀 lol"))
        store.remove_last(key)
        store.append(key, ChatMessage.user("twice"))
        store.append(key, ChatMessage.user("twice"))
        store.compact(key)
    store.clear_messages("web_bo")
    store.trim("cli_eve", keep_last=2)
    store.prune_states(utc_now())
    store.set_session_state("cli_eve", "running", "t3")
    store.create_session("web_new", owner="ann")
    store.delete_session("b")


def test_an_empty_store_is_well(database: Database) -> None:
    """Of a store that was just made facts are told, and the same of its tables as of one in use."""
    empty = facts(doctor(database.url))
    with SessionStore(database.url) as store:
        use(store)

    assert facts(doctor(database.url)) == empty
    assert {"schema.revision", "search.engine", "search.size", "sizes.total", "heads.compared"} <= empty


def test_quick_leaves_out_what_reads_every_row(database: Database) -> None:
    """What is told quickly is a part of what is told otherwise, the revision and the stuck among it."""
    fill(database)
    with SessionStore(database.url, clock=lambda: utc_now() - timedelta(hours=2)) as store:
        store.set_session_state("web_bo", "running")
    quick, thorough = ({finding.check for finding in doctor(database.url, quick=quick)} for quick in (True, False))

    assert {"schema.revision", "sessions.stuck", "search.engine"} <= quick < thorough
    assert {"heads.compared"} <= thorough - quick


@pytest.mark.parametrize(
    ("database", "driver"),
    [(name, driver) for name, drivers in SYNC_DRIVERS.items() for driver in drivers],
    indirect=["database"],
)
def test_an_engine_of_the_hosts(database: Database, driver: str) -> None:
    """On every driver an engine and a connection tell the same, and a connection stays in its transaction."""
    engine = host_engine(database, driver)
    SessionStore(engine).append(KEY, ChatMessage.user("Hello"))
    told = facts(doctor(engine))
    with engine.begin() as db:
        db.execute(text("CREATE TABLE host_notes (id integer)"))
        inside = facts(doctor(db))
        assert db.in_transaction()
    with engine.connect() as db:
        assert db.execute(text("SELECT count(*) FROM host_notes")).scalar_one() == 0
    engine.dispose()

    assert inside == told


@pytest.mark.parametrize(
    ("database", "driver"),
    [(name, driver) for name, drivers in ASYNC_DRIVERS.items() for driver in drivers],
    indirect=["database"],
)
def test_an_engine_on_an_event_loop(database: Database, driver: str) -> None:
    """A connection of an event loop is looked at in its ``run_sync``."""
    fill(database)

    async def ask() -> list[Finding]:
        engine = async_host_engine(database, driver)
        async with engine.connect() as db:
            findings = await db.run_sync(doctor)
        await engine.dispose()
        return findings

    assert "heads.compared" in facts(asyncio.run(ask()))


@only_postgresql
def test_a_connection_that_commits_each_statement(database: Database) -> None:
    """Where no transaction can be begun all is looked at that does not need one."""
    fill(database)
    with connection(database) as db:
        assert "heads.compared" in facts(doctor(db))


@only_sqlite
def test_an_engine_that_nobody_tuned(database: Database) -> None:
    """A host that keeps no foreign keys is told so, with what to call; of a path that is nobody's business."""
    fill(database)
    engine = host_engine(database, tuned=False)
    findings = alarms(doctor(engine))
    engine.dispose()

    assert [finding.check for finding in findings] == ["sqlite.foreign_keys"]
    assert "configure_sqlite(engine)" in findings[0].message
    assert alarms(doctor(database.url)) == []


@only_postgresql
def test_in_a_schema(database: Database) -> None:
    """Tables in a schema are looked at there, and what mends them names it, whatever it is called."""
    migrations.upgrade(database.url, schema=OTHER_PLACES)
    with SessionStore(database.url, schema=OTHER_PLACES) as store:
        use(store)
    assert facts(doctor(database.url, schema=OTHER_PLACES)) >= {"heads.compared", "sizes.messages"}
    search_index.drop(database.url, schema=OTHER_PLACES)
    (finding,) = alarms(doctor(database.url, schema=OTHER_PLACES))
    assert str(finding.command).isprintable()
    words = subprocess.check_output(["bash", "-c", f"printf '%s\\0' {finding.command}"], text=True)  # noqa: S607

    assert words.split("\0")[:-1] == ["session-store", "index", "create", "--schema", OTHER_PLACES]
    assert alarms(doctor(database.url)) == []


@only_sqlite
def test_a_file_that_never_changes(database: Database) -> None:
    """Of a file that is opened as one nothing is known of its log, and nothing said."""
    fill(database)
    unchanging = database.url.set(
        database=f"file:{database.url.database}", query={"immutable": "1", "mode": "ro", "uri": "true"}
    )
    engine = create_engine(unchanging)

    for bind in (unchanging, engine):
        assert [it.check for it in alarms(doctor(bind))] == (["sqlite.foreign_keys"] if bind is engine else [])
    engine.dispose()


def test_in_memory() -> None:
    """A database in memory has no log and no disk."""
    with SessionStore.open("sqlite://") as store:
        use(store)
        assert "sqlite.journal_mode" in facts(doctor(store.engine))


@only_postgresql
def test_a_role_that_may_only_read(database: Database) -> None:
    """One to whom only SELECT is granted, in transactions that may not write, is told the same, and what is hidden."""
    fill(database)
    role = f"reader_{database.url.database}"
    with connection(database) as db:
        for statement in (
            f"CREATE ROLE {role}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        ):
            db.exec_driver_sql(statement)
        options = f"-crole={role} -cdefault_transaction_read_only=on"
        try:
            findings = doctor(database.url.update_query_dict({"options": options}))
        finally:
            db.exec_driver_sql(f"DROP OWNED BY {role}")
            db.exec_driver_sql(f"DROP ROLE {role}")

    assert facts(findings) >= {"heads.compared", "schema.revision", "search.engine", "transactions.hidden"}


@only_postgresql
def test_a_role_that_may_not_read_everything(database: Database) -> None:
    """What a role has no right to is said, and is no fault: the others are looked at."""
    fill(database)
    role = f"blind_{database.url.database}"
    with connection(database) as db:
        db.exec_driver_sql(f"CREATE ROLE {role}")
        db.exec_driver_sql(f"GRANT SELECT ON session_store_sessions TO {role}")
        try:
            findings = doctor(database.url.update_query_dict({"options": f"-crole={role}"}))
        finally:
            db.exec_driver_sql(f"DROP OWNED BY {role}")
            db.exec_driver_sql(f"DROP ROLE {role}")
    said = {finding.check: finding.message for finding in findings}

    assert facts(findings) >= {"heads", "orphans", "sizes.total"}
    assert "permission denied" in said["heads"]
    assert "version table" in said["schema.revision"]


def test_beside_writers(database: Database) -> None:
    """Whatever is looked at while others write, what they are in the middle of is not told as wrong."""
    ended = threading.Event()
    failed: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with SessionStore(database.url) as store:
                for count in itertools.count():
                    key = f"web_{count % 3}"
                    store.append(key, ChatMessage.user(f"said {number}/{count}"))
                    store.update_last(key, ChatMessage.user(f"meant {number}/{count}"))
                    store.set_session_state(key, "running" if count % 2 else "idle", f"{number}/{count}")
                    if count % 7 == number:
                        store.delete_session(key)
                    if ended.is_set():
                        return
        except BaseException as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(2):
            assert alarms(doctor(database.url)) == []
    finally:
        ended.set()
        for writer in writers:
            writer.join()
    assert failed == []


def test_no_index_is_wanted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the index was left out on purpose, that is a fact."""
    search_index.drop(database.url)
    assert [finding.check for finding in alarms(doctor(database.url))] == ["search.index"]
    monkeypatch.setenv(search_index.ENV_VAR, "off")

    assert "search.engine" in facts(doctor(database.url))


@only_postgresql
def test_a_database_that_is_not_in_utf8(database: Database) -> None:
    """Text that it would refuse is told of; an index it cannot have is not missed."""
    name = f"{database.url.database}_latin"
    with connection(database) as db:
        db.exec_driver_sql(f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        latin = database.url.set(database=name)
        migrations.upgrade(latin)
        found = alarms(doctor(latin))
        db.exec_driver_sql(f"DROP DATABASE {name}")

    assert [(finding.check, finding.value) for finding in found] == [("server.encoding", "LATIN1")]


@only_sqlite
def test_a_disk_that_is_nearly_full(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with less room than it should have is told, with what that comes to."""
    monkeypatch.setattr(sqlite, "_MIN_DISK_SPACE", 2**62)
    (finding,) = alarms(doctor(database.url))

    assert (finding.check, finding.unit) == ("sqlite.disk", "bytes")


@only_postgresql
def test_a_table_that_is_locked(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody has locked is not waited for as long as they please; all else is looked at."""
    monkeypatch.setattr(runner, "_TIMEOUT_SECS", 0.05)
    fill(database)
    with connection(database) as db:
        for statement in ("BEGIN", "LOCK TABLE session_store_states IN ACCESS EXCLUSIVE MODE"):
            db.exec_driver_sql(statement)
        findings = {finding.check: finding for finding in doctor(database.url)}
        db.exec_driver_sql("ROLLBACK")

    assert "lock timeout" in findings["heads"].message
    assert {"schema.revision", "search.engine", "server.version"} <= findings.keys()


@only_postgresql
def test_a_connection_that_is_lost(database: Database) -> None:
    """Who loses the server in the middle of it is told that, and no half of what was found."""
    engine = host_engine(database)

    def end(db: Connection, _cursor: object, statement: str, *_: object) -> None:
        if "pg_stat_activity" in statement:
            pid = db.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
            with connection(database) as other:
                other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")

    event.listen(engine, "before_cursor_execute", end)
    with pytest.raises(StoreUnavailable):
        doctor(engine)
    engine.dispose()
