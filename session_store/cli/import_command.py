"""The import command."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from session_store import migrations
from session_store.cli import json_output, terminal_output
from session_store.cli.options import DEFAULT_DATABASE, PIPE, Database, DryRun, Json, Schema, open_store, spinner
from session_store.database import engines
from session_store.interface.errors import SchemaOutOfDate
from session_store.maintenance import formatting
from session_store.store.sync import SessionStore
from session_store.transfer import BrokenLine, ImportResult, SkippedSession, import_jsonl
from session_store.transfer.results import Adjusted
from session_store.transfer.sources.openai_agents import import_openai_agents, is_openai_agents
from session_store.transfer.sources.zeroclaw import import_zeroclaw, is_zeroclaw


class Source(StrEnum):
    """The program that wrote a file."""

    JSONL = "jsonl"
    ZEROCLAW = "zeroclaw"
    OPENAI_AGENTS = "openai-agents"


_FOREIGN: Final[dict[Source, Callable[..., ImportResult]]] = {
    Source.ZEROCLAW: import_zeroclaw,
    Source.OPENAI_AGENTS: import_openai_agents,
}


def import_(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="The files to import; - is JSON Lines from stdin.")
    ],
    *,
    source: Annotated[
        Source | None, typer.Option("--from", help="The program that wrote the files; default: detected.")
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Import messages and sessions; the database is created and migrated if needed.

    Files are JSON Lines, plain or gzip, from session-store export, or with session_key, role, content and optionally
    created_at (ISO 8601 with a time zone) and payload; the folder or a file of zeroclaw; or the SQLite file of the
    OpenAI Agents SDK.

    Messages that exist are not added again. Broken lines and sessions that differ from the stored ones are reported and
    skipped; the exit code is then 1.
    """
    kinds = [(_detect_source(file, source), file) for file in files]
    every: list[ImportResult] = []
    with (_scratch_store if dry_run else _migrated_store)(db, schema) as store:
        for kind, several in groupby(kinds, key=lambda each: each[0]):
            paths = [file for _, file in several]
            if kind is Source.JSONL:
                every.append(_import_jsonl(store, paths, dry_run=dry_run))
            else:
                every += _import_foreign(store, _FOREIGN[kind], paths, dry_run=dry_run)
    total = ImportResult(*map(sum, zip(*every, strict=True)))
    if json:
        json_output.write({**total._asdict(), "dry_run": dry_run})
    else:
        _print(total, dry_run=dry_run)
    if total.broken or total.skipped:
        raise typer.Exit(1)


def _print(total: ImportResult, *, dry_run: bool) -> None:
    adjusted = f", {total.adjusted:,} adjusted" if total.adjusted else ""
    skipped = f", {total.skipped:,} skipped" if total.skipped else ""
    terminal_output.stdout_console().print(
        f"{total.lines:,} lines: {total.added:,} messages added, {total.already_there:,} already there, "
        f"{total.broken:,} broken{adjusted}; {total.sessions:,} sessions{skipped}"
        f"{'; dry run: nothing was written' if dry_run else ''}",
        soft_wrap=True,
    )


def _detect_source(file: str, source: Source | None) -> Source:
    """Return the program that wrote a file; raise if it cannot be read."""
    path = Path(file)
    piped = file == PIPE
    if not piped and not path.exists():
        problem = f"file {file!r} does not exist"
    elif piped and source in _FOREIGN:
        problem = f"{source} needs a file, not stdin"
    elif path.is_dir() and source is not Source.ZEROCLAW and (source is not None or not is_zeroclaw(path)):
        problem = f"{file!r} is a directory"
    else:
        return source or _recognize(path)
    raise typer.BadParameter(problem, param_hint="FILE")


def _recognize(path: Path) -> Source:
    # Not for a pipe: the data read would be lost.
    if path.is_file() and is_openai_agents(path):
        return Source.OPENAI_AGENTS
    if (path.is_file() or path.is_dir()) and is_zeroclaw(path):
        return Source.ZEROCLAW
    return Source.JSONL


@contextmanager
def _migrated_store(db: str, schema: str | None) -> Iterator[SessionStore]:
    with open_store(db, schema, make=True) as store:
        migrations.upgrade(store.engine, schema=schema)
        yield store


@contextmanager
def _scratch_store(db: str, schema: str | None) -> Iterator[SessionStore]:
    """Open the database for a dry run; without tables, use an empty one in memory."""
    with open_store(db, schema, make=True) as store:
        if _has_tables(store):
            yield store
            return
    with tempfile.TemporaryDirectory() as folder, SessionStore.open(Path(folder) / "trial.db") as store:
        yield store


def _has_tables(store: SessionStore) -> bool:
    if engines.missing_file(store.engine) is not None:
        return False
    try:
        store.health()
    except SchemaOutOfDate as outdated:
        if outdated.current is not None:
            raise
        return False
    return True


def _on_line(line: BrokenLine | Adjusted) -> None:
    _print_problem(f"{line.file}:{line.line}" if line.line else line.file, line.reason)


def _on_skipped(session: SkippedSession) -> None:
    _print_problem(f"session {session.session_key}", session.reason)


def _print_problem(where: str, reason: str) -> None:
    line = Text.assemble((formatting.escape_line(f"{where}: "), "bold"), formatting.escape_line(reason))
    terminal_output.stderr_console().print(line, soft_wrap=True)


def _import_foreign(
    store: SessionStore, read: Callable[..., ImportResult], files: Sequence[str], *, dry_run: bool
) -> Iterator[ImportResult]:
    with spinner("importing"):
        for file in files:
            yield read(store, file, dry_run=dry_run, on_broken=_on_line, on_skipped=_on_skipped, on_adjusted=_on_line)


def _import_jsonl(store: SessionStore, files: Sequence[str], *, dry_run: bool) -> ImportResult:
    console = terminal_output.stderr_console()
    columns = TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("importing", total=_total_size(files))
        return import_jsonl(
            store,
            (sys.stdin.buffer if file == PIPE else file for file in files),
            dry_run=dry_run,
            on_broken=_on_line,
            on_skipped=_on_skipped,
            on_read=lambda size: progress.advance(task, size),
        )


def _total_size(files: Sequence[str]) -> int | None:
    """Return the number of bytes to read, as far as it is known."""
    if not all(Path(file).is_file() for file in files):
        return None
    return sum(Path(file).stat().st_size for file in files)
