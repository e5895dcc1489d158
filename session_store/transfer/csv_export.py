"""Export messages as rows of CSV: the columns of the view of messages, the owner and the payload.

NUL is kept. A lone surrogate, which UTF-8 cannot encode, becomes U+FFFD.
"""

from __future__ import annotations

import csv
import json
import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Unpack

from sqlalchemy import Column, Date, Text, and_, cast, select

from session_store.analytics.views import MESSAGES_V1
from session_store.database.parameters import int_param
from session_store.models.models import MESSAGES
from session_store.models.types import ExactText, UtcDateTime, as_utc, load_json, unescape, utc_text
from session_store.repositories.statements import KEYS
from session_store.transfer.session_reader import ExportFilter, ExportResult, SessionReader, open_output

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from session_store.interface.values import SessionMetadata
    from session_store.store.sync import SessionStore

COLUMNS: Final = (*MESSAGES_V1.columns, Column("owner", Text), Column("payload", Text))
"""The columns of a row, with their types in the database."""

_ROW_BATCH_SIZE: Final = (
    select(*MESSAGES_V1.columns, cast(MESSAGES.c.payload, Text).label("payload"))
    .join(MESSAGES, and_(MESSAGES.c.session_key == MESSAGES_V1.c.session_key, MESSAGES.c.seq == MESSAGES_V1.c.seq))
    .where(MESSAGES_V1.c.session_key.in_(KEYS), MESSAGES_V1.c.seq > int_param("after"))
    .order_by(MESSAGES_V1.c.session_key, MESSAGES_V1.c.seq)
    .limit(int_param("limit"))
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_as_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def message_rows(reader: SessionReader) -> Iterator[list[Any]]:
    """Yield a row of Python values for each message: a time is a datetime in UTC, a day a date."""
    for session in reader.sessions(_ROW_BATCH_SIZE):
        for *values, payload in session.messages:
            row = [
                value if read is None or value is None else read(value)
                for read, value in zip(_READ, values, strict=True)
            ]
            yield [*row, session.head.owner, None if payload is None else _whole(_as_json(load_json(payload)))]


def _whole(text: str) -> str:
    """Return a text without lone surrogates."""
    return text if text.isascii() else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def _read_as(column: Column[Any]) -> Callable[[Any], Any] | None:
    match column.type:
        case UtcDateTime():
            return as_utc
        case Date():
            return lambda day: date.fromisoformat(day) if isinstance(day, str) else day
        case ExactText():
            return lambda text: _whole(unescape(text))
    return None


_READ: Final = [_read_as(column) for column in MESSAGES_V1.columns]


def export_csv(
    store: SessionStore,
    out: str | os.PathLike[str] | BinaryIO,
    *,
    header: bool = True,
    on_session: Callable[[SessionMetadata], object] | None = None,
    **which: Unpack[ExportFilter],
) -> ExportResult:
    """Write the messages of sessions as CSV, one row each, and return what was written.

    The format is RFC 4180 in UTF-8. Null and an empty text are an empty field. Times are ISO 8601 in UTC. Order,
    memory and snapshots are those of `export_jsonl`.

    Args:
        store: The store to export.
        out: A path, whose file is replaced, or a file open for writing bytes.
        header: Start with the names of the columns.
        on_session: Called with the key of each session after it was written.
        which: The filter, see `ExportFilter`; all sessions by default.

    Raises:
        OSError: The file cannot be created or written.
        InvalidQuery: An argument has the wrong type.
        InvalidKey: The owner, the state or the key is not a valid identifier.
        SchemaOutOfDate: The tables are missing or at another revision.
        StoreUnavailable: The database cannot serve.
    """
    walk = SessionReader(store, on_session, which)
    with open_output(out) as file:
        rows = csv.writer(_Utf8(file))
        if header:
            rows.writerow(column.name for column in COLUMNS)
        for row in message_rows(walk):
            rows.writerow(utc_text(value) if isinstance(value, datetime) else value for value in row)
    return walk.exported


class _Utf8:
    """Writes text to a binary file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode())
