"""Two optional indexes for analytics. They slow down every append, so they are created only on request.

By day: a month is counted without reading the messages or earlier years. The indexes by day that PostgreSQL always has
are free for appends, but for a month its planner may prefer the whole table. By turn: finds the messages of a turn in
a session of thousands without reading all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from session_store.database import revisions, schemas
from session_store.database.connections import connect, migration_lock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from session_store.database.connections import Bind

BY_DAY: Final = "session_store_messages_by_day"
BY_TURN: Final = "session_store_messages_by_turn"
NAMES: Final = (BY_DAY, BY_TURN)

_TURN_COLUMNS: Final = "session_store_messages (session_key, turn_id) WHERE turn_id IS NOT NULL"
_ON: Final[Mapping[str, Mapping[str, str]]] = {
    "sqlite": {
        # With the time itself, so that no message is looked up for it.
        BY_DAY: "session_store_messages (substr(created_at, 1, 10), session_key, role, created_at)",
        BY_TURN: _TURN_COLUMNS,
    },
    "postgresql": {
        BY_DAY: "session_store_messages ((CAST(created_at AT TIME ZONE 'UTC' AS date)))"
        " INCLUDE (created_at, session_key, role)",
        BY_TURN: _TURN_COLUMNS,
    },
}
"""The columns of each index, by database."""


def create(bind: Bind, *, schema: str | None = None) -> list[str]:
    """Create the missing indexes, and return the names of all.

    Writers are blocked during the build, about two seconds for a million messages. PostgreSQL uses the index by day
    after a vacuum and analyze, which autovacuum runs.

    Args:
        bind: A connection, whose open transaction is used, an engine, a URL or the path of a SQLite file.
        schema: The PostgreSQL schema of the tables; None: the first on the search path that has them.

    Raises:
        SchemaOutOfDate: The tables are missing.
        StoreUnavailable: The database cannot be reached, or was locked for too long.
    """
    with connect(bind, schema) as db, migration_lock(db), schemas.use_schema(db, schema or schemas.schema_of(db)):
        revisions.require_tables(db)
        indexes = _ON[db.dialect.name]
        for name, columns in indexes.items():
            db.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")
        return list(indexes)


def drop(bind: Bind, *, schema: str | None = None) -> None:
    """Drop the indexes that exist; arguments and errors are those of `create_indexes`."""
    with connect(bind, schema) as db, migration_lock(db), schemas.use_schema(db, schema or schemas.schema_of(db)):
        revisions.require_tables(db)
        for name in NAMES:
            db.exec_driver_sql(f"DROP INDEX IF EXISTS {name}")
