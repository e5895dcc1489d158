"""Begin and end transactions, and lock out concurrent migrations and index builds."""

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
"""Any number that no other program uses for an advisory lock in this database."""
_INDEX_LOCK: Final = 0x5E55_1057_04E1
_LOCK_PAUSE_SECS: Final = 0.1


def begin(connection: Connection) -> None:
    """Begin a transaction whose first statement writes, which takes the lock."""
    connection.begin()
    # sqlite3 begins by itself, unless the application took that over and did not begin one in an event either.
    if connection.dialect.name == "sqlite" and _driver_connection(connection).isolation_level is None:
        begin_writing(connection)


def begin_reading(connection: Connection) -> None:
    """Begin a read-only transaction in which all reads see one snapshot.

    An open transaction is left as it is, and so is a connection in autocommit mode.
    """
    if connection.in_transaction() or is_autocommit(connection):
        return
    connection.begin()
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    elif not _driver_connection(connection).in_transaction:
        connection.exec_driver_sql("BEGIN")


def begin_writing(connection: Connection) -> None:
    """Begin a transaction that may write after a SELECT, unless one is open."""
    ours = not connection.in_transaction()
    if ours:
        connection.begin()
    if connection.dialect.name == "sqlite":
        if ours and _driver_connection(connection).in_transaction:
            # An event of the application, or the driver, has begun a transaction that does not have the lock yet.
            connection.exec_driver_sql("ROLLBACK")
        if not _driver_connection(connection).in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def use_autocommit(connection: Connection) -> None:
    """Switch a connection without a transaction to autocommit; VACUUM needs that."""
    if connection.dialect.name != "sqlite":
        connection.execution_options(isolation_level=AUTOCOMMIT)
        return
    connection.begin()
    if _driver_connection(connection).in_transaction:
        # An event of the application, or the driver, has begun one. Otherwise sqlite3 begins only before a write.
        connection.exec_driver_sql("ROLLBACK")


def set_lock_timeout(connection: Connection, seconds: float) -> None:
    """Set the lock timeout of this transaction; on SQLite the driver has its own."""
    if connection.dialect.name == "postgresql":
        milliseconds = str(int(seconds * 1000))
        connection.execute(select(func.set_config("lock_timeout", milliseconds, true())))


def commit(connection: Connection) -> None:
    """Commit, and roll back if that fails.

    SQLite keeps a transaction open after a failed COMMIT, but SQLAlchemy assumes that it has ended: the connection
    would return to the pool with its lock.
    """
    try:
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def lock_for_migration(connection: Connection) -> None:
    """Take the migration lock of the database until this transaction ends.

    Raises:
        StoreError: The connection is in autocommit mode, where a lock would not last.
    """
    ours = not connection.in_transaction()
    begin_writing(connection)
    if connection.dialect.name == "postgresql":
        if is_autocommit(connection):
            problem = "a migration needs a transaction, but this connection is in autocommit mode"
            raise StoreError(problem)
        if ours:
            # At this level, the revision is read as it is after the wait.
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")


@contextmanager
def index_build_lock(connection: Connection) -> Iterator[None]:
    """Hold the lock for concurrent index builds on PostgreSQL, on a connection in autocommit mode.

    Polls instead of blocking: CREATE INDEX CONCURRENTLY waits for every running statement, including one
    blocked on this lock.
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
