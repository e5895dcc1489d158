"""One suite, run through every door there is to a store.

A test here that takes ``store`` runs on both databases and each way a host may come in: through the store,
blocking or on an event loop, through ``begin()``, and joined to what the host has open; the host's engine is as
`create_engine` made it, on another driver where there is one, and with foreign keys off on SQLite.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest
from sqlalchemy import Connection, Engine, NullPool, event, orm, text
from sqlalchemy.ext.asyncio import AsyncSession

from session_store import AsyncSessionStore, SessionStore
from tests.blocking import Blocking
from tests.clock import Clock
from tests.conftest import Database
from tests.hosts import ASYNC_DRIVERS, SYNC_DRIVERS, async_host_engine, host_engine

Sql = Callable[..., list[Any]]
"""Runs a statement with named parameters, and gives its rows if it has any."""


@dataclass(frozen=True)
class Way:
    """A way into a database: the interface, and raw SQL in the same transaction if there is one open."""

    store: SessionStore
    sql: Sql


@contextmanager
def _engine(database: Database, **options: Any) -> Iterator[Engine]:
    engine = host_engine(database, SYNC_DRIVERS[database.name][-1], **options)
    yield engine
    engine.dispose()


def _on(db: Connection | orm.Session) -> Sql:
    def run(statement: str, **values: Any) -> list[Any]:
        result = cast("Any", db.execute(text(statement), values))
        return list(result) if result.returns_rows else []

    return run


def _beside(database: Database) -> Sql:
    engine = host_engine(database, poolclass=NullPool)

    def run(statement: str, **values: Any) -> list[Any]:
        with engine.begin() as db:
            return _on(db)(statement, **values)

    return run


@contextmanager
def _through_the_store(database: Database, clock: Clock) -> Iterator[Way]:
    with SessionStore(database.url, clock=clock) as store:
        yield Way(store, _beside(database))


@contextmanager
def _on_an_event_loop(database: Database, clock: Clock) -> Iterator[Way]:
    awaited = AsyncSessionStore(database.url, clock=clock)
    with asyncio.Runner() as runner, Blocking(awaited, runner.run) as store:
        yield Way(cast("SessionStore", store), _beside(database))


@contextmanager
def _through_begin(database: Database, clock: Clock) -> Iterator[Way]:
    opened: list[Connection] = []
    with SessionStore(database.url, clock=clock) as store:
        event.listen(store.engine, "engine_connect", opened.append)
        with store.begin() as transaction:
            (db,) = opened
            yield Way(cast("SessionStore", transaction), _on(db))


@contextmanager
def _in_a_hosts_session(database: Database, clock: Clock) -> Iterator[Way]:
    with _engine(database, tuned=False) as engine, orm.Session(engine) as host:
        store = SessionStore(engine, clock=clock).joined_to(host)
        yield Way(cast("SessionStore", store), _on(host))
        host.commit()


@contextmanager
def _in_a_hosts_async_session(database: Database, clock: Clock) -> Iterator[Way]:
    with asyncio.Runner() as runner:
        engine = async_host_engine(database, ASYNC_DRIVERS[database.name][-1])
        host = AsyncSession(engine)

        def sql(statement: str, **values: Any) -> list[Any]:
            return cast("list[Any]", runner.run(host.run_sync(lambda db: _on(db)(statement, **values))))

        store = Blocking(AsyncSessionStore(engine, clock=clock).joined_to(host), runner.run)
        yield Way(cast("SessionStore", store), sql)
        runner.run(host.commit())
        runner.run(host.close())
        runner.run(engine.dispose())


@contextmanager
def _in_a_hosts_connection(database: Database, clock: Clock) -> Iterator[Way]:
    with _engine(database) as engine, engine.begin() as host:
        yield Way(cast("SessionStore", SessionStore(engine, clock=clock).joined_to(host)), _on(host))


@contextmanager
def _on_a_hosts_engine(database: Database, clock: Clock) -> Iterator[Way]:
    with _engine(database, tuned=False) as engine, SessionStore(engine, clock=clock) as store:
        yield Way(store, _beside(database))


WAYS = {
    "sync": _through_the_store,
    "async": _on_an_event_loop,
    "begin": _through_begin,
    "session": _in_a_hosts_session,
    "async-session": _in_a_hosts_async_session,
    "connection": _in_a_hosts_connection,
    "host": _on_a_hosts_engine,
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, database: Database, clock: Clock) -> Iterator[Way]:
    """A way into an empty database."""
    with ExitStack() as stack:
        yield stack.enter_context(WAYS[request.param](database, clock))


@pytest.fixture
def store(way: Way) -> SessionStore:
    """The interface, through every door; what needs the store itself is tested elsewhere."""
    return way.store


@pytest.fixture
def sql(way: Way) -> Sql:
    """Raw SQL that sees what the store wrote, and is seen by it."""
    return way.sql
