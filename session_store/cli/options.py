"""What the commands have in common: their options, and how the database they are for is opened."""

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
"""The name of the standard input, or output."""
DEFAULT_DATABASE: Final = "sqlite:///session_store.db"

_COMPLETION_LIMIT: Final = 1_000


def age(text: str) -> timedelta:
    """Return how long a text says: ``30d``, ``1h30m``, ``2 weeks``."""
    # A capital M is a minute to the one and a month to the other, and what is deleted by it does not come back.
    seconds = None if text.strip().isdecimal() or "M" in text else pytimeparse2.parse(text)
    if seconds is None or seconds < 0:
        problem = f"{text!r} is not how long something is, such as 90s, 5m, 1h30m, 30d or '2 weeks'"
        raise typer.BadParameter(problem)
    return timedelta(seconds=seconds)


def cutoff(length: timedelta) -> datetime:
    """Return the time so long before now; the first of all that can be asked for where that is longer ago."""
    now = datetime.now(UTC)
    return now - min(length, now - MIN_DATETIME)


def time(text: str) -> datetime:
    """Return the time that a text says, in UTC where it names no zone, or so long before now as it says."""
    with suppress(ValueError):
        said = datetime.fromisoformat(text)
        return said if said.tzinfo is not None else said.replace(tzinfo=UTC)
    try:
        return datetime.now(UTC) - age(text)
    except (typer.BadParameter, OverflowError):
        problem = f"{text!r} is neither a time in ISO 8601 nor how long ago it was, such as 30d"
        raise typer.BadParameter(problem) from None


def attribute(text: str) -> tuple[str, str | int | float | bool]:
    """Return the name and the value of an attribute; what is a number, true, false or a text in JSON is that."""
    name, sign, said = text.partition("=")
    if not sign:
        problem = f"{text!r} is not NAME=VALUE"
        raise typer.BadParameter(problem)
    with suppress(ValueError):
        value = json.loads(said)
        if isinstance(value, str | int | float):
            return name, value
    return name, said


def _complete_keys(context: typer.Context, incomplete: str) -> list[str]:
    """Return those of the newest sessions whose keys begin so, for a shell that completes them."""
    given: Mapping[str, Any] = context.params
    # A shell that waits for words has no use for an error.
    with suppress(StoreError, OSError), read_store(given["db"], given["schema"]) as store:
        keys = store.list_sessions(SessionQuery(limit=_COMPLETION_LIMIT))
        return [key for key in keys if key.startswith(incomplete) and _is_shell_word(key)]
    return []


def _is_shell_word(key: str) -> bool:
    """Whether a shell takes a key for nothing but a word; it types what is offered as it is, and so would run it."""
    return shlex.quote(key) == key and not key.startswith("-")


Database = Annotated[
    str,
    typer.Option(
        "--db",
        metavar="URL",
        envvar="SESSION_STORE_DATABASE_URL",
        help="The database: a URL, or the path of a SQLite file.",
    ),
]
Schema = Annotated[
    str | None,
    typer.Option(metavar="NAME", envvar="SESSION_STORE_SCHEMA", help="The PostgreSQL schema that holds the tables."),
]
Json = Annotated[bool, typer.Option("--json", help="For programs: a JSON object in each line.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]

Key = Annotated[str, typer.Argument(help="The session's key.", autocompletion=_complete_keys)]
Keys = Annotated[list[str], typer.Argument(metavar="KEY", help="The keys of sessions.", autocompletion=_complete_keys)]

Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]
After = Annotated[
    str | None, typer.Option(metavar="CURSOR", help="Go on behind this place, which the page before named.")
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
        help="Only sessions active then or later: ISO 8601, UTC where no zone is said, or an age as 30d.",
    ),
]
ActiveBefore = Annotated[
    datetime | None,
    typer.Option(
        metavar="TIME",
        parser=time,
        help="Only sessions not active since: ISO 8601, UTC where no zone is said, or an age as 30d.",
    ),
]


@contextmanager
def open_store(db: str, schema: str | None, *, make: bool = False) -> Iterator[SessionStore]:
    """Open the database a command changes, or makes."""
    with _explain_errors():
        store = SessionStore(db, schema=schema)
    with store:
        if not make:
            _require(engines.missing_file(store.engine))
        yield store


@contextmanager
def read_store(db: str, schema: str | None) -> Iterator[SessionStore]:
    """Open the database a command looks at: nothing of it is changed, and nobody's rights to change it are needed."""
    with _explain_errors():
        engine = engines.create_readonly_engine(db)
        store = SessionStore(engine, schema=schema)
    _require(engines.missing_file(engine))
    try:
        yield store
    finally:
        engine.dispose()


def require_current_schema(db: str) -> str:
    """Return what names a database, if it can be one."""
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
        problem = f"the driver of this database is not there: {error}"
        raise StoreUnavailable(problem) from None


def _require(missing: str | None) -> None:
    if missing is not None:
        problem = f"there is no file {missing!r}: name another with --db, or make it with {PROGRAM} import or upgrade"
        raise StoreUnavailable(problem)


def require_session(store: SessionStore, key: str) -> SessionMetadata:
    """Return a session that must be there: a name mistyped makes no new one."""
    session = store.get_session_metadata(key)
    if session is None:
        problem = f"there is no session {key!r}"
        raise StoreError(problem)
    return session


@contextmanager
def spinner(what: str) -> Iterator[None]:
    """Say on a terminal what is being done, as long as it lasts."""
    console = terminal_output.stderr_console()
    with console.status(what) if console.is_terminal else nullcontext():
        yield
