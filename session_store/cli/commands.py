"""The commands over the store: import, export, list, show, search, upgrade, index."""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from session_store import migrations, search_index
from session_store.cli import display
from session_store.cli.exporting import export
from session_store.cli.importing import import_
from session_store.cli.options import DEFAULT_DATABASE, PROGRAM, Database, Owner, Schema, State, opened, waiting
from session_store.errors import StoreError
from session_store.revisions import HEAD
from session_store.store import SessionStore
from session_store.values import SessionMetadata, SessionQuery

_PAGE: Final = 500
_HITS_SHOWN: Final = 3

app = typer.Typer(
    add_completion=False,
    # Its tracebacks show the values of variables, a URL with its password among them.
    pretty_exceptions_enable=False,
    help="Conversations kept in SQLite or PostgreSQL.",
    epilog="Exit codes: 0 done; 1 not done, or not all of it; 2 the command was not understood.",
)

index = typer.Typer(help="The search index: what serves, make it, make it anew, remove it.", no_args_is_help=True)
app.add_typer(index, name="index")

Limit = Annotated[int, typer.Option(min=1, help="At most so many sessions.")]
After = Annotated[
    str | None, typer.Option(metavar="CURSOR", help="Go on behind this place, which the page before named.")
]

Concurrently = Annotated[
    bool, typer.Option("--concurrently", help="Let writers go on meanwhile (PostgreSQL); it takes longer.")
]

app.command("import")(import_)
app.command()(export)


@app.command("list")
def list_(  # noqa: PLR0913 - each is an option of the command
    *,
    limit: Limit = 50,
    after: After = None,
    owner: Owner = None,
    state: State = None,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """List sessions, newest activity first."""
    with opened(db, schema, must_exist=True) as store:
        query = SessionQuery(limit=limit, after=after, owner=owner, state=state)
        sessions = store.list_sessions_with_metadata(query)
        display.print_sessions(display.output(), sessions)
        _print_rest(sessions, limit)


@app.command()
def show(
    key: Annotated[str, typer.Argument(help="The session's key.")],
    *,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest so many messages.")] = None,
    after_seq: Annotated[int, typer.Option(min=0, help="Only messages with a higher number.")] = 0,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Show a session and its messages, oldest first; on a terminal in your pager."""
    with opened(db, schema, must_exist=True) as store:
        session = store.get_session_metadata(key)
        if session is None:
            problem = f"there is no session {key!r}"
            raise StoreError(problem)
        if last is not None:
            after_seq = max(after_seq, _seq_before(store, session, last))
        with display.paged(display.output()) as console:
            display.print_head(console, session)
            display.print_messages(console, store.iter_history(key, after_seq=after_seq, batch=_PAGE))


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(metavar="WORD", help="What one message has; see above.")],
    *,
    limit: Limit = 50,
    after: After = None,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """List the sessions with a message that has all the words, newest activity first, and show where.

    "a phrase" in quotes, prefix*, and between two choices OR. A word with a minus must not be there: put -- before
    the first word then, so that it is not taken for an option.
    """
    keyword = " ".join(words)
    with opened(db, schema, must_exist=True) as store:
        sessions = store.search(SessionQuery(keyword=keyword, limit=limit, after=after))
        found = {
            session.key: store.search_messages(keyword, key=session.key, limit=_HITS_SHOWN) for session in sessions
        }
        display.print_found(display.output(), sessions, found)
        _print_rest(sessions, limit)


@app.command()
def upgrade(db: Database = DEFAULT_DATABASE, schema: Schema = None) -> None:
    """Bring the tables to the revision this version needs, making them if need be."""
    with opened(db, schema) as store:
        migrations.upgrade(store.engine, schema=schema)
    display.output().print(f"the schema is at {HEAD}")


@index.command()
def status(db: Database = DEFAULT_DATABASE, schema: Schema = None) -> None:
    """Say which engine finds words, why, and what the index takes."""
    with opened(db, schema, must_exist=True) as store:
        display.print_index(display.output(), search_index.status(store.engine, schema=schema))


@index.command()
def create(*, concurrently: Concurrently = False, db: Database = DEFAULT_DATABASE, schema: Schema = None) -> None:
    """Make the index from the messages; nothing happens where one serves already."""
    with opened(db, schema, must_exist=True) as store, waiting("making the search index"):
        made = search_index.create(store.engine, concurrently=concurrently, schema=schema)
    display.print_index(display.output(), made)


@index.command()
def rebuild(*, concurrently: Concurrently = False, db: Database = DEFAULT_DATABASE, schema: Schema = None) -> None:
    """Make the index anew, after somebody bypassed its triggers or it was damaged."""
    with opened(db, schema, must_exist=True) as store, waiting("making the search index anew"):
        made = search_index.rebuild(store.engine, concurrently=concurrently, schema=schema)
    display.print_index(display.output(), made)


@index.command()
def drop(db: Database = DEFAULT_DATABASE, schema: Schema = None) -> None:
    """Remove the index; words are then found by looking at every message."""
    with opened(db, schema, must_exist=True) as store:
        search_index.drop(store.engine, schema=schema)
        display.print_index(display.output(), search_index.status(store.engine, schema=schema))


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that knows no Chinese gets it written out, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(list(arguments) or ["--help"], prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read this has read enough. What is still in the buffer would be tried again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except typer.TyperException as error:
        # Not printed by typer: it would repeat a URL that stands where none is expected, with its password.
        display.complain(f"{error.format_message()} ({PROGRAM} --help says what can be done)")
        return error.exit_code
    except (StoreError, OSError) as error:
        display.complain(str(error))
        return 1
    return code if isinstance(code, int) else 0


def _seq_before(store: SessionStore, session: SessionMetadata, last: int) -> int:
    """Return the seq before that of the first of the newest messages; only pages of them are held."""
    first = session.last_seq + 1
    while last > 0 and (page := store.history(session.key, before_seq=first, limit=min(last, _PAGE))):
        first = page[0].seq
        last -= len(page)
    return first - 1


def _print_rest(sessions: Sequence[SessionMetadata], limit: int) -> None:
    console = display.messages_to_user()
    if not sessions:
        console.print("no session")
    elif len(sessions) == limit:
        console.print(f"the next page: --after {sessions[-1].cursor}", style="dim", soft_wrap=True)
