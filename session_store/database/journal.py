"""Write session rows and log entries together: one statement on PostgreSQL, two on SQLite."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import JSON, BigInteger, Text, bindparam, cast, column, func, insert, select, true

from session_store.database.functions import as_json
from session_store.models.types import UtcDateTime, utc_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Insert, Row, Table
    from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate
    from sqlalchemy.types import TypeEngine

    from session_store.database.access import AnySelect

    Dml = ReturningInsert[*tuple[Any, ...]] | ReturningUpdate[*tuple[Any, ...]]


class JournaledWrite(NamedTuple):
    """An update of session rows, with one log entry for each."""

    together: ReturningInsert[*tuple[Any, ...]]
    head: Dml
    entry: Insert
    """One log entry, with a parameter for each column."""

    def run(self, db: Connection, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """Run the update, and return a row for each log entry."""
        if db.dialect.name == "postgresql":
            return db.execute(self.together, values).all()
        heads = [head for head in db.execute(self.head, values) if head.seq]
        entries = [{**values, **head._mapping} for head in heads]
        if entries:
            db.execute(self.entry, entries if len(entries) > 1 else entries[0])
        return heads


def journaled(head: Dml, log: Table, params: Mapping[str, ColumnElement[Any]]) -> JournaledWrite:
    """Return an update of session rows together with its log entries.

    Args:
        head: Updates session rows and returns columns of the log by name, including ``seq``; a seq of 0 means no
            entry.
        log: The table of the entries.
        params: The values of the other columns of an entry.
    """
    changed = head.cte("head")
    names = [*changed.c.keys(), *params]
    together = insert(log).from_select(names, select(*changed.c, *params.values()).where(changed.c.seq > 0))
    known = [bindparam(name, type_=column.type) for name, column in changed.c.items()]
    return JournaledWrite(
        together=together.returning(
            *(
                log.c[name]
                for name in changed.c.keys()  # noqa: SIM118 - a collection of columns
            )
        ),
        head=head,
        entry=insert(log).from_select(names, select(*known, *params.values())),
    )


class JournaledBatch(NamedTuple):
    """An update of one session row with many log entries, whose columns are passed as lists.

    Like `BulkInsert`, it sends the entries to PostgreSQL as one JSON text, which takes half the time of arrays.
    """

    together: AnySelect
    head: Dml
    entry: str
    """One log entry, as SQLite's SQL."""
    params: Mapping[str, TypeEngine[Any]]

    def run(self, db: Connection, values: Mapping[str, Any], columns: Mapping[str, Sequence[Any]]) -> Row[Any]:
        """Run the update, and return the session row; its ``seq`` is that of the last entry.

        Args:
            db: The connection.
            values: The parameters of the update, with ``count``, the number of entries.
            columns: The values of each column, in the order of the entries.
        """
        if db.dialect.name == "postgresql":
            names = ("place", *self.params)
            entries = zip(range(1, values["count"] + 1), *self._as_text(columns), strict=True)
            text = json.dumps([dict(zip(names, entry, strict=True)) for entry in entries], ensure_ascii=False)
            return db.execute(self.together, {**values, "entries": text}).one()
        head = db.execute(self.head, values).one()
        key, turn_id = head.session_key, head.turn_id
        numbered = enumerate(zip(*self._as_text(columns), strict=True), head.seq - values["count"] + 1)
        db.exec_driver_sql(self.entry, [(key, seq, turn_id, *entry) for seq, entry in numbered])
        return head

    def _as_text(self, columns: Mapping[str, Sequence[Any]]) -> Iterator[Sequence[Any]]:
        for name, kind in self.params.items():
            if isinstance(kind, UtcDateTime):
                # Most messages of a batch have the same time.
                text = {time: utc_text(time) for time in set(columns[name])}
                yield [text[time] for time in columns[name]]
            else:
                yield columns[name]


def journaled_batch(head: Dml, log: Table, params: Mapping[str, TypeEngine[Any]], json_column: str) -> JournaledBatch:
    """Return an update of one session row together with ``count`` log entries.

    Args:
        head: Updates the session row and returns its ``session_key``, ``seq`` and ``turn_id``; its parameter ``count``
            is the number of entries.
        log: The table of the entries.
        params: The other columns of an entry, texts and times.
        json_column: The column among them that holds JSON text.
    """
    changed = head.cte("head")
    names = ["session_key", "seq", "turn_id", *params]
    rows = func.json_to_recordset(cast(bindparam("entries", type_=Text()), JSON)).table_valued(
        column("place", BigInteger()), *(column(name, kind) for name, kind in params.items())
    )
    new = rows.render_derived(name="new", with_types=True)
    entry = [as_json(new.c[name]) if name == json_column else new.c[name] for name in params]
    first = changed.c.seq - bindparam("count", type_=BigInteger())
    entries = insert(log).from_select(
        names,
        select(changed.c.session_key, first + new.c.place, changed.c.turn_id, *entry).select_from(
            changed.join(new, true())
        ),
    )
    marks = ", ".join("?" for _ in names)
    return JournaledBatch(
        together=select(changed.c.seq, changed.c.turn_id).add_cte(entries.cte("entries")),
        head=head,
        entry=f"INSERT INTO {log.name} ({', '.join(names)}) VALUES ({marks})",  # noqa: S608 - names of our own
        params=params,
    )
