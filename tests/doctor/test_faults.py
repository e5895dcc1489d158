"""Each fault is found, and gone when what was said has been done."""

import re
import shlex
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from session_store import SessionStore, Severity, doctor, maintenance, migrations
from session_store.search import index as search_index
from tests.conftest import POSTGRESQL_VERSION, Database, migrated
from tests.doctor.faults import FAULTS, MIB, Fault, alarms, connection, fill, reader_of_the_log
from tests.servers import DURABLE, start_postgresql, start_standby

pytestmark = pytest.mark.once


def recover(database: Database) -> None:
    """Move on the sessions that have been running for an hour."""
    with SessionStore(database.url) as store:
        store.recover_stuck(3600)


CALLS: dict[tuple[str, ...], Callable[[Database], object]] = {
    ("repair", "heads"): lambda database: maintenance.repair_heads(database.url),
    ("repair", "orphans"): lambda database: maintenance.delete_orphans(database.url),
    ("repair", "schema"): lambda database: migrations.restore(database.url),
    ("repair", "pragmas"): lambda database: maintenance.enable_wal(database.url),
    ("index", "create"): lambda database: search_index.create(database.url),
    ("index", "rebuild"): lambda database: search_index.rebuild(database.url),
    ("upgrade",): lambda database: migrations.upgrade(database.url),
    ("vacuum",): lambda database: maintenance.vacuum(database.url),
    ("vacuum", "--full"): lambda database: maintenance.vacuum(database.url, full=True),
    ("stuck", "--longer-than", "1h", "--recover"): recover,
}
"""What each command calls."""


def run(command: str, database: Database) -> None:
    """Do what a command does."""
    program, *words = shlex.split(command)
    if program == "psql":
        assert words[words.index("--dbname") + 1] == database.url.database
        with connection(database) as db:
            for option, statement in pairwise(words):
                if option == "-c":
                    db.execute(text(statement.replace(":", r"\:")))
    elif program == "session-store":
        CALLS[tuple(words)](database)


def cases() -> Iterator[Any]:
    """Every fault in every database it can be in; of those that one command mends a few of PostgreSQL's suffice."""
    seen = set()
    for fault in FAULTS:
        for name in fault.databases:
            is_alike = len(fault.databases) > 1 and (name, fault.command) in seen
            marks = [pytest.mark.long] if is_alike and name == "postgresql" else []
            seen.add((name, fault.command))
            yield pytest.param((fault, name), id=f"{fault}-{name}".replace(" ", "_"), marks=marks)


@pytest.fixture(params=cases())
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Fault, Database]]:
    """A fault, and a database to plant it in."""
    fault, name = request.param
    with migrated(name, request, tmp_path) as database:
        yield fault, database


def test_what_is_wrong_is_found_and_mended(case: tuple[Fault, Database]) -> None:
    """Of each fault one is told with a figure of what it means and what mends it; having done that nothing is told."""
    fault, database = case
    with fault.plant(database) as end:
        found = alarms(doctor(database.url, stuck_secs=fault.stuck_secs))
        assert fault.check in [finding.check for finding in found]
        for finding in found:
            assert finding.severity > Severity.INFO
            assert finding.message.isprintable()
            assert finding.command is not None
            assert finding.command.startswith(fault.command)

        end()
        for command in dict.fromkeys(str(finding.command) for finding in found):
            run(command, database)
        patience = time.monotonic() + 10
        while left := alarms(doctor(database.url, stuck_secs=fault.stuck_secs)):
            # Who is told to end does so in its own time.
            assert fault.command == "psql ", left
            assert time.monotonic() < patience, left


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="this system does not tell who has locked what")
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_who_keeps_the_log_is_named(database: Database) -> None:
    """Of a log that is not emptied the process is told that reads it, and what it takes."""
    with reader_of_the_log(database) as end:
        (finding,) = alarms(doctor(database.url))
        end()

    assert finding.value is not None
    assert float(finding.value) > 65 * MIB
    assert re.search(r"now process \d+$", finding.message)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_standby_and_the_slot_it_leaves() -> None:
    """A standby is looked at as the server it follows; when it has gone its slot is told, and is dropped as told."""
    with start_postgresql(POSTGRESQL_VERSION, settings=DURABLE) as primary:
        database = Database("postgresql", primary.url)
        migrations.upgrade(primary.url)
        fill(database)
        with connection(database) as db:
            db.exec_driver_sql("SELECT pg_create_physical_replication_slot('standby_1')")
            with start_standby(primary) as standby:
                with connection(Database("postgresql", standby.url)) as its:
                    for setting in (
                        "primary_slot_name = 'standby_1'",
                        "hot_standby_feedback = on",
                        "wal_receiver_status_interval = 1",
                    ):
                        its.exec_driver_sql(f"ALTER SYSTEM SET {setting}")
                    its.exec_driver_sql("SELECT pg_reload_conf()")
                patience = time.monotonic() + 60
                while not db.exec_driver_sql("SELECT xmin FROM pg_replication_slots").scalar_one():
                    assert time.monotonic() < patience
                    time.sleep(0.1)
                assert alarms(doctor(primary.url)) == []
                followed = doctor(standby.url)
                assert alarms(followed) == []
                assert "a standby" in {it.check: it for it in followed}["server.version"].message
            (finding,) = alarms(doctor(primary.url))
            assert finding.check == "transactions.slots"
            run(str(finding.command), database)

        assert alarms(doctor(primary.url)) == []
