"""How a transaction begins and ends, and who may migrate or make an index meanwhile."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select, true

from session_store.database.functions import AUTOCOMMIT, is_autocommit
from session_store.interface.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

_MIGRATION_LOCK: Final = 0x5E55_1057_04E0
"""Any number, as long as nobody else in the database uses the same advisory lock."""
_INDEX_LOCK: Final = 0x5E55_1057_04E1
_LOCK_PAUSE_SECS: Final = 0.1


def begin(connection: Connection) -> None:
    """Begin a transaction whose first statement writes, and so takes the lock."""
    connection.begin()
    # sqlite3 begins by itself, unless the host took that over and did not begin one in an event either.
    if connection.dialect.name == "sqlite" and _driver_connection(connection).isolation_level is None:
        begin_writing(connection)


def begin_reading(connection: Connection) -> None:
    """Begin a transaction in which all that is read was there at one moment, and nothing is written.

    One that is open already stays as it is, and so does a connection whose statements commit themselves.
    """
    if connection.in_transaction() or is_autocommit(connection):
        return
    connection.begin()
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    elif not _driver_connection(connection).in_transaction:
        connection.exec_driver_sql("BEGIN")


def begin_writing(connection: Connection) -> None:
    """Begin a transaction that will write although its first statement may be a SELECT, unless one is open."""
    ours = not connection.in_transaction()
    if ours:
        connection.begin()
    if connection.dialect.name == "sqlite":
        if ours and _driver_connection(connection).in_transaction:
            # A host's event, or a driver told to, has begun one that does not have the lock yet.
            connection.exec_driver_sql("ROLLBACK")
        if not _driver_connection(connection).in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def use_autocommit(connection: Connection) -> None:
    """Let each statement from now on commit itself, on a connection in no transaction; VACUUM needs that."""
    if connection.dialect.name != "sqlite":
        connection.execution_options(isolation_level=AUTOCOMMIT)
        return
    connection.begin()
    if _driver_connection(connection).in_transaction:
        # A host's event, or a driver told to, has begun one. Else sqlite3 begins before INSERT, UPDATE and DELETE only.
        connection.exec_driver_sql("ROLLBACK")


def set_lock_timeout(connection: Connection, seconds: float) -> None:
    """Let a statement of this transaction fail that has waited so long for a lock; on SQLite the driver decides."""
    if connection.dialect.name == "postgresql":
        milliseconds = str(int(seconds * 1000))
        connection.execute(select(func.set_config("lock_timeout", milliseconds, true())))


def commit(connection: Connection) -> None:
    """Commit, and where that fails roll back.

    SQLite keeps a transaction open whose COMMIT was refused, and SQLAlchemy takes it for ended: it would go back to
    the pool with its lock.
    """
    try:
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def lock_for_migration(connection: Connection) -> None:
    """Let nobody else change the tables' revision until this transaction ends.

    Raises:
        StoreError: There is no transaction on this connection that could hold the lock.
    """
    ours = not connection.in_transaction()
    begin_writing(connection)
    if connection.dialect.name == "postgresql":
        if is_autocommit(connection):
            problem = "migrating needs a transaction, and on this connection each statement commits itself"
            raise StoreError(problem)
        if ours:
            # Whatever the engine's level is: the revision must be read as it is after the wait.
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")


@contextmanager
def index_build_lock(connection: Connection) -> Iterator[None]:
    """Let nobody else on PostgreSQL make an index concurrently, on a connection whose statements commit themselves.

    Tried again and again: one who waits within a statement is waited for by CREATE INDEX CONCURRENTLY.
    """
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_INDEX_LOCK})").scalar():
        time.sleep(_LOCK_PAUSE_SECS)
    try:
        yield
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_INDEX_LOCK})")


def _driver_connection(connection: Connection) -> Any:
    return connection.connection.driver_connection
