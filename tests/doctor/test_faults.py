"""Each fault is found, and gone when what was said has been done."""

import shlex
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from session_store import SessionStore, Severity, doctor, migrations, search_index, upkeep
from tests.conftest import Database, migrated
from tests.doctor.faults import FAULTS, Fault, alarms, connection

pytestmark = pytest.mark.once


def recover(database: Database) -> None:
    """Move on the sessions that have been running for an hour."""
    with SessionStore(database.url) as store:
        store.recover_stuck(3600)


CALLS: dict[tuple[str, ...], Callable[[Database], object]] = {
    ("mend", "heads"): lambda database: upkeep.mend_heads(database.url),
    ("mend", "orphans"): lambda database: upkeep.delete_orphans(database.url),
    ("mend", "schema"): lambda database: migrations.restore(database.url),
    ("mend", "pragmas"): lambda database: upkeep.mend_pragmas(database.url),
    ("index", "create"): lambda database: search_index.create(database.url),
    ("index", "rebuild"): lambda database: search_index.rebuild(database.url),
    ("upgrade",): lambda database: migrations.upgrade(database.url),
    ("vacuum",): lambda database: upkeep.vacuum(database.url),
    ("vacuum", "--full"): lambda database: upkeep.vacuum(database.url, full=True),
    ("stuck", "--longer-than", "1h", "--recover"): recover,
}
"""What each command calls."""


def run(command: str, database: Database) -> None:
    """Do what a command does."""
    program, *words = shlex.split(command)
    if program == "psql":
        assert database.url.database == words[words.index("--dbname") + 1]
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
