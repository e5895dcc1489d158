"""Whoever follows the runbook sees what it says, and has a healthy store at the end."""

import re
from contextlib import nullcontext
from pathlib import Path

import pytest

from session_store import Severity, doctor
from tests import runbook
from tests.documents import ROOT, Section, Shell, environment, follow, sections
from tests.ready import programs

pytestmark = pytest.mark.once

PAGE = ROOT / "docs" / "operate.md"
SECTIONS = [section for section in sections(PAGE, begin_at=("h2", "h3")) if section.own]
NIGHTLY = "every-night"
WAITS = {"the-log-of-sqlite-grows"}
"""Where a command waits for somebody, for five seconds."""
UNSEEN = {"the-log-of-sqlite-grows", "messages-stand-there-twice", "the-index-is-stale"}
"""What the doctor does not find: a log that is still small, what may have been said twice, and words too many."""


def operator(**given: str) -> dict[str, str]:
    """The environment of somebody who has named the database."""
    url = f"sqlite:///{runbook.FILE}"
    return environment(programs(), PYTHONPATH=str(ROOT), SESSION_STORE_DATABASE_URL=url, **given)


@pytest.mark.parametrize(
    "section",
    [
        pytest.param(section, id=section.name, marks=pytest.mark.long if section.name in WAITS else ())
        for section in SECTIONS
        if section.name != NIGHTLY
    ],
)
def test_the_runbook_mends_what_is_wrong(section: Section, tmp_path: Path) -> None:
    """With the fault of its section in a store, each command prints what stands there, and at the end all is well."""
    runbook.store(tmp_path).close()
    planted = runbook.PLANTED.get(section.name, lambda _: None)(tmp_path)
    with nullcontext({}) if planted is None else planted as given:
        follow(section.own, tmp_path, operator(**given))

        assert [found for found in doctor(tmp_path / runbook.FILE) if found.severity > Severity.INFO] == []


def test_what_is_planted_has_a_section() -> None:
    """No fault is planted for a section that is not there."""
    assert set(runbook.PLANTED) <= {section.name for section in SECTIONS}


@pytest.mark.parametrize("name", sorted(set(runbook.PLANTED) - UNSEEN))
def test_what_is_planted_is_found(name: str, tmp_path: Path) -> None:
    """The doctor finds each fault, so that a section which mends nothing fails."""
    runbook.store(tmp_path).close()
    assert [found for found in doctor(tmp_path / runbook.FILE) if found.severity > Severity.INFO] == []
    runbook.PLANTED[name](tmp_path)

    assert [found for found in doctor(tmp_path / runbook.FILE) if found.severity > Severity.INFO]


def test_the_crontab_runs(tmp_path: Path) -> None:
    """Each line is five times and a command that does something, one night and the next."""
    [block] = next(section.own for section in SECTIONS if section.name == NIGHTLY)
    [_, *lines] = block.text.splitlines()
    runbook.store(tmp_path).close()
    runbook.stuck(tmp_path)
    with Shell(tmp_path, operator()) as shell:
        for line in [*lines, *lines]:
            timed = re.fullmatch(r"(?:[\d*/]+ ){5} *(.*)", line)
            assert timed, line
            ended, printed, told = shell.run(timed[1])

            assert ended == 0, f"{line}: {printed}{told}"
