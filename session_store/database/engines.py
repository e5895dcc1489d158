"""Create engines from URLs, and tune SQLite connections before their first use."""

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
"""``full``: SQLite waits for the disk at every commit. ``relaxed``: a power failure may lose the last commits."""

Options = Mapping[str, Any]
"""The execution options of a connection."""

BUSY_TIMEOUT_SECS: Final = 5.0

_SYNCHRONOUS: Final = {"full": "FULL", "relaxed": "NORMAL"}
_LEGACY_TRANSACTION_CONTROL: Final = -1
"""The constant of this name in sqlite3 of Python 3.12 and later."""
JOURNAL_SIZE_LIMIT: Final = 64 * 1024 * 1024
_CACHE_KIB: Final = 16 * 1024
"""The page cache of a connection: holds the upper levels of the indexes of ten million messages; 2 MB do not."""
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
"""Also matches a URL with a missing slash: taken for a path, it would appear in errors with its password."""
_ASYNC_DRIVERS: Final = {**_SYNC_DRIVERS, "sqlite": "sqlite+aiosqlite"}


def create_sync_engine(path_or_url: str | os.PathLike[str] | URL, durability: Durability) -> Engine:
    """Create a tuned engine on sqlite3 or psycopg, from a URL or the path of a SQLite file.

    The driver of an event loop in a URL is replaced: it names the same database.
    """
    url = _url(path_or_url, _SYNC_DRIVERS)
    if url.get_dialect().is_async:
        url = url.set(drivername=_SYNC_DRIVERS[url.get_backend_name()])
    url, options = _options(url)
    return _tune(create_engine(url, **options), durability)


def create_readonly_engine(path_or_url: str | os.PathLike[str] | URL) -> Engine:
    """Create an engine on sqlite3 or psycopg that only reads; a SQLite file and its WAL are not changed."""
    engine = create_sync_engine(path_or_url, "full")
    if not is_sqlite(engine):
        return engine.execution_options(postgresql_readonly=True)
    if missing_file(engine) is not None or isinstance(engine.pool, StaticPool):
        return engine
    return create_engine("sqlite://", creator=partial(_connect_readonly, engine), poolclass=NullPool)


class ImmutableConnection(sqlite3.Connection):
    """A connection to a file opened as immutable; SQLite cannot report the journal mode on it."""


def _connect_readonly(engine: Engine) -> sqlite3.Connection:
    (name,), given = engine.dialect.create_connect_args(engine.url)
    is_uri = given.get("uri")
    uri = f"{name}{'&' if '?' in name else '?'}" if is_uri else f"file:{quote(name)}?"
    # The last connection checkpoints and removes the WAL, unless it is read-only; a read-only connection may even
    # create the files of the WAL and leave them behind.
    has_log = is_uri or os.path.exists(f"{name}-wal")  # noqa: PTH110 - as in `missing_file`
    options = {**given, "uri": True, "check_same_thread": False}
    try:
        kind = ImmutableConnection if "immutable=" in uri else sqlite3.Connection
        mode = "" if "mode=" in uri else f"mode={'ro' if has_log else 'rw'}"
        return _verify_readable(sqlite3.connect(f"{uri}{mode}", factory=kind, **options))
    except sqlite3.OperationalError as error:
        # Without its WAL a file lacks the last commits.
        if has_log or error.sqlite_errorcode not in {sqlite3.SQLITE_READONLY_DIRECTORY, sqlite3.SQLITE_CANTOPEN}:
            raise
        # The files of a WAL cannot be created here, so no connection can write either.
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
    """Create a tuned engine on aiosqlite or psycopg, from a URL or the path of a SQLite file."""
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - needs greenlet, an extra

    url, options = _options(_url(path_or_url, _ASYNC_DRIVERS))
    try:
        engine = create_async_engine(url, **options, pool_reset_on_return=None)
    except InvalidRequestError:
        problem = f"an event loop needs an asynchronous driver, not {truncate(url.drivername)}"
        raise InvalidQuery(problem) from None
    _tune(engine.sync_engine, durability)
    _reset_if_needed(engine.sync_engine)
    return engine


