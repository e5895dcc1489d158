"""Two indexes for analysts, which nobody else needs: made and removed by hand, for every append pays for them.

By day: what happened in a month is counted without reading what was said, nor the years before. The indexes of the days
that PostgreSQL has from the start cost an append nothing, but of a month its planner may take them for no better than
the whole table. By turn: the messages of each turn, which in a session of thousands would be looked for among all of
its messages, turn by turn.
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
        # With the time itself, or every message would be looked up for it.
        BY_DAY: "session_store_messages (substr(created_at, 1, 10), session_key, role, created_at)",
        BY_TURN: _TURN_COLUMNS,
    },
    "postgresql": {
        BY_DAY: "session_store_messages ((CAST(created_at AT TIME ZONE 'UTC' AS date)))"
        " INCLUDE (created_at, session_key, role)",
        BY_TURN: _TURN_COLUMNS,
    },
}
"""What each is on, by database."""


def create(bind: Bind, *, schema: str | None = None) -> list[str]:
    """Make the indexes that are not there, and return the names of all that the database has then.

    Writers wait meanwhile: some two seconds for a million messages. PostgreSQL uses the one by day when it has been
    vacuumed and analyzed, which autovacuum does.

    Args:
        bind: A connection, whose own transaction is joined, an engine, or a URL or the path of a SQLite file.
        schema: The PostgreSQL schema that holds the tables; None: where the server's search path finds them.

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
    """Remove the indexes, as far as they are there; arguments and errors are those of `create_indexes`."""
    with connect(bind, schema) as db, migration_lock(db), schemas.use_schema(db, schema or schemas.schema_of(db)):
        revisions.require_tables(db)
        for name in NAMES:
            db.exec_driver_sql(f"DROP INDEX IF EXISTS {name}")
