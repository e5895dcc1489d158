"""Print stored text on a terminal, safely.

Markup is not interpreted. Control characters, lone surrogates and characters that change the direction of writing are
escaped, because they could steer the terminal or mislead the reader.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text

from session_store.interface.values import IDLE
from session_store.maintenance.formatting import escape_line, escape_text, format_size, pluralize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from session_store.interface.values import MessageHit, SessionMetadata, Snippet, StoredMessage
    from session_store.maintenance.doctor import Finding
    from session_store.maintenance.statistics import Stats
    from session_store.search.index import SearchIndex

_CREDENTIALS: Final = re.compile(r":/.*@", re.DOTALL)
"""Converted to a path, a URL has one slash."""
_PASSWORD: Final = re.compile(r"(password|passfile)=[^&\s'\"]*", re.IGNORECASE)

_STYLES: Final = {"user": "bold green", "assistant": "bold cyan", "tool": "bold yellow", "system": "bold magenta"}
_SEVERITIES: Final = {"info": "dim", "warning": "bold yellow", "error": "bold red"}
_STATE_STYLES: Final = {IDLE: "dim", "running": "green", "error": "red"}


def mask_password(text: str) -> str:
    """Return a text with the credentials of URLs masked."""
    return _PASSWORD.sub(r"\1=***", _CREDENTIALS.sub("://***@", text))


def stdout_console() -> Console:
    """Return the console of the standard output."""
    return Console(highlight=False, markup=False, emoji=False)


def stderr_console() -> Console:
    """Return the console of the standard error, which does not go into a pipe."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_result(done: str) -> None:
    """Print in one line what was done."""
    stdout_console().print(escape_line(done), soft_wrap=True)


def print_note(what: str) -> None:
    """Print a note in one line."""
    stderr_console().print(escape_line(what), style="dim", soft_wrap=True)


def print_error(problem: str) -> None:
    """Print an error in one line."""
    line = Text.assemble(("error: ", "bold red"), escape_line(mask_password(problem)))
    stderr_console().print(line, soft_wrap=True)


def print_sessions(console: Console, sessions: Sequence[SessionMetadata]) -> None:
    """Print sessions: as a table on a terminal, otherwise as lines with tabs, not truncated."""
    if not console.is_terminal:
        for session in sessions:
            _write(console, _session_fields(session))
        return
    if not sessions:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("session", overflow="fold", min_width=12)
    table.add_column("name", overflow="fold")
    table.add_column("owner", overflow="fold")
    table.add_column("state", overflow="fold")
    table.add_column("messages", justify="right")
    table.add_column("last activity (UTC)", no_wrap=True)
    for session in sessions:
        table.add_row(
            Text(escape_line(session.key), style="bold"),
            Text(escape_line(session.name or "")),
            Text(escape_line(session.owner or "")),
            Text(escape_line(session.state), style=_STATE_STYLES.get(session.state, "")),
            Text(f"{session.message_count:,}"),
            Text(_format_time(session.last_activity)),
        )
    console.print(table)


def print_found(
    console: Console, sessions: Sequence[SessionMetadata], found: Mapping[str, Sequence[MessageHit]]
) -> None:
    """Print sessions with the snippets of their messages, the matches in bold.

    Without a terminal, each line is that of `print_sessions` with the first snippet as the last field.
    """
    for session in sessions:
        hits = [hit for hit in found.get(session.key, ()) if hit.snippet.matches]
        if not console.is_terminal:
            piece = escape_line(hits[0].snippet.text) if hits else ""
            _write(console, f"{_session_fields(session)}\t{piece}")
            continue
        name = f"  {escape_line(session.name)}" if session.name else ""
        about = f"  {session.message_count:,} messages, {_format_time(session.last_activity)}"
        console.print(Text.assemble((escape_line(session.key), "bold"), name, (about, "dim")), soft_wrap=True)
        for hit in hits:
            line = Text.assemble((f"{hit.seq:>6}  ", "dim"), (escape_line(hit.role), _role_style(hit.role)), "  ")
            console.print(line.append_text(_highlighted(hit.snippet)), soft_wrap=True)


def print_hits(console: Console, hits: Iterable[MessageHit]) -> None:
    """Print messages with their snippets, the matches in bold."""
    for hit in hits:
        if not console.is_terminal:
            fields = hit.key, str(hit.seq), hit.role, hit.created_at.isoformat(), hit.snippet.text
            _write(console, "\t".join(map(escape_line, fields)))
            continue
        line = Text.assemble(
            (escape_line(hit.key), "bold"),
            (f"{hit.seq:>6}  ", "dim"),
            (escape_line(hit.role), _role_style(hit.role)),
            (f"  {_format_time(hit.created_at)}  ", "dim"),
        )
        console.print(line.append_text(_highlighted(hit.snippet)), soft_wrap=True)


