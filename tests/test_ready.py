"""Programs that start at once do what those do that start as they are."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.documents import environment
from tests.ready import programs

pytestmark = pytest.mark.once

PROGRAM = """
import sys, warnings
print(sys.argv, sys.path[0], __name__, sys.stdin.read())
warnings.warn("told")
sys.exit({ending})
"""


def run(folder: Path, where: Path, *words: str) -> tuple[int, str, str]:
    """Run a program of a folder in a directory; its exit code and what it printed and told."""
    variables = environment(folder, SESSION_STORE_SAID="yes", PYTHONPATH=str(where))
    done = subprocess.run(
        [folder / words[0], *words[1:]],
        cwd=where,
        env=variables,
        input="piped in",
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("ending", ["0", "3", "None", "'a reason'", "1 / 0", "print('no')"])
@pytest.mark.parametrize("called", [("program.py",), ("-m", "program"), ("-W", "error", "program.py")], ids=" ".join)
def test_a_program_of_python_ends_as_it_does_alone(called: tuple[str, ...], ending: str, tmp_path: Path) -> None:
    """Its arguments, input, paths, warnings, output and exit code are those of a Python of its own."""
    Path(tmp_path, "program.py").write_text(PROGRAM.format(ending=ending))
    alone = run(Path(sys.executable).parent, tmp_path, "python", *called, "a b", "--c")
    forked = run(programs(), tmp_path, "python", *called, "a b", "--c")

    assert forked[:2] == alone[:2]
    assert forked[2].splitlines()[-1:] == alone[2].splitlines()[-1:]


def test_what_is_no_program_is_left_to_python(tmp_path: Path) -> None:
    """Options that are not understood are given to Python as it is, with the caller's environment and directory."""
    code = "import os; print(os.environ['SESSION_STORE_SAID'], os.getcwd())"

    assert run(programs(), tmp_path, "python", "-c", code) == (0, f"yes {tmp_path}\n", "")


def test_a_program_ends_with_its_caller(tmp_path: Path) -> None:
    """Nothing of it runs on when whoever called it was killed."""
    Path(tmp_path, "program.py").write_text("import os, time; print(os.getpid(), flush=True); time.sleep(1000)")
    with subprocess.Popen([programs() / "python", "program.py"], cwd=tmp_path, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        pid = int(caller.stdout.readline())
        os.kill(caller.pid, signal.SIGKILL)

    while Path(f"/proc/{pid}").exists():
        time.sleep(0.01)
