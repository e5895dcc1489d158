"""Stores by what serves their words: each index, LIKE where there is none, and LIKE where the locale knows only ASCII.

A database is migrated once for a test process, and emptied for each test.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from uuid import uuid4

import pytest
from sqlalchemy import URL, NullPool, create_engine, delete, make_url, text

from session_store import ChatMessage, SessionStore, migrations
from session_store.database.functions import AUTOCOMMIT
from session_store.models.models import MESSAGES, SESSIONS, STATES
from session_store.search import index as search_index
from session_store.testing import Clock
from tests.search import search_reference
from tests.servers import Server

ENGINES = {
    "fts5": "fts5",
    "tsvector": "tsvector",
    "sqlite-without": "like",
    "postgresql-without": "like",
    "postgresql-c": "like",
}
"""Databases by name, and who serves words there."""


@dataclass(frozen=True)
class Searched:
    """A store, the engine that serves its words, and its clock."""

    store: SessionStore
    engine: str
    clock: Clock

    def fill(self, sessions: Mapping[str, Sequence[str]]) -> None:
        """Have these sessions and no others, each used a second after the one before it."""
        self.empty()
        with self.store.begin() as transaction:
            for key, texts in sessions.items():
                self.clock.advance(1)
                transaction.append_many(key, [ChatMessage.user(text) for text in texts])

    def empty(self) -> None:
        """Have no sessions."""
        with self.store.engine.begin() as db:
            for table in (STATES, MESSAGES, SESSIONS):
                db.execute(delete(table))


@pytest.fixture(scope="session", params=ENGINES)
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searched]:
    """A store on each database."""
    name: str = request.param
    clock = Clock()
    with ExitStack() as stack:
        if name in {"fts5", "sqlite-without"}:
            path = tmp_path_factory.mktemp("search") / "sessions.db"
            shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
            url = make_url(f"sqlite:///{path}")
        else:
            server: Server = request.getfixturevalue("postgresql_server")
            if name == "postgresql-c":
                url = stack.enter_context(in_locale_c(server))
            else:
                url = stack.enter_context(server.clone(request.getfixturevalue("postgresql_template").template_dbname))
        store = stack.enter_context(SessionStore(url, clock=clock))
        if name.endswith("without"):
            search_index.drop(store.engine)
        yield Searched(store, ENGINES[name], clock)


@pytest.fixture
def searched(migrated: Searched) -> Iterator[Searched]:
    """A store on each database, with nothing in it."""
    yield migrated
    migrated.empty()


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the reference matcher remember the words of a long text."""
    for name in ("words", "like_text"):
        monkeypatch.setattr(search_reference, name, lru_cache(maxsize=500)(getattr(search_reference, name)))


@contextmanager
def in_locale_c(server: Server) -> Iterator[URL]:
    """A migrated database in which only ASCII has letters."""
    name = f"session_store_{uuid4().hex}"
    maintenance = create_engine(server.url.set(drivername="postgresql+psycopg"), poolclass=NullPool)
    alone = maintenance.execution_options(isolation_level=AUTOCOMMIT)
    with alone.connect() as db:
        db.execute(text(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_CTYPE 'C' LC_COLLATE 'C'"))
    try:
        url = server.url.set(database=name)
        migrations.upgrade(url)
        yield url
    finally:
        with alone.connect() as db:
            db.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
