"""The README begins as a reader in a hurry needs it; `tests.test_documents` runs it."""

from pathlib import Path

import pytest

from session_store import SessionStore
from tests.documents import ROOT, Shell, environment, sections
from tests.ready import programs

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


def test_five_commands_lead_to_a_report_and_others_through_the_night(tmp_path: Path) -> None:
    """Typed as they stand there, but for the environment they make, all succeed or say that somebody is to agree."""
    [run_it] = [section for section in sections(README) if section.name == "run-it"]
    five, at_night = (block.text.splitlines() for block in run_it.own)
    Path(tmp_path, "chats.jsonl").write_text('{"session_key": "telegram_ann", "role": "user", "content": "Hello"}\n')
    variables = environment(programs(), PYTHONPATH=str(ROOT))
    assert [line.split()[0] for line in five[:2]] == ["python3", ".venv/bin/pip"]
    assert len(five) == 5

    with Shell(tmp_path, variables) as shell:
        for line in [*(line.removeprefix(".venv/bin/") for line in five[2:]), *at_night]:
            # What follows a conversation does so until it is ended.
            code, printed, told = shell.run(f"timeout 1 {line}" if " tail -f " in line else line)

            assert code in {0, 124} or "There is no terminal to answer" in told, f"{line}: {printed}{told}"
    assert b"<svg" in Path(tmp_path, "report.html").read_bytes()
