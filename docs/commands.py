"""The page of the command line, from the commands: ``python -m docs.commands`` writes ``docs/commands.md``."""

from __future__ import annotations

import inspect
import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from session_store.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).with_name("commands.md")
PROGRAM: Final = "session-store"
KINDS: Final = {"str": "TEXT", "int": "N", "float": "NUMBER"}

INTRODUCTION: Final = """# Command line

`pip install 'session-store[cli]'` brings the command `session-store`. This page is what `session-store COMMAND --help`
says of each command, made by `python -m docs.commands`. What to type when something is wrong is in
[Operate it](operate.md).

{epilog}
"""
SHARED: Final = """## What every command takes

| | |
| --- | --- |
"""


def commands() -> dict[str, Any]:
    """Every command by the words it is called with, groups of commands left out."""
    return dict(_within(typer.main.get_command(app), ()))


def _within(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _within(inner, (*words, name))
    else:
        yield " ".join(words), command


def page() -> str:
    """Return the page."""
    every = commands()
    rows = {name: [_row(parameter) for parameter in command.params] for name, command in every.items()}
    shared = [row for row in next(iter(rows.values())) if all(row in others for others in rows.values())]
    epilog = (typer.main.get_command(app).epilog or "").replace("\n", " ")
    parts = [INTRODUCTION.format(epilog=epilog), SHARED + "".join(shared)]
    parts += [_section(name, every[name], [row for row in rows[name] if row not in shared]) for name in every]
    return "\n".join(parts)


def _section(name: str, command: Any, rows: list[str]) -> str:
    table = "| | |\n| --- | --- |\n" + "".join(rows) if rows else ""
    told = _prose(command.help or "") + _prose(command.epilog or "")
    return f"## {name}\n\n`{_usage(name, command)}`\n\n{told}{table}".rstrip() + "\n"


def _usage(name: str, command: Any) -> str:
    words = [PROGRAM, name]
    options = [parameter for parameter in command.params if _is_option(parameter)]
    words += ["[OPTIONS]"] if options else []
    for parameter in command.params:
        if not _is_option(parameter):
            several = "..." if parameter.nargs == -1 else ""
            word = f"{_kind(parameter).strip('[]')}{several}"
            words.append(word if parameter.required else f"[{word}]")
    return " ".join(words)


def _prose(text: str) -> str:
    """Paragraphs of a docstring, in which a backspace keeps the lines of the next one as they are."""
    parts = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        kept = paragraph.startswith("\b")
        lines = [line.strip() for line in paragraph.strip("\b\n").splitlines()]
        lines = [re.sub(rf"^(Example: )?({PROGRAM} .*)$", r"\1`\2`", line) for line in map(_plain, lines)]
        parts.append("".join(f"* {line}\n" for line in lines) if kept else "\n".join(lines) + "\n")
    return "\n".join(filter(str.strip, parts)) + ("\n" if text else "")


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is; options stand in code, as commands do."""
    if f"{PROGRAM} " in text:
        return text
    return re.sub(r"(?<![\w`])(--?[a-z][a-z-]*)", r"`\1`", re.sub(r"([*_<|\[\]])", r"\\\1", text))


def _is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def _kind(parameter: Any) -> str:
    """What is typed for the value of an argument or option."""
    if parameter.metavar:
        return str(parameter.metavar)
    kind = parameter.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(choice.value) for choice in kind)
    return KINDS.get(getattr(kind, "__name__", ""), "TEXT") if _is_option(parameter) else parameter.name.upper()


def _row(parameter: Any) -> str:
    names = ", ".join([*parameter.opts, *getattr(parameter, "secondary_opts", [])])
    takes = "" if getattr(parameter, "is_flag", False) else f" {_kind(parameter)}"
    typed = f"`{names}{takes}`" if _is_option(parameter) else f"`{_kind(parameter)}`"
    default = parameter.default
    default = default.value if isinstance(default, Enum) else default
    notes = [_plain(parameter.help or "")]
    if isinstance(default, str | int | float) and not isinstance(default, bool):
        notes.append(f"Without it: `{default}`.")
    if getattr(parameter, "envvar", None):
        notes.append(f"May stand in `{parameter.envvar}`.")
    cells = [typed.replace("|", "\\|"), " ".join(notes)]
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