def _reset_if_needed(engine: Engine) -> None:
    # Skip a ROLLBACK without a transaction: on aiosqlite it is a round trip to a thread, a tenth of an append.
    @event.listens_for(engine, "reset")
    def roll_back(connection: DBAPIConnection, _entry: ConnectionPoolEntry, state: PoolResetState) -> None:
        if not state.terminate_only and getattr(connection.driver_connection, "in_transaction", True):
            connection.rollback()


def configure_sqlite(engine: Engine | AsyncEngine, *, durability: Durability = "full") -> None:
    """Tune the future connections of an application's SQLite engine, as the store tunes its own.

    Connections wait for locks instead of failing, use a write-ahead log, flush each commit to the disk (unless
    ``durability`` is ``"relaxed"``), check foreign keys and have a page cache of 16 MB. A transaction begins with its
    first write or savepoint and takes the write lock then.
    """
    sync_engine = engine if isinstance(engine, Engine) else engine.sync_engine
    if sync_engine.dialect.name != "sqlite":
        message = f"configure_sqlite needs an engine on SQLite, not on {sync_engine.dialect.name}"
        raise InvalidQuery(message)
    if not isinstance(durability, str) or durability not in _SYNCHRONOUS:
        raise InvalidQuery(type_error(durability, "durability", " or ".join(_SYNCHRONOUS)))

    @event.listens_for(sync_engine, "connect")
    def tune(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        if hasattr(connection, "autocommit"):  # an application's own `creator` has no such hook
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
            # Before the switch to WAL, which writes the header of the file: afterwards it has no effect.
            cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _switch_to_wal(cursor)
        cursor.close()

    _patch_dialect_begin(sync_engine.dialect)


def _patch_dialect_begin(dialect: Dialect) -> None:
    # Not by events: with one listener SQLAlchemy looks for others at every statement, a fifth of an append.
    connect, savepoint = dialect.connect, dialect.do_savepoint

    def connect_so(*args: Any, **options: Any) -> DBAPIConnection:
        # From Python 3.12 on an application may have configured a transaction that is always open. In it no pragma can
        # be set, and a write after a read fails if another connection wrote in between.
        options.pop("autocommit", None)
        return connect(*args, **options)

    def begin_first(connection: Connection, name: str) -> None:
        # sqlite3 begins only before the first write: an earlier savepoint is a transaction of its own, which RELEASE
        # commits, and the application could not roll back what was written in it.
        begin_writing(connection)
        savepoint(connection, name)

    dialect.connect = connect_so  # type: ignore[method-assign]
    dialect.do_savepoint = begin_first  # type: ignore[method-assign]


def missing_file(engine: Engine) -> str | None:
    """Return the path of an engine's SQLite file if it does not exist and a connection would create it."""
    path = engine.url.database
    if not is_sqlite(engine) or not path or path == ":memory:" or path.startswith("file:"):
        return None
    # os.path.exists is False for an invalid file name, where Path.exists may raise.
    return None if os.path.exists(path) else path  # noqa: PTH110


def is_sqlite(engine: Engine) -> bool:
    """Return whether the database allows only one writer at a time."""
    return engine.dialect.name == "sqlite"


def needs_exclusive_access(engine: Engine, access: Access) -> bool:
    """Return whether callers in one process must run one at a time.

    These are writers on SQLite, and all callers that share one connection, as on a database in memory.
    """
    return is_sqlite(engine) and (access is not Access.READ or isinstance(engine.pool, StaticPool))


def yield_to_writers(engine: Engine, held_secs: float) -> float:
    """Return how many seconds to pause after having held the write lock for ``held_secs``.

    SQLite polls for its lock with pauses of up to 100 ms: a writer in another process timed out next to a cleanup that
    did not pause. PostgreSQL queues writers and needs no pause.
    """
    if not is_sqlite(engine) or held_secs < MIN_YIELD_SECS:
        return 0.0
    return min(held_secs, MAX_YIELD_SECS)


def autocommit_options(engine: Engine) -> Options:
    """Return the options of a connection for single statements, without a transaction around them."""
    # sqlite3 begins a transaction only for a write, so reads need no option.
    return {} if is_sqlite(engine) else {"isolation_level": AUTOCOMMIT}


def transaction_options(engine: Engine) -> Options:
    """Return the options of a connection whose second statement sees commits made while the first one waited."""
    return {} if is_sqlite(engine) else {"isolation_level": "READ COMMITTED", OWN_TRANSACTION: True}


def connect(engine: Engine, options: Options = MappingProxyType({})) -> Connection:
    """Check out a connection.

    The options are set on the connection and not on the engine: SQLAlchemy applies those of an engine in an event, and
    with one event it looks for others at every statement.

    Raises:
        StoreError: The only connection of a database in memory is in a transaction of the application, which a
            check-out and check-in would end.
        StoreUnavailable: The network or the directory refuses; not every driver has an error for that.
    """
    pool = engine.pool
    if isinstance(pool, StaticPool) and getattr(pool.connection.driver_connection, "in_transaction", False):
        problem = "the only connection of this in-memory database is in a transaction: use that one, or joined_to"
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
        # No statement was sent yet: the driver rejects the connection arguments.
        cause = getattr(error, "orig", error)
        problem = f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[0]}"
        raise StoreUnavailable(problem) from cause


