"""Read SQLite files of other programs, without changing them.

A program may write to the file at the same time. All reads see one snapshot, and block no writer: the programs whose
files are read here use WAL mode.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from session_store.interface.errors import InvalidMessage, InvalidQuery, StoreError, truncate
from session_store.models.validation import aware_datetime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SQLITE: Final = b"SQLite format 3\0"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)


class InvalidText(NamedTuple):
    """The value of a column whose text is not UTF-8, and the offset of the first invalid byte."""

    raw: bytes
    column: int


class SessionGroup(NamedTuple):
    """The rows of one session: its own row, if it has one, and its messages, oldest first."""

    key: object
    about: Mapping[str, object]
    messages: Iterator[sqlite3.Row]


def is_sqlite(path: Path) -> bool:
    """Return whether a file starts like a SQLite database."""
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


@contextmanager
def open_readonly(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a SQLite file for reading, including its write-ahead log.

    SQLite may create the files of the WAL and leave them behind. In a directory that is not writable, a file without a
    WAL is read alone.

    Raises:
        InvalidQuery: It is not a SQLite database.
        StoreError: It is damaged or cannot be read; also raised later, while reading.
    """
    if not is_sqlite(path):
        problem = f"{str(path)!r} is not a SQLite database"
        raise InvalidQuery(problem)
    try:
        with closing(_connection(path)) as db:
            yield db
    except sqlite3.Error as error:
        problem = f"{str(path)!r} cannot be read: {error}"
        raise StoreError(problem) from error


def _connection(path: Path) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        return _snapshot(address)
    except sqlite3.OperationalError as error:
        if path.with_name(f"{path.name}-wal").exists():
            problem = f"{error}; copy it, with the -wal and -shm files next to it, to a writable directory"
            raise sqlite3.OperationalError(problem) from error
        return _snapshot(f"{address}&immutable=1")


def _snapshot(address: str) -> sqlite3.Connection:
    db = sqlite3.connect(address, uri=True, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        db.text_factory = _text
        # The schema of an untrusted file must not call functions.
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("BEGIN")
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error:
        db.close()
        raise
    return db


def _text(raw: bytes) -> str | InvalidText:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        return InvalidText(raw, error.start)


def columns(db: sqlite3.Connection, table: str) -> set[str]:
    """Return the columns of a table; empty if the table does not exist."""
    if table not in [row["name"] for row in db.execute("SELECT name FROM sqlite_master")]:
        return set()
    return {row["name"] for row in db.execute("SELECT name FROM pragma_table_info(?)", [table])}


def require(db: sqlite3.Connection, path: Path, table: str, needed: set[str]) -> None:
    """Check that a table exists and has the columns that identify it.

    Raises:
        InvalidQuery: The table or a column is missing.
    """
    there = columns(db, table)
    if not needed <= there:
        missing = f"column {', '.join(sorted(needed - there))} in its table" if there else "table"
        problem = f"{str(path)!r} has no {missing} {truncate(table)}"
        raise InvalidQuery(problem)


def groups(db: sqlite3.Connection, sessions: str | None, messages: str, key: str) -> Iterator[SessionGroup]:
    """Yield the rows of one session after the other; use its messages before the next session.

    Args:
        db: The file.
        sessions: The table of the sessions, if there is one.
        messages: The table of the messages; its column ``id`` defines their order.
        key: The column of both tables with the key of the session.
    """
    keys, about = f"{_select(key, messages)} GROUP BY {key}", None
    if sessions is not None:
        keys = f"{keys} UNION {_select(key, sessions)}"
        about = f"{_select('*', sessions)} WHERE {key} IS ?"
    written = groupby(db.execute(f"{_select('*', messages)} ORDER BY {key}, id"), key=lambda row: row[key])
    following = next(written, None)
    for (found,) in db.execute(f"{keys} ORDER BY {key}"):
        row = None if about is None or isinstance(found, InvalidText) else db.execute(about, [found]).fetchone()
        if following is not None and following[0] == found:
            yield SessionGroup(found, dict(row or {}), following[1])
            following = next(written, None)
        else:
            yield SessionGroup(found, dict(row or {}), iter(()))


def _select(label: str, table: str) -> str:
    quoted = table.replace('"', '""')
    return f'SELECT {label} FROM "{quoted}"'  # noqa: S608 - a name, quoted


def text(value: object, label: str) -> str:
    """Return the text of a column.

    Raises:
        InvalidMessage: The value is not a text.
    """
    match value:
        case str():
            return value
        case InvalidText(raw, at):
            problem = f"{label} is not UTF-8: byte {raw[at]:#04x} at {at + 1}"
        case None:
            problem = f"{label} is missing"
        case _:
            problem = f"{label} must be text, got {type(value).__name__}"
    raise InvalidMessage(problem)


def time(value: object, label: str) -> datetime:
    """Parse a time in the format of RFC 3339 or of SQLite; without a time zone it is in UTC.

    Raises:
        InvalidMessage: The value is not a time.
    """
    written = text(value, label).strip().upper()
    try:
        found = datetime.fromisoformat(written) if _TIME.fullmatch(written) else None
    except ValueError:
        found = None
    if found is None:
        problem = f"{label} is not a time: {truncate(value)}"
        raise InvalidMessage(problem)
    return aware_datetime(found if found.tzinfo else found.replace(tzinfo=UTC), label, InvalidMessage)
