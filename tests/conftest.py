"""Two databases, two stores, one clock: what a test asks for by name.

A test that takes ``store`` runs four ways, over SQLite and PostgreSQL, sync and async; one that
takes ``database`` runs twice. No server is started for a run that asks for none.
"""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import hypothesis
import pytest
import sqlalchemy
from pytest_postgresql import factories
from sqlalchemy import URL, Engine, NullPool, Pool, create_engine, event, make_url

from session_store import AsyncSessionStore, SessionStore, migrations
from session_store.testing import Clock
from tests.servers import Server, memory, start_postgresql
from tests.sync_adapter import SyncAdapter

EXAMPLES = int(os.environ.get("SESSION_STORE_TEST_EXAMPLES", "0"))
"""How many examples Hypothesis makes of each property; 0: each as many as it says, and the same in every run."""

# A database may take longer than Hypothesis allows an example; the timeout of the test still holds. What an example
# leaves in the database of its test must not matter to the next one.
hypothesis.settings.register_profile(
    "database",
    deadline=None,
    derandomize=not EXAMPLES,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("database")


def examples(usual: int) -> hypothesis.settings:
    """So many examples of a property, unless SESSION_STORE_TEST_EXAMPLES asks for another number."""
    return hypothesis.settings(max_examples=EXAMPLES or usual)


POSTGRESQL_VERSION = int(os.environ.get("SESSION_STORE_TEST_POSTGRES_VERSION", "18"))
POSTGRESQL_URL = os.environ.get("SESSION_STORE_TEST_POSTGRESQL")


def pytest_configure() -> None:
    """Let temporary directories be in memory, unless somebody said where; read when the first one is made."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory() or ""))


def pytest_report_header() -> str:
    """Say what the tests run on."""
    server = "given by SESSION_STORE_TEST_POSTGRESQL" if POSTGRESQL_URL else POSTGRESQL_VERSION
    return f"SQLAlchemy {sqlalchemy.__version__}, SQLite {sqlite3.sqlite_version}, PostgreSQL {server}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables that tests made, whichever process ran them."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            if name == "table":
                terminalreporter.write_line(str(value))


@dataclass(frozen=True)
class Database:
    """A database of one test: its dialect's ``name``, and a ``url`` that names no driver."""

    name: str
    url: URL

    def __str__(self) -> str:
        """The URL as text, password and all."""
        return self.url.render_as_string(hide_password=False)


@pytest.fixture
def clock() -> Clock:
    """The time in the store: it stands still until a test moves it."""
    return Clock()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """The server: one per test process, or the one that ``SESSION_STORE_TEST_POSTGRESQL`` names."""
    if POSTGRESQL_URL:
        yield Server(make_url(POSTGRESQL_URL))
    else:
        with start_postgresql(POSTGRESQL_VERSION) as server:
            yield server


def migrate(*, autocommit: bool, **address: Any) -> None:  # noqa: ARG001 - pytest-postgresql passes it
    """Bring the PostgreSQL template to the newest schema."""
    engine = create_engine("postgresql+psycopg://", connect_args=address, poolclass=NullPool)
    migrations.upgrade(engine)


postgresql_template = factories.postgresql_noproc(
    depends_on="postgresql_server", dbname="session_store", load=[migrate]
)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrations.upgrade(f"sqlite:///{path}")
    assert list(path.parent.iterdir()) == [path], "a write-ahead log left behind would not be copied"
    return path


@contextmanager
def migrated(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Database]:
    """A database of a dialect, with the newest schema and nothing in it; of SQLite in a folder."""
    if name == "sqlite":
        path = folder / "sessions.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield Database("sqlite", URL.create("sqlite", database=str(path)))
    else:
        server: Server = request.getfixturevalue("postgresql_server")
        template = request.getfixturevalue("postgresql_template").template_dbname
        with server.clone(template) as url:
            yield Database("postgresql", url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with the newest schema and nothing in it."""
    with migrated(request.param, request, tmp_path) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any table."""
    if request.param == "sqlite":
        yield Database("sqlite", URL.create("sqlite", database=str(tmp_path / "empty.db")))
    else:
        server: Server = request.getfixturevalue("postgresql_server")
        with server.clone(server.template_dbname) as url:
            yield Database("postgresql", url)


@pytest.fixture(params=["sync", "async"])
def store(request: pytest.FixtureRequest, database: Database, clock: Clock) -> Iterator[SessionStore]:
    """An empty store; the async one is called without awaiting."""
    if request.param == "sync":
        with SessionStore(database.url, clock=clock) as store:
            yield store
    else:
        awaited = AsyncSessionStore(database.url, clock=clock)
        with asyncio.Runner() as runner, SyncAdapter(awaited, runner.run) as store:
            yield cast("SessionStore", store)


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """A way into the database beside the store."""
    engine = SessionStore(database.url).engine
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def connections() -> Iterator[set[object]]:
    """The connections that are out of their pools, of any engine; when a test ends there are none."""
    out: set[object] = set()

    def leave(_connection: object, record: object, _proxy: object) -> None:
        out.add(record)

    def come_back(_connection: object, record: object) -> None:
        out.discard(record)

    listeners: list[tuple[str, Callable[..., None]]] = [
        ("checkout", leave),
        ("checkin", come_back),
        ("detach", come_back),
    ]
    for name, listener in listeners:
        event.listen(Pool, name, listener)
    yield out
    for name, listener in listeners:
        event.remove(Pool, name, listener)

    assert not out, "connections still out of their pools"
