"""Transactions that the database ends in favour of others: the store runs its own again, and tells the others so."""

import time
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from session_store import Conflict
from session_store.database.driver_errors import sqlstate
from tests.conftest import Database
from tests.faults.conftest import Scene, times
from tests.faults.fleet import Audit, Notes
from tests.faults.racing import Field, Racer, at_level, deferred, errors, out_of_turn
from tests.faults.writing import calls
from tests.hosts import host_engine

MESSAGES_TOLD = 10_000
MANY = tuple(f"session {n}" for n in range(40))
"""So many that transactions which take two of them do not always meet."""
DEADLOCK = "40P01"
SERIALIZATION_FAILURE = "40001"
STALE_SNAPSHOT = "SQLITE_BUSY_SNAPSHOT"

only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def set_for_all(database: Database, setting: str) -> None:
    """Let all connections to a database on PostgreSQL have a setting, from the next one on."""
    engine = host_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as db:
        db.execute(text(f'ALTER DATABASE "{database.url.database}" SET {setting}'))
    engine.dispose()


def deadlocks(database: Database) -> int:
    """How many deadlocks the server has ended in a database, by its own count."""
    engine = host_engine(database)
    with engine.connect() as db:
        counted = db.scalar(text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))
    engine.dispose()
    return int(counted)


def appends_to_two(racer: Racer) -> None:
    """Append to two sessions in one transaction, whichever comes first; again after a conflict."""
    while racer.goes_on():
        new = [(session, racer.new()) for session in racer.chance.sample(racer.sessions, 2)]
        while True:
            begun = time.monotonic_ns()
            try:
                with racer.store.begin() as transaction:
                    stored = [transaction.append(session, one.message) for session, one in new]
            except Conflict as error:
                racer.refused(error, begun)
            else:
                break
        for (session, one), its in zip(new, stored, strict=True):
            racer.tells(session, [(its.seq, one.token)], begun)


def outcome(scene: Scene, field: Field) -> tuple[Audit, Notes]:
    """What became of all that racers were told, once that is enough; a racer's own messages are in its order."""
    field.wait_for(times(MESSAGES_TOLD))
    found, notes = scene.audit(field), field.notes()
    found.disordered += out_of_turn(notes.told)
    return found, notes


@pytest.mark.timeout(900)
def test_transactions_in_opposite_order(scene: Scene) -> None:
    """Of transactions that wait for each other one is told of a conflict; run again, all they say is there once."""
    if scene.database.name == "postgresql":
        set_for_all(scene.database, "deadlock_timeout = '10ms'")
    with scene.field() as field:
        field.send(appends_to_two, 8)
        found, notes = outcome(scene, field)
    if scene.database.name == "sqlite":
        assert notes.refused == {}
        seen = "begin() takes the only lock there is: nobody waits for a second one"
        scene.report("deadlock of begin()", 0, found, why_not=seen)
    else:
        assert notes.refused["Conflict"] == errors(notes, appends_to_two)[DEADLOCK] == deadlocks(scene.database)
        scene.report("deadlock of begin()", notes.refused["Conflict"], found, notes.refusals())


def works(racer: Racer) -> None:
    """Let sessions run, one after the other."""
    for call in calls(racer.name, racer.sessions, racer.chance):
        if not racer.goes_on():
            break
        begun = time.monotonic_ns()
        answer = getattr(racer.store, call.name)(call.session, *call.arguments, **call.options)
        if call.tokens:
            stored = answer if isinstance(answer, list) else [answer]
            racer.tells(call.session, zip([one.seq for one in stored], call.tokens, strict=True), begun)


def recovers(racer: Racer) -> None:
    """Let all sessions run and end them all, in one call."""
    while racer.goes_on():
        for session in racer.sessions:
            racer.store.set_session_state(session, "running", racer.new().token)
        racer.store.recover_stuck(0)


