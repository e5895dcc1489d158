"""Check a SQLite file: journal mode, WAL, free pages and disk space."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from session_store.database import storage
from session_store.database.engines import JOURNAL_SIZE_LIMIT, ImmutableConnection
from session_store.maintenance.doctor.findings import Finding, Severity
from session_store.maintenance.formatting import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from session_store.maintenance.doctor.context import CheckContext

_CONNECTION_PRAGMAS: Final = {
    "foreign_keys": "a session deleted with SQL leaves its messages behind",
    "busy_timeout": "a write fails at once if another connection is writing",
    "synchronous": "a power failure may corrupt the file",
}
"""The meaning of a pragma that is 0."""
_CONFIGURE_IN_CODE: Final = "session_store.configure_sqlite(engine) sets it"
_MAX_FREE_BYTES: Final = 16 * 1024 * 1024
_MAX_FREE_SHARE: Final = 0.25
_MIN_DISK_SPACE: Final = 100_000_000
_LOCKS: Final = Path("/proc/locks")
_READING: Final = range(123, 128)
"""The bytes of the WAL index that readers lock: https://www.sqlite.org/walformat.html#wal_locks"""


def check_file(context: CheckContext) -> Iterator[Finding]:
    """Check the file of a SQLite database, and its WAL."""
    if not context.on_sqlite:
        return
    yield _journal_mode(context)
    if context.is_external:
        yield from _connection(context.db)
    yield _free_pages(context)
    file = storage.database_file(context.db)
    if file is None:
        return
    yield _check_wal(context, Path(f"{file}-wal"))
    yield _disk(file)


def _journal_mode(context: CheckContext) -> Finding:
    check = "sqlite.journal_mode"
    is_unchanging = "immutable=" in str(context.db.engine.url)
    if is_unchanging or isinstance(context.db.connection.driver_connection, ImmutableConnection):
        return Finding(check, Severity.INFO, "the file is read-only, so its journal mode is unknown")
    mode = str(context.db.exec_driver_sql("PRAGMA journal_mode").scalar_one())
    if storage.uses_wal(context.db):
        return Finding(check, Severity.INFO, f"the journal mode is {mode}", mode)
    message = f"the journal mode is {mode}, not wal: readers and the writer block each other"
    return Finding(check, Severity.WARNING, message, mode, command=context.command("repair", "pragmas"))


def _connection(db: Connection) -> Iterator[Finding]:
    for pragma, meaning in _CONNECTION_PRAGMAS.items():
        value = storage.read_pragma(db, pragma)
        check = f"sqlite.{pragma}"
        if value:
            yield Finding(check, Severity.INFO, f"{pragma} is {value} on this connection", value)
        else:
            message = f"{pragma} is {value} on this connection: {meaning}; {_CONFIGURE_IN_CODE}"
            yield Finding(check, Severity.WARNING, message, value)


def _free_pages(context: CheckContext) -> Finding:
    pages, free, size, cuts = (
        storage.read_pragma(context.db, name) for name in ("page_count", "freelist_count", "page_size", "auto_vacuum")
    )
    check, figure, unit = "sqlite.free_pages", free * size, "bytes"
    message = f"{format_size(figure)} of {format_size(pages * size)} in the file are free"
    if figure < _MAX_FREE_BYTES or free < _MAX_FREE_SHARE * pages:
        return Finding(check, Severity.INFO, message, figure, unit)
    command = context.command("vacuum", *([] if cuts else ["--full"]))
    return Finding(check, Severity.WARNING, f"{message}: only this file can use them", figure, unit, command)


def _check_wal(context: CheckContext, log: Path) -> Finding:
    size = log.stat().st_size if log.exists() else 0
    check, message = "sqlite.log", f"the write-ahead log takes {format_size(size)}"
    if size <= JOURNAL_SIZE_LIMIT:
        return Finding(check, Severity.INFO, message, size, "bytes")
    readers = sorted(_readers(log) - {os.getpid()})
    of_whom = f", now {', '.join(f'process {reader}' for reader in readers)}" if readers else ""
    message += f" and every read scans it: a long-running reader keeps it from being truncated{of_whom}"
    return Finding(check, Severity.WARNING, message, size, "bytes", context.command("vacuum"))


def _readers(log: Path) -> set[int]:
    """Return the processes that read a WAL now, where the system reports them.

    The file is not opened: closing it would release all locks of this process on it.
    """
    index = log.with_name(log.name.removesuffix("wal") + "shm")
    try:
        number = str(index.stat().st_ino)
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return set()
    # By inode only: some file systems report another device number here.
    held = (line.split() for line in lines)
    return {
        int(words[4])
        for words in held
        if len(words) == 8 and words[5].rpartition(":")[2] == number and int(words[6]) in _READING  # noqa: PLR2004
    }


def _disk(file: str) -> Finding:
    free = shutil.disk_usage(Path(file).resolve().parent).free
    message = f"the disk of the file has {format_size(free)} free"
    if free >= _MIN_DISK_SPACE:
        return Finding("sqlite.disk", Severity.INFO, message, free, "bytes")
    message += ": on a full disk every write fails; acknowledged messages are not lost"
    return Finding("sqlite.disk", Severity.WARNING, message, free, "bytes")
