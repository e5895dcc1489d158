"""The README's code runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from session_store import SessionStore

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_every_block_runs_after_the_ones_before_it(tmp_path: Path) -> None:
    """Pasted one after the other into a file, the blocks print what their comments say."""
    program = tmp_path / "readme.py"
    program.write_text("\n".join(BLOCKS))
    done = subprocess.run(
        # The host of the README keeps its engine to its end, of which Python 3.13 warns.
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout.splitlines(), done.stderr) == (
        ["2", "['Do I need an umbrella in Porto?', 'Yes, after three.']", "['telegram_ann']", "2"],
        "",
    )


def test_the_first_block_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten lines, two of which read the database back; they leave two messages in the file."""
    monkeypatch.chdir(tmp_path)
    exec(BLOCKS[0], {})  # noqa: S102 - the README is ours

    code = [line for line in BLOCKS[0].splitlines() if line]
    with SessionStore("conversations.db") as store:
        assert (len(code), len(store.load("telegram_ann"))) == (10, 2)


def test_it_opens_with_one_sentence_and_two_commands() -> None:
    """The first paragraph is one sentence; the first block is the two commands."""
    opening, commands, *_ = README.split("\n\n")

    assert opening.count(".") == 1
    assert opening.endswith(".")
    assert [line.split("  ")[0] for line in commands.splitlines()[1:-1]] == ["make demo", "make test"]


def test_its_links_lead_somewhere() -> None:
    """A relative link names a file of the repository."""
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_no_machine_is_named(name: str) -> None:
    """Neither a path of a machine nor the host of a package registry."""
    text = (ROOT / name).read_text()

    assert re.search(r"(?<![\w.:/])/\w+/\w", text) is None
