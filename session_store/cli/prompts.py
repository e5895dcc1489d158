"""Nothing is deleted unasked: what a command would do is shown, and done when the user agrees."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from session_store.cli import json_output, terminal_output
from session_store.interface.errors import StoreError
from session_store.maintenance.doctor.findings import pluralize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from session_store.interface.values import SessionMetadata

PREVIEW_COUNT: Final = 10
"""Of those that are meant so many are shown."""


def confirm(question: str, *, yes: bool) -> float:
    """Return, if the user wants it done or said so beforehand, how many seconds the answer took.

    What was asked about is by then so much older.

    Raises:
        StoreError: There is nobody to ask.
        Exit: They do not, exit code 1.
    """
    if yes:
        return 0.0
    asked = time.monotonic()
    if not sys.stdin.isatty():
        problem = f"{question} Nobody is there to answer: --yes does it, --dry-run only says what would be done"
        raise StoreError(problem)
    if not typer.confirm(terminal_output.escape_line(question), err=True):
        terminal_output.stderr_console().print("nothing was done")
        raise typer.Exit(1)
    return time.monotonic() - asked


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far something is, and give what is told of each further part of it."""
    console = terminal_output.stderr_console()
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)


def print_preview(sessions: Sequence[SessionMetadata], count: int, *, json: bool) -> None:
    """Show those that are meant, or the first of them, to who is asked about them."""
    if json or not sessions:
        return
    console = terminal_output.stderr_console()
    terminal_output.print_sessions(console, sessions[:PREVIEW_COUNT])
    if count > PREVIEW_COUNT:
        console.print(f"and {count - len(sessions[:PREVIEW_COUNT]):,} more", style="dim")


def print_summary(figures: Mapping[str, int], done: str, *, dry_run: bool, json: bool) -> None:
    """Say of how many things something was done, or would be; they are named in the singular."""
    if json:
        json_output.write({**{f"{name}s": number for name, number in figures.items()}, "dry_run": dry_run})
    else:
        what = ", ".join(pluralize(number, name) for name, number in figures.items())
        terminal_output.print_result(f"{what} {'would be ' if dry_run else ''}{done}")