def print_stats(console: Console, stats: Stats, index: SearchIndex) -> None:
    """Print statistics, one per line."""
    times = [_format_time(time) for time in (stats.first_created_at, stats.last_activity) if time is not None]
    states = ", ".join(f"{escape_line(state)} {number:,}" for state, number in stats.states.items())
    figures = {
        "sessions": f"{stats.sessions:,}",
        "messages": f"{stats.messages:,}",
        "states": states,
        "activity": f"{' to '.join(times)} (UTC)" if times else "",
        "search": _format_index(index),
        "size": format_size(stats.size),
    }
    width = max(map(len, figures)) + 2
    for name, figure in figures.items():
        if figure:
            console.print(Text.assemble((f"{name:<{width}}", "dim"), figure), soft_wrap=True)


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print problems first, the worst before the others, each with its command; then facts."""
    for finding in sorted(findings, key=lambda finding: -finding.severity):
        severity = finding.severity.name.lower()
        message = escape_line(finding.message)
        if not console.is_terminal:
            _write(console, "\t".join((severity, finding.check, message, finding.command or "")))
            continue
        console.print(Text.assemble((f"{severity:<9}", _SEVERITIES[severity]), message), soft_wrap=True)
        if finding.command is not None:
            console.print(Text.assemble(" " * 9, (escape_line(finding.command), "bold")), soft_wrap=True)


def print_index(console: Console, index: SearchIndex) -> None:
    """Print the search backend, the reason, and the size of the index."""
    console.print(_format_index(index), soft_wrap=True)


def print_head(console: Console, session: SessionMetadata) -> None:
    """Print the fields of a session, one per line."""
    turn = "" if session.turn_id is None else f", turn {session.turn_id}"
    since = "" if session.state_entered_at is None else f", since {_format_time(session.state_entered_at)}"
    facts = {
        "session": session.key,
        "name": session.name,
        "owner": session.owner,
        "attributes": _as_json(session.attributes) if session.attributes else None,
        "state": f"{session.state}{turn}{since}",
        "messages": f"{session.message_count:,}, {_format_time(session.created_at)} to "
        f"{_format_time(session.last_activity)} (UTC)",
    }
    for name, fact in facts.items():
        if fact is not None:
            console.print(Text.assemble((f"{name:<12}", "dim"), escape_line(fact)), soft_wrap=True)


def print_messages(console: Console, messages: Iterable[StoredMessage]) -> None:
    """Print messages one by one: seq, role, time and turn in a line, then the text, then the payload as JSON."""
    for seq, created_at, turn_id, message in messages:
        line = Text.assemble(
            "\n",
            (f"{seq:>4}  ", "dim"),
            (escape_line(message.role), _role_style(message.role)),
            (f"  {_format_time(created_at)}", "dim"),
            (f"  turn {escape_line(turn_id)}" if turn_id is not None else "", "dim"),
        )
        console.print(line, soft_wrap=True)
        content = escape_text(message.content)
        if content and console.is_terminal:
            console.print(Text(content))
        elif content:
            _write(console, content)
        if message.payload is not None:
            console.print(Text(escape_line(_as_json(message.payload)), style="dim"), soft_wrap=True)


@contextmanager
def pager(console: Console) -> Iterator[Console]:
    """Yield a console that writes to the user's pager, or the same console without a terminal."""
    pager = shlex.split(os.environ.get("PAGER", "less"))
    if not console.is_terminal or not pager or shutil.which(pager[0]) is None:
        yield console
        return
    process = subprocess.Popen(  # noqa: S603 - the command is the user's own
        pager,
        stdin=subprocess.PIPE,
        encoding=console.encoding,
        errors="backslashreplace",
        # Defaults of less: colors, exit if the text fits the screen, and leave the text there.
        env={"LESS": "FRX", **os.environ},
    )
    # In this order: leaving the process closes its input, which flushes the rest.
    with suppress(BrokenPipeError), process:
        yield _Paged(
            file=process.stdin, force_terminal=True, width=console.width, highlight=False, markup=False, emoji=False
        )


class _Paged(Console):
    def on_broken_pipe(self) -> NoReturn:
        # Leaving the pager early is no error; rich would exit with code 1.
        raise BrokenPipeError


def format_duration(time: timedelta) -> str:
    """Return a duration for people: ``30 days``, ``1 hour 30 minutes``."""
    minutes, seconds = divmod(time.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = {"day": time.days, "hour": hours, "minute": minutes, "second": seconds}
    return (
        " ".join(pluralize(number, name) for name, number in parts.items() if number)
        or f"{time.total_seconds():g} seconds"
    )


def _format_index(index: SearchIndex) -> str:
    return f"{index.engine}: {index.reason}{'' if index.size is None else f'; {format_size(index.size)}'}"


def _session_fields(session: SessionMetadata) -> str:
    fields = (
        session.key,
        session.name or "",
        session.owner or "",
        session.state,
        str(session.message_count),
        session.last_activity.isoformat(),
    )
    return "\t".join(map(escape_line, fields))


def _role_style(role: str) -> str:
    return _STYLES.get(role, "bold")


def _highlighted(snippet: Snippet) -> Text:
    shown = Text()
    done = 0
    for start, end in snippet.matches:
        shown.append(escape_line(snippet.text[done:start]))
        shown.append(escape_line(snippet.text[start:end]), "bold red")
        done = end
    return shown.append(escape_line(snippet.text[done:]))


def _write(console: Console, text: str) -> None:
    # Rich would expand tabs.
    console.file.write(f"{text}\n")


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _format_time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"
