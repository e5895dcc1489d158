"""A first look: ``make demo``, or ``python examples/demo.py [FILE]``.

Makes a SQLite database, puts a handful of conversations into it, and shows what the store is for. Everything printed
comes out of the database; the clock stands still, so every run prints the same.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from session_store import ChatMessage, SessionQuery, SessionStore
from session_store.transfer import import_jsonl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from session_store import SessionMetadata

CONVERSATIONS = Path(__file__).parent / "conversations.jsonl"
NOW = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)
STYLES = {"user": "green", "assistant": "cyan", "tool": "yellow", "system": "magenta"}
STATES = {"running": "green", "error": "red"}

terminal = Console()
console = terminal if terminal.is_terminal else Console(width=100)


class Clock:
    """The time the demo says it is."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        """Return what the store asks for."""
        return self.now


class Steps:
    """Numbered headings, each with the call that does it."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, heading: str, call: str) -> None:
        """Print the next heading."""
        self.number += 1
        console.print()
        console.rule(Text(f"{self.number}. {heading}", style="bold"), align="left", style="dim")
        for line in call.splitlines():
            console.print(Text.assemble(("  > ", "dim"), (line, "bold blue")))


def show(what: RenderableType) -> None:
    """Print what came back."""
    console.print(Padding(what, (0, 0, 0, 4)))


