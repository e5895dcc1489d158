"""The export command."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from session_store import transfer
from session_store.cli import json_output, terminal_output
from session_store.cli.options import (
    DEFAULT_DATABASE,
    PIPE,
    ActiveBefore,
    ActiveSince,
    Attributes,
    Database,
    Json,
    Owner,
    Schema,
    State,
    read_store,
)
from session_store.cli.prompts import progress
from session_store.interface.values import SessionQuery
from session_store.transfer import ExportConditions, ExportFilter, ExportResult


class Format(StrEnum):
    """The format of the exported file."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


_WRITE: Final[dict[Format, Callable[..., ExportResult]]] = {
    Format.JSONL: transfer.export_jsonl,
    Format.CSV: transfer.export_csv,
    Format.PARQUET: transfer.export_parquet,
}


def export(
    *,
    format_: Annotated[Format, typer.Option("--format", help="The format of the file.")] = Format.JSONL,
    out: Annotated[str, typer.Option(metavar="FILE", help="The file to write; - is the standard output.")] = PIPE,
    owner: Owner = None,
    state: State = None,
    attribute: Attributes = None,
    active_since: ActiveSince = None,
    active_before: ActiveBefore = None,
    after: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only sessions after this key, in the order of keys.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an incomplete file.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Export sessions, in the order of their keys.

    jsonl has whole sessions, for session-store import; csv and parquet have one row per message. VALUE is parsed as
    JSON if it is a number, true, false or a quoted string, otherwise it is a string. --json prints the summary as JSON,
    on stderr when the export goes to stdout.
    """
    place = _output_path(out, format_, resume=resume, force=force)
    # Arrow's own allocator reserves 25 MB, of which 5 are needed. It is chosen when Arrow is loaded.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    conditions: ExportConditions = {
        "owner": owner,
        "state": state,
        "attributes": dict(attribute) if attribute else None,
        "active_since": active_since,
        "active_before": active_before,
    }
    console = terminal_output.stderr_console()
    with read_store(db, schema) as store, _print_resume_hint(place, format_):
        total = store.count_sessions(SessionQuery(**conditions)) if console.is_terminal else None
        with progress("exporting", total) as advance, _open_output(place, resume=resume) as (file, resume_after):
            which: ExportFilter = {**conditions, "after": after if resume_after is None else resume_after}
            done = _WRITE[format_](store, file, on_session=lambda _: advance(1), **which)
    summary = console if place is None else terminal_output.stdout_console()
    if json:
        json_output.write(done._asdict(), file=summary.file)
    else:
        summary.print(f"{done.sessions:,} sessions, {done.messages:,} messages exported", soft_wrap=True)


def _output_path(out: str, format_: Format, *, resume: bool, force: bool) -> Path | None:
    """Return the path to write, None for the standard output."""
    place = None if out == PIPE else Path(out)
    if resume and format_ is not Format.JSONL:
        problem = "--resume is for JSON Lines: export to a new file with --after KEY"
    elif resume and (force or place is None):
        problem = "--resume needs a file, and does not go with --force"
    elif place is None and format_ is Format.PARQUET and sys.stdout.isatty():
        problem = "Parquet is binary: name a file with --out"
    elif place is not None and place.exists() and not (resume or force):
        problem = f"{out!r} exists: --force replaces it"
        problem += ", --resume continues it" if format_ is Format.JSONL else ""
    else:
        return place
    raise typer.BadParameter(problem, param_hint="--out")


@contextmanager
def _open_output(place: Path | None, *, resume: bool) -> Iterator[tuple[Path | BinaryIO, str | None]]:
    """Yield the file to write, and the key after which an existing file continues."""
    if place is None:
        yield sys.stdout.buffer, None
    elif not resume or not place.exists():
        yield place, None
    else:
        with place.open("r+b") as file:
            yield file, transfer.resume_jsonl(file)


@contextmanager
def _print_resume_hint(place: Path | None, format_: Format) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if place is not None and place.exists() and format_ is Format.JSONL:
            terminal_output.stderr_console().print("interrupted; --resume continues the file", soft_wrap=True)
        raise
