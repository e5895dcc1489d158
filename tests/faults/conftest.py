"""Faults of a real kind, each seen to have happened, and one row of a report for each (make faults)."""

import asyncio
import json
import os
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from rich.console import Console
from rich.table import Table
from sqlalchemy import URL

from session_store import AsyncSessionStore, SessionStore, migrations
from tests.conftest import POSTGRESQL_VERSION, Database
from tests.faults.fleet import Audit, Fleet, audit
from tests.faults.racing import Field
from tests.servers import DURABLE, OwnServer, start_postgresql
from tests.sync_adapter import SyncAdapter

Crew = TypeVar("Crew", bound=Fleet)

SHARE = float(os.environ.get("SESSION_STORE_TEST_FAULTS", "1"))
"""How much of each fault: 1 is what `make faults` does."""
SEED = int(os.environ.get("SESSION_STORE_TEST_SEED") or random.SystemRandom().randrange(10**6))
COLUMNS = ("acknowledged", "missing", "doubled", "disordered", "heads", "index", "leaked")
WAYS = {"database": ("sqlite", "postgresql"), "scene": ("sync", "async"), "own_scene": ("sync", "async")}
SHORT = SHARE < 0.1
LEFT_OUT = "; only this way in the short form" if SHORT else ""
"""What is said of a fault that goes `one_way`."""
SESSIONS = tuple(f"session {n}" for n in range(4))


def times(full: int, least: int = 1) -> int:
    """This often in the whole report, less often in its short form."""
    return max(least, round(full * SHARE))


def one_way(**short: str) -> pytest.MarkDecorator:
    """In the short form this way only: of a fault that takes seconds however much of it there is."""
    ways = [tuple(short.values())] if SHORT else list(product(*(WAYS[name] for name in short)))
    return pytest.mark.parametrize(tuple(short), ways, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is here runs when it is asked for; in the short form each database one way, and the next test the other."""
    left_out = []
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("faults")
            if SHORT and _is_second_way(item):
                left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _is_second_way(item: pytest.Item) -> bool:
    given = getattr(item, "callspec", None)
    four_ways = given is not None and {"scene", "database"} <= given.params.keys()
    if not four_ways or any("scene" in mark.args[0] for mark in item.iter_markers("parametrize")):
        return False
    turned = zlib.crc32(item.name.partition("[")[0].encode()) % 2
    return ((given.params["database"] == "sqlite") == (given.params["scene"] == "sync")) == bool(turned)


def pytest_report_header() -> str:
    """Say how to have the same run again."""
    return f"faults: SESSION_STORE_TEST_SEED={SEED} SESSION_STORE_TEST_FAULTS={SHARE:g}"


def _together(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each fault in each place, whichever number of tests it took."""
    together: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        so_far = together.setdefault((row["fault"], row["on"]), {**row, **dict.fromkeys(("happened", *COLUMNS), 0)})
        for name in ("happened", *COLUMNS):
            so_far[name] += row[name]
    return list(together.values())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the report, one row for each fault."""
    rows = [
        json.loads(str(value))
        for report in chain(*map(terminalreporter.getreports, ("passed", "failed", "skipped")))
        for name, value in report.user_properties
        if name == "fault"
    ]
    if not rows:
        return
    table = Table("fault", "on", "happened", *COLUMNS, "what was seen")
    for row in sorted(_together(rows), key=lambda row: (row["fault"], row["on"])):
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
        with self._crew(Fleet, sessions) as fleet:
            fleet.start(writers)
            yield fleet

    @contextmanager
    def field(self, sessions: Sequence[str] = SESSIONS) -> Iterator[Field]:
        """A place for racers of several kinds."""
        with self._crew(Field, sessions) as field:
            yield field

    @contextmanager
    def _crew(self, kind: type[Crew], sessions: Sequence[str]) -> Iterator[Crew]:
        crew = kind(
            self.database,
            self.directory,
            asynchronous=self.mode == "async",
            sessions=sessions,
            seed=self.chance.randrange(10**9),
        )
        try:
            yield crew
        finally:
            crew.close()

    @contextmanager
    def store(self, url: URL | None = None) -> Iterator[SessionStore]:
        """A store of the scene's kind beside the writers, called without awaiting."""
        if self.mode == "sync":
            with SessionStore(url or self.database.url) as store:
                yield store
        else:
            awaited = AsyncSessionStore(url or self.database.url)
            with asyncio.Runner() as runner, SyncAdapter(awaited, runner.run) as store:
                yield cast("SessionStore", store)

    def report(self, fault: str, happened: int, found: Audit, note: str = "", *, why_not: str = "") -> None:
        """Take the fault's row; it must have happened, unless it cannot, and nothing may be lost."""
        where = f"{self.database.name} {self.mode}"
        row = {"fault": fault, "on": where, "happened": happened, "note": note or why_not}
        self.record("fault", json.dumps({**row, **vars(found)}))
        assert happened > 0 or why_not, "it did not happen, and nobody says why"
        assert found.lost() == {}

    def audit(self, fleet: Fleet, *, removed: bool = False) -> Audit:
        """What became of all that a fleet was told; its writers come to their end first."""
        fleet.stop()
        return audit(self.database, fleet.notes(), self.chance, removed=removed)


@pytest.fixture(params=["sync", "async"])
def scene(
    request: pytest.FixtureRequest, database: Database, tmp_path: Path, record_property: Callable[[str, object], None]
) -> Scene:
    """A place for a fault, four ways: on SQLite and PostgreSQL, with writers that block and on event loops."""
    chance = random.Random(f"{SEED} {request.node.nodeid}")  # noqa: S311 - no secret
    return Scene(database, str(request.param), tmp_path, chance, record_property)


@pytest.fixture(scope="session")
def own_server() -> Iterator[OwnServer]:
    """A PostgreSQL that may be damaged; its template is a migrated database."""
    with (
        start_postgresql(POSTGRESQL_VERSION, settings=DURABLE) as server,
        server.clone(server.template_dbname) as template,
    ):
        migrations.upgrade(template)
        yield replace(server, template_dbname=str(template.database))


@pytest.fixture(params=["sync", "async"])
def own_scene(
    request: pytest.FixtureRequest,
    own_server: OwnServer,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> Iterator[Scene]:
    """A place for a fault of a whole server, two ways."""
    chance = random.Random(f"{SEED} {request.node.nodeid}")  # noqa: S311 - no secret
    with own_server.clone(own_server.template_dbname) as url:
        yield Scene(Database("postgresql", url), str(request.param), tmp_path, chance, record_property)