@only_postgresql
@pytest.mark.timeout(900)
def test_single_calls_in_opposite_order(scene: Scene) -> None:
    """A single call holds no session while it waits for one; where it is ended to free others it runs again."""
    set_for_all(scene.database, "deadlock_timeout = '10ms'")
    with scene.field() as field:
        field.send(appends_to_two, 6)
        field.send(recovers, 2)
        found, notes = outcome(scene, field)
    # It can stand in a queue before one that holds another session.
    run_again = errors(notes, recovers)[DEADLOCK]
    assert notes.refused["Conflict"] == errors(notes, appends_to_two)[DEADLOCK] == deadlocks(scene.database) - run_again
    seen = f"it holds no session while it waits for one; begin(): {notes.refusals()}"
    scene.report("deadlock of a single call", run_again, found, why_not=seen)


@only_postgresql
@pytest.mark.timeout(900)
def test_a_server_that_is_strict(scene: Scene) -> None:
    """Where the server's own isolation makes single calls fail, each is run again, and its caller hears nothing."""
    set_for_all(scene.database, "default_transaction_isolation = 'serializable'")
    with scene.field() as field:
        field.send(works, 8)
        found, notes = outcome(scene, field)
    scene.report("a server at SERIALIZABLE", errors(notes, works)[SERIALIZATION_FAILURE], found, notes.refusals())


@only_postgresql
@pytest.mark.timeout(900)
def test_an_engine_that_is_strict(scene: Scene) -> None:
    """On an engine whose transactions are serializable those of the store have their own level, and never fail."""
    with scene.field() as field:
        field.send(works, 8, engine=partial(at_level, "SERIALIZABLE"))
        found, notes = outcome(scene, field)
    failures = errors(notes, works)[SERIALIZATION_FAILURE]
    scene.report("an engine at SERIALIZABLE", failures, found, why_not="the store's transactions have their own level")


def joins(racer: Racer) -> None:
    """Read, and then append to two sessions, in a host's transaction; again where the database gave up on it."""
    while racer.goes_on():
        new = [(session, racer.new()) for session in racer.chance.sample(racer.sessions, 2)]
        stored = None
        while stored is None:
            begun = time.monotonic_ns()
            with racer.host() as host:
                joined = racer.store.joined_to(host)
                try:
                    joined.load(new[0][0], last=3)
                    written = [joined.append(session, one.message) for session, one in new]
                    host.commit()
                    stored = written
                except Conflict as error:
                    racer.refused(error, begun)
                except DBAPIError as error:
                    # It is the host who commits, and who reads what the driver says then.
                    if sqlstate(error.orig) != SERIALIZATION_FAILURE:
                        raise
                    racer.refused(error, begun)
        for (session, one), its in zip(new, stored, strict=True):
            racer.tells(session, [(its.seq, one.token)], begun)


@only_postgresql
@pytest.mark.timeout(900)
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_host_that_is_strict(scene: Scene, level: str) -> None:
    """A host whose transaction the database gave up on is told of a conflict; run again, all it says is there once."""
    set_for_all(scene.database, "deadlock_timeout = '10ms'")
    with scene.field(MANY) as field:
        field.send(joins, 8, engine=partial(at_level, level))
        field.wait_for(times(MESSAGES_TOLD))
        found = scene.audit(field)
        notes = field.notes()
    codes = errors(notes, joins)
    assert codes[SERIALIZATION_FAILURE] + codes[DEADLOCK] <= notes.refused.total()
    scene.report(f"a host at {level}", notes.refused["Conflict"], found, f"{notes.refusals()}; {dict(codes)}")


@only_sqlite
@pytest.mark.timeout(900)
def test_a_host_that_has_read(scene: Scene) -> None:
    """A host that read and then writes, after somebody else wrote, is told of a conflict; run again, all is there."""
    with scene.field() as field:
        field.send(joins, 8, engine=deferred)
        # Of fewer it may be that no two of them meet.
        field.wait_for(times(MESSAGES_TOLD, 1_000))
        found = scene.audit(field)
        notes = field.notes()
    assert errors(notes, joins)[STALE_SNAPSHOT] > 0
    scene.report("a host with a stale snapshot", notes.refused["Conflict"], found, str(dict(errors(notes, joins))))
