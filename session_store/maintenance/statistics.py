"""The number of sessions, messages and states, and their size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import func, select

from session_store.database import revisions, schemas, storage
from session_store.database.connections import connect, rollback_on_exit
from session_store.models.models import METADATA, SESSIONS
from session_store.models.types import as_utc

if TYPE_CHECKING:
    from datetime import datetime

    from session_store.database.connections import Bind

__all__ = ["Stats", "stats"]

_BY_STATE: Final = (
    select(
        SESSIONS.c.state,
        func.count().label("sessions"),
        func.sum(SESSIONS.c.message_count).label("messages"),
        func.min(SESSIONS.c.created_at).label("first_created_at"),
        func.max(SESSIONS.c.last_activity).label("last_activity"),
    )
    .group_by(SESSIONS.c.state)
    .order_by(func.count().desc(), SESSIONS.c.state)
)


class Stats(NamedTuple):
    """The statistics of a store; times are in UTC, and None without a session.

    ``states`` is the number of sessions in each state, most frequent first. ``size`` is in bytes: of the tables with
    their indexes, on SQLite of the whole file and its WAL.
    """

    sessions: int
    messages: int
    states: dict[str, int]
    first_created_at: datetime | None
    last_activity: datetime | None
    size: int


def stats(bind: Bind, *, schema: str | None = None) -> Stats:
    """Return the statistics of a store; reads the session rows and no message.

    Args:
        bind: A connection, an engine, a URL or the path of a SQLite file.
        schema: The PostgreSQL schema of the tables; None: the first on the search path that has them.

    Raises:
        SchemaOutOfDate: The tables are missing or at another revision.
        StoreUnavailable: The database cannot be reached.
    """
    with connect(bind, schema) as db, rollback_on_exit(db), schemas.schema_translate(db, schema):
        revisions.require(db)
        rows = db.execute(_BY_STATE).all()
        return Stats(
            sessions=sum(row.sessions for row in rows),
            messages=sum(int(row.messages) for row in rows),
            states={row.state: row.sessions for row in rows},
            first_created_at=min((as_utc(row.first_created_at) for row in rows), default=None),
            last_activity=max((as_utc(row.last_activity) for row in rows), default=None),
            size=storage.total_size(db, METADATA.tables, schema or schemas.schema_of(db)),
        )
