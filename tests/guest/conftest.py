"""A host with models of its own, on an engine of its own, and a store on that."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from session_store import SessionStore
from session_store.testing import Clock
from tests.conftest import Database
from tests.guest.shop import engine_of_a_shop


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """The host's engine, on a database with its tables and ours."""
    with engine_of_a_shop(database) as engine:
        yield engine


@pytest.fixture
def store(engine: Engine, clock: Clock) -> SessionStore:
    """A store on the host's engine."""
    return SessionStore(engine, clock=clock)
