"""How much there is: a first look at a store."""

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
    """How much there is; times are UTC, and None where there is no session.

    ``states`` says how many sessions are in each state, the most frequent first. ``size`` is the bytes on the disk, of
    the tables with their indexes; on SQLite of the file with its log, and whatever else is in it.
    """

    sessions: int
    messages: int
    states: dict[str, int]
    first_created_at: datetime | None
    last_activity: datetime | None
    size: int


def stats(bind: Bind, *, schema: str | None = None) -> Stats:
    """Count sessions and messages, by the heads of the sessions: no message is read.

    Args:
        bind: A connection, an engine, or a URL or the path of a SQLite file.
        schema: The PostgreSQL schema that holds the tables; None: where the server's search path finds them.

    Raises:
        SchemaOutOfDate: The tables are missing or old.
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
