"""The commands for operators: doctor, backup, vacuum, upgrade and index."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from session_store import analytics, migrations
from session_store.cli import json_output, terminal_output
from session_store.cli.options import (
    DEFAULT_DATABASE,
    Database,
    Json,
    Schema,
    age,
    open_store,
    read_store,
    require_current_schema,
    spinner,
)
from session_store.cli.prompts import progress
from session_store.database import engines
from session_store.database.revisions import HEAD
from session_store.maintenance import backups, formatting, repair
from session_store.maintenance.doctor import Severity
from session_store.maintenance.doctor import doctor as diagnose
from session_store.search import index as search_index
from session_store.search.index import SearchIndex

_SECS_PER_HOUR: Final = timedelta(hours=1)

Concurrently = Annotated[bool, typer.Option("--concurrently", help="Do not block writers (PostgreSQL); takes longer.")]
Analytics = Annotated[bool, typer.Option("--analytics", help="The two optional indexes for analytics instead.")]


def doctor(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Skip the checks that read every row.")] = False,
    stuck_after: Annotated[
        timedelta | None,
        typer.Option(metavar="TIME", parser=age, help="The maximum duration of a turn.", show_default="1h"),
    ] = None,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Check a database, and print the command that fixes each problem; changes nothing.

    The exit code is 1 if a check found a problem.
    """
    stuck_secs = (_SECS_PER_HOUR if stuck_after is None else stuck_after).total_seconds()
    with spinner("looking"):
        findings = diagnose(require_current_schema(db), schema=schema, quick=quick, stuck_secs=stuck_secs)
    if json:
        json_output.write_all(map(json_output.finding, findings))
    else:
        terminal_output.print_findings(terminal_output.stdout_console(), findings)
    if any(finding.severity > Severity.INFO for finding in findings):
        raise typer.Exit(1)


def upgrade(*, json: Json = False, db: Database = DEFAULT_DATABASE, schema: Schema = None) -> None:
    """Create the tables, or upgrade them to the revision that this version needs."""
    with open_store(db, schema, make=True) as store, spinner("upgrading the tables"):
        created = engines.missing_file(store.engine) is not None
        before = None if created else migrations.current(store.engine, schema=schema)
        migrations.upgrade(store.engine, schema=schema)
    if json:
        json_output.write({"before": before, "revision": HEAD})
    else:
        terminal_output.print_result(f"the tables are at revision {HEAD}")


def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to create.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Copy a SQLite database in use; for PostgreSQL, print the pg_dump command and exit with code 1."""
    with read_store(db, schema) as store:
        if not engines.is_sqlite(store.engine):
            command = backups.pg_dump_command(store.engine, file, schema=schema)
            if json:
                json_output.write({"file": None, "command": command})
            else:
                where = "" if schema is None else f" (create the schema {schema!r} first)"
                terminal_output.print_note(
                    f"nothing was copied; run this command, and pg_restore to restore it{where}:"
                )
                terminal_output.print_result(command)
            raise typer.Exit(1)
        with progress("copying", None) as advance:
            done = 0

            def on_progress(pages: int, _all: int) -> None:
                nonlocal done
                advance(pages - done)
                done = pages

            size = backups.backup(store.engine, file, overwrite=force, on_progress=on_progress)
    if json:
        json_output.write({"file": str(Path(file).resolve()), "bytes": size})
    else:
        terminal_output.print_result(f"{file}: {formatting.format_size(size)}")


def vacuum(
    *,
    full: Annotated[bool, typer.Option("--full", help="Rewrite everything, so that no deleted byte remains.")] = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Free the disk space of deleted rows.

    With --full, writers are blocked, on PostgreSQL also readers.
    """
    with open_store(db, schema) as store, spinner("vacuuming"):
        done = repair.vacuum(store.engine, full=full, schema=schema)
    if json:
        json_output.write(done._asdict())
    else:
        terminal_output.print_result(
            f"{formatting.format_size(done.before)} before, {formatting.format_size(done.after)} after"
        )
    if not done.complete:
        terminal_output.print_error(
            "a reader uses an old snapshot of the database: deleted data may still be in the WAL"
        )
        raise typer.Exit(1)


def status(*, json: Json = False, db: Database = DEFAULT_DATABASE, schema: Schema = None) -> None:
    """Show which search backend is used, why, and the size of the index."""
    with read_store(db, schema) as store:
        _print(search_index.status(store.engine, schema=schema), json=json)


def create(
    *,
    concurrently: Concurrently = False,
    for_analysts: Analytics = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Create the index; does nothing if a complete one exists."""
    with open_store(db, schema) as store, spinner("creating the index"):
        if not for_analysts:
            search_index.create(store.engine, concurrently=concurrently, schema=schema)
        names = analytics.create_indexes(store.engine, schema=schema) if for_analysts else []
        created = search_index.status(store.engine, schema=schema)
    if not for_analysts:
        _print(created, json=json)
    elif json:
        json_output.write({"indexes": names})
    else:
        terminal_output.print_result(f"the database has {' and '.join(names)}")


def rebuild(
    *,
    concurrently: Concurrently = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Rebuild the index, after damage or writes that bypassed its triggers."""
    with open_store(db, schema) as store, spinner("rebuilding the search index"):
        created = search_index.rebuild(store.engine, concurrently=concurrently, schema=schema)
    _print(created, json=json)


def drop(
    *,
    for_analysts: Analytics = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Drop the index; searches then read every message."""
    with open_store(db, schema) as store:
        (analytics.drop_indexes if for_analysts else search_index.drop)(store.engine, schema=schema)
        _print(search_index.status(store.engine, schema=schema), json=json)


def _print(index: SearchIndex, *, json: bool) -> None:
    if json:
        json_output.write(index._asdict())
    else:
        terminal_output.print_index(terminal_output.stdout_console(), index)
