"""The command line: all commands with an example each, and how a command runs."""

import inspect
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import typer

from session_store.cli import (
    admin_commands,
    delete_commands,
    read_commands,
    repair_commands,
    session_commands,
    terminal_output,
)
from session_store.cli.export_command import export
from session_store.cli.import_command import import_
from session_store.cli.report_command import report
from session_store.interface.errors import StoreError
from session_store.maintenance.doctor.findings import PROGRAM

_INTERRUPTED: Final = 130

app = typer.Typer(
    # Typer's tracebacks show local variables, such as a URL with its password.
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Conversations in SQLite or PostgreSQL.",
    epilog=(
        "Exit codes: 0 done; 1 not done, or not all of it, or the doctor found something; 2 the command was not "
        "understood; 130 interrupted."
    ),
)
index = typer.Typer(help="The search index: show, create, rebuild and drop it.", no_args_is_help=True)
repair = typer.Typer(
    help="Repair what the doctor found: session rows, orphans, the schema, pragmas.", no_args_is_help=True
)

READ_PANEL: Final = "Look"
CHANGE_PANEL: Final = "Change a session"
DELETE_PANEL: Final = "Remove"
ADMIN_PANEL: Final = "Operate"
TRANSFER_PANEL: Final = "Move"

_COMMANDS: Final[Mapping[str, Mapping[str, tuple[Callable[..., Any], str]]]] = {
    READ_PANEL: {
        "list": (read_commands.list_, "list --owner ann --active-since 7d"),
        "show": (read_commands.show, "show telegram_ann --last 20"),
        "tail": (read_commands.tail, "tail -f telegram_ann"),
        "search": (read_commands.search, "search umbrella porto"),
        "running": (read_commands.running, "running"),
        "stats": (read_commands.stats, "stats --json"),
        "report": (report, "report --out report.html --since 30d"),
    },
    CHANGE_PANEL: {
        "stuck": (session_commands.stuck, "stuck --longer-than 5m --recover"),
        "state": (session_commands.state, "state telegram_ann idle"),
        "rename": (session_commands.rename, "rename telegram_ann 'A weekend in Porto'"),
        "owner": (session_commands.owner, "owner telegram_ann ann"),
        "label": (session_commands.label, "label telegram_ann channel=telegram vip=true"),
    },
    DELETE_PANEL: {
        "delete": (delete_commands.delete, "delete telegram_ann"),
        "erase": (delete_commands.erase, "erase --owner ann"),
        "cleanup": (delete_commands.cleanup, "cleanup --older-than 30d --dry-run"),
        "prune": (delete_commands.prune, "prune --older-than 90d"),
        "trim": (delete_commands.trim, "trim telegram_ann --keep-last 1000"),
        "compact": (delete_commands.compact, "compact telegram_ann"),
    },
    ADMIN_PANEL: {
        "doctor": (admin_commands.doctor, "doctor --stuck-after 30m"),
        "backup": (admin_commands.backup, "backup sessions-backup.db"),
        "vacuum": (admin_commands.vacuum, "vacuum --full"),
        "upgrade": (admin_commands.upgrade, "upgrade"),
    },
    TRANSFER_PANEL: {
        "export": (export, "export --out all.jsonl"),
        "import": (import_, "import chats.jsonl.gz"),
    },
}
_INDEX_COMMANDS: Final[Mapping[str, tuple[Callable[..., Any], str]]] = {
    "status": (admin_commands.status, "index status"),
    "create": (admin_commands.create, "index create --concurrently"),
    "rebuild": (admin_commands.rebuild, "index rebuild"),
    "drop": (admin_commands.drop, "index drop"),
}
_REPAIR_COMMANDS: Final[Mapping[str, tuple[Callable[..., Any], str]]] = {
    "heads": (repair_commands.heads, "repair heads --dry-run"),
    "orphans": (repair_commands.orphans, "repair orphans --adopt"),
    "schema": (repair_commands.restored, "repair schema"),
    "pragmas": (repair_commands.pragmas, "repair pragmas"),
}


def _add(group: typer.Typer, name: str, call: Callable[..., Any], example: str, panel: str | None = None) -> None:
    paragraphs = inspect.getdoc(call).split("\n\n")  # type: ignore[union-attr]
    # Wrapped for the terminal, not as in the docstring.
    said = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    group.command(name, help=said, rich_help_panel=panel, epilog=f"Example: {PROGRAM} {example}")(call)


for panel, commands in _COMMANDS.items():
    for name, (call, example) in commands.items():
        _add(app, name, call, example, panel)
for name, (call, example) in _INDEX_COMMANDS.items():
    _add(index, name, call, example)
for name, (call, example) in _REPAIR_COMMANDS.items():
    _add(repair, name, call, example)
app.add_typer(index, name="index", rich_help_panel=ADMIN_PANEL)
app.add_typer(repair, name="repair", rich_help_panel=ADMIN_PANEL)


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Characters that the terminal cannot encode are escaped instead of raising.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(list(arguments) or ["--help"], prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader closed the pipe. The rest of the buffer would be written again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except typer.Abort:
        # Ctrl-C at a question.
        return _INTERRUPTED
    except typer.TyperException as error:
        # Not printed by typer, which would repeat a misplaced URL with its password.
        terminal_output.print_error(f"{error.format_message()} ({PROGRAM} --help lists the commands and options)")
        return error.exit_code
    except (StoreError, OSError) as error:
        terminal_output.print_error(str(error))
        return 1
    return code if isinstance(code, int) else 0
