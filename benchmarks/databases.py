"""Where things are measured: SQLite files, and databases of a PostgreSQL server that keeps what it has committed."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import psycopg
from sqlalchemy import URL

from benchmarks.measuring import POSTGRESQL_VERSION
from session_store import SessionStore
from session_store.search import index as search_index
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from session_store.database.engines import Durability

SETTINGS = f"""
{servers.DURABLE}
synchronous_commit = on
max_wal_size = 4GB
"""
"""No checkpoint that is there only because the log is kept small; else as a server is by itself."""


@dataclass(frozen=True)
class Databases:
    """Databases of one kind, which are there until the end."""

    name: str
    new: Callable[[], URL]
    """An empty database."""
    copy: Callable[[URL], URL]
    """Another one like it; nobody may be connected to that."""
    durability: Durability = "full"
    server: str | None = None
    """The version of the server, if there is one."""

    @property
    def kind(self) -> str:
        """What SQLAlchemy calls it."""
        return "sqlite" if self.name.startswith("SQLite") else "postgresql"

    @property
    def drivers(self) -> tuple[str, ...]:
        """The drivers for an event loop."""
        return ("aiosqlite",) if self.kind == "sqlite" else ("psycopg", "asyncpg")

    def with_tables(self, *, indexed: bool) -> URL:
        """Make a database with our tables, with the search index or without."""
        url = self.new()
        SessionStore.open(url).close()
        if not indexed:
            search_index.drop(url)
        return url


def lent(kind: str, place: Path) -> AbstractContextManager[Databases]:
    """Lend databases in a directory: PostgreSQL's, or SQLite's by its durability."""
    return postgresql(place) if kind == "postgresql" else sqlite(place, cast("Durability", kind))


@contextmanager
def sqlite(place: Path, durability: Durability = "full") -> Iterator[Databases]:
    """Keep files in a directory."""
    numbers = count()

    def new() -> URL:
        return URL.create("sqlite", database=str(place / f"{durability}_{next(numbers)}.db"))

    def copy(url: URL) -> URL:
        other = new()
        shutil.copyfile(str(url.database), str(other.database))
        return other

    yield Databases(f"SQLite, synchronous={'FULL' if durability == 'full' else 'NORMAL'}", new, copy, durability)


@contextmanager
def postgresql(place: Path) -> Iterator[Databases]:
    """Run a server; a commit waits for the disk that the place is on."""
    with servers.start_postgresql(POSTGRESQL_VERSION, place, SETTINGS) as server, ExitStack() as stack:

        def copy(url: URL) -> URL:
            return stack.enter_context(server.clone(str(url.database)))

        def new() -> URL:
            return stack.enter_context(server.clone(server.template_dbname))

        with connected(server.url) as db:
            version = db.info.parameter_status("server_version")
        yield Databases("PostgreSQL", new, copy, server=version)


def psycopg_url(url: URL) -> str:
    """Return a URL as psycopg takes it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def connected(url: URL) -> Iterator[psycopg.Connection[Any]]:
    """Connect with psycopg; each statement commits itself."""
    with psycopg.connect(psycopg_url(url), autocommit=True) as db:
        yield db


def settle(url: URL) -> None:
    """Let a database be as one that was not filled just now: statistics, and nothing left to be written."""
    if url.get_backend_name() == "postgresql":
        with connected(url) as db:
            db.execute("VACUUM ANALYZE")
            db.execute("CHECKPOINT")
