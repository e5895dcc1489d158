"""Databases before and after."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, NullPool

from tests.conftest import Database
from tests.hosts import host_engine


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """An engine on a database with our tables."""
    engine = host_engine(database, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def empty(empty_database: Database) -> Iterator[Engine]:
    """An engine on a database without tables."""
    engine = host_engine(empty_database, poolclass=NullPool)
    yield engine
    engine.dispose()