def table_of(sessions: Iterable[SessionMetadata]) -> Table:
    """Return sessions as a table."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("session", "name", "state"):
        table.add_column(column)
    table.add_column("messages", justify="right")
    table.add_column("last activity")
    for session in sessions:
        turn = f" ({session.turn_id})" if session.turn_id else ""
        table.add_row(
            Text(session.key, style="bold"),
            Text(session.name or ""),
            Text(session.state + turn, style=STATES.get(session.state, "")),
            str(session.message_count),
            f"{session.last_activity:%Y-%m-%d %H:%M}",
        )
    return table


def say(message: ChatMessage, width: int = 10) -> Text:
    """Return a message in a line: who, what, and the tools it calls."""
    calls = (message.payload or {}).get("tool_calls", [])
    called = ", ".join(f"{call['name']}({', '.join(map(str, call['arguments'].values()))})" for call in calls)
    return Text.assemble(
        (f"{message.role:<{width}} ", f"bold {STYLES[message.role]}"),
        message.content,
        (f"calls {called}" if called else "", "italic"),
    )


def make(path: Path, step: Steps, clock: Clock) -> SessionStore:
    """Make the database and fill it."""
    step("Make a database", f'store = SessionStore.open("{path.name}")')
    store = SessionStore.open(path, clock=clock)
    health = store.health()
    show(f"A SQLite file of its own, its tables at revision {health.schema}: {shown(path)}")

    step(
        "Import conversations",
        f'import_jsonl(store, ["{CONVERSATIONS.name}"])\nsession-store import {CONVERSATIONS.name}',
    )
    first = import_jsonl(store, [CONVERSATIONS])
    again = import_jsonl(store, [CONVERSATIONS])
    show(f"{first.added} messages in {first.sessions} sessions. Imported again, it adds {again.added}.")
    return store


def talk(store: SessionStore, step: Steps, clock: Clock) -> None:
    """Append to a conversation, name some, and say what the agents are doing."""
    step(
        "Append a message, name the session",
        'store.append("telegram_ann", ChatMessage.assistant("Have a good trip!"))\n'
        'store.set_session_name("telegram_ann", "A weekend in Porto")',
    )
    stored = store.append("telegram_ann", ChatMessage.assistant("Have a good trip!"))
    store.set_session_name("telegram_ann", "A weekend in Porto")
    store.set_session_name("whatsapp_marta", "Otra talla, por favor")
    store.set_session_name("line_haruka", "京都から東京へ")
    show(f"It is message {stored.seq} of its session, and on the disk.")

    step("Say what an agent is doing", 'store.set_session_state("web_bo", "running", "turn_8")')
    clock.now = NOW - timedelta(minutes=80)
    store.set_session_state("slack_report-bot", "running", "turn_3")
    clock.now = NOW - timedelta(seconds=10)
    store.set_session_state("web_bo", "running", "turn_8")
    clock.now = NOW
    show("web_bo runs for 10 seconds now, slack_report-bot for 80 minutes: its agent died.")


def look(store: SessionStore, step: Steps) -> None:
    """List, load and search."""
    step("List the sessions, newest first", "store.list_sessions_with_metadata()\nsession-store list")
    show(table_of(store.list_sessions_with_metadata()))

    step("Load a conversation", 'store.load("telegram_ann", last=6)\nsession-store show telegram_ann --last 6')
    for message in store.load("telegram_ann", last=6):
        show(say(message))

    step("Search, in any language", 'store.search(SessionQuery(keyword="umbrella"))\nsession-store search umbrella')
    for word in ("umbrella", "talla", "新幹線", "umbrella talla"):
        found = ", ".join(session.key for session in store.search(SessionQuery(keyword=word)))
        show(Text.assemble((f"{word}: ", "italic"), found or ("no message has both words", "dim")))

    step("Count tokens", 'message.payload["usage"] of store.iter_history(key)')
    tokens = sum(
        sum((stored.message.payload or {}).get("usage", {}).values())
        for key in store.list_sessions()
        for stored in store.iter_history(key)
    )
    show(f"{tokens:,} tokens, in and out. The payload of a message is yours: any JSON.")


def tidy(store: SessionStore, step: Steps) -> None:
    """Find the stuck session, recover it, and delete what is old."""
    step("Find stuck sessions", "store.list_stuck_sessions(threshold_secs=600)")
    for session in store.list_stuck_sessions(threshold_secs=600):
        since = session.state_entered_at
        show(Text(f"{session.key} is {session.state} in {session.turn_id} since {since:%H:%M}. Its last message:"))
        show(say(store.load(session.key, last=1)[0]))

    step("Recover them", "store.recover_stuck(threshold_secs=600)")
    for key in store.recover_stuck(threshold_secs=600):
        state = store.get_session_state(key)
        show(Text.assemble(f"{key} is now ", (state.state if state else "gone", "red"), "; web_bo goes on running."))

    step("Delete what nobody has used for 90 days", "store.cleanup_stale(ttl_hours=90 * 24)")
    would = store.cleanup_stale(ttl_hours=90 * 24, dry_run=True)
    deleted = store.cleanup_stale(ttl_hours=90 * 24)
    show(f"dry_run=True said {would}; deleted {deleted}. Left:")
    show(table_of(store.list_sessions_with_metadata()))


def shown(path: Path) -> str:
    """Return a path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def next_steps(path: Path) -> None:
    """Say what to type next."""
    program = Path(sys.executable).parent / "session-store"
    command = shown(program) if program.exists() else "session-store"
    console.print()
    console.rule(Text("What to type next", style="bold"), align="left", style="dim")
    for line in (
        f"export SESSION_STORE_DATABASE_URL=sqlite:///{shown(path)}",
        f"{command} list",
        f"{command} show line_haruka",
        f"{command} search umbrella",
        f"{command} --help",
    ):
        console.print(Text(f"  {line}", style="bold blue"), soft_wrap=True)
    console.print()
    console.print("README.md has the ten lines to begin with in Python.", style="dim")


def database() -> Path:
    """Return where the database goes: the file given, or one in this environment, or a temporary one."""
    if len(sys.argv) > 1:
        return Path(sys.argv[1])
    in_environment = sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK)
    return (Path(sys.prefix) if in_environment else Path(tempfile.mkdtemp())) / "demo.db"


def main() -> None:
    """Run the demo."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    path = database()
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    step, clock = Steps(), Clock()
    with make(path, step, clock) as store:
        talk(store, step, clock)
        look(store, step)
        tidy(store, step)
    next_steps(path)


if __name__ == "__main__":
    main()
