"""Two stores on the two databases, and what goes from one to the other."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_store import SessionStore
from session_store.testing import Clock
from tests.conftest import Database, migrated


@pytest.fixture
def store(database: Database, clock: Clock) -> Iterator[SessionStore]:
    """An empty store, for code that blocks."""
    with SessionStore(database.url, clock=clock) as store:
        yield store


@pytest.fixture
def copy(sqlite_template: Path, tmp_path: Path) -> Iterator[SessionStore]:
    """An empty store on SQLite, for what is the same whatever the database is."""
    shutil.copyfile(sqlite_template, tmp_path / "copy.db")
    with SessionStore(tmp_path / "copy.db") as store:
        yield store


@pytest.fixture
def other(database: Database, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionStore]:
    """An empty store on the other kind of database."""
    name = "postgresql" if database.name == "sqlite" else "sqlite"
    with migrated(name, request, tmp_path) as made, SessionStore(made.url) as store:
        yield store
