"""README, pages, examples and ``--help`` speak of the same commands."""

import re
import shlex
from collections.abc import Iterator

import pytest
import typer

from docs import commands
from session_store.cli.app import app
from tests.doctor.faults import FAULTS, Fault
from tests.documents import ROOT

pytestmark = pytest.mark.once

PROGRAM = commands.PROGRAM
TEXTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("examples/**/*.md"))]
CODE = [*sorted(ROOT.glob("examples/**/*.py")), *sorted((ROOT / "session_store").rglob("*.py")), ROOT / "Makefile"]

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(rf"`({PROGRAM} [^`]+)`")
_ENDS = {"|", ">", "2>", "&&", ";", "&"}


def lines() -> Iterator[tuple[str, str]]:
    """Each line with a command that stands somewhere, and where."""
    for path in TEXTS:
        text = path.read_text()
        for fence in _FENCE.findall(text):
            for line in fence.replace("\\\n", " ").splitlines():
                if re.match(rf"^(\$ |[\d*/]+ .*|\S*/|){PROGRAM} ", line) or f"| {PROGRAM} " in line:
                    yield path.name, line[line.index(f"{PROGRAM} ") :]
        for line in _INLINE.findall(_FENCE.sub("", text)):
            yield path.name, " ".join(line.split())
    for path in CODE:
        for line in _INLINE.findall(path.read_text()):
            yield str(path.relative_to(ROOT)), " ".join(line.split())


def words_of(line: str) -> list[str]:
    """The arguments of the first command in a line of the shell."""
    lexer = shlex.shlex(line.replace("\\|", "|"), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if word in _ENDS:
            break
        words.append(word)
    return words[1:]


LINES = sorted({(line, where) for where, line in lines() if not re.search(r"COMMAND|\[|\.\.\.|\|[a-z]", line)})


@pytest.mark.parametrize(("line", "where"), LINES)
def test_what_stands_somewhere_is_understood(line: str, where: str) -> None:
    """Each command line parses: the command is there, and takes these options and so many arguments."""
    words = words_of(line)
    is_alone = len(words) == 1
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and words:
        if any(words[0] in parameter.opts for parameter in command.params):
            return
        assert words[0] in command.commands, f"{where}: {line}"
        command = command.commands[words.pop(0)]

    # Where only the name of a command or group stands, nothing is to be typed.
    if not (is_alone and where.endswith(".md")) and not hasattr(command, "commands"):
        command.make_context(line, words)


@pytest.mark.parametrize(
    "line", ["session-store lsit", "session-store list --ownr ann", "session-store show", "session-store stuck"]
)
def test_what_is_not_understood_is_found(line: str) -> None:
    """A command or option that is not there, and an argument too few, fail."""
    with pytest.raises((AssertionError, typer.TyperException)):
        test_what_stands_somewhere_is_understood(line, "somewhere")


def test_the_page_is_that_of_the_commands() -> None:
    """``docs/commands.md`` is what the commands say of themselves; ``python -m docs.commands`` makes it anew."""
    assert commands.PAGE.read_text() == commands.page()


@pytest.mark.parametrize("name", commands.commands())
def test_every_command_has_its_place(name: str) -> None:
    """Each stands in the page of commands with an example, and at least once elsewhere."""
    [told] = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", commands.PAGE.read_text(), re.MULTILINE | re.DOTALL)

    assert f"Example: `{PROGRAM} {name}" in told
    assert [where for line, where in LINES if line.startswith(f"{PROGRAM} {name}") and where != commands.PAGE.name]


RUNBOOK = (ROOT / "docs" / "operate.md").read_text()


def test_every_check_of_the_doctor_is_explained() -> None:
    """Each name of a check that may tell of something wrong stands in the runbook."""
    code = "\n".join(path.read_text() for path in (ROOT / "session_store" / "diagnosis").glob("*.py"))
    kinds = "schema|search|sessions|heads|orphans|clock|sqlite|server|transactions"
    names = set(re.findall(rf'"((?:{kinds})\.[a-z_]+)"', code)) | {fault.check for fault in FAULTS}

    assert {name for name in names if f"`{name}`" not in RUNBOOK} <= INFORMATION


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_runbook_names_what_the_doctor_prints(fault: Fault) -> None:
    """The row of a check has the command that mends it."""
    [row] = re.findall(rf"^\|.*`{re.escape(fault.check)}`.*$", RUNBOOK, re.MULTILINE)

    assert (fault.command or "").strip() in row


INFORMATION = {"search.engine", "search.size", "heads.compared", "server.version", "server.wal"}
"""What is never wrong."""
