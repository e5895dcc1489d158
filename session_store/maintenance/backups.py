"""Back up a SQLite file in use, and build the pg_dump command for PostgreSQL."""

from __future__ import annotations

import os
import shlex
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL

from session_store.database import revisions, schemas, storage
from session_store.database.connections import connect
from session_store.interface.errors import InvalidQuery, StoreError, StoreUnavailable, truncate
from session_store.models.validation import type_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

__all__ = ["backup", "pg_dump_command"]

_PAGE_BATCH_SIZE: Final = 1_000
_OURS: Final = "session_store_*"
_SHOWN: Final = {
    *("host", "hostaddr", "port", "dbname", "user", "service", "target_session_attrs", "load_balance_hosts"),
    *("sslmode", "sslrootcert", "sslnegotiation", "channel_binding", "gssencmode", "connect_timeout", "options"),
}
"""The options of libpq that locate a database; other options may be secrets."""


def backup(
    bind: Engine | URL | str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    on_progress: Callable[[int, int], object] | None = None,
) -> int:
    """Copy a snapshot of a SQLite database into a new file, and return its size in bytes.

    Readers and writers are not blocked. The copy has a temporary name until it is complete and SQLite's integrity check
    has passed, so that ``target`` is never an incomplete backup.

    Args:
        bind: An engine, a URL or the path of a SQLite file.
        target: The file to create.
        overwrite: Replace an existing file.
        on_progress: Called with the number of pages copied and the number of all pages.

    Raises:
        InvalidQuery: The database is not SQLite (see `pg_dump_command`), or the path is invalid.
        SchemaOutOfDate: The tables are missing.
        StoreError: The file exists or is a database in use; or the integrity check failed, which means that the
            database is damaged, too.
        StoreUnavailable: The database cannot be reached, or the file cannot be written.
    """
    path = _path(target)
    _require_writable(path, overwrite=overwrite)
    with connect(bind, None, read_only=True) as db:
        if db.dialect.name != "sqlite":
            problem = "only SQLite can be copied into a file; use pg_dump for PostgreSQL"
            raise InvalidQuery(problem)
        file = storage.database_file(db)
        if file is not None and path.exists() and path.samefile(file):
            problem = f"{truncate(str(path))} is the database that would be copied"
            raise StoreError(problem)
        # A read transaction: without it the copy restarts whenever another process writes.
        db.exec_driver_sql("BEGIN")
        try:
            revisions.require_tables(db)
            source = db.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)  # noqa: S101 - `connected` has no other driver
            with atomic_write(path) as unfinished, closing(sqlite3.connect(unfinished)) as copy:
                _copy(source, copy, on_progress)
                # Check again: another backup may have created the file.
                _require_writable(path, overwrite=overwrite)
        finally:
            db.rollback()
    return path.stat().st_size


def pg_dump_command(bind: Engine | URL, target: str | os.PathLike[str], *, schema: str | None = None) -> str:
    """Return the shell command that dumps the tables of PostgreSQL into a file, for ``pg_restore``.

    It contains no password: pg_dump reads it from ``PGPASSWORD`` or ``~/.pgpass``. The dump has the tables but not
    their
    schema: run ``CREATE SCHEMA`` before restoring it into an empty database.

    Args:
        bind: An engine on PostgreSQL, or its URL.
        target: The file to create.
        schema: The PostgreSQL schema of the tables; None: any.

    Raises:
        InvalidQuery: The database is not PostgreSQL, or the path or the schema is invalid.
    """
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - needs libpq
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg  # noqa: PLC0415 - not for who has SQLite

    url = bind if isinstance(bind, URL) else bind.url
    path = _path(target)
    if url.get_backend_name() != "postgresql":
        raise InvalidQuery(type_error(url.drivername, "the database", "PostgreSQL"))
    tables = _OURS if schema is None else f"{schemas.quote(schemas.checked_schema(schema, 'postgresql'))}.{_OURS}"
    dialect: Any = PGDialect_psycopg
    _, parameters = dialect().create_connect_args(url)
    shown = {name: value for name, value in parameters.items() if name in _SHOWN}
    where = f"--dbname={make_conninfo(**shown)}"
    command = "pg_dump", "--format=custom", f"--file={path}", f"--table={tables}", where
    return shlex.join(command)


def _path(target: object) -> Path:
    if not isinstance(target, str | os.PathLike) or not os.fspath(target) or "\0" in os.fsdecode(target):
        raise InvalidQuery(type_error(target, "target", "the path of a file"))
    return Path(os.fsdecode(target))


def _require_writable(path: Path, *, overwrite: bool) -> None:
    if path.exists() and not path.is_file():
        # A folder or a device, which a file must not replace.
        problem = f"{truncate(str(path))} exists and is not a file"
        raise StoreError(problem)
    if path.exists() and not overwrite:
        problem = f"the file {truncate(str(path))} exists already"
        raise StoreError(problem)
    if Path(f"{path}-wal").exists() or Path(f"{path}-journal").exists():
        # SQLite would use this WAL for the copy.
        problem = f"{truncate(str(path))} is a database in use: its WAL is next to it"
        raise StoreError(problem)


@contextmanager
def atomic_write(path: Path) -> Iterator[str]:
    """Yield the name of a temporary file, which replaces the path on success and is deleted on an error."""
    try:
        handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        try:
            yield unfinished
            Path(unfinished).replace(path)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
    except OSError as error:
        problem = f"{truncate(str(path))} cannot be written: {error.strerror}"
        raise StoreUnavailable(problem) from error


def _copy(
    source: sqlite3.Connection, copy: sqlite3.Connection, on_progress: Callable[[int, int], object] | None
) -> None:
    def progress(_status: int, left: int, pages: int) -> None:
        if on_progress is not None:
            on_progress(pages - left, pages)

    try:
        source.backup(copy, pages=_PAGE_BATCH_SIZE, progress=progress)
        ((found,),) = copy.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        problem = f"{type(error).__name__}: {error}"
        raise StoreUnavailable(problem) from error
    if found != "ok":
        problem = f"the integrity check failed, the database is damaged: {found}"
        raise StoreError(problem)
