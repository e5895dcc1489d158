"""Doing what a page of the documentation says, as a reader would, and comparing what it says comes out.

* A section begins at each ``##`` heading, in an empty directory. So does a part of it whose ``###`` heading is
  followed by a paragraph that begins "This goes on from [another section](#its-anchor)"; any section may begin like
  that, and what the other one says is then done first.
* A block with a title, as mkdocs-material shows it, is a file of that name: ```` ```python title="shop.py" ````.
* A ``console`` block is a session of bash. Each line after ``$ `` is a command, continued after a backslash; what
  follows is all that it prints, where ``...`` stands for anything. It must succeed; if it ends with the comment
  ``# exit code 1`` it must end with that code, and what it writes to standard error follows what it prints.
  Within a section exports last and what was started in the background runs.
* The ``python`` blocks without a title in one section are a program together, run where the last of them stands.
  What a comment after a ``print`` says is printed.
* An ``sql`` block is asked of the database that ``DATABASE_URL`` names, or of the one SQLite file there is; if its
  title is the name of a database, of that one only. The table right behind it, or behind one for each database, is
  what comes out, with times to the second, in UTC. Without a table no rows do.

Any other block is an error.
"""

import doctest
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Final, Self

from markdown_it import MarkdownIt
from markdown_it.token import Token
from sqlalchemy import CursorResult, NullPool, create_engine

ROOT: Final = Path(__file__).parent.parent

_TITLE: Final = re.compile(r'title="([^"]+)"')
_GOES_ON: Final = re.compile(r"This goes on from \[[^]]*\]\(#([^)]+)\)")
_CHOSEN: Final = re.compile(r"(?<!SESSION_STORE_)DATABASE_URL")
_EXIT_CODE: Final = re.compile(r"#\s*exit code (\d+)$")
_PRINTED: Final = re.compile(r"^\s*print\(.*\)  # (.*)$", re.MULTILINE)
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d{6}\+00:00")
_EXPORTED: Final = ("SESSION_STORE_", "DATABASE_URL", "PYTHONPATH", "ALEMBIC_CONFIG")


@dataclass(frozen=True)
class Block:
    """A block of code: where it stands, its language, its title, and for SQL the table that is to come out."""

    place: str
    language: str
    title: str | None
    text: str
    table: str = ""


@dataclass
class Section:
    """What a reader does who begins at a heading, the sections it goes on from first."""

    page: str
    name: str
    before: "Section | None" = None
    own: list[Block] = field(default_factory=list)

    def __str__(self) -> str:
        """What a test of it is called."""
        return f"{self.page}#{self.name}"

    @property
    def blocks(self) -> list[Block]:
        """All that is to be done."""
        return [*(self.before.blocks if self.before else []), *self.own]

    @property
    def any_database(self) -> bool:
        """Whether the reader chooses the database, by ``DATABASE_URL``."""
        return any(_CHOSEN.search(block.text) for block in self.blocks)


def sections(page: Path, *, begin_at: Sequence[str] = ("h2",)) -> list[Section]:
    """The sections of a page that have something to do, each beginning at a heading of these kinds."""
    found: dict[str, Section] = {}
    section = Section(page.name, "top")
    tokens = MarkdownIt().enable("table").parse(page.read_text())
    for number, token in enumerate(tokens):
        place = f"{page.name}:{token.map[0] + 1}" if token.map else page.name
        heading = tokens[number + 1].content if token.type == "heading_open" else ""
        following = tokens[number + 4] if heading and number + 4 < len(tokens) else None
        continued = _GOES_ON.match(following.content) if following else None
        if heading and (token.tag in begin_at or continued):
            section = Section(page.name, anchor(heading))
            if continued:
                assert continued[1] in found, f"{place}: there is no section #{continued[1]} before this one"
                section.before = found[continued[1]]
            assert section.name not in found, f"{place}: there are two sections #{section.name}"
        elif token.type == "fence":
            language, _, rest = token.info.partition(" ")
            title = _TITLE.search(rest)
            section.own.append(Block(place, language, title[1] if title else None, token.content))
        elif token.type == "table_open":
            for last in range(1, alternatives(tokens[:number]) + 1):
                section.own[-last] = replace(section.own[-last], table=table(tokens[number:]))
        # Elsewhere an indented block: in a tab or an admonition, where it would be hidden from the reader of this.
        assert token.type != "code_block", f"{place}: a block of code must be fenced, and not be indented"
        found[section.name] = section
    return [section for section in found.values() if section.own]


def alternatives(tokens: Sequence[Token]) -> int:
    """How many blocks of SQL ask the same at the end of some tokens: each of another database, or one of any."""
    titles: list[str] = []
    for token in reversed(tokens):
        language, _, title = token.info.partition(" ")
        if token.type != "fence" or language != "sql" or (titles and (title in titles or "" in (title, *titles))):
            break
        titles.append(title)
    return len(titles)


def table(tokens: Sequence[Token]) -> str:
    """The table that some tokens begin with, a line for each row."""
    lines: list[list[str]] = []
    for number, token in enumerate(takewhile(lambda token: token.type != "table_close", tokens)):
        if token.type == "tr_open":
            lines.append([])
        elif token.type in {"th_open", "td_open"}:
            lines[-1].append(tokens[number + 1].content)
    return rows_of(lines)


def rows_of(lines: Sequence[Sequence[str]]) -> str:
    """Rows as text."""
    return "\n".join(" | ".join(line) for line in lines)


def anchor(heading: str) -> str:
    """What a link to a heading says, as GitHub and the site make it."""
    return re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-")


