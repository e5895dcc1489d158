"""A disk that is full, or that may only be read: callers are told, nothing is lost, and there is no need to reopen."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

from tests.conftest import Database
from tests.faults.calls import KEY, STALE, refused_by, work_for_all
from tests.faults.conftest import LEFT_OUT, Scene, one_way, times
from tests.faults.disks import Disk, mounted
from tests.faults.fleet import Audit, Fleet, Notes, written_though_refused
from tests.hosts import host_engine
from tests.servers import OwnServer, start_standby

APPENDS = 6_000
ROUNDS = 10
WRITERS = 8
ROOM = 2**18
"""What is left of a disk, in bytes."""
PAGES = 20
"""What SQLite may still have, in pages of 4,096 bytes."""
MANY_PAGES = 2**20

only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@contextmanager
def small_disk(scene: Scene, fault: str, path: Path) -> Iterator[Disk]:
    """A file system with little room at this path; where none can be had the fault's row says so."""
    with mounted(path, "-t", "tmpfs", "-o", f"size={ROOM}", "session_store") as problem:
        if problem is not None:
            scene.report(fault, 0, Audit(), why_not=f"no disk can be made small: {problem}")
            pytest.skip(problem)
        disk = Disk(path)
        disk.grow()
        yield disk


@contextmanager
def small_tablespace(scene: Scene, server: OwnServer, disk: Disk) -> Iterator[None]:
    """The database of a scene is on a disk, its server's log is not; it is gone at the end."""
    name, owner = scene.database.url.database, server.data.stat()
    os.chown(disk.path, owner.st_uid, owner.st_gid)
    with psycopg.connect(str(Database("postgresql", server.url)), autocommit=True) as db:
        db.execute(f"CREATE TABLESPACE small LOCATION '{disk.path}'".encode())
        try:
            db.execute(f'ALTER DATABASE "{name}" SET TABLESPACE small'.encode())
            yield
        finally:
            disk.grow()
            db.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
            db.execute("DROP TABLESPACE small")


@contextmanager
def small_log(server: OwnServer, disk: Disk) -> Iterator[None]:
    """A server has its write-ahead log, and nothing else, on a disk; at the end it is where it was."""
    log, there, owner = server.data / "pg_wal", disk.path / "pg_wal", server.data.stat()
    os.chown(disk.path, owner.st_uid, owner.st_gid)
    server.stop()
    move(log, there)
    log.symlink_to(there)
    server.start()
    try:
        yield
    finally:
        disk.grow()
        serving(server)
        server.stop()
        log.unlink()
        move(there, log)
        server.start()


def move(source: Path, target: Path) -> None:
    """Move a directory to another file system, with the owners of all that is in it."""
    subprocess.run(["mv", source, target], check=True)  # noqa: S607


def serving(server: OwnServer) -> None:
    """Wait until a server answers, started again if it is down."""
    while True:
        try:
            psycopg.connect(str(Database("postgresql", server.url))).close()
        except psycopg.OperationalError:
            if not server.is_running():
                server.start()
            time.sleep(0.05)
        else:
            return


def panics(server: OwnServer) -> int:
    """How often a server gave up."""
    return server.log().count("PANIC:")


def panic(server: OwnServer) -> None:
    """Begin one segment of the log after the other until there is no room for the next."""
    before = panics(server)
    while panics(server) == before:
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(str(Database("postgresql", server.url)), autocommit=True) as db,
        ):
            db.execute("SELECT pg_switch_wal()")
        time.sleep(0.02)


