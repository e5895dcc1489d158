"""What the commands have in common: the database they are for, and how it is opened."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, Final

import typer

from session_store.cli import display
from session_store.dialects import engines
from session_store.errors import InvalidQuery, StoreUnavailable
from session_store.store import SessionStore

PROGRAM: Final = "session-store"
PIPE: Final = "-"
"""The name of the standard input, or output."""
DEFAULT_DATABASE: Final = "sqlite:///session_store.db"

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
Owner = Annotated[str | None, typer.Option(help="Only sessions of this owner.")]
State = Annotated[str | None, typer.Option(help="Only sessions in this state now.")]


@contextmanager
def opened(db: str, schema: str | None, *, must_exist: bool = False) -> Iterator[SessionStore]:
    """Open the database a command is for."""
    try:
        store = SessionStore(db, schema=schema)
    except InvalidQuery as error:
        raise typer.BadParameter(str(error), param_hint="--db") from None
    except ImportError as error:
        problem = f"the driver of this database is not there: {error}"
        raise StoreUnavailable(problem) from None
    with store:
        path = engines.missing_file(store.engine)
        if must_exist and path is not None:
            problem = f"there is no file {path!r}: name another with --db, or make it with {PROGRAM} import or upgrade"
            raise StoreUnavailable(problem)
        yield store


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say on a terminal what is being done, as long as it lasts."""
    console = display.messages_to_user()
    with console.status(what) if console.is_terminal else nullcontext():
        yield
