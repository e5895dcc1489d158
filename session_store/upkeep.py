"""Giving the disk back what was deleted, and leaving nothing of it there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from session_store import revisions
from session_store.binds import connected, locked
from session_store.dialects import places, space
from session_store.dialects.turns import outside_of_transactions
from session_store.search import fts5
from session_store.tables import METADATA

if TYPE_CHECKING:
    import os

    from sqlalchemy import URL, Engine

_TABLES: Final = tuple(METADATA.tables)


class Vacuumed(NamedTuple):
    """What the tables took before and after, in bytes; on SQLite the file and its write-ahead log, whoever uses it.

    ``complete`` is False where a reader kept SQLite's log from being emptied: what was deleted may still be in it.
    """

    before: int
    after: int
    complete: bool


def vacuum(bind: Engine | URL | str | os.PathLike[str], *, full: bool = False, schema: str | None = None) -> Vacuumed:
    """Give back what deleted sessions, messages and states took, so that others can use it.

    On PostgreSQL that is VACUUM of the three tables, beside readers and writers. On SQLite the free pages of the file
    are cut off, some at a time, and its log is emptied.

    With ``full`` everything is written anew, and no byte of what was deleted is left in the file, or in the tables
    and indexes; nobody else writes meanwhile, and on PostgreSQL nobody reads. What PostgreSQL has in its log goes with
    time; what a transaction that began before the deletion may still see stays until a vacuum after its end.

    Args:
        bind: An engine, a URL or the path of a SQLite file.
        full: Leave nothing behind.
        schema: The PostgreSQL schema that holds the tables; None: where the server's search path finds them.

    Raises:
        SchemaOutOfDate: The tables are missing.
        StoreUnavailable: The database cannot be reached, has no room for a copy, or was locked for too long.
    """
    with connected(bind, schema) as db:
        if full and db.dialect.name == "sqlite" and fts5.TABLE in fts5.objects(db):
            db.rollback()
            # The index forgets words when it merges its parts, some time after their messages have gone.
            with locked(db):
                db.exec_driver_sql(fts5.MERGE)
        outside_of_transactions(db)
        with places.translated(db, schema):
            revisions.require_tables(db)
        before = space.size(db, _TABLES, schema)
        complete = space.give_back(db, _TABLES, schema, full=full)
        return Vacuumed(before, space.size(db, _TABLES, schema), complete)
