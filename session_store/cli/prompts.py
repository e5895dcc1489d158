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
from session_store.maintenance.doctor.findings import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from session_store.interface.values import SessionMetadata

SHOWN: Final = 10
"""Of those that are meant so many are shown."""


def agreed(question: str, *, yes: bool) -> float:
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
    if not typer.confirm(terminal_output.in_a_line(question), err=True):
        terminal_output.messages_to_user().print("nothing was done")
        raise typer.Exit(1)
    return time.monotonic() - asked


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far something is, and give what is told of each further part of it."""
    console = terminal_output.messages_to_user()
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)


def show(sessions: Sequence[SessionMetadata], count: int, *, json: bool) -> None:
    """Show those that are meant, or the first of them, to who is asked about them."""
    if json or not sessions:
        return
    console = terminal_output.messages_to_user()
    terminal_output.print_sessions(console, sessions[:SHOWN])
    if count > SHOWN:
        console.print(f"and {count - len(sessions[:SHOWN]):,} more", style="dim")


def tell(figures: Mapping[str, int], done: str, *, dry_run: bool, json: bool) -> None:
    """Say of how many things something was done, or would be; they are named in the singular."""
    if json:
        json_output.write({**{f"{name}s": number for name, number in figures.items()}, "dry_run": dry_run})
    else:
        what = ", ".join(counted(number, name) for name, number in figures.items())
        terminal_output.say(f"{what} {'would be ' if dry_run else ''}{done}")
