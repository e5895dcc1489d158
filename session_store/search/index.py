"""The search index: made with the tables, and by hand where it was left out or somebody bypassed it.

FTS5 with three triggers on SQLite, a GIN index on an expression on PostgreSQL. It can be left out: the revision that
makes it does nothing while ``SESSION_STORE_SEARCH_INDEX`` is ``off``, where SQLite was built without FTS5, where
a PostgreSQL database is not in UTF-8, and where it would take long. Words are then found by LIKE.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Connection, func, select, text

from session_store.database import revisions, schemas
from session_store.database.connections import connect, migration_lock, rollback_on_exit
from session_store.database.functions import AUTOCOMMIT
from session_store.database.transactions import index_build_lock
from session_store.interface.errors import StoreError
from session_store.models.models import MESSAGES
from session_store.search import fts5, tsvector
from session_store.search.backends import active_backend, clear_cache

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from session_store.database.connections import Bind

__all__ = ["SearchIndex", "create", "drop", "rebuild", "status"]

ENV_VAR: Final = "SESSION_STORE_SEARCH_INDEX"
"""The variable that leaves the index out of migrations; it does nothing to one that is there."""

MANY_MESSAGES: Final = 100_000
"""A migration of more would lock writers out for seconds: it leaves the index to `create`."""

_LOG: Final = logging.getLogger("session_store.search.index")
_SIZE: Final = {
    # What the index has for each message, and its words; not its overhead of a page now and then.
    "sqlite": text(f"""
        SELECT (SELECT coalesce(sum(length(block)), 0) FROM {fts5.TABLE}_data)
        + (SELECT coalesce(sum(length(sz)), 0) FROM {fts5.TABLE}_docsize)
    """),  # noqa: S608 - names of our own
    "postgresql": text("SELECT pg_relation_size(to_regclass(:index))"),
}


class SearchIndex(NamedTuple):
    """Which engine serves words, ``"fts5"``, ``"tsvector"`` or ``"like"``, why, and what the index takes.

    ``size`` is in bytes; None where there is no index, whole or not.
    """

    engine: str
    reason: str
    size: int | None


def status(bind: Bind, *, schema: str | None = None) -> SearchIndex:
    """Say which engine serves words in a database, and why.

    Args:
        bind: A connection, an engine, or a URL or the path of a SQLite file.
        schema: The PostgreSQL schema that holds the tables; None: where the server's search path finds them.

    Raises:
        SchemaOutOfDate: The tables are missing.
        StoreUnavailable: The database cannot be reached.
    """
    with connect(bind, schema) as db, rollback_on_exit(db), schemas.schema_translate(db, schema):
        _require_tables(db, schema)
        engine, reason = active_backend(db, refresh=True)
        if not _exists(db, schema):
            return SearchIndex(engine, reason, None)
        size = db.scalar(
            _SIZE[db.dialect.name], {"index": schemas.qualified_name(tsvector.INDEX, schema or schemas.schema_of(db))}
        )
        return SearchIndex(engine, reason, size)


def create(bind: Bind, *, concurrently: bool = False, schema: str | None = None) -> SearchIndex:
    """Make the index and fill it; where one serves already, do nothing.

    What is broken is made anew: an index that ``concurrently`` left behind unfinished, or one without its triggers.
    Writers wait meanwhile: some two seconds for 300,000 messages. Readers find words by LIKE, or wait for a broken
    index to be removed.

    Args:
        bind: As in `status`; a connection's own transaction is joined.
        concurrently: On PostgreSQL let writers go on, which takes longer, and cannot be in a transaction, nor through
            PgBouncer in transaction mode. On SQLite there is no such way, and this is passed over.
        schema: As in `status`.

    Raises:
        StoreError: This SQLite has no FTS5, the PostgreSQL database is not in UTF-8, or ``concurrently`` was asked for
            in a transaction.
        SchemaOutOfDate: The tables are missing, or older than this package needs: it is a revision that makes the
            index, and it would find one there.
        StoreUnavailable: The database cannot be reached, or was locked for too long.
    """
    return _build(bind, schema, concurrently=concurrently, drop_first=False)


def rebuild(bind: Bind, *, concurrently: bool = False, schema: str | None = None) -> SearchIndex:
    """Make the index anew from the messages, after somebody bypassed its triggers or it was damaged.

    Arguments and errors are those of `create`. On PostgreSQL readers wait too, unless it is done ``concurrently``.
    """
    return _build(bind, schema, concurrently=concurrently, drop_first=True)


def drop(bind: Bind, *, schema: str | None = None) -> None:
    """Remove the index, or what is there of it; words are then found by LIKE.

    Arguments and errors are those of `create`. On PostgreSQL who reads or writes messages is waited for, and waits.
    """
    with connect(bind, schema) as db, migration_lock(db):
        _require_tables(db, schema)
        _run(db, _without(db, schema))


def disable(bind: Bind) -> bool:
    """Let a bulk load on SQLite go without the index, until `rebuild`, and say whether it does now.

    Filling the index at once takes a sixth of what filling it message by message does. Meanwhile, and after a crash,
    words are found by LIKE. On PostgreSQL nothing would be gained.
    """
    with connect(bind, None) as db:
        if db.dialect.name != "sqlite":
            return False
        with migration_lock(db):
            exists = _exists(db, None)
            _run(db, fts5.drop_triggers())
        return exists


def is_whole(bind: Bind, *, schema: str | None = None) -> bool:
    """Whether there is an index that is finished, and on SQLite follows the messages."""
    with connect(bind, schema) as db, rollback_on_exit(db):
        return _is_whole(db, schema)


def is_disabled(bind: Bind) -> bool:
    """Whether there is an index on SQLite that does not follow the messages."""
    with connect(bind, None) as db, rollback_on_exit(db):
        return db.dialect.name == "sqlite" and _exists(db, None) and not _is_whole(db, None)


def statements(dialect: str, *, schema: str | None = None, concurrently: bool = False) -> Iterator[str]:
    """Give the SQL that makes the index and fills it."""
    if dialect == "sqlite":
        yield from fts5.create()
        yield fts5.REBUILD
    else:
        yield tsvector.create(schema, concurrently=concurrently)


def statements_without(dialect: str, *, schema: str | None = None, concurrently: bool = False) -> Iterator[str]:
    """Give the SQL that removes the index."""
    if dialect == "sqlite":
        yield from fts5.drop()
    else:
        yield tsvector.drop(schema, concurrently=concurrently)


def skip_reason(db: Connection | None) -> str | None:
    """Return why a migration is to leave the index out, None if it is to make it; without a database: by the switch."""
    reason = _is_switched_off() if db is None else disabled_reason(db)
    if db is None or reason is not None:
        return reason
    some = select(MESSAGES.c.seq).limit(MANY_MESSAGES + 1).subquery()
    if (db.scalar(select(func.count()).select_from(some)) or 0) > MANY_MESSAGES:
        return f"there are more than {MANY_MESSAGES:,} messages"
    return None


def disabled_reason(db: Connection) -> str | None:
    """Return why a database has no index for good: somebody wants none, or it cannot have one; None if it can."""
    return _is_switched_off() or _problem(db)


def log_skipped(reason: str) -> None:
    """Let the operator of a migration know what to run."""
    _LOG.warning(
        "the search index was left out: %s. Words are found by LIKE until it is made: session-store index create "
        "--concurrently, or session_store.search.index.create(engine, concurrently=True)",
        reason,
    )


def _build(bind: Bind, schema: str | None, *, concurrently: bool, drop_first: bool) -> SearchIndex:
    with connect(bind, schema) as db:
        if not concurrently or db.dialect.name == "sqlite":
            with migration_lock(db):
                _rebuild(db, schema, concurrently=False, drop_first=drop_first)
        elif isinstance(bind, Connection):
            problem = "an index is made concurrently outside of any transaction: give an engine or a URL"
            raise StoreError(problem)
        else:
            db.execution_options(isolation_level=AUTOCOMMIT)
            with index_build_lock(db):
                _rebuild(db, schema, concurrently=True, drop_first=drop_first)
        # Who searched meanwhile may have seen it as it was.
        clear_cache()
        return status(db, schema=schema)


def _rebuild(db: Connection, schema: str | None, *, concurrently: bool, drop_first: bool) -> None:
    with schemas.schema_translate(db, schema):
        revisions.require(db)
    problem = _problem(db)
    if problem is not None:
        raise StoreError(problem)
    if not drop_first and _is_whole(db, schema):
        return
    if _exists(db, schema) or db.dialect.name == "sqlite":
        _run(db, _without(db, schema, concurrently=concurrently))
    _run(db, statements(db.dialect.name, schema=schema or schemas.schema_of(db), concurrently=concurrently))


def _is_switched_off() -> str | None:
    is_off = os.environ.get(ENV_VAR, "").strip().lower() in {"off", "0", "no", "false"}
    return f"{ENV_VAR} is off" if is_off else None


def _require_tables(db: Connection, schema: str | None) -> None:
    with schemas.schema_translate(db, schema):
        revisions.require_tables(db)


def _problem(db: Connection) -> str | None:
    if db.dialect.name == "sqlite":
        return None if fts5.is_built_in(db) else "this SQLite was built without FTS5"
    return None if tsvector.is_in_utf8(db) else "this PostgreSQL database is not in UTF-8"


def _exists(db: Connection, schema: str | None) -> bool:
    if db.dialect.name == "sqlite":
        return fts5.TABLE in fts5.objects(db)
    return tsvector.find_index(db, schema or schemas.schema_of(db)) is not None


def _is_whole(db: Connection, schema: str | None) -> bool:
    if db.dialect.name == "sqlite":
        return fts5.objects(db) == {fts5.TABLE, *fts5.TRIGGERS}
    found = tsvector.find_index(db, schema or schemas.schema_of(db))
    return found is not None and found.is_valid


def _without(db: Connection, schema: str | None, *, concurrently: bool = False) -> Iterator[str]:
    return statements_without(db.dialect.name, schema=schema or schemas.schema_of(db), concurrently=concurrently)


def _run(db: Connection, every: Iterable[str]) -> None:
    for statement in every:
        db.exec_driver_sql(statement)
    clear_cache()
