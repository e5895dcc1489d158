"""Resolve a `Bind` (connection, engine, URL or SQLite path) to a connection."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine

from session_store.database import engines, schemas, transactions
from session_store.database.driver_errors import driver_errors
from session_store.database.runner import translate_error
from session_store.interface.errors import StoreError, StoreUnavailable, truncate

if TYPE_CHECKING:
    from collections.abc import Iterator

Bind = Engine | Connection | URL | str | os.PathLike[str]


@contextmanager
def resolve_engine(
    bind: Engine | URL | str | os.PathLike[str], *, create: bool = False, read_only: bool = False
) -> Iterator[Engine]:
    """Yield the application's engine, or an engine of our own that is closed at the end.

    Args:
        bind: An engine, a URL or the path of a SQLite file.
        create: Create a SQLite file that does not exist.
        read_only: An engine of our own changes nothing in the database.
    """
    if isinstance(bind, Engine):
        yield bind
        return
    engine = engines.create_readonly_engine(bind) if read_only else engines.create_sync_engine(bind, "full")
    path = None if create else engines.missing_file(engine)
    if path is not None:
        problem = f"there is no file {truncate(path)}"
        raise StoreUnavailable(problem)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def connect(bind: Bind, schema: str | None, *, create: bool = False, read_only: bool = False) -> Iterator[Connection]:
    """Yield a connection, and translate errors of the driver.

    Args:
        bind: The database; a connection is used as it is.
        schema: The PostgreSQL schema of the tables.
        create: Create a SQLite file that does not exist.
        read_only: As in `resolve_engine`.
    """
    if not isinstance(bind, Connection | Engine):
        with resolve_engine(bind, create=create, read_only=read_only) as engine, connect(engine, schema) as db:
            yield db
        return
    if schema is not None:
        schemas.checked_schema(schema, bind.dialect.name)
    if isinstance(bind, Connection) and bind.closed:
        problem = "this connection is closed"
        raise StoreError(problem)
    ours = isinstance(bind, Engine) or not bind.in_transaction()
    try:
        with (
            nullcontext(bind)
            if isinstance(bind, Connection)
            else engines.connect(bind, engines.transaction_options(bind)) as db
        ):
            yield db
    except driver_errors() as error:
        raise translate_error(error, is_own=ours) from getattr(error, "orig", error)


@contextmanager
def migration_lock(db: Connection) -> Iterator[None]:
    """Hold the migration lock: in the caller's transaction, or in a transaction of its own."""
    if db.in_transaction():
        transactions.lock_for_migration(db)
        with db.begin_nested():
            yield
        return
    try:
        transactions.lock_for_migration(db)
        yield
    except BaseException:
        db.rollback()
        raise
    transactions.commit(db)


@contextmanager
def read_snapshot(bind: Bind, schema: str | None) -> Iterator[Connection]:
    """Yield a connection to a database with our tables; if the transaction is our own, all reads see one snapshot.

    Nothing is written: a read-only database is enough.
    """
    with connect(bind, schema, read_only=True) as db, rollback_on_exit(db):
        transactions.begin_reading(db)
        with schemas.schema_translate(db, schema):
            yield db


@contextmanager
def rollback_on_exit(db: Connection) -> Iterator[None]:
    """Roll back a transaction that was begun in the block."""
    ours = not db.in_transaction()
    try:
        yield
    finally:
        if ours:
            db.rollback()
