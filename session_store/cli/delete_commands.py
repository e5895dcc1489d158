"""The commands that delete: delete, erase, cleanup, prune, trim, compact."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Final

import typer

from session_store.cli import terminal_output
from session_store.cli.options import (
    DEFAULT_DATABASE,
    Database,
    DryRun,
    Json,
    Key,
    Keys,
    Schema,
    Yes,
    age,
    cutoff,
    open_store,
    read_store,
    require_session,
)
from session_store.cli.prompts import PREVIEW_COUNT, confirm, print_preview, print_summary, progress
from session_store.interface.errors import SessionInUse
from session_store.interface.values import SessionQuery
from session_store.maintenance.formatting import pluralize

_DEFAULT_WITHIN: Final = timedelta(seconds=2)
_SECS_PER_HOUR: Final = timedelta(hours=1)

OlderThan = Annotated[timedelta, typer.Option(metavar="TIME", parser=age, help="For how long, such as 30d.")]


def delete(
    keys: Keys,
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Delete sessions with their messages and states; one that another table refers to is kept."""
    with (read_store if dry_run else open_store)(db, schema) as store:
        sessions = [require_session(store, key) for key in dict.fromkeys(keys)]
        messages = sum(session.message_count for session in sessions)
        print_preview(sessions, len(sessions), json=json)
        kept: list[str] = []
        if not dry_run:
            confirm(f"Delete {pluralize(len(sessions), 'session')} with {pluralize(messages, 'message')}?", yes=yes)
            with progress("deleting", len(sessions)) as advance:
                for session in sessions:
                    try:
                        store.delete_session(session.key)
                    except SessionInUse as in_use:
                        kept.append(session.key)
                        terminal_output.print_error(str(in_use))
                    advance(1)
    print_summary({"session": len(sessions) - len(kept)}, "deleted", dry_run=dry_run, json=json)
    if kept:
        raise typer.Exit(1)


def erase(
    *,
    owner: Annotated[str, typer.Option(help="Whose sessions.")],
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Delete all sessions of an owner; those that another table refers to are kept.

    After an interruption, the same command continues. Run vacuum --full afterwards to leave no byte in the files.
    """
    with (read_store if dry_run else open_store)(db, schema) as store:
        count = store.delete_sessions(owner=owner, dry_run=True)
        print_preview(
            store.list_sessions_with_metadata(SessionQuery(owner=owner, limit=PREVIEW_COUNT)), count, json=json
        )
        remaining = 0
        if not dry_run and count:
            confirm(f"Delete {pluralize(count, 'session')} of {owner!r}?", yes=yes)
            with progress("deleting", count) as advance:
                count = store.delete_sessions(owner=owner, on_batch=advance)
            remaining = store.delete_sessions(owner=owner, dry_run=True)
    print_summary({"session": count}, "deleted", dry_run=dry_run, json=json)
    if remaining:
        terminal_output.print_error(
            f"{pluralize(remaining, 'session')} are left: another table refers to them, or they are new"
        )
        raise typer.Exit(1)


def cleanup(
    *,
    older_than: OlderThan,
    include_running: Annotated[bool, typer.Option("--include-running", help="Also running sessions.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Delete sessions that were not used for a time; running ones and those that another table refers to are kept.

    After an interruption, the same command continues.
    """
    hours = older_than / _SECS_PER_HOUR
    with (read_store if dry_run else open_store)(db, schema) as store:
        count = store.cleanup_stale(hours, include_running=include_running, dry_run=True)
        deleted = count
        if not dry_run and count:
            waited = confirm(
                f"Delete {pluralize(count, 'session')} not used for {terminal_output.format_duration(older_than)}?",
                yes=yes,
            )
            hours += waited / _SECS_PER_HOUR.total_seconds()
            with progress("deleting", count) as advance:
                deleted = store.cleanup_stale(hours, include_running=include_running, on_batch=advance)
    print_summary({"session": deleted}, "deleted", dry_run=dry_run, json=json)


def prune(
    *,
    older_than: OlderThan,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Delete old entries of the state log; the current state of each session is kept."""
    before = cutoff(older_than)
    with (read_store if dry_run else open_store)(db, schema) as store:
        removed = _run_delete(
            lambda **options: store.prune_states(before, **options),
            lambda count: (
                f"Delete {pluralize(count, 'state')} that ended more than "
                f"{terminal_output.format_duration(older_than)} ago?"
            ),
            yes=yes,
            dry_run=dry_run,
        )
    print_summary({"state": removed}, "removed", dry_run=dry_run, json=json)


def trim(
    key: Key,
    *,
    keep_last: Annotated[int | None, typer.Option(min=0, help="Number of newest messages to keep.")] = None,
    older_than: Annotated[
        timedelta | None, typer.Option(metavar="TIME", parser=age, help="Only messages older than this, such as 30d.")
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Delete old messages of a session; the session stays, and seqs are not reused.

    With both limits, a message is deleted if it exceeds --keep-last and is old enough.
    """
    before = None if older_than is None else cutoff(older_than)
    with (read_store if dry_run else open_store)(db, schema) as store:
        require_session(store, key)
        removed = _run_delete(
            lambda **options: store.trim(key, keep_last=keep_last, before=before, **options),
            lambda count: f"Delete {pluralize(count, 'message')} of {key!r}?",
            yes=yes,
            dry_run=dry_run,
        )
    print_summary({"message": removed}, "removed", dry_run=dry_run, json=json)


def compact(
    keys: Keys,
    *,
    within: Annotated[
        timedelta | None,
        typer.Option(metavar="TIME", parser=age, help="Maximum age difference of duplicates.", show_default="2s"),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Delete duplicate messages, and recompute the session rows.

    A duplicate equals the message before it in role, text, payload and turn, and has no idempotency key.
    """
    # Not `within or ...`: zero is a valid time.
    seconds = (_DEFAULT_WITHIN if within is None else within).total_seconds()
    with (read_store if dry_run else open_store)(db, schema) as store:
        every = [require_session(store, key).key for key in dict.fromkeys(keys)]
        found = [store.compact(key, within_secs=seconds, dry_run=True) for key in every]
        duplicates = sum(each.duplicates_removed for each in found)
        repaired = sum(each.head_repaired for each in found)
        if not dry_run and (duplicates or repaired):
            confirm(
                f"Delete {pluralize(duplicates, 'duplicate')}, and repair {pluralize(repaired, 'session row')}?",
                yes=yes,
            )
            with progress("compacting", len(every)) as advance:
                done = []
                for key in every:
                    done.append(store.compact(key, within_secs=seconds))
                    advance(1)
            duplicates = sum(each.duplicates_removed for each in done)
            repaired = sum(each.head_repaired for each in done)
    print_summary({"message": duplicates, "head": repaired}, "deleted and repaired", dry_run=dry_run, json=json)


def _run_delete(remove: Callable[..., int], question: Callable[[int], str], *, yes: bool, dry_run: bool) -> int:
    """Count the rows to delete, and delete them if the user agrees, unless it is a dry run."""
    count = remove(dry_run=True)
    if dry_run or not count:
        return count
    confirm(question(count), yes=yes)
    with progress("removing", count) as advance:
        return remove(on_batch=advance)
