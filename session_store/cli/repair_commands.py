"""The commands that repair what the doctor found: heads, orphans, schema, pragmas."""

from typing import Annotated

import typer

from session_store import migrations
from session_store.cli import json_output, terminal_output
from session_store.cli.options import (
    DEFAULT_DATABASE,
    Database,
    DryRun,
    Json,
    Schema,
    Yes,
    open_store,
    read_store,
    spinner,
)
from session_store.cli.prompts import confirm, print_summary, progress
from session_store.maintenance import repair
from session_store.maintenance.formatting import pluralize


def heads(
    *, dry_run: DryRun = False, json: Json = False, db: Database = DEFAULT_DATABASE, schema: Schema = None
) -> None:
    """Recompute each session's counters, timestamps and state from its messages and state log."""
    with (
        (read_store if dry_run else open_store)(db, schema) as store,
        progress("looking at sessions", store.count_sessions()) as advance,
    ):
        repaired = repair.repair_heads(store.engine, schema=schema, dry_run=dry_run, on_progress=advance)
    print_summary({"head": repaired}, "repaired", dry_run=dry_run, json=json)


def orphans(
    *,
    adopt: Annotated[bool, typer.Option("--adopt", help="Keep them: create the missing sessions.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Delete messages and states without a session; with --adopt, create their sessions instead."""
    with (read_store if dry_run else open_store)(db, schema) as store:
        found = repair.delete_orphans(store.engine, schema=schema, dry_run=True)
        if adopt and not dry_run:
            with spinner("making their sessions"):
                created = repair.adopt_orphans(store.engine, schema=schema)
            print_summary({"session": created}, "created", dry_run=False, json=json)
            return
        if not dry_run and any(found):
            what = f"{pluralize(found.messages, 'message')} and {pluralize(found.states, 'state')}"
            confirm(f"Delete {what} without a session?", yes=yes)
            with spinner("deleting"):
                found = repair.delete_orphans(store.engine, schema=schema)
    done = "adopted" if adopt else "deleted"
    print_summary({"message": found.messages, "state": found.states}, done, dry_run=dry_run, json=json)


def restored(*, json: Json = False, db: Database = DEFAULT_DATABASE, schema: Schema = None) -> None:
    """Create missing indexes and views; blocks writers."""
    with open_store(db, schema) as store, spinner("creating missing objects"):
        created = migrations.restore(store.engine, schema=schema)
    _print_statements(created, json=json)


def pragmas(*, json: Json = False, db: Database = DEFAULT_DATABASE, schema: Schema = None) -> None:
    """Switch a SQLite file to a write-ahead log, which does not block readers."""
    with read_store(db, schema):
        # By path: a writing store would have switched the file when it opened it.
        repaired = repair.enable_wal(db)
    _print_statements(repaired, json=json)


def _print_statements(created: list[str], *, json: bool) -> None:
    if json:
        json_output.write({"made": created})
        return
    for name in created or ["nothing was missing"]:
        terminal_output.print_result(name)