def rounds_of(fleet: Fleet, full: Callable[[], object], room: Callable[[], object]) -> int:
    """Let there be no room and room again, until all have been refused each time, and say how often."""
    rounds = times(ROUNDS)
    for _ in range(rounds):
        fleet.wait_for(times(APPENDS) // rounds)
        full()
        fleet.wait_for_refusals(WRITERS)
        room()
    fleet.wait_for(times(APPENDS) // rounds)
    return rounds


def causes(notes: Notes) -> str:
    """What the drivers said, in words."""
    return ", ".join(f"{number:,} {cause[:39]}" for cause, number in notes.causes.most_common(2))


# A full disk.


@only_sqlite
@one_way(scene="async")
@pytest.mark.timeout(900)
def test_no_more_pages(scene: Scene) -> None:
    """A database on SQLite that may not grow: what does not fit is refused as a whole, and fits when it may."""
    engine = host_engine(scene.database)
    with scene.fleet(0) as fleet:

        def no_more() -> None:
            with engine.connect() as db:
                fleet.allow_pages(int(db.exec_driver_sql("PRAGMA page_count").scalar_one()) + PAGES)

        fleet.allow_pages(MANY_PAGES)
        fleet.start(WRITERS)
        rounds = rounds_of(fleet, no_more, lambda: fleet.allow_pages(MANY_PAGES))
        engine.dispose()
        found = scene.audit(fleet)
    notes = fleet.notes()
    scene.report("a full database (max_page_count)", rounds, found, notes.refusals() + LEFT_OUT)

    assert set(notes.refused) == {"StoreUnavailable"}
    assert set(notes.causes) == {"OperationalError: database or disk is full"}
    assert written_though_refused(scene.database, notes) == set()


@only_sqlite
@one_way(scene="sync")
@pytest.mark.timeout(900)
def test_a_full_disk_under_sqlite(scene: Scene) -> None:
    """No room for the log or the file: the same, and nobody has to open the file again."""
    fault = "a full disk"
    with small_disk(scene, fault, scene.directory / "small") as disk:
        path = shutil.copy(str(scene.database.url.database), disk.path)
        scene = replace(scene, database=Database("sqlite", scene.database.url.set(database=path)))
        with scene.fleet(WRITERS) as fleet:
            rounds = rounds_of(fleet, lambda: disk.leave(ROOM), disk.grow)
            found = scene.audit(fleet)
        notes = fleet.notes()
        scene.report(fault, rounds, found, f"{notes.refusals()}: {causes(notes)}{LEFT_OUT}")

        assert set(notes.refused) == {"StoreUnavailable"}
        assert written_though_refused(scene.database, notes) == set()


@one_way(own_scene="async")
@pytest.mark.timeout(900)
def test_a_full_disk_under_postgresql(own_scene: Scene, own_server: OwnServer) -> None:
    """No room for a table: whoever needs some is told, and has it when the disk has grown."""
    fault = "a full disk"
    with (
        small_disk(own_scene, fault, own_server.data.with_name("small")) as disk,
        small_tablespace(own_scene, own_server, disk),
    ):
        with own_scene.fleet(WRITERS) as fleet:
            rounds = rounds_of(fleet, lambda: disk.leave(ROOM), disk.grow)
            found = own_scene.audit(fleet)
        notes = fleet.notes()
        own_scene.report(fault, rounds, found, f"{notes.refusals()}: {causes(notes)}{LEFT_OUT}")

        assert set(notes.refused) == {"StoreUnavailable"}
        assert all(cause.startswith("DiskFull: ") for cause in notes.causes)
        assert written_though_refused(own_scene.database, notes) == set()


@one_way(own_scene="sync")
@pytest.mark.timeout(900)
def test_a_full_disk_under_the_log_of_postgresql(own_scene: Scene, own_server: OwnServer) -> None:
    """No room for the next segment of the log: the server gives up, and is started when there is some."""
    fault = "a full disk under the write-ahead log"

    def goes_down() -> None:
        disk.leave(ROOM)
        panic(own_server)

    def comes_up() -> None:
        disk.grow()
        serving(own_server)

    with (
        small_disk(own_scene, fault, own_server.data.with_name("small")) as disk,
        small_log(own_server, disk),
    ):
        before = panics(own_server)
        with own_scene.fleet(WRITERS) as fleet:
            rounds_of(fleet, goes_down, comes_up)
            found = own_scene.audit(fleet)
        notes = fleet.notes()
        own_scene.report(fault, panics(own_server) - before, found, notes.refusals() + LEFT_OUT)

        assert set(notes.refused) == {"StoreUnavailable"}


# A database that may only be read.


@only_sqlite
@one_way(scene="async")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["mode=ro", "mount"])
def test_a_file_that_may_only_be_read(scene: Scene, how: str) -> None:
    """Opened read-only, or on a file system mounted so: every call that writes is refused, every other one answers."""
    fault = f"a read-only file ({how})"
    path = Path(str(scene.database.url.database))
    directory = path.parent / "read-only"
    url = URL.create("sqlite", database=f"file:{path}", query={"mode": "ro", "uri": "true"})
    with ExitStack() as stack:
        if how == "mount":
            problem = stack.enter_context(mounted(directory, "--bind", "-o", "ro", str(path.parent)))
            if problem is not None:
                scene.report(fault, 0, Audit(), why_not=f"no file system can be mounted read-only: {problem}")
                pytest.skip(problem)
            url = scene.database.url.set(database=str(directory / path.name))
        with work_for_all(scene.database), scene.fleet(WRITERS) as fleet:
            fleet.wait_for(times(APPENDS) // 2)
            with scene.store(url) as store:
                refused = refused_by(store)
            fleet.wait_for(times(APPENDS) // 2)
            fleet.stop()
        found = scene.audit(fleet)
        scene.report(fault, refused, found, f"each call that writes, beside those who may{LEFT_OUT}")


@one_way(own_scene="async")
@pytest.mark.timeout(900)
def test_postgresql_is_switched_to_read_only(own_scene: Scene, own_server: OwnServer) -> None:
    """Transactions that may not write by default: every call that writes is refused until they may again."""
    refused = 0

    def switch(value: str) -> None:
        with psycopg.connect(str(Database("postgresql", own_server.url)), autocommit=True) as db:
            db.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
            db.execute("SELECT pg_reload_conf()")

    with work_for_all(own_scene.database), own_scene.fleet(WRITERS) as fleet:

        def writable() -> None:
            nonlocal refused
            with own_scene.store() as store:
                refused += refused_by(store)
            switch("off")

        try:
            rounds = rounds_of(fleet, lambda: switch("on"), writable)
        finally:
            switch("off")
        fleet.stop()
    found = own_scene.audit(fleet)
    notes = fleet.notes()
    own_scene.report(
        "default_transaction_read_only", rounds, found, f"{notes.refusals()}, {refused} of each call{LEFT_OUT}"
    )

    assert set(notes.refused) == {"StoreUnavailable"}
    assert all(cause.startswith("ReadOnlySqlTransaction: ") for cause in notes.causes)
    assert written_though_refused(own_scene.database, notes) == set()


@one_way(own_scene="sync")
@pytest.mark.timeout(900)
def test_a_hot_standby(own_scene: Scene, own_server: OwnServer) -> None:
    """A standby answers and refuses to write until it is promoted; whoever had been refused then goes on."""
    with work_for_all(own_scene.database), start_standby(own_server) as standby:
        database = Database("postgresql", standby.url.set(database=own_scene.database.url.database))
        scene = replace(own_scene, database=database)
        with scene.fleet(WRITERS) as fleet:
            fleet.wait_for_refusals(2 * WRITERS)
            assert fleet.acknowledged() == 0
            with scene.store() as store:
                refused = refused_by(store)
            with psycopg.connect(str(database), autocommit=True) as db:
                assert db.execute("SELECT pg_promote()").fetchone() == (True,)
            fleet.wait_for(times(APPENDS))
            with scene.store() as store:
                for key in (KEY, STALE):
                    assert store.delete_session(key)
            found = scene.audit(fleet)
        notes = fleet.notes()
        scene.report("a hot standby, then promoted", 1, found, f"{notes.refusals()}, {refused} of each call{LEFT_OUT}")

        assert set(notes.refused) == {"StoreUnavailable"}
        assert all(cause.startswith("ReadOnlySqlTransaction: ") for cause in notes.causes)
