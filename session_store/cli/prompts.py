"""Ask before deleting: show what a command would do, and let the user confirm."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from session_store.cli import json_output, terminal_output
from session_store.interface.errors import StoreError
from session_store.maintenance import formatting
from session_store.maintenance.formatting import pluralize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from session_store.interface.values import SessionMetadata

_NOUNS: Final = {"head": "session row"}
"""Names in JSON that differ from the words for users."""

PREVIEW_COUNT: Final = 10
"""The number of sessions shown in a preview."""


def confirm(question: str, *, yes: bool) -> float:
    """Ask the user to confirm, unless --yes was passed; return how many seconds the answer took.

    Ages in the question have grown by that time.

    Raises:
        StoreError: There is no terminal to ask on.
        Exit: The user declined; exit code 1.
    """
    if yes:
        return 0.0
    asked = time.monotonic()
    if not sys.stdin.isatty():
        problem = f"{question} There is no terminal to answer: use --yes, or --dry-run to only print what would be done"
        raise StoreError(problem)
    if not typer.confirm(formatting.escape_line(question), err=True):
        terminal_output.stderr_console().print("nothing was done")
        raise typer.Exit(1)
    return time.monotonic() - asked


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal, and yield the function that advances it."""
    console = terminal_output.stderr_console()
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)


def print_preview(sessions: Sequence[SessionMetadata], count: int, *, json: bool) -> None:
    """Print the affected sessions, or the first of them."""
    if json or not sessions:
        return
    console = terminal_output.stderr_console()
    terminal_output.print_sessions(console, sessions[:PREVIEW_COUNT])
    if count > PREVIEW_COUNT:
        console.print(f"and {count - len(sessions[:PREVIEW_COUNT]):,} more", style="dim")


def print_summary(figures: Mapping[str, int], done: str, *, dry_run: bool, json: bool) -> None:
    """Print a summary of the counts; their names are in the singular."""
    if json:
        json_output.write({**{f"{name}s": number for name, number in figures.items()}, "dry_run": dry_run})
    else:
        what = ", ".join(pluralize(number, _NOUNS.get(name, name)) for name, number in figures.items())
        terminal_output.print_result(f"{what} {'would be ' if dry_run else ''}{done}")
