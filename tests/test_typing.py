"""The program that ``mypy --strict`` reads does what it says, too."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import Database

ROOT = Path(__file__).parent.parent


def test_the_program_runs(empty_database: Database, tmp_path: Path) -> None:
    """Every kind of call, on both stores and through every way to be in a transaction."""
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "tests" / "typing_program.py", str(empty_database)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "InvalidKey"
