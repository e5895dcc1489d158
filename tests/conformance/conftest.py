"""One suite, run through every door there is to a store.

A test here that takes ``store`` runs on both databases and each way a host may come in: through the store,
blocking or on an event loop, through ``begin()``, and joined to what the host has open; the host's engine is as
`create_engine` made it, on another driver where there is one, and with foreign keys off on SQLite. On PostgreSQL it
also runs on tables in a schema of the host's choice, where the default search path finds none of them.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, cast

import pytest
from sqlalchemy import Connection, Engine, NullPool, event, orm, text
from sqlalchemy.ext.asyncio import AsyncSession

from session_store import AsyncSessionStore, SessionStore, migrations
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import ASYNC_DRIVERS, SYNC_DRIVERS, async_host_engine, host_engine
from tests.servers import Server
from tests.sync_adapter import SyncAdapter

SCHEMA = "chat"

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


def _beside(database: Database, **options: Any) -> Sql:
    engine = host_engine(database, poolclass=NullPool, **options)

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
    with asyncio.Runner() as runner, SyncAdapter(awaited, runner.run) as store:
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

        store = SyncAdapter(AsyncSessionStore(engine, clock=clock).joined_to(host), runner.run)
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


@contextmanager
def _in_a_schema(database: Database, clock: Clock) -> Iterator[Way]:
    with SessionStore(database.url, clock=clock, schema=SCHEMA) as store:
        yield Way(store, _beside(database, connect_args={"options": f"-c search_path={SCHEMA}"}))


@contextmanager
def _in_a_schema_and_a_hosts_session(database: Database, clock: Clock) -> Iterator[Way]:
    with _engine(database) as engine, orm.Session(engine) as host:

        def sql(statement: str, **values: Any) -> list[Any]:
            # For this statement alone: the store must find its tables without.
            host.execute(text(f"SET LOCAL search_path TO {SCHEMA}"))
            rows = _on(host)(statement, **values)
            host.execute(text("SET LOCAL search_path TO DEFAULT"))
            return rows

        store = SessionStore(engine, clock=clock, schema=SCHEMA).joined_to(host)
        yield Way(cast("SessionStore", store), sql)
        host.commit()


WAYS = {
    "sync": _through_the_store,
    "async": _on_an_event_loop,
    "begin": _through_begin,
    "session": _in_a_hosts_session,
    "async-session": _in_a_hosts_async_session,
    "connection": _in_a_hosts_connection,
    "host": _on_a_hosts_engine,
}
WAYS_TO_A_SCHEMA = {
    "schema": _in_a_schema,
    "schema-session": _in_a_schema_and_a_hosts_session,
}
DOORS = [*product(["sqlite", "postgresql"], WAYS), *product(["postgresql"], WAYS_TO_A_SCHEMA)]
"""Each database with each way into it."""
LIKE_OTHERS = {"begin", "schema"}
"""Ways that use of SQLAlchemy what the others use too: they are gone once, not with every version of it."""
MADE_OF_OTHERS = {"async-session", "connection", "host", "schema-session"}
"""Ways that have nothing of their own but together what others have: they are gone in the long suite."""


def _marks(way: str) -> tuple[pytest.MarkDecorator, ...]:
    if way in MADE_OF_OTHERS:
        return (pytest.mark.long,)
    return (pytest.mark.once,) if way in LIKE_OTHERS else ()


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test through every door, instead of on each database that the fixture ``database`` has."""
    if "door" in metafunc.fixturenames:
        ids = ["-".join(door) for door in DOORS]
        marked = [pytest.param(*door, marks=_marks(door[1])) for door in DOORS]
        doors = pytest.mark.parametrize(("database", "door"), marked, indirect=True, ids=ids)
        metafunc.definition.add_marker(doors)


@pytest.fixture
def door(request: pytest.FixtureRequest) -> str:
    """The name of the way this test goes."""
    return cast("str", request.param)


@pytest.fixture(scope="session")
def schema_template(postgresql_server: Server) -> Iterator[Server]:
    """A database with everything in the schema, to be cloned."""
    with postgresql_server.clone(postgresql_server.template_dbname) as url:
        migrations.upgrade(url, schema=SCHEMA)
        yield replace(postgresql_server, template_dbname=url.database)


@pytest.fixture
def postgresql_template(request: pytest.FixtureRequest, door: str) -> Any:
    """What the database of a test is a clone of."""
    return request.getfixturevalue("schema_template" if door in WAYS_TO_A_SCHEMA else "postgresql_template")


@pytest.fixture
def way(database: Database, door: str, clock: Clock) -> Iterator[Way]:
    """A way into an empty database."""
    with ExitStack() as stack:
        yield stack.enter_context((WAYS | WAYS_TO_A_SCHEMA)[door](database, clock))


@pytest.fixture
def store(way: Way) -> SessionStore:
    """The interface, through every door; what needs the store itself is tested elsewhere."""
    return way.store


@pytest.fixture
def sql(way: Way) -> Sql:
    """Raw SQL that sees what the store wrote, and is seen by it."""
    return way.sql
