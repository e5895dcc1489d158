"""What a caller hands over to be changed or looked at: a connection, an engine, a URL or the path of a SQLite file."""

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
    """Give a host's engine, or one of our own that is closed at the end.

    Args:
        bind: Where.
        make: A SQLite file that is not there is made.
        only_read: An engine of ours leaves everything as it is.
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
    """Give a connection, and turn what the driver raises on it into our errors.

    Args:
        bind: Where; a connection is used as it is.
        schema: The PostgreSQL schema that is asked for.
        make: A SQLite file that is not there is made.
        only_read: As in `resolve_engine`.
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
    """Change tables or indexes while nobody else does: within the caller's transaction, or in one of its own."""
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
    """Give a connection on which our tables are found and, where a transaction is ours, all is as of one moment.

    Nothing is written and nothing changed: a database that can only be read will do.
    """
    with connect(bind, schema, read_only=True) as db, rollback_on_exit(db):
        transactions.begin_reading(db)
        with schemas.schema_translate(db, schema):
            yield db


@contextmanager
def rollback_on_exit(db: Connection) -> Iterator[None]:
    """Only look: a transaction that this begins is ended."""
    ours = not db.in_transaction()
    try:
        yield
    finally:
        if ours:
            db.rollback()
