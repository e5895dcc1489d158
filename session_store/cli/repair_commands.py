"""The commands that mend what the doctor found: heads, orphans, the schema, pragmas."""

from typing import Annotated

import typer

from session_store import migrations
from session_store.cli import json_output, terminal_output
from session_store.cli.options import DEFAULT_DATABASE, Database, DryRun, Json, Schema, Yes, opened, read, waiting
from session_store.cli.prompts import agreed, progress, tell
from session_store.maintenance import repair
from session_store.maintenance.doctor.findings import counted


def heads(
    *, dry_run: DryRun = False, json: Json = False, db: Database = DEFAULT_DATABASE, schema: Schema = None
) -> None:
    """Let every session say of itself what its messages and states say: counts, numbers, times, its state."""
    with (
        (read if dry_run else opened)(db, schema) as store,
        progress("looking at sessions", store.count_sessions()) as advance,
    ):
        mended = repair.mend_heads(store.engine, schema=schema, dry_run=dry_run, on_progress=advance)
    tell({"head": mended}, "mended", dry_run=dry_run, json=json)


def orphans(
    *,
    adopt: Annotated[bool, typer.Option("--adopt", help="Keep them: make the sessions they belong to.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Delete messages and states whose session is not there any more, or with --adopt make it again."""
    with (read if dry_run else opened)(db, schema) as store:
        found = repair.delete_orphans(store.engine, schema=schema, dry_run=True)
        if adopt and not dry_run:
            with waiting("making their sessions"):
                made = repair.adopt_orphans(store.engine, schema=schema)
            tell({"session": made}, "made", dry_run=False, json=json)
            return
        if not dry_run and any(found):
            what = f"{counted(found.messages, 'message')} and {counted(found.states, 'state')}"
            agreed(f"Delete {what} whose session is not there?", yes=yes)
            with waiting("deleting"):
                found = repair.delete_orphans(store.engine, schema=schema)
    done = "adopted" if adopt else "deleted"
    tell({"message": found.messages, "state": found.states}, done, dry_run=dry_run, json=json)


def restored(*, json: Json = False, db: Database = DEFAULT_DATABASE, schema: Schema = None) -> None:
    """Make the indexes and views that are missing; writers wait meanwhile."""
    with opened(db, schema) as store, waiting("making what is missing"):
        made = migrations.restore(store.engine, schema=schema)
    _tell(made, json=json)


def pragmas(*, json: Json = False, db: Database = DEFAULT_DATABASE, schema: Schema = None) -> None:
    """Let a SQLite file be written through a log, beside which others read."""
    with read(db, schema):
        # By name: a store that writes would have mended it when it opened the file.
        mended = repair.mend_pragmas(db)
    _tell(mended, json=json)


def _tell(made: list[str], *, json: bool) -> None:
    if json:
        json_output.write({"made": made})
        return
    for name in made or ["nothing was missing"]:
        terminal_output.say(name)
