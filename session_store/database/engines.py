"""How engines are made from a URL, and how a SQLite connection is tuned before its first use."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Engine,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidRequestError
from sqlalchemy.pool import NullPool, StaticPool

from session_store.database.access import Access
from session_store.database.driver_errors import ErrorKind, classify
from session_store.database.functions import AUTOCOMMIT, OWN_TRANSACTION
from session_store.database.transactions import begin_writing
from session_store.interface.errors import InvalidQuery, StoreError, StoreUnavailable, truncate
from session_store.models.validation import type_error

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState

Durability = Literal["full", "relaxed"]
"""Whether SQLite waits for the disk at every commit, or may lose the last ones when the machine loses power."""

Options = Mapping[str, Any]
"""Execution options of a connection."""

BUSY_TIMEOUT_SECS: Final = 5.0

_SYNCHRONOUS: Final = {"full": "FULL", "relaxed": "NORMAL"}
_LEGACY_TRANSACTION_CONTROL: Final = -1
"""What sqlite3 calls so from Python 3.12 on."""
JOURNAL_SIZE_LIMIT: Final = 64 * 1024 * 1024
_CACHE_KIB: Final = 16 * 1024
"""Of each connection, at most: the upper levels of the trees of ten million messages, for which 2 MB do not suffice."""
MIN_YIELD_SECS: Final = 0.03
MAX_YIELD_SECS: Final = 0.1
_PREPARE_THRESHOLD: Final = "prepare_threshold"
_SYNC_DRIVERS: Final = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
DIALECTS: Final = ("sqlite", "postgresql")
_URL: Final = re.compile(r".*://|(sqlite|postgres(ql)?)(\+\w+)?:", re.DOTALL)
"""Also where a slash is missing: as the name of a file it would be repeated in errors, with the password in it."""
_ASYNC_DRIVERS: Final = {**_SYNC_DRIVERS, "sqlite": "sqlite+aiosqlite"}


def create_sync_engine(path_or_url: str | os.PathLike[str] | URL, durability: Durability) -> Engine:
    """Make an engine on sqlite3 or psycopg, tuned, from a URL or the path of a SQLite file.

    A URL that names a driver for an event loop is that of the same database: here it gets ours.
    """
    url = _url(path_or_url, _SYNC_DRIVERS)
    if url.get_dialect().is_async:
        url = url.set(drivername=_SYNC_DRIVERS[url.get_backend_name()])
    url, options = _options(url)
    return _tune(create_engine(url, **options), durability)


def create_readonly_engine(path_or_url: str | os.PathLike[str] | URL) -> Engine:
    """Make an engine that only reads, on sqlite3 or psycopg; a SQLite file stays as it is, and so does its log."""
    engine = create_sync_engine(path_or_url, "full")
    if not is_sqlite(engine):
        return engine.execution_options(postgresql_readonly=True)
    if missing_file(engine) is not None or isinstance(engine.pool, StaticPool):
        return engine
    return create_engine("sqlite://", creator=partial(_connect_readonly, engine), poolclass=NullPool)


class ImmutableConnection(sqlite3.Connection):
    """A connection to a file that nobody can write; how its log is kept cannot be asked on it."""


def _connect_readonly(engine: Engine) -> sqlite3.Connection:
    (name,), given = engine.dialect.create_connect_args(engine.url)
    is_uri = given.get("uri")
    uri = f"{name}{'&' if '?' in name else '?'}" if is_uri else f"file:{quote(name)}?"
    # Who leaves last empties the log into the file, unless that was opened to be read; and who opens it so, and makes
    # the log's files, does not remove them.
    has_log = is_uri or os.path.exists(f"{name}-wal")  # noqa: PTH110 - as in `missing_file`
    options = {**given, "uri": True, "check_same_thread": False}
    try:
        kind = ImmutableConnection if "immutable=" in uri else sqlite3.Connection
        mode = "" if "mode=" in uri else f"mode={'ro' if has_log else 'rw'}"
        return _verify_readable(sqlite3.connect(f"{uri}{mode}", factory=kind, **options))
    except sqlite3.OperationalError as error:
        # Without its log a file lacks what was written last.
        if has_log or error.sqlite_errorcode not in {sqlite3.SQLITE_READONLY_DIRECTORY, sqlite3.SQLITE_CANTOPEN}:
            raise
        # There is no place for the files of a log, so nobody can write either.
        return _verify_readable(sqlite3.connect(f"{uri}mode=ro&immutable=1", factory=ImmutableConnection, **options))


def _verify_readable(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT 1 FROM sqlite_master").close()
    except BaseException:
        connection.close()
        raise
    return connection


def create_async_engine(path_or_url: str | os.PathLike[str] | URL, durability: Durability) -> AsyncEngine:
    """Make an engine on aiosqlite or psycopg, tuned, from a URL or the path of a SQLite file."""
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - needs greenlet, an extra

    url, options = _options(_url(path_or_url, _ASYNC_DRIVERS))
    try:
        engine = create_async_engine(url, **options, pool_reset_on_return=None)
    except InvalidRequestError:
        problem = f"an event loop needs a driver that can be awaited, not {truncate(url.drivername)}"
        raise InvalidQuery(problem) from None
    _tune(engine.sync_engine, durability)
    _reset_if_needed(engine.sync_engine)
    return engine


def _reset_if_needed(engine: Engine) -> None:
    # A ROLLBACK of nothing takes a turn of the thread that aiosqlite has for each connection: a tenth of an append.
    @event.listens_for(engine, "reset")
    def roll_back(connection: DBAPIConnection, _entry: ConnectionPoolEntry, state: PoolResetState) -> None:
        if not state.terminate_only and getattr(connection.driver_connection, "in_transaction", True):
            connection.rollback()


def configure_sqlite(engine: Engine | AsyncEngine, *, durability: Durability = "full") -> None:
    """Tune every connection an engine of the host's will make from now on, as the store does with its own.

    That is: wait for a lock instead of failing, write-ahead log, a disk flush for each commit (unless
    ``durability`` is ``"relaxed"``), foreign keys, a page cache of 16 MB, and transactions that take the write lock
    when they begin, which is with their first write or savepoint.
    """
    sync_engine = engine if isinstance(engine, Engine) else engine.sync_engine
    if sync_engine.dialect.name != "sqlite":
        message = f"configure_sqlite needs an engine on SQLite, this one is on {sync_engine.dialect.name}"
        raise InvalidQuery(message)
    if not isinstance(durability, str) or durability not in _SYNCHRONOUS:
        raise InvalidQuery(type_error(durability, "durability", " or ".join(_SYNCHRONOUS)))

    @event.listens_for(sync_engine, "connect")
    def tune(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        if hasattr(connection, "autocommit"):  # a host's own `creator` asks nobody
            connection.autocommit = _LEGACY_TRANSACTION_CONTROL
        connection.isolation_level = "IMMEDIATE"
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_SECS * 1000)}")
        cursor.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(f"PRAGMA journal_size_limit = {JOURNAL_SIZE_LIMIT}")
        cursor.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        cursor.execute("PRAGMA journal_mode")
        ((journal_mode,),) = cursor.fetchall()
        if journal_mode not in {"wal", "memory"}:
            # Before the switch to WAL, which writes the file's header: afterwards it has no effect.
            cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _switch_to_wal(cursor)
        cursor.close()

    _patch_dialect_begin(sync_engine.dialect)


def _patch_dialect_begin(dialect: Dialect) -> None:
    # Not by events: with one listener SQLAlchemy looks for others at every statement, a fifth of an append's time.
    connect, savepoint = dialect.connect, dialect.do_savepoint

    def connect_so(*args: Any, **options: Any) -> DBAPIConnection:
        # From Python 3.12 on a host may have asked for a transaction that is always open. In it no pragma can be set,
        # and a write that comes after a read fails if somebody else wrote in between.
        options.pop("autocommit", None)
        return connect(*args, **options)

    def begin_first(connection: Connection, name: str) -> None:
        # sqlite3 begins before the first write only: a savepoint that comes earlier is a transaction, which its
        # RELEASE commits, and no rollback of the host's could undo what was written in it.
        begin_writing(connection)
        savepoint(connection, name)

    dialect.connect = connect_so  # type: ignore[method-assign]
    dialect.do_savepoint = begin_first  # type: ignore[method-assign]


def missing_file(engine: Engine) -> str | None:
    """Return the path of the SQLite file an engine is on, if it is not there and a connection would make it."""
    path = engine.url.database
    if not is_sqlite(engine) or not path or path == ":memory:" or path.startswith("file:"):
        return None
    # os.path, which takes a name that no file can have for one that is not there.
    return None if os.path.exists(path) else path  # noqa: PTH110


def is_sqlite(engine: Engine) -> bool:
    """Whether one writer at a time is all the database allows."""
    return engine.dialect.name == "sqlite"


def needs_exclusive_access(engine: Engine, access: Access) -> bool:
    """Whether callers in one process must come one at a time: writers of SQLite, and all who share a connection.

    They share one on a database in memory, which would end with it.
    """
    return is_sqlite(engine) and (access is not Access.READ or isinstance(engine.pool, StaticPool))


def yield_to_writers(engine: Engine, held_secs: float) -> float:
    """Return how many seconds to leave the database to others after having held its lock for so long.

    Who waits for SQLite's lock asks for it again and again, with pauses of up to 100 ms: beside a cleanup that went on
    at once a writer of another process waited until it gave up. Where writers queue no rest is needed.
    """
    if not is_sqlite(engine) or held_secs < MIN_YIELD_SECS:
        return 0.0
    return min(held_secs, MAX_YIELD_SECS)


def autocommit_options(engine: Engine) -> Options:
    """Return the options of a connection on which a single statement needs no transaction around it."""
    # sqlite3 begins one only when something is written, so reading has none to save.
    return {} if is_sqlite(engine) else {"isolation_level": AUTOCOMMIT}


def transaction_options(engine: Engine) -> Options:
    """Return the options of a connection whose second statement sees what was committed while the first one waited."""
    return {} if is_sqlite(engine) else {"isolation_level": "READ COMMITTED", OWN_TRANSACTION: True}


def connect(engine: Engine, options: Options = MappingProxyType({})) -> Connection:
    """Check out a connection.

    Its options are its own and not an engine's: SQLAlchemy sets those of an engine in an event, and where there is one
    it looks for others at every statement.

    Raises:
        StoreError: The one connection of a database in memory is in a transaction, which then is a host's: to check
            it out and in again would end it.
        StoreUnavailable: The network, or the directory, does not let us; not every driver has an error of its own
            for that.
    """
    pool = engine.pool
    if isinstance(pool, StaticPool) and getattr(pool.connection.driver_connection, "in_transaction", False):
        problem = "a transaction is open on the one connection of this database in memory: use it, or joined_to"
        raise StoreError(problem)
    try:
        connection = engine.connect()
        try:
            return connection.execution_options(**options) if options else connection
        except BaseException:
            connection.close()
            raise
    except (OSError, UnicodeError, DBAPIError) as error:
        if isinstance(error, DBAPIError) and classify(error) not in {ErrorKind.SCHEMA, ErrorKind.OTHER}:
            raise
        # Nothing was asked yet: it is how we want to be let in that the driver does not like.
        cause = getattr(error, "orig", error)
        problem = f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[0]}"
        raise StoreUnavailable(problem) from cause


def _url(path_or_url: str | os.PathLike[str] | URL, drivers: dict[str, str]) -> URL:
    try:
        text = path_or_url if isinstance(path_or_url, URL) else os.fspath(path_or_url)
        is_url = isinstance(text, URL) or _URL.match(text)
        url = make_url(text) if is_url else URL.create("sqlite", database=str(text))
    except TypeError:
        problem = f"neither the URL of a database nor the path of a SQLite file, but {type(path_or_url).__name__}"
        raise InvalidQuery(problem) from None
    except (ArgumentError, ValueError):
        # Without what it says, and without the URL: there may be a password in it.
        problem = "not the URL of a database, nor the path of a SQLite file"
        raise InvalidQuery(problem) from None
    if text == "":
        problem = "an empty path: SQLite would keep it in a temporary file"
        raise InvalidQuery(problem)
    if url.get_backend_name() not in drivers:
        problem = f"session_store keeps sessions in SQLite or PostgreSQL, not in {truncate(url.get_backend_name())}"
        raise InvalidQuery(problem)
    named = url.set(drivername=drivers.get(url.drivername, url.drivername))
    try:
        named.get_dialect()
    except (ArgumentError, ValueError):
        problem = f"SQLAlchemy knows no driver {truncate(named.drivername)}"
        raise InvalidQuery(problem) from None
    _require_usable(named)
    return named


def _require_usable(url: URL) -> None:
    # Else it would be the driver that says so, at the first connection, in words of its own and with the password.
    options = (item for items in url.query.values() for item in ((items,) if isinstance(items, str) else items))
    parts = (url.database, url.host, url.username, url.password, *options)
    try:
        has_nul = any(part and b"\0" in os.fsencode(str(part)) for part in parts)
        url.get_dialect()().create_connect_args(url)
    except UnicodeError:
        problem = "the path or URL of a database holds a lone surrogate"
    except (ArgumentError, ValueError):
        problem = "an option in the URL of a database is not of its kind, or not one of this driver"
    else:
        if not has_nul:
            return
        problem = "the path or URL of a database holds a NUL character"
    raise InvalidQuery(problem) from None


def _options(url: URL) -> tuple[URL, dict[str, Any]]:
    """Return the URL and what else `create_engine` gets."""
    if url.get_backend_name() != "sqlite":
        asked = url.query.get(_PREPARE_THRESHOLD)
        if asked is None or not url.drivername.startswith("postgresql+psycopg"):
            return url, {}
        return url.difference_update_query([_PREPARE_THRESHOLD]), {
            "connect_args": {_PREPARE_THRESHOLD: _prepare_threshold(asked)}
        }
    in_memory = url.database in {None, "", ":memory:"} or "mode=memory" in str(url)
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False}}
    return url, {**options, "poolclass": StaticPool} if in_memory else options


def _prepare_threshold(given: object) -> int | None:
    # psycopg takes a number or None, and a URL holds only text.
    if given == "none":
        return None
    if isinstance(given, str) and given.isdecimal():
        return int(given)
    problem = f"{_PREPARE_THRESHOLD} in a URL must be none or a whole number: {given!r}"
    raise InvalidQuery(problem)


def _tune(engine: Engine, durability: Durability) -> Engine:
    if is_sqlite(engine):
        configure_sqlite(engine, durability=durability)
    return engine


def _switch_to_wal(cursor: Any) -> None:
    # SQLite does not wait for its own lock here while another connection makes the same switch.
    deadline = time.monotonic() + BUSY_TIMEOUT_SECS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorcode & 0xFF
            if code == sqlite3.SQLITE_READONLY:
                return
            if code != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
