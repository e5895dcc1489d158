"""Export messages as Parquet with pyarrow (extra ``parquet``)."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Unpack

from sqlalchemy import BigInteger, Date, Double

from session_store.interface.errors import StoreError
from session_store.models.types import UtcDateTime
from session_store.transfer.csv_export import COLUMNS, message_rows
from session_store.transfer.session_reader import ExportFilter, ExportResult, SessionReader, open_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from session_store.interface.values import SessionMetadata
    from session_store.store.sync import SessionStore

ROW_GROUP_SIZE: Final = 5_000
ROW_GROUP_MAX_CHARS: Final = 4 * 1024 * 1024


def export_parquet(
    store: SessionStore,
    out: str | os.PathLike[str] | BinaryIO,
    *,
    on_session: Callable[[SessionMetadata], object] | None = None,
    **which: Unpack[ExportFilter],
) -> ExportResult:
    """Write the messages of sessions as Parquet, one row each, and return what was written.

    Times are timestamps in microseconds, in UTC; days are dates, numbers have 64 bits, everything else is text. A file
    is written next to ``out`` with the suffix ``.part`` and renamed when it is complete. The rows are those of
    `export_csv`.

    Args:
        store: The store to export.
        out: A path, whose file is replaced, or a file open for writing bytes.
        on_session: Called with the key of each session after it was written.
        which: The filter, see `ExportFilter`; all sessions by default.

    Raises:
        OSError: The file cannot be created or written.
        StoreError: pyarrow is not installed.
        InvalidQuery: An argument has the wrong type.
        InvalidKey: The owner, the state or the key is not a valid identifier.
        SchemaOutOfDate: The tables are missing or at another revision.
        StoreUnavailable: The database cannot serve.
    """
    pyarrow = _pyarrow()
    reader = SessionReader(store, on_session, which)
    # No statistics for long texts: they stay in memory to the end, and no query uses them.
    short = [column.name for column in COLUMNS if column.name not in {"content", "payload"}]
    schema = pyarrow.schema([(column.name, _type_of(column.type, pyarrow)) for column in COLUMNS])
    with (
        _complete(out) as file,
        pyarrow.parquet.ParquetWriter(file, schema, use_dictionary=short, write_statistics=short) as writer,
    ):
        for rows in _groups(message_rows(reader)):
            columns = [
                pyarrow.array(values, each.type) for values, each in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=schema))
    return reader.exported


def _pyarrow() -> ModuleType:
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError as error:
        problem = "Parquet needs pyarrow, which comes with the extra `parquet`: pip install 'session-store[parquet]'"
        raise StoreError(problem) from error


def _type_of(kind: Any, pyarrow: ModuleType) -> Any:
    match kind:
        case UtcDateTime():
            return pyarrow.timestamp("us", tz="UTC")
        case Date():
            return pyarrow.date32()
        case BigInteger():
            return pyarrow.int64()
        case Double():
            return pyarrow.float64()
    return pyarrow.string()


def _groups(rows: Iterator[list[Any]]) -> Iterator[list[list[Any]]]:
    """Collect rows into row groups."""
    group: list[list[Any]] = []
    size = 0
    for row in rows:
        group.append(row)
        size += sum(len(value) for value in row if isinstance(value, str))
        if len(group) >= ROW_GROUP_SIZE or size >= ROW_GROUP_MAX_CHARS:
            yield group
            group, size = [], 0
    if group:
        yield group


@contextmanager
def _complete(out: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """Yield a file that gets its name when it is complete."""
    if not isinstance(out, str | os.PathLike):
        with open_output(out) as file:
            yield file
        return
    part = Path(f"{os.fspath(out)}.part")
    try:
        with open_output(part) as file:
            yield file
        part.replace(out)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
