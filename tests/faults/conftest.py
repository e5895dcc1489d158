"""Faults of a real kind, each seen to have happened, and one row of a report for each (make faults)."""

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.conftest import Database
from tests.faults.fleet import Audit, Fleet, audit

SHARE = float(os.environ.get("SESSION_STORE_TEST_FAULTS", "1"))
"""How much of each fault: 1 is what `make faults` does."""
SEED = int(os.environ.get("SESSION_STORE_TEST_SEED") or random.SystemRandom().randrange(10**6))
COLUMNS = ("acknowledged", "missing", "doubled", "disordered", "heads", "index", "leaked")
SESSIONS = tuple(f"session {n}" for n in range(4))


def times(full: int, least: int = 1) -> int:
    """This often in the whole report, less often in its short form."""
    return max(least, round(full * SHARE))


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """What is here runs when it is asked for."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("faults")


def pytest_report_header() -> str:
    """Say how to have the same run again."""
    return f"faults: SESSION_STORE_TEST_SEED={SEED} SESSION_STORE_TEST_FAULTS={SHARE:g}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the report, one row for each fault."""
    rows = [
        json.loads(str(value))
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for name, value in report.user_properties
        if name == "fault"
    ]
    if not rows:
        return
    table = Table("fault", "on", "happened", *COLUMNS, "what was seen")
    for row in sorted(rows, key=lambda row: (row["fault"], row["on"])):
        table.add_row(
            row["fault"], row["on"], f"{row['happened']:,}", *(f"{row[name]:,}" for name in COLUMNS), row["note"]
        )
    table.add_section()
    sums = [f"{sum(row[name] for row in rows):,}" for name in COLUMNS]
    table.add_row("all", "", f"{sum(row['happened'] for row in rows):,}", *sums, f"seed {SEED}")
    console = Console(file=terminalreporter._tw._file, width=220, force_terminal=False)
    console.print(table)


@dataclass
class Scene:
    """One fault on one database with one kind of store: its writers, its chances, its row of the report."""

    database: Database
    mode: str
    """``sync`` or ``async``."""
    directory: Path
    chance: random.Random
    """The same again for the same seed."""
    record: Callable[[str, object], None]

    @contextmanager
    def fleet(self, writers: int = 8, sessions: Sequence[str] = SESSIONS) -> Iterator[Fleet]:
        """So many writers of a few sessions, at work."""
        fleet = Fleet(
            self.database,
            self.directory,
            asynchronous=self.mode == "async",
            sessions=sessions,
            seed=self.chance.randrange(10**9),
        )
        try:
            fleet.start(writers)
            yield fleet
        finally:
            fleet.close()

    def report(self, fault: str, happened: int, found: Audit, note: str = "") -> None:
        """Take the fault's row; it must have happened, or the note says why not, and nothing may be lost."""
        row = {"fault": fault, "on": f"{self.database.name} {self.mode}", "happened": happened, "note": note}
        self.record("fault", json.dumps({**row, **vars(found)}))
        assert happened > 0 or note, "it did not happen, and nobody says why"
        assert found.lost() == {}

    def audit(self, fleet: Fleet) -> Audit:
        """What became of all that a fleet was told; its writers come to their end first."""
        fleet.stop()
        return audit(self.database, fleet.notes(), self.chance)


@pytest.fixture(params=["sync", "async"])
def scene(
    request: pytest.FixtureRequest, database: Database, tmp_path: Path, record_property: Callable[[str, object], None]
) -> Scene:
    """A place for a fault, four ways: on SQLite and PostgreSQL, with writers that block and on event loops."""
    chance = random.Random(f"{SEED} {request.node.nodeid}")  # noqa: S311 - no secret
    return Scene(database, str(request.param), tmp_path, chance, record_property)
