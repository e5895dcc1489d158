"""Whoever follows the runbook sees what it says, and has a healthy store at the end."""

import os
import re
from contextlib import nullcontext
from pathlib import Path

import pytest

from session_store import Finding, Severity, doctor
from tests import runbook
from tests.conftest import Database
from tests.documents import ROOT, Section, Shell, environment, follow, sections
from tests.ready import programs
from tests.servers import OwnServer, Server

pytestmark = pytest.mark.once

PAGE = ROOT / "docs" / "operate.md"
SECTIONS = [section for section in sections(PAGE, begin_at=("h2", "h3")) if section.own]
NIGHTLY = "every-night"
WAITS = {"the-log-of-sqlite-grows"}
"""Where a command waits for somebody, for five seconds."""
UNSEEN = {
    "the-log-of-sqlite-grows",
    "messages-are-stored-twice",
    "the-index-is-stale",
    "transactions-left-open-on-postgresql",
}
"""What the doctor does not find in a file: a log that is still small, what may be meant, and words too many."""


ON_SQLITE = [section for section in SECTIONS if section.name not in {NIGHTLY, "transactions-left-open-on-postgresql"}]
ON_POSTGRESQL = {
    "transactions-left-open-on-postgresql",
    "sessions-are-stuck",
    "the-disk-fills",
    "messages-are-stored-twice",
    "one-session",
    "erase-a-person",
}
"""The sections that say nothing of SQLite; one is of the other alone, the others say the same there at length."""


def operator(url: str, *folders: str, **given: str) -> dict[str, str]:
    """The environment of somebody who has named the database, and has the programs of some folders."""
    variables = environment(programs(), PYTHONPATH=str(ROOT), SESSION_STORE_DATABASE_URL=url, **given)
    return {**variables, "PATH": os.pathsep.join([variables["PATH"], *folders])}


def wrong(bind: Path) -> list[Finding]:
    """What the doctor finds that is not as it should be."""
    return [found for found in doctor(bind) if found.severity > Severity.INFO]


@pytest.mark.parametrize(
    "section",
    [
        pytest.param(section, id=section.name, marks=pytest.mark.long if section.name in WAITS else ())
        for section in ON_SQLITE
    ],
)
def test_the_runbook_mends_what_is_wrong(section: Section, tmp_path: Path) -> None:
    """With the fault of its section in a store, each command prints what stands there, and at the end all is well."""
    file = tmp_path / runbook.FILE
    runbook.store(file).close()
    planted = runbook.PLANTED.get(section.name, lambda _: None)(file)
    with nullcontext({}) if planted is None else planted as given:
        follow(section.own, tmp_path, operator(f"sqlite:///{runbook.FILE}", **given))

        assert wrong(file) == []


@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "section",
    [
        pytest.param(section, id=section.name, marks=pytest.mark.long if section in ON_SQLITE else ())
        for section in SECTIONS
        if section.name in ON_POSTGRESQL
    ],
)
def test_the_runbook_mends_it_on_postgresql(
    section: Section, empty_database: Database, postgresql_server: Server, tmp_path: Path
) -> None:
    """The same on PostgreSQL, with its own client at hand."""
    if not isinstance(postgresql_server, OwnServer):
        pytest.skip("PostgreSQL's programs come with the server of the wheel")
    url = empty_database.url
    runbook.store(url).close()
    planted = runbook.PLANTED.get(section.name, lambda _: None)(url)
    named = url.set(drivername="postgresql").render_as_string(hide_password=False)
    user = {"PGUSER": url.username or "", "PGPASSWORD": url.password or ""}
    with nullcontext({}) if planted is None else planted as given:
        follow(section.own, tmp_path, operator(named, str(postgresql_server.control.bin_path), **user, **given))


def test_what_is_planted_has_a_section() -> None:
    """No fault is planted for a section that is not there."""
    assert set(runbook.PLANTED) <= {section.name for section in SECTIONS}


@pytest.mark.parametrize("name", sorted(set(runbook.PLANTED) - UNSEEN))
def test_what_is_planted_is_found(name: str, tmp_path: Path) -> None:
    """The doctor finds each fault, so that a section which mends nothing fails."""
    file = tmp_path / runbook.FILE
    runbook.store(file).close()
    assert wrong(file) == []
    runbook.PLANTED[name](file)

    assert wrong(file)


def test_the_crontab_runs(tmp_path: Path) -> None:
    """Each line is five times and a command that does something, one night and the next."""
    [block] = next(section.own for section in SECTIONS if section.name == NIGHTLY)
    [named, *lines] = block.text.splitlines()
    runbook.store(tmp_path / runbook.FILE).close()
    runbook.stuck(tmp_path / runbook.FILE)
    with Shell(tmp_path, operator(named.removeprefix("SESSION_STORE_DATABASE_URL="))) as shell:
        for line in [*lines, *lines]:
            timed = re.fullmatch(r"(?:[\d*/]+ ){5} *(.*)", line)
            assert timed, line
            ended, printed, told = shell.run(timed[1])

            assert ended == 0, f"{line}: {printed}{told}"
