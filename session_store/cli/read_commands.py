"""The commands that read: list, show, tail, search, running, stats."""

import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final

import typer

from session_store.cli import json_output, terminal_output
from session_store.cli.options import (
    DEFAULT_DATABASE,
    ActiveBefore,
    ActiveSince,
    After,
    Attributes,
    Database,
    Json,
    Key,
    Limit,
    Owner,
    Schema,
    State,
    age,
    read_store,
    require_session,
)
from session_store.cli.options import time as time_of
from session_store.interface.values import SessionMetadata, SessionQuery, StoredMessage
from session_store.maintenance.statistics import stats as count
from session_store.search import index as search_index
from session_store.store.sync import SessionStore

_PAGE: Final = 500
_HITS_PER_SESSION: Final = 3
_SECOND: Final = timedelta(seconds=1)

Keyword = Annotated[str | None, typer.Option(metavar="WORDS", help="Only sessions with a message that matches.")]
Words = Annotated[list[str], typer.Argument(metavar="WORD", help="The words to search for; see above.")]
Last = Annotated[int | None, typer.Option(min=1, help="Only this number of newest messages.")]
AfterSeq = Annotated[int, typer.Option(min=0, help="Only messages with a higher seq.")]
Time = Annotated[datetime | None, typer.Option(metavar="TIME", parser=time_of, help="ISO 8601, or an age such as 30d.")]


