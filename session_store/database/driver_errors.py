"""What the errors of the drivers mean: by SQLSTATE on PostgreSQL, by result code on SQLite.

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


class Failure(Enum):
    """What a driver's error means for the caller."""

    LOCKED = auto()
    """Somebody else held the lock for longer than we wait."""
    GAVE_WAY = auto()
    """The transaction was ended in favour of another one; run it again."""
    DUPLICATE = auto()
    """A unique index refused a row."""
    REFERRED_TO = auto()
    """A row of another table refers to the one that was to go."""
    SCHEMA = auto()
    """A table or a column is not there."""
    UNAVAILABLE = auto()
    """The database cannot serve now."""
    OTHER = auto()
    """Anything else: an error in this package, or in how it is used."""


_BY_SQLSTATE: Final = {
    "40001": Failure.GAVE_WAY,
    "40P01": Failure.GAVE_WAY,
    "55P03": Failure.LOCKED,
    "23505": Failure.DUPLICATE,
    "23503": Failure.REFERRED_TO,
    "23001": Failure.REFERRED_TO,
    "42P01": Failure.SCHEMA,
    "42703": Failure.SCHEMA,
    "3F000": Failure.SCHEMA,
    "3D000": Failure.UNAVAILABLE,
    "25006": Failure.UNAVAILABLE,
}
"""Serialization failure and deadlock, lock not available, the constraints, what is undefined, no such database, a
read-only transaction."""

_UNAVAILABLE_CLASSES: Final = {"08", "28", "53", "57", "58"}
"""Connection, authorization, insufficient resources (disk full), operator intervention (a cancelled query, by a timeout
of the server's too), system error."""

_INSUFFICIENT_PRIVILEGE: Final = "42501"

_NOT_OF_THE_CONNECTION: Final = (DataError, IntegrityError, NotSupportedError, ProgrammingError)

_BY_EXTENDED_CODE: Final = {
    sqlite3.SQLITE_BUSY_SNAPSHOT: Failure.GAVE_WAY,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: Failure.REFERRED_TO,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: Failure.DUPLICATE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: Failure.DUPLICATE,
}
_BY_PRIMARY_CODE: Final = {
    sqlite3.SQLITE_BUSY: Failure.LOCKED,
    sqlite3.SQLITE_LOCKED: Failure.LOCKED,
    sqlite3.SQLITE_READONLY: Failure.UNAVAILABLE,
    sqlite3.SQLITE_IOERR: Failure.UNAVAILABLE,
    sqlite3.SQLITE_CORRUPT: Failure.UNAVAILABLE,
    sqlite3.SQLITE_FULL: Failure.UNAVAILABLE,
    sqlite3.SQLITE_CANTOPEN: Failure.UNAVAILABLE,
    sqlite3.SQLITE_NOTADB: Failure.UNAVAILABLE,
    # "No such table" has no code of its own; the caller reads the version table to know.
    sqlite3.SQLITE_ERROR: Failure.SCHEMA,
}


def driver_errors() -> tuple[type[Exception], ...]:
    """Return what comes out of a call that reaches the database.

    Not all of it is wrapped by SQLAlchemy: while it connects, asyncpg lets its own errors through on SQLAlchemy 2.0.
    """
    asyncpg: Any = sys.modules.get("asyncpg")
    unwrapped = () if asyncpg is None else (asyncpg.PostgresError, asyncpg.InterfaceError)
    return (DBAPIError, PoolTimeout, *unwrapped)


def meaning(error: BaseException) -> Failure:
    """Return what one of `driver_errors` means."""
    told = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(told, sqlite3.Error):
        return _sqlite(told, getattr(told, "sqlite_errorcode", None))
    return _postgresql(error, sqlstate(told))


def sqlstate(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of a driver's error, however the driver calls it."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def is_forbidden(error: BaseException) -> bool:
    """Whether it is the role that has no right to this."""
    return sqlstate(error.orig if isinstance(error, DBAPIError) else error) == _INSUFFICIENT_PRIVILEGE


def refused_by(error: DBAPIError, constraint: str, column: str) -> bool:
    """Whether it was this unique index that refused a row; SQLite names its columns, and no values."""
    if isinstance(error.orig, sqlite3.Error):
        return column in str(error.orig)
    told = getattr(error.orig, "diag", None) or getattr(error.orig, "__cause__", None)
    return getattr(told, "constraint_name", None) == constraint


def _sqlite(error: sqlite3.Error, code: int | None) -> Failure:
    # Errors the module raises by itself have no code: a closed database, most of all.
    if code is None:
        return Failure.UNAVAILABLE
    if code == sqlite3.SQLITE_CONSTRAINT_TRIGGER and "FOREIGN KEY" in str(error):
        # RESTRICT is a trigger to SQLite; a host's own triggers have other words.
        return Failure.REFERRED_TO
    return _BY_EXTENDED_CODE.get(code) or _BY_PRIMARY_CODE.get(code & 0xFF, Failure.OTHER)


def _postgresql(error: BaseException, state: str | None) -> Failure:
    if state is None:
        # Where a connection is gone, or never came to be, there is no server to tell a SQLSTATE.
        return Failure.OTHER if isinstance(error, _NOT_OF_THE_CONNECTION) else Failure.UNAVAILABLE
    if state[:2] in _UNAVAILABLE_CLASSES and state not in _BY_SQLSTATE:
        return Failure.UNAVAILABLE
    return _BY_SQLSTATE.get(state, Failure.OTHER)
