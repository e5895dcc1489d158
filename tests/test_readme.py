"""The README begins as a reader in a hurry needs it; `tests.test_documents` runs it."""

from pathlib import Path

import pytest

from session_store import SessionStore
from tests.documents import ROOT, sections

pytestmark = pytest.mark.once

README = ROOT / "README.md"
COMMANDS, FIRST = sections(README)[0].own


def test_it_opens_with_one_sentence_and_two_commands() -> None:
    """The first paragraph is one sentence; the first block is the two commands."""
    opening, *_ = README.read_text().split("\n\n")

    assert opening.count(".") == 1
    assert opening.endswith(".")
    assert [line.split("  ")[0] for line in COMMANDS.text.splitlines()] == ["make demo", "make test"]


def test_the_first_program_is_ten_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten lines, of which two read the database back; they leave two messages in the file."""
    monkeypatch.chdir(tmp_path)
    exec(FIRST.text, {})  # noqa: S102 - the README is ours

    assert capsys.readouterr().out.splitlines() == [
        "2",
        "['Do I need an umbrella in Porto?', 'Yes, after three.']",
        "['telegram_ann']",
    ]
    with SessionStore("conversations.db") as store:
        assert (len([line for line in FIRST.text.splitlines() if line]), len(store.load("telegram_ann"))) == (10, 2)