def list_(
    *,
    limit: Limit = 50,
    after: After = None,
    keyword: Keyword = None,
    owner: Owner = None,
    state: State = None,
    attribute: Attributes = None,
    active_since: ActiveSince = None,
    active_before: ActiveBefore = None,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """List sessions, newest activity first."""
    query = SessionQuery(
        keyword=keyword,
        limit=limit,
        after=after,
        owner=owner,
        state=state,
        attributes=dict(attribute) if attribute else None,
        active_since=active_since,
        active_before=active_before,
    )
    with read_store(db, schema) as store:
        _print_sessions(store.list_sessions_with_metadata(query), limit, json=json)


def running(*, json: Json = False, db: Database = DEFAULT_DATABASE, schema: Schema = None) -> None:
    """List the running sessions, newest turn first."""
    with read_store(db, schema) as store:
        _print_sessions(store.list_running_sessions(), None, json=json)


def show(
    key: Key,
    *,
    last: Last = None,
    after_seq: AfterSeq = 0,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Show a session and its messages, oldest first; on a terminal in your pager.

    With --json, the first line is the session, each other line a message.
    """
    with read_store(db, schema) as store:
        session = require_session(store, key)
        if last is not None:
            after_seq = max(after_seq, _seq_before(store, session, last))
        messages = store.iter_history(key, after_seq=after_seq, batch=_PAGE)
        if json:
            json_output.write(json_output.session(session))
            json_output.write_all(json_output.message(key, message) for message in messages)
            return
        with terminal_output.pager(terminal_output.stdout_console()) as console:
            terminal_output.print_head(console, session)
            terminal_output.print_messages(console, messages)


def tail(
    key: Key,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new messages until Ctrl-C.")] = False,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="Number of newest messages to start with.")] = 10,
    interval: Annotated[
        timedelta | None,
        typer.Option(metavar="TIME", parser=age, help="The interval between two polls.", show_default="1s"),
    ] = None,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Print the newest messages of a session; with -f, also new ones."""
    with read_store(db, schema) as store:
        session = require_session(store, key)
        behind = _seq_before(store, session, last)
        while True:
            messages = store.history(key, after_seq=behind, limit=_PAGE)
            _print_messages(key, messages, json=json)
            if messages:
                behind = messages[-1].seq
            elif follow:
                time.sleep((interval or _SECOND).total_seconds())
            else:
                return


def search(
    words: Words,
    *,
    limit: Limit = 50,
    after: After = None,
    owner: Owner = None,
    state: State = None,
    messages: Annotated[bool, typer.Option("--messages", help="List messages instead of sessions.")] = False,
    key: Annotated[str | None, typer.Option(help="Only messages of this session.")] = None,
    role: Annotated[str | None, typer.Option(help="Only messages of this role.")] = None,
    since: Time = None,
    until: Time = None,
    order: Annotated[str, typer.Option(help="recency, or relevance.")] = "recency",
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """List the sessions with a message that contains all words, newest activity first, with the matches.

    Use "a phrase" in quotes, prefix*, this OR that, and -without to exclude a word; put -- before the first word then,
    so that it is not taken for an option.

    --key, --role, --since, --until and --order need --messages; --owner and --state do not go with it.
    """
    keyword = " ".join(words)
    if messages and (owner is not None or state is not None):
        problem = "--owner and --state filter sessions, and do not go with --messages"
        raise typer.BadParameter(problem)
    if not messages and (key, role, since, until, order) != (None, None, None, None, "recency"):
        problem = "--key, --role, --since, --until and --order filter messages, and need --messages"
        raise typer.BadParameter(problem)
    with read_store(db, schema) as store:
        if messages:
            hits = store.search_messages(
                keyword, key=key, role=role, since=since, until=until, limit=limit, after=after, order=order
            )
            if json:
                json_output.write_all(map(json_output.hit, hits))
            else:
                terminal_output.print_hits(terminal_output.stdout_console(), hits)
                _print_next_cursor([hit.cursor for hit in hits], limit, "message")
            return
        query = SessionQuery(keyword=keyword, limit=limit, after=after, owner=owner, state=state)
        sessions = store.search(query)
        found = {
            session.key: store.search_messages(keyword, key=session.key, limit=_HITS_PER_SESSION)
            for session in sessions
        }
    if json:
        json_output.write_all(json_output.session_with_hits(session, found[session.key]) for session in sessions)
    else:
        terminal_output.print_found(terminal_output.stdout_console(), sessions, found)
        _print_next_cursor([session.cursor for session in sessions], limit, "session")


def stats(*, json: Json = False, db: Database = DEFAULT_DATABASE, schema: Schema = None) -> None:
    """Print the number of sessions and messages, the states, and the size on disk."""
    with read_store(db, schema) as store:
        figures = count(store.engine, schema=schema)
        index = search_index.status(store.engine, schema=schema)
    if json:
        json_output.write({**figures._asdict(), "search": index._asdict()})
    else:
        terminal_output.print_stats(terminal_output.stdout_console(), figures, index)


def _seq_before(store: SessionStore, session: SessionMetadata, last: int) -> int:
    """Return the seq before the newest messages, without holding all of them in memory."""
    first = session.last_seq + 1
    while last > 0 and (page := store.history(session.key, before_seq=first, limit=min(last, _PAGE))):
        first = page[0].seq
        last -= len(page)
    return first - 1


def _print_messages(key: str, messages: Iterable[StoredMessage], *, json: bool) -> None:
    if json:
        json_output.write_all(json_output.message(key, message) for message in messages)
    else:
        terminal_output.print_messages(terminal_output.stdout_console(), messages)
    # A reader of a pipe must not wait for a full buffer.
    sys.stdout.flush()


def _print_sessions(sessions: Sequence[SessionMetadata], limit: int | None, *, json: bool) -> None:
    if json:
        json_output.write_all(map(json_output.session, sessions))
        return
    terminal_output.print_sessions(terminal_output.stdout_console(), sessions)
    _print_next_cursor([session.cursor for session in sessions], limit, "session")


def _print_next_cursor(cursors: Sequence[str], limit: int | None, what: str) -> None:
    console = terminal_output.stderr_console()
    if not cursors:
        console.print(f"no {what}")
    elif len(cursors) == limit:
        console.print(f"the next page: --after {cursors[-1]}", style="dim", soft_wrap=True)
