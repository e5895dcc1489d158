"""A copy of a SQLite file while others use it, and the command that copies the tables of PostgreSQL."""

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
"""What says where a database is; among the other options of libpq are secrets, and each version has new ones."""


def backup(
    bind: Engine | URL | str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    on_progress: Callable[[int, int], object] | None = None,
) -> int:
    """Copy a SQLite database into a new file, whole as it was at one moment, and return how many bytes it takes.

    Others read and write meanwhile. The copy has another name until it is complete and SQLite has found it sound, so
    that a file called ``target`` is never half a backup.

    Args:
        bind: An engine, a URL or the path of a SQLite file.
        target: The file to make.
        overwrite: Replace a file that is there.
        on_progress: Called with the number of pages copied and of all.

    Raises:
        InvalidQuery: The database is no SQLite (`pg_dump_command` says what copies it), or the path cannot be one.
        SchemaOutOfDate: The tables are missing.
        StoreError: The file is there, or it is a database in use, the one to be copied for example; or the copy is not
            sound, which the database then is not either.
        StoreUnavailable: The database cannot be reached, or the file not be written.
    """
    path = _path(target)
    _require_writable(path, overwrite=overwrite)
    with connect(bind, None, read_only=True) as db:
        if db.dialect.name != "sqlite":
            problem = "only SQLite is copied into a file; pg_dump copies PostgreSQL"
            raise InvalidQuery(problem)
        file = storage.database_file(db)
        if file is not None and path.exists() and path.samefile(file):
            problem = f"{truncate(str(path))} is the database in use that is to be copied"
            raise StoreError(problem)
        # A transaction that reads: without it the copy begins anew whenever another process writes.
        db.exec_driver_sql("BEGIN")
        try:
            revisions.require_tables(db)
            source = db.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)  # noqa: S101 - `connected` has no other driver
            with atomic_write(path) as unfinished, closing(sqlite3.connect(unfinished)) as copy:
                _copy(source, copy, on_progress)
                # It took a while: another backup may have been quicker.
                _require_writable(path, overwrite=overwrite)
        finally:
            db.rollback()
    return path.stat().st_size


def pg_dump_command(bind: Engine | URL, target: str | os.PathLike[str], *, schema: str | None = None) -> str:
    """Return the shell command that copies the tables from PostgreSQL into a file, for ``pg_restore``.

    It has no password: PostgreSQL's programs take it from ``PGPASSWORD`` or ``~/.pgpass``. The file has the tables and
    not their schema: an empty database needs ``CREATE SCHEMA`` before it takes them.

    Args:
        bind: An engine on PostgreSQL, or its URL.
        target: The file to make.
        schema: The PostgreSQL schema that holds the tables; None: any.

    Raises:
        InvalidQuery: It is no PostgreSQL, or the path or the schema cannot be one.
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
        # A folder, or a device, in whose place a file would come to be.
        problem = f"{truncate(str(path))} is there and no file"
        raise StoreError(problem)
    if path.exists() and not overwrite:
        problem = f"there is a file {truncate(str(path))} already"
        raise StoreError(problem)
    if Path(f"{path}-wal").exists() or Path(f"{path}-journal").exists():
        # SQLite would take it for that of the copy, and so would whoever has the file open.
        problem = f"{truncate(str(path))} is a database in use: its log is beside it"
        raise StoreError(problem)


@contextmanager
def atomic_write(path: Path) -> Iterator[str]:
    """Give the name of a new file, which becomes that of the path if nothing is raised and else is gone."""
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
        problem = f"the copy is not sound, and so the database is not: {found}"
        raise StoreError(problem)