def environment(programs: Path, **given: str) -> dict[str, str]:
    """The environment of a reader who has activated the one whose programs are there, and set what is given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_EXPORTED)}
    path = os.pathsep.join([str(programs), kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, **given}


def follow(blocks: Sequence[Block], directory: Path, variables: Mapping[str, str]) -> None:
    """Do in a directory what the blocks say; fail if anything else comes out than they say."""
    programs = [block for block in blocks if block.language == "python" and block.title is None]
    with Shell(directory, variables) as shell:
        for block in blocks:
            if block.language == "sql":
                ask(block, directory, variables)
            elif block.title is not None:
                write(block, directory)
            elif block.language == "console":
                shell.follow(block)
            elif block.language == "mermaid":
                continue  # a drawing
            elif block.language == "python":
                if block is programs[-1]:
                    run(programs, directory, shell)
            else:
                problem = f"{block.place}: nobody knows what to do with a block of {block.language or 'no language'}"
                raise AssertionError(problem)


def write(block: Block, directory: Path) -> None:
    """Write the file that a block is."""
    assert block.title is not None
    path = (directory / block.title).resolve()
    assert path.is_relative_to(directory.resolve()), f"{block.place}: {block.title} is not in the reader's directory"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text)


def run(programs: Sequence[Block], directory: Path, shell: "Shell") -> None:
    """Run blocks of Python as one program, and find in what it prints what its comments say, in their order."""
    source = "\n".join(block.text for block in programs)
    Path(directory, "program.py").write_text(source)
    # The programs of a page keep their engines to their ends, of which Python 3.13 warns.
    ended, printed, told = shell.run("python -W error -W ignore::ResourceWarning program.py")
    assert (ended, told) == (0, ""), f"{programs[-1].place}: the program ended with {ended}:\n{printed}{told}"
    lines = iter(printed.splitlines())
    for expected in _PRINTED.findall(source):
        assert expected in lines, f"{programs[-1].place}: {expected!r} is missing in what was printed:\n{printed}"


def ask(block: Block, directory: Path, variables: Mapping[str, str]) -> None:
    """Ask what a block of SQL asks, and compare what comes out with the table."""
    url = variables.get("DATABASE_URL")
    if url is None:
        files = list(directory.glob("*.db"))
        assert len(files) == 1, f"{block.place}: no DATABASE_URL, and not one SQLite file but {files}"
        url = f"sqlite:///{files[0]}"
    engine = create_engine(url, poolclass=NullPool)
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[engine.dialect.name]
    if block.title in {None, name}:
        with engine.begin() as db:
            # As a client sends it who knows no parameters: a percent sign is one.
            answer = db.execution_options(no_parameters=True).exec_driver_sql(block.text)
            told = answered(answer) if answer.returns_rows else ""
        assert alike(block.table, told), f"{block.place}: on {name}\n{told}\ninstead of\n{block.table}"


def answered(answer: CursorResult[tuple[object, ...]]) -> str:
    """What came out, as a table of the page has it."""
    return rows_of([list(answer.keys()), *(list(map(cell, row)) for row in answer)])


def cell(value: object) -> str:
    """A value as a table of the page has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    time = _TIME.fullmatch(str(value))
    return f"{time[1]} {time[2]}" if time else str(value)


class Shell:
    """A bash in a directory; what it exports and starts lasts until it is left."""

    def __init__(self, directory: Path, variables: Mapping[str, str]) -> None:
        self._directory = directory
        self._outputs = [directory.parent / f".{directory.name}.{name}" for name in ("output", "errors")]
        # In a group of its own, so that all it started can be ended.
        self._bash = subprocess.Popen(
            ["bash"],  # noqa: S607 - where it is differs
            cwd=directory,
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._bash.pid, signal.SIGTERM)
        with self._bash:
            self._bash.kill()
        for path in self._outputs:
            path.unlink(missing_ok=True)

    def run(self, command: str) -> tuple[int, str, str]:
        """Run a command; its exit code, what it printed, and what it wrote to standard error."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        # To files, which a server left in the background may hold open as long as it likes.
        output, errors = (shlex.quote(str(path)) for path in self._outputs)
        self._bash.stdin.write(f"eval {shlex.quote(command)} >{output} 2>{errors} </dev/null\necho $?\n")
        self._bash.stdin.flush()
        code = self._bash.stdout.readline()
        printed, told = (path.read_text() for path in self._outputs)
        assert code, f"bash itself ended at {command!r}:\n{printed}{told}"
        return int(code), printed, told

    def follow(self, block: Block) -> None:
        """Run the commands of a block, and compare what they print with what stands there."""
        for command, expected in commands(block):
            code, printed, told = self.run(command)
            wanted = _EXIT_CODE.search(command)
            said = f"{block.place}: $ {command}\n{printed}{told}"
            assert code == (int(wanted[1]) if wanted else 0), f"exit code {code} of {said}"
            actual = printed + told if wanted else printed
            assert alike(expected, actual), f"{said}\ninstead of\n{expected}"


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with what it is to print."""
    lines = block.text.splitlines()
    assert lines, f"{block.place}: there is nothing in this block"
    assert lines[0].startswith("$ "), f"{block.place}: a line of a console that is to be run begins with '$ '"
    while lines:
        command = [lines.pop(0).removeprefix("$ ")]
        while command[-1].endswith("\\"):
            command.append(lines.pop(0))
        expected = []
        while lines and not lines[0].startswith("$ "):
            expected.append(lines.pop(0))
        yield "\n".join(command), "\n".join(expected)


def alike(expected: str, actual: str) -> bool:
    """Whether two texts are the same, with ``...`` for anything, but for the spaces that end a line."""
    wanted, got = ("".join(f"{line.rstrip()}\n" for line in text.splitlines()) for text in (expected.strip(), actual))
    return doctest.OutputChecker().check_output(wanted, got, doctest.ELLIPSIS)
