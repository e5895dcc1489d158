"""An import that is killed: what is there is a beginning of the whole, and doing it again completes it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from session_store import SessionStore
from session_store.transfer.results import ImportResult
from session_store.transfer.sources.openai_agents import import_openai_agents
from session_store.transfer.sources.zeroclaw import import_zeroclaw
from tests.conftest import Database
from tests.hosts import contents, disagreements
from tests.imports.sources import agents, zeroclaw
from tests.processes import ROOT

pytestmark = pytest.mark.once

PROGRAM = Path(__file__).parent / "importing.py"
BEGUN = datetime(2026, 3, 5, 9, 12, 3, tzinfo=UTC)
LENGTHS = {"a": 7, "b": 50, "c": 5, "d": 30, "e": 1}
"""Sessions and how long they are: of 20 lines or more they come in several parts."""


def of_zeroclaw(path: Path) -> Path:
    """A database of these sessions, one of them at work."""
    times = [(BEGUN + timedelta(seconds=n)).isoformat() for n in range(50)]
    said = [(key, "user", f"{key}{n}", times[n]) for key, length in LENGTHS.items() for n in range(length)]
    return zeroclaw(path, said, [{"session_key": key, "name": key, "state": "running"} for key in LENGTHS])


def of_agents(path: Path) -> Path:
    """The same of the OpenAI Agents SDK."""
    return agents(
        path,
        {key: [{"role": "user", "content": f"{key}{n}"} for n in range(length)] for key, length in LENGTHS.items()},
    )


SOURCES: dict[str, tuple[Callable[[Path], Path], Callable[..., ImportResult]]] = {
    "zeroclaw": (of_zeroclaw, import_zeroclaw),
    "openai-agents": (of_agents, import_openai_agents),
}


USUAL = {("zeroclaw", "sqlite", 14), ("openai-agents", "sqlite", 10)}
"""Where an import is killed at every change of ours; elsewhere in the long suite."""


def kill_after(statements: int, name: str, url: str, place: Path) -> bool:
    """Kill an import after so many statements, and say whether it was still at work."""
    command = [sys.executable, "-W", "error", str(PROGRAM), name, url, str(place)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(statements - 1):
            assert process.stdout.readline()
            process.stdin.write("\n")
            process.stdin.flush()
        said = process.stdout.readline()
        process.kill()
    return bool(said)


@pytest.mark.parametrize(
    ("name", "database", "statements"),
    [
        pytest.param(name, database, number, marks=() if (name, database, number) in USUAL else pytest.mark.long)
        for name in SOURCES
        for database in ("sqlite", "postgresql")
        for number in range(2, 21, 4)
    ],
    indirect=["database"],
)
def test_a_killed_import_leaves_a_beginning(
    name: str, database: Database, statements: int, sqlite_template: Path, tmp_path: Path
) -> None:
    """Wherever it was, each session is whole, or not there, or one is a beginning of itself; a second run ends it."""
    make, importing = SOURCES[name]
    place = make(tmp_path / "source.db")
    with SessionStore(shutil.copy(sqlite_template, tmp_path / "whole.db")) as whole:
        importing(whole, place)
        with whole.engine.connect() as db:
            expected = contents(db)

    assert kill_after(statements, name, str(database), place)
    with SessionStore(database.url) as store, store.engine.connect() as db:
        assert disagreements(db) == []
        lengths = {key: len(store.load(key)) for key in store.list_sessions()}
        beginnings = [key for key, length in lengths.items() if length < LENGTHS[key]]
        for key, length in lengths.items():
            assert [message.content for message in store.load(key)] == [f"{key}{n}" for n in range(length)]
        assert len(beginnings) <= 1
        assert {lengths[key] % 20 for key in beginnings} <= {0, 19}

        db.rollback()
        again = importing(store, place)
        assert again.already_there == sum(lengths.values())
        assert again.added + again.already_there == sum(LENGTHS.values())
        assert contents(db) == expected
