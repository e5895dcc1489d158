"""A migrated database of each kind, made once for a test process and filled for each example."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, Select, create_engine, make_url, text

from tests.analytics import filling
from tests.analytics.figures import Conversations
from tests.servers import Server

DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}


@dataclass(frozen=True)
class Analysed:
    """A database and what an analyst does with it."""

    name: str
    engine: Engine

    def fill(self, said: Conversations) -> None:
        """Have these conversations and no others."""
        with self.engine.begin() as db:
            filling.fill(db, said)

    def rows(self, query: str | Select[Any]) -> list[Any]:
        """What a query answers on a plain connection."""
        with self.engine.connect() as db:
            return list(db.execute(text(query) if isinstance(query, str) else query))


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def analysed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Analysed]:
    """A database with the newest schema, and in it whatever the test before left there."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            path = tmp_path_factory.mktemp("analytics") / "sessions.db"
            shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
            url = make_url(f"sqlite:///{path}")
        else:
            server: Server = request.getfixturevalue("postgresql_server")
            url = stack.enter_context(server.clone(request.getfixturevalue("postgresql_template").template_dbname))
        # Nothing of ours is on it: what is asked here, an analyst can ask.
        engine = create_engine(url.set(drivername=DRIVERS[request.param]))
        yield Analysed(request.param, engine)
        engine.dispose()


@pytest.fixture
def postgresql(postgresql_server: Server) -> Iterator[Engine]:
    """A PostgreSQL database with nothing in it."""
    with postgresql_server.clone(postgresql_server.template_dbname) as url:
        engine = create_engine(url.set(drivername=DRIVERS["postgresql"]), poolclass=NullPool)
        yield engine
        engine.dispose()