def _url(path_or_url: str | os.PathLike[str] | URL, drivers: dict[str, str]) -> URL:
    try:
        text = path_or_url if isinstance(path_or_url, URL) else os.fspath(path_or_url)
        is_url = isinstance(text, URL) or _URL.match(text)
        url = make_url(text) if is_url else URL.create("sqlite", database=str(text))
    except TypeError:
        problem = f"expected the URL of a database or the path of a SQLite file, got {type(path_or_url).__name__}"
        raise InvalidQuery(problem) from None
    except (ArgumentError, ValueError):
        # Without the message and the URL: both may contain a password.
        problem = "not a valid database URL, nor the path of a SQLite file"
        raise InvalidQuery(problem) from None
    if text == "":
        problem = "the path is empty: SQLite would use a temporary file"
        raise InvalidQuery(problem)
    if url.get_backend_name() not in drivers:
        problem = f"session_store supports SQLite and PostgreSQL, not {truncate(url.get_backend_name())}"
        raise InvalidQuery(problem)
    named = url.set(drivername=drivers.get(url.drivername, url.drivername))
    try:
        named.get_dialect()
    except (ArgumentError, ValueError):
        problem = f"SQLAlchemy has no driver {truncate(named.drivername)}"
        raise InvalidQuery(problem) from None
    _require_usable(named)
    return named


def _require_usable(url: URL) -> None:
    # Otherwise the driver would raise at the first connection, with the password in its message.
    options = (item for items in url.query.values() for item in ((items,) if isinstance(items, str) else items))
    parts = (url.database, url.host, url.username, url.password, *options)
    try:
        has_nul = any(part and b"\0" in os.fsencode(str(part)) for part in parts)
        url.get_dialect()().create_connect_args(url)
    except UnicodeError:
        problem = "the path or URL of the database contains a lone surrogate"
    except (ArgumentError, ValueError):
        problem = "an option in the database URL has an invalid value, or is not an option of this driver"
    else:
        if not has_nul:
            return
        problem = "the path or URL of the database contains a NUL character"
    raise InvalidQuery(problem) from None


def _options(url: URL) -> tuple[URL, dict[str, Any]]:
    """Return the URL and the other arguments of `create_engine`."""
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
    # psycopg takes a number or None, but a URL has only text.
    if given == "none":
        return None
    if isinstance(given, str) and given.isdecimal():
        return int(given)
    problem = f"{_PREPARE_THRESHOLD} in a URL must be none or an integer, got {given!r}"
    raise InvalidQuery(problem)


def _tune(engine: Engine, durability: Durability) -> Engine:
    if is_sqlite(engine):
        configure_sqlite(engine, durability=durability)
    return engine


def _switch_to_wal(cursor: Any) -> None:
    # SQLite does not wait for the lock here while another connection makes the same switch.
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
