"""Insert many rows with one statement.

SQLAlchemy prepares each parameter set of an executemany by itself, which takes as long as writing the row. Instead, the
rows are sent to PostgreSQL as one JSON text, and to SQLite through the driver's ``executemany``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import JSON, Text, bindparam, cast, column, func, insert, select, text

from session_store.database.functions import as_json
from session_store.models.types import ExactJson, UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection, Insert, Table

_COUNTED: Final = {"preserve_rowcount": True}
_ROWS: Final = cast(bindparam("rows", type_=Text()), JSON)


class BulkInsert(NamedTuple):
    """An INSERT of many rows, each a sequence of stored values: times and JSON as text."""

    together: Insert
    each: str
    """The INSERT of one row, as SQLite's SQL."""
    names: Sequence[str]

    def run(self, db: Connection, rows: Sequence[Sequence[Any]]) -> int:
        """Insert the rows, and return their number."""
        if not rows:
            return 0
        if db.dialect.name == "postgresql":
            entries = [dict(zip(self.names, row, strict=True)) for row in rows]
            values = {"rows": json.dumps(entries, ensure_ascii=False)}
            return db.execute(self.together, values, execution_options=_COUNTED).rowcount
        return db.exec_driver_sql(self.each, [tuple(row) for row in rows]).rowcount


def bulk_insert(table: Table, names: Sequence[str], on_conflict: str = "") -> BulkInsert:
    """Return the INSERT of many rows into these columns of a table.

    Args:
        table: The table.
        names: The columns of a row.
        on_conflict: The ON CONFLICT clause, if any.
    """
    columns = [table.c[name] for name in names]
    rows = func.json_to_recordset(_ROWS).table_valued(*(column(it.name, _json_column(it)) for it in columns))
    new = rows.render_derived(name="new", with_types=True)
    values: Iterable[ColumnElement[Any]] = (
        as_json(new.c[it.name]) if isinstance(it.type, ExactJson) else new.c[it.name] for it in columns
    )
    chosen = select(*values)
    marks = ", ".join("?" for _ in names)
    return BulkInsert(
        together=insert(table).from_select(names, chosen.suffix_with(text(on_conflict)) if on_conflict else chosen),
        each=f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks}) {on_conflict}",  # noqa: S608
        names=names,
    )


def _json_column(column: ColumnElement[Any]) -> Any:
    return (
        column.type if isinstance(column.type, UtcDateTime) or not isinstance(column.type, Text | ExactJson) else Text()
    )
