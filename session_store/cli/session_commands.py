"""The commands that change a session: state, rename, owner, label, stuck."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from session_store.cli import json_output, terminal_output
from session_store.cli.options import (
    DEFAULT_DATABASE,
    Database,
    DryRun,
    Json,
    Key,
    Schema,
    Yes,
    age,
    attribute,
    open_store,
    read_store,
    require_session,
    spinner,
)
from session_store.cli.prompts import confirm, print_preview, print_summary
from session_store.interface.errors import StoreError
from session_store.interface.values import ANY_TURN
from session_store.maintenance.formatting import pluralize
from session_store.store.sync import SessionStore

LongerThan = Annotated[timedelta, typer.Option(metavar="TIME", parser=age, help="The minimum duration, such as 5m.")]
NoOwner = Annotated[bool, typer.Option("--none", help="Remove the owner.")]


def state(
    key: Key,
    to: Annotated[
        str | None, typer.Argument(metavar="[STATE]", help="The new state; without it, the current state is printed.")
    ] = None,
    *,
    turn: Annotated[str | None, typer.Option(help="The turn of the state.")] = None,
    if_turn: Annotated[str | None, typer.Option(help="Only if this turn is current.")] = None,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Print the state of a session, or set it: idle, running, error or a word of your own."""
    if to is None and (turn, if_turn) != (None, None):
        problem = "--turn and --if-turn need a state to set"
        raise typer.BadParameter(problem)
    with (read_store if to is None else open_store)(db, schema) as store:
        require_session(store, key)
        if to is not None and not store.set_session_state(
            key, to, turn, if_turn=ANY_TURN if if_turn is None else if_turn
        ):
            problem = f"session {key!r} is not in turn {if_turn!r}: its state was not changed"
            raise StoreError(problem)
        _print(store, key, json=json)


def rename(
    key: Key,
    name: Annotated[str, typer.Argument(help="The name; '' removes it.")],
    *,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Set the name of a session."""
    with open_store(db, schema) as store:
        require_session(store, key)
        store.set_session_name(key, name)
        _print(store, key, json=json)


def owner(
    key: Key,
    to: Annotated[str | None, typer.Argument(metavar="OWNER", help="The new owner.")] = None,
    *,
    remove: NoOwner = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Set the owner of a session; --none removes it."""
    if (to is None) != remove:
        problem = "pass an owner, or --none"
        raise typer.BadParameter(problem)
    with open_store(db, schema) as store:
        require_session(store, key)
        store.set_session_owner(key, to)
        _print(store, key, json=json)


def label(
    key: Key,
    attributes: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE", help="An attribute to set; NAME= removes it.")
    ],
    *,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Set attributes of a session; the others stay.

    VALUE is parsed as JSON if it is a number, true, false or a quoted string, otherwise it is a string.
    """
    changes: dict[str, Any] = {}
    for text in attributes:
        name, value = attribute(text)
        changes[name] = None if text == f"{name}=" else value
    with open_store(db, schema) as store:
        require_session(store, key)
        store.set_session_attributes(key, changes)
        _print(store, key, json=json)


def stuck(
    *,
    longer_than: LongerThan,
    recover: Annotated[
        bool, typer.Option("--recover", help="Set them to another state, so that they can run again.")
    ] = False,
    to: Annotated[str, typer.Option(metavar="STATE", help="The new state.")] = "error",
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """List the sessions that have been running for too long, oldest first; with --recover, set another state.

    A turn that ends during the command is not changed.
    """
    if not recover and (yes or dry_run or to != "error"):
        problem = "--yes, --dry-run and --to need --recover"
        raise typer.BadParameter(problem)
    seconds = longer_than.total_seconds()
    with (open_store if recover and not dry_run else read_store)(db, schema) as store:
        sessions = store.list_stuck_sessions(seconds)
        if not recover:
            if json:
                json_output.write_all(map(json_output.session, sessions))
            else:
                terminal_output.print_sessions(terminal_output.stdout_console(), sessions)
                terminal_output.print_note("no session" if not sessions else "--recover sets them to another state")
            return
        print_preview(sessions, len(sessions), json=json)
        moved = len(sessions)
        if not dry_run and sessions:
            seconds += confirm(f"Set {pluralize(len(sessions), 'session')} to {to!r}?", yes=yes)
            with spinner("moving them on"):
                moved = len(store.recover_stuck(seconds, to=to))
    print_summary({"session": moved}, f"moved to {to!r}", dry_run=dry_run, json=json)


def _print(store: SessionStore, key: str, *, json: bool) -> None:
    session = require_session(store, key)
    if json:
        json_output.write(json_output.session(session))
    else:
        terminal_output.print_head(terminal_output.stdout_console(), session)
