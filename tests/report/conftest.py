"""A database with conversations in it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import Engine, NullPool, create_engine

from session_store.maintenance.report import charts
from tests.analytics import filling
from tests.analytics.figures import Conversations
from tests.conftest import Database
from tests.servers import Server

DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}
Fill = Callable[[Conversations], Engine]


def host_engine(database: Database) -> Engine:
    """An engine that nobody has tuned."""
    return create_engine(database.url.set(drivername=DRIVERS[database.name]))


@contextmanager
def filled(database: Database, said: Conversations) -> Iterator[Engine]:
    """Put conversations into a database, and those only."""
    engine = host_engine(database)
    with engine.begin() as db:
        filling.fill(db, said)
    yield engine
    engine.dispose()


@pytest.fixture
def fill(database: Database) -> Iterator[Fill]:
    """Put conversations into the database, and those only, and give an engine of a host's on it."""
    with ExitStack() as stack:
        yield lambda said: stack.enter_context(filled(database, said))


@pytest.fixture
def postgresql(postgresql_server: Server) -> Iterator[Engine]:
    """A PostgreSQL database with nothing in it."""
    with postgresql_server.clone(postgresql_server.template_dbname) as url:
        engine = create_engine(url.set(drivername=DRIVERS["postgresql"]), poolclass=NullPool)
        yield engine
        engine.dispose()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the charts out: to draw them takes nearly all the time of a page, and many tests are about its figures."""
    monkeypatch.setattr(charts, "_render", lambda _chart: "")
