"""Locked by somebody else: writers wait as long as they say they do, and readers do not wait."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from session_store import SessionStore
from session_store.database.engines import BUSY_TIMEOUT_SECS
from tests.conftest import Database
from tests.faults.conftest import LEFT_OUT, SESSIONS, Scene, one_way, times
from tests.faults.fleet import Fleet, written_though_refused
from tests.test_errors import held_by_another_process

APPENDS = 30_000
HOLDS = 3
HOLD_SECS = 3.0
WRITERS = 8
SETTLES_SECS = 0.2
"""What a writer was told just before is noted by then."""
MOST_WAITS = 3
"""A call waits for its turn in the process, for the database, and once more where the wait for that was cut short."""

LOCKED = {
    "sqlite": {"OperationalError: database is locked"},
    "postgresql": {"LockNotAvailable: canceling statement due to lock timeout"},
}
OUR_OWN_QUEUE = "NoneType: None"
"""The wait for other writers of the same process has no error of a driver."""


@contextmanager
def heads_held(database: Database) -> Iterator[None]:
    """The heads of all the sessions are locked by a transaction of somebody else."""
    with psycopg.connect(str(database)) as db:
        held = db.execute("SELECT key FROM session_store_sessions FOR UPDATE").fetchall()
        assert len(held) == len(SESSIONS)
        yield
        db.rollback()


HELD = {"sqlite": held_by_another_process, "postgresql": heads_held}


def read_until(done: Callable[[], bool], fleet: Fleet, store: SessionStore) -> int:
    """How often sessions were read meanwhile; nobody wrote a thing."""
    time.sleep(SETTLES_SECS)
    before, reads = fleet.acknowledged(), 0
    while not done():
        assert store.load(SESSIONS[reads % len(SESSIONS)], last=10)
        reads += 1
        fleet.raise_if_ended()
        time.sleep(0.02)

    assert fleet.acknowledged() == before
    return reads


@one_way(database="sqlite", scene="async")
@pytest.mark.timeout(900)
def test_locked_for_a_while(scene: Scene) -> None:
    """For less than the timeout: everybody waits, nobody is refused, and all go on."""
    holds, reads, longest = times(HOLDS), 0, 0.0
    # Few enough that the polling of those who wait, which is not fair, does not keep one out for long.
    with scene.fleet(WRITERS // 2) as fleet, scene.store() as store:
        for _ in range(holds):
            fleet.wait_for(times(APPENDS) // holds)
            begun = time.monotonic()
            with HELD[scene.database.name](scene.database):
                ends = time.monotonic() + HOLD_SECS
                reads += read_until(lambda ends=ends: time.monotonic() > ends, fleet, store)
            longest = max(longest, time.monotonic() - begun)
        fleet.wait_for(times(APPENDS) // holds)
        store.close()
        found = scene.audit(fleet)
    notes = fleet.notes()
    seen = f"{reads} reads meanwhile, {notes.refusals()}{LEFT_OUT}"
    scene.report(f"locked by somebody else for {HOLD_SECS:g} s", holds, found, seen)

    assert reads > holds
    assert not notes.refused or longest > BUSY_TIMEOUT_SECS - 1, f"held for {longest:.1f} s at most"


@one_way(database="postgresql", scene="sync")
@pytest.mark.timeout(900)
def test_locked_for_too_long(scene: Scene) -> None:
    """For longer: each caller is told so in time, nothing is written by what was refused, and all go on after."""
    holds, reads = times(HOLDS), 0
    if scene.database.name == "postgresql":
        with psycopg.connect(str(scene.database), autocommit=True) as db:
            db.execute(f'ALTER DATABASE "{scene.database.url.database}" SET lock_timeout = 300'.encode())
    with scene.fleet(WRITERS) as fleet, scene.store() as store:
        for _ in range(holds):
            fleet.wait_for(times(APPENDS) // holds)
            with HELD[scene.database.name](scene.database):
                least = fleet.refused() + WRITERS
                reads += read_until(lambda least=least: fleet.refused() >= least, fleet, store)
        fleet.wait_for(times(APPENDS) // holds)
        store.close()
        found = scene.audit(fleet)
    notes = fleet.notes()
    seen = f"{notes.refusals()}, the longest after {notes.longest_refusal_secs:.1f} s, {reads} reads meanwhile"
    scene.report("locked by somebody else for too long", holds, found, seen + LEFT_OUT)

    assert reads > holds
    assert set(notes.refused) == {"StoreUnavailable"}
    assert set(notes.causes) - {OUR_OWN_QUEUE} == LOCKED[scene.database.name]
    assert notes.longest_refusal_secs < MOST_WAITS * BUSY_TIMEOUT_SECS
    assert written_though_refused(scene.database, notes) == set()
