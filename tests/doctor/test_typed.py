"""Each fault is found and mended by what is typed in a shell, and nothing but that."""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Command, running_in
from tests.conftest import Database, migrated
from tests.doctor.faults import OF_THE_TESTS, Fault
from tests.doctor.test_faults import cases
from tests.servers import OwnServer, Server

pytestmark = pytest.mark.once


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command, in a directory of its own."""
    return running_in(tmp_path, capsys, monkeypatch)


@pytest.fixture(params=cases())
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Fault, Database]]:
    """A fault, and a database to plant it in."""
    fault, name = request.param
    with migrated(name, request, tmp_path) as database:
        yield fault, database


def alarms(command: Command, fault: Fault) -> list[dict[str, Any]]:
    """What the doctor says is not well; its exit code agrees."""
    done = command("doctor", "--json", "--stuck-after", f"{fault.stuck_secs * 1000:.0f}ms")
    findings = [json.loads(line) for line in done.out.splitlines()]
    wrong = [finding for finding in findings if finding["severity"] != "info"]

    assert (done.code, done.err) == (1 if wrong else 0, "")
    return [finding for finding in wrong if finding["check"] not in OF_THE_TESTS]


def test_what_is_wrong_is_mended_as_it_is_typed(
    case: tuple[Fault, Database], command: Command, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """The environment names the database; what asks first is agreed to."""
    fault, database = case
    monkeypatch.setenv("SESSION_STORE_DATABASE_URL", str(database))
    with fault.plant(database) as end:
        found = alarms(command, fault)
        assert fault.check in [finding["check"] for finding in found]
        end()
        for line in dict.fromkeys(finding["command"] for finding in found):
            program, *words = shlex.split(line)
            if program == "psql":
                by_psql(words, request.getfixturevalue("postgresql_server"))
            elif program == "session-store":
                agreed = ["--yes"] if words[:2] == ["repair", "orphans"] or words[0] == "stuck" else []
                done = command(*words, *agreed)
                assert done.code == 0
        patience = time.monotonic() + 10
        while left := alarms(command, fault):
            # Who is told to end does so in its own time.
            assert fault.command == "psql ", left
            assert time.monotonic() < patience, left


def by_psql(words: list[str], server: Server) -> None:
    """Run PostgreSQL's own client, as somebody who may."""
    if not isinstance(server, OwnServer):
        pytest.skip("PostgreSQL's programs come with the server of the wheel")
    program = Path(server.control.bin_path) / "psql"
    subprocess.run([program, *words], check=True, env={**os.environ, "PGUSER": server.user}, capture_output=True)
