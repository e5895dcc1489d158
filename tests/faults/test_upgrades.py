"""The schema is upgraded while everybody writes, and at any moment it is of one revision or of the other."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, NullPool
from sqlalchemy.exc import OperationalError

from session_store import migrations
from session_store.database import revisions
from tests.conftest import Database
from tests.faults.conftest import LEFT_OUT, Scene, one_way, times
from tests.faults.fleet import PROCESSES
from tests.faults.upgrading import upgrade
from tests.hosts import host_engine
from tests.migrations.steps import configured
from tests.search.test_revision import BEFORE, has_index

APPENDS = 20_000
UPGRADES = 10
KILLS = 30
WRITERS = 8
DEADLOCK = "40P01"
MEANWHILE = 20
"""How many calls are answered at least between two upgrades."""


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """A host's engine, which keeps no connection."""
    engine = host_engine(database, poolclass=NullPool)
    yield engine
    engine.dispose()


@contextmanager
def upgrading(database: Database) -> Iterator[Any]:
    """Another process that has just begun to upgrade a database."""
    ours, its = PROCESSES.Pipe()
    process = PROCESSES.Process(target=upgrade, args=(database.url, its), daemon=True)
    process.start()
    try:
        assert ours.recv()
        yield process
    finally:
        process.kill()
        process.join()


def go_back(database: Database) -> None:
    """Take a database back to the revision before, beside whoever writes.

    A downgrade locks tables in another order than writers do, and PostgreSQL may end it for that: it is tried again.
    """
    while True:
        try:
            command.downgrade(configured(database), BEFORE)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != DEADLOCK:
                raise
        else:
            return


def revision_of(engine: Engine) -> str | None:
    """The revision of a database, which has all that it brings and nothing that a later one does."""
    while True:
        revision, index = migrations.current(engine), has_index(engine)
        # On PostgreSQL what a killed process had asked for may still be done.
        if migrations.current(engine) == revision:
            break

    assert (revision, index) in {(BEFORE, False), (revisions.HEAD, True)}
    return revision


@one_way(scene="async")
@pytest.mark.timeout(900)
def test_upgraded_while_all_write(scene: Scene, engine: Engine) -> None:
    """From the first revision to the newest, by another process: writers wait a moment and go on, nobody is refused."""
    upgrades, seen, took = times(UPGRADES), 0, 0.0
    go_back(scene.database)
    with scene.fleet(WRITERS) as fleet:
        for number in range(upgrades):
            if number:
                go_back(scene.database)
            fleet.wait_for(times(APPENDS) // upgrades)
            assert revision_of(engine) == BEFORE
            with upgrading(scene.database) as process:
                begun = time.perf_counter()
                process.join()
                took = max(took, time.perf_counter() - begun)
                assert process.exitcode == 0
            seen += revision_of(engine) == revisions.HEAD
            fleet.wait_for(MEANWHILE)
        found = scene.audit(fleet)
    notes = fleet.notes()
    assert seen == upgrades
    scene.report("the schema upgraded", seen, found, f"the longest took {took:.1f} s, {notes.refusals()}{LEFT_OUT}")

    assert migrations.check(engine) == []
    assert not notes.refused


@one_way(scene="sync")
@pytest.mark.timeout(900)
def test_an_upgrade_is_killed(scene: Scene, engine: Engine) -> None:
    """SIGKILL at any moment of an upgrade, again and again: it has happened as a whole or not at all."""
    kills, killed, through, usual = times(KILLS), 0, 0, 0.0
    go_back(scene.database)
    with scene.fleet(WRITERS) as fleet:
        while killed < kills or revision_of(engine) == BEFORE:
            if revision_of(engine) != BEFORE:
                go_back(scene.database)
            fleet.wait_for(times(APPENDS) // (2 * kills))
            with upgrading(scene.database) as process:
                begun = time.perf_counter()
                # The first one is let through, to know how long that takes, and the last one.
                process.join(scene.chance.uniform(0, usual) if usual and killed < kills else None)
                process.kill()
                process.join()
                killed += process.exitcode == -9
            if process.exitcode == 0:
                usual = min(usual or inf, time.perf_counter() - begun)
            through += revision_of(engine) != BEFORE
        fleet.wait_for(MEANWHILE)
        found = scene.audit(fleet)
    notes = fleet.notes()
    scene.report("SIGKILL of an upgrade", killed, found, f"{through} got through, {notes.refusals()}{LEFT_OUT}")

    assert migrations.check(engine) == []
    assert not notes.refused
