"""The options that commands share, and how they open the database."""

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import pytimeparse2
import typer

from session_store.cli import terminal_output
from session_store.database import engines
from session_store.interface.errors import InvalidQuery, StoreError, StoreUnavailable
from session_store.interface.values import SessionMetadata, SessionQuery
from session_store.maintenance.doctor.findings import PROGRAM
from session_store.models.validation import MIN_DATETIME
from session_store.store.sync import SessionStore

PIPE: Final = "-"
"""The name of the standard input or output."""
DEFAULT_DATABASE: Final = "sqlite:///session_store.db"

_COMPLETION_LIMIT: Final = 1_000


def age(text: str) -> timedelta:
    """Parse a duration: ``30d``, ``1h30m``, ``2 weeks``."""
    # Reject a capital M: it could mean minutes or months, and deletions cannot be undone.
    seconds: Any = None if text.strip().isdecimal() or "M" in text else pytimeparse2.parse(text)
    if seconds is None or seconds < 0:
        problem = f"{text!r} is not a duration, such as 90s, 5m, 1h30m, 30d or '2 weeks'"
        raise typer.BadParameter(problem)
    return timedelta(seconds=seconds)


def cutoff(length: timedelta) -> datetime:
    """Return the time a duration ago, or the earliest valid time if that is later."""
    now = datetime.now(UTC)
    return now - min(length, now - MIN_DATETIME)


def time(text: str) -> datetime:
    """Parse a time in ISO 8601, in UTC without a zone, or a duration before now."""
    with suppress(ValueError):
        parsed = datetime.fromisoformat(text)
        return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
    try:
        return datetime.now(UTC) - age(text)
    except (typer.BadParameter, OverflowError):
        problem = f"{text!r} is neither a time in ISO 8601 nor an age such as 30d"
        raise typer.BadParameter(problem) from None


def attribute(text: str) -> tuple[str, str | int | float | bool]:
    """Parse NAME=VALUE; VALUE is parsed as JSON if it is a number, true, false or a quoted string."""
    name, sign, parsed = text.partition("=")
    if not sign:
        problem = f"{text!r} is not NAME=VALUE"
        raise typer.BadParameter(problem)
    with suppress(ValueError):
        value = json.loads(parsed)
        if isinstance(value, str | int | float):
            return name, value
    return name, parsed


def _complete_keys(context: typer.Context, incomplete: str) -> list[str]:
    """Return the keys of the newest sessions that start with a text, for shell completion."""
    given: Mapping[str, Any] = context.params
    # Shell completion must not print an error.
    with suppress(StoreError, OSError), read_store(given["db"], given["schema"]) as store:
        keys = store.list_sessions(SessionQuery(limit=_COMPLETION_LIMIT))
        return [key for key in keys if key.startswith(incomplete) and _is_shell_word(key)]
    return []


def _is_shell_word(key: str) -> bool:
    """Return whether a key is a plain word for a shell: completion inserts it unquoted."""
    return shlex.quote(key) == key and not key.startswith("-")


Database = Annotated[
    str,
    typer.Option(
        "--db",
        metavar="URL",
        envvar="SESSION_STORE_DATABASE_URL",
        help="The database: a URL or the path of a SQLite file.",
    ),
]
Schema = Annotated[
    str | None,
    typer.Option(metavar="NAME", envvar="SESSION_STORE_SCHEMA", help="The PostgreSQL schema of the tables."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")]

Key = Annotated[str, typer.Argument(help="The session's key.", autocompletion=_complete_keys)]
Keys = Annotated[list[str], typer.Argument(metavar="KEY", help="The keys of sessions.", autocompletion=_complete_keys)]

Limit = Annotated[int, typer.Option(min=1, help="Maximum number of results.")]
After = Annotated[
    str | None, typer.Option(metavar="CURSOR", help="Continue after this cursor, printed by the previous page.")
]
Owner = Annotated[str | None, typer.Option(help="Only sessions of this owner.")]
State = Annotated[str | None, typer.Option(help="Only sessions in this state now.")]
Attributes = Annotated[
    list[Any] | None,
    typer.Option(
        "--attribute",
        metavar="NAME=VALUE",
        parser=attribute,
        help="Only sessions with this attribute; may be given several times.",
    ),
]
ActiveSince = Annotated[
    datetime | None,
    typer.Option(
        metavar="TIME",
        parser=time,
        help="Only sessions active since a time: ISO 8601 (default zone: UTC) or an age such as 30d.",
    ),
]
ActiveBefore = Annotated[
    datetime | None,
    typer.Option(
        metavar="TIME",
        parser=time,
        help="Only sessions not active since a time: ISO 8601 (default zone: UTC) or an age such as 30d.",
    ),
]


@contextmanager
def open_store(db: str, schema: str | None, *, make: bool = False) -> Iterator[SessionStore]:
    """Open the database for a command that writes."""
    with _explain_errors():
        store = SessionStore(db, schema=schema)
    with store:
        if not make:
            _require(engines.missing_file(store.engine))
        yield store


@contextmanager
def read_store(db: str, schema: str | None) -> Iterator[SessionStore]:
    """Open the database read-only, for a command that reads."""
    with _explain_errors():
        engine = engines.create_readonly_engine(db)
        store = SessionStore(engine, schema=schema)
    _require(engines.missing_file(engine))
    try:
        yield store
    finally:
        engine.dispose()


def require_current_schema(db: str) -> str:
    """Return the database argument, if it is valid."""
    with _explain_errors():
        engines.create_readonly_engine(db).dispose()
    return db


@contextmanager
def _explain_errors() -> Iterator[None]:
    try:
        yield
    except InvalidQuery as error:
        raise typer.BadParameter(str(error), param_hint="--db") from None
    except ImportError as error:
        problem = f"the driver of this database is not installed: {error}"
        raise StoreUnavailable(problem) from None


def _require(missing: str | None) -> None:
    if missing is not None:
        problem = f"file {missing!r} does not exist: choose another with --db, or create it with {PROGRAM} upgrade"
        raise StoreUnavailable(problem)


def require_session(store: SessionStore, key: str) -> SessionMetadata:
    """Return an existing session; a mistyped key must not create one."""
    session = store.get_session_metadata(key)
    if session is None:
        problem = f"session {key!r} does not exist"
        raise StoreError(problem)
    return session


@contextmanager
def spinner(what: str) -> Iterator[None]:
    """Show a spinner on a terminal."""
    console = terminal_output.stderr_console()
    with console.status(what) if console.is_terminal else nullcontext():
        yield
