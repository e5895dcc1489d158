"""Classify errors of the drivers: by SQLSTATE on PostgreSQL, by result code on SQLite.

SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
Result codes: https://www.sqlite.org/rescode.html
"""

from __future__ import annotations

import sqlite3
import sys
from enum import Enum, auto
from typing import Any, Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class ErrorKind(Enum):
    """The meaning of a driver's error for the caller."""

    LOCKED = auto()
    """Another transaction held the lock for longer than the timeout."""
    SERIALIZATION_FAILURE = auto()
    """The transaction was rolled back because of a concurrent one; run it again."""
    UNIQUE_VIOLATION = auto()
    """A unique index rejected a row."""
    FOREIGN_KEY_VIOLATION = auto()
    """A row of another table refers to the row to delete."""
    SCHEMA = auto()
    """A table or a column does not exist."""
    UNAVAILABLE = auto()
    """The database cannot serve now."""
    OTHER = auto()
    """Anything else: an error in this package or in its use."""


_BY_SQLSTATE: Final = {
    "40001": ErrorKind.SERIALIZATION_FAILURE,
    "40P01": ErrorKind.SERIALIZATION_FAILURE,
    "55P03": ErrorKind.LOCKED,
    "23505": ErrorKind.UNIQUE_VIOLATION,
    "23503": ErrorKind.FOREIGN_KEY_VIOLATION,
    "23001": ErrorKind.FOREIGN_KEY_VIOLATION,
    "42P01": ErrorKind.SCHEMA,
    "42703": ErrorKind.SCHEMA,
    "3F000": ErrorKind.SCHEMA,
    "3D000": ErrorKind.UNAVAILABLE,
    "25006": ErrorKind.UNAVAILABLE,
}
"""Serialization failure and deadlock, lock not available, the constraints, what is undefined, no such database, a
read-only transaction."""

_UNAVAILABLE_CLASSES: Final = {"08", "28", "53", "57", "58"}
"""Connection, authorization, insufficient resources (disk full), operator intervention (a cancelled query, by a timeout
of the server's too), system error."""

_INSUFFICIENT_PRIVILEGE: Final = "42501"

_SERVER_ERRORS: Final = (DataError, IntegrityError, NotSupportedError, ProgrammingError)

_BY_EXTENDED_CODE: Final = {
    sqlite3.SQLITE_BUSY_SNAPSHOT: ErrorKind.SERIALIZATION_FAILURE,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: ErrorKind.FOREIGN_KEY_VIOLATION,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: ErrorKind.UNIQUE_VIOLATION,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: ErrorKind.UNIQUE_VIOLATION,
}
_BY_PRIMARY_CODE: Final = {
    sqlite3.SQLITE_BUSY: ErrorKind.LOCKED,
    sqlite3.SQLITE_LOCKED: ErrorKind.LOCKED,
    sqlite3.SQLITE_READONLY: ErrorKind.UNAVAILABLE,
    sqlite3.SQLITE_IOERR: ErrorKind.UNAVAILABLE,
    sqlite3.SQLITE_CORRUPT: ErrorKind.UNAVAILABLE,
    sqlite3.SQLITE_FULL: ErrorKind.UNAVAILABLE,
    sqlite3.SQLITE_CANTOPEN: ErrorKind.UNAVAILABLE,
    sqlite3.SQLITE_NOTADB: ErrorKind.UNAVAILABLE,
    # "No such table" has no code of its own; the caller reads the version table to know.
    sqlite3.SQLITE_ERROR: ErrorKind.SCHEMA,
}


def driver_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that a call to the database can raise.

    SQLAlchemy does not wrap all of them: on 2.0, asyncpg raises its own errors while it connects.
    """
    asyncpg: Any = sys.modules.get("asyncpg")
    unwrapped = () if asyncpg is None else (asyncpg.PostgresError, asyncpg.InterfaceError)
    return (DBAPIError, PoolTimeout, *unwrapped)


def classify(error: BaseException) -> ErrorKind:
    """Classify one of `driver_errors`."""
    constraint_text = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(constraint_text, sqlite3.Error):
        return _sqlite(constraint_text, getattr(constraint_text, "sqlite_errorcode", None))
    return _postgresql(error, sqlstate(constraint_text))


def sqlstate(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of a driver's error; drivers name it differently."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def is_permission_denied(error: BaseException) -> bool:
    """Return whether the role lacks a privilege."""
    return sqlstate(error.orig if isinstance(error, DBAPIError) else error) == _INSUFFICIENT_PRIVILEGE


def violates(error: DBAPIError, constraint: str, column: str) -> bool:
    """Return whether this unique index rejected a row; SQLite names the columns, but no values."""
    if isinstance(error.orig, sqlite3.Error):
        return column in str(error.orig)
    constraint_text = getattr(error.orig, "diag", None) or getattr(error.orig, "__cause__", None)
    return getattr(constraint_text, "constraint_name", None) == constraint


def _sqlite(error: sqlite3.Error, code: int | None) -> ErrorKind:
    # Errors of the sqlite3 module itself have no code, such as that of a closed database.
    if code is None:
        return ErrorKind.UNAVAILABLE
    if code == sqlite3.SQLITE_CONSTRAINT_TRIGGER and "FOREIGN KEY" in str(error):
        # SQLite implements RESTRICT as a trigger; triggers of the application have other messages.
        return ErrorKind.FOREIGN_KEY_VIOLATION
    return _BY_EXTENDED_CODE.get(code) or _BY_PRIMARY_CODE.get(code & 0xFF, ErrorKind.OTHER)


def _postgresql(error: BaseException, state: str | None) -> ErrorKind:
    if state is None:
        # Without a connection there is no server to send a SQLSTATE.
        return ErrorKind.OTHER if isinstance(error, _SERVER_ERRORS) else ErrorKind.UNAVAILABLE
    if state[:2] in _UNAVAILABLE_CLASSES and state not in _BY_SQLSTATE:
        return ErrorKind.UNAVAILABLE
    return _BY_SQLSTATE.get(state, ErrorKind.OTHER)
