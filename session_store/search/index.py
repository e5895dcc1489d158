"""Create, rebuild and drop the search index: FTS5 with three triggers on SQLite, a GIN index on PostgreSQL.

A migration creates the index, unless ``SESSION_STORE_SEARCH_INDEX`` is ``off``, SQLite was built without FTS5, the
PostgreSQL database is not in UTF-8, or the build would take long. Without the index, searches use LIKE.
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
"""The environment variable that keeps migrations from creating the index; an existing index stays."""

MANY_MESSAGES: Final = 100_000
"""With more messages, a migration would block writers for seconds and leaves the index to `create`."""

_LOG: Final = logging.getLogger("session_store.search.index")
_SIZE: Final = {
    # The entries of each message and its words, without the overhead of partly filled pages.
    "sqlite": text(f"""
        SELECT (SELECT coalesce(sum(length(block)), 0) FROM {fts5.TABLE}_data)
        + (SELECT coalesce(sum(length(sz)), 0) FROM {fts5.TABLE}_docsize)
    """),  # noqa: S608 - names of our own
    "postgresql": text("SELECT pg_relation_size(to_regclass(:index))"),
}


class SearchIndex(NamedTuple):
    """The state of the search index.

    ``engine`` is the search backend in use (``"fts5"``, ``"tsvector"`` or ``"like"``), ``reason`` says why, ``size`` is
    the size of the index in bytes, None without an index.
    """

    engine: str
    reason: str
    size: int | None


def status(bind: Bind, *, schema: str | None = None) -> SearchIndex:
    """Return which search backend a database uses, and why.

    Args:
        bind: A connection, an engine, a URL or the path of a SQLite file.
        schema: The PostgreSQL schema of the tables; None: the first on the search path that has them.

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
    """Create and fill the index; do nothing if a complete one exists.

    A broken index is rebuilt: one that an interrupted ``concurrently`` left, or one without its triggers. Writers are
    blocked during the build, about two seconds for 300,000 messages. Searches use LIKE until it is complete.

    Args:
        bind: As in `status`; an open transaction of a connection is used.
        concurrently: Do not block writers on PostgreSQL. Takes longer, and works neither in a transaction nor through
            PgBouncer in transaction mode. Ignored on SQLite.
        schema: As in `status`.

    Raises:
        StoreError: This SQLite has no FTS5, the PostgreSQL database is not in UTF-8, or ``concurrently`` was used in a
            transaction.
        SchemaOutOfDate: The tables are missing or older than this package needs; upgrade first.
        StoreUnavailable: The database cannot be reached, or was locked for too long.
    """
    return _build(bind, schema, concurrently=concurrently, drop_first=False)


def rebuild(bind: Bind, *, concurrently: bool = False, schema: str | None = None) -> SearchIndex:
    """Rebuild the index from the messages, after damage or after a write that bypassed its triggers.

    Arguments and errors are those of `create`. On PostgreSQL readers are blocked too, unless ``concurrently``.
    """
    return _build(bind, schema, concurrently=concurrently, drop_first=True)


def drop(bind: Bind, *, schema: str | None = None) -> None:
    """Drop the index, also an incomplete one; searches then use LIKE.

    Arguments and errors are those of `create`. On PostgreSQL this waits for running queries on messages and blocks new
    ones, unless ``concurrently``.
    """
    with connect(bind, schema) as db, migration_lock(db):
        _require_tables(db, schema)
        _run(db, _without(db, schema))


def disable(bind: Bind) -> bool:
    """Stop updating the index on SQLite until `rebuild`, for a bulk load; return whether it is now disabled.

    Filling the index at once takes a sixth of the time of filling it message by message. Until the rebuild, also after
    a crash, searches use LIKE. On PostgreSQL this does nothing.
    """
    with connect(bind, None) as db:
        if db.dialect.name != "sqlite":
            return False
        with migration_lock(db):
            exists = _exists(db, None)
            _run(db, fts5.drop_triggers())
        return exists


def is_whole(bind: Bind, *, schema: str | None = None) -> bool:
    """Return whether a complete index exists, on SQLite with its triggers."""
    with connect(bind, schema) as db, rollback_on_exit(db):
        return _is_whole(db, schema)


def is_disabled(bind: Bind) -> bool:
    """Return whether an index without its triggers exists on SQLite."""
    with connect(bind, None) as db, rollback_on_exit(db):
        return db.dialect.name == "sqlite" and _exists(db, None) and not _is_whole(db, None)


def statements(dialect: str, *, schema: str | None = None, concurrently: bool = False) -> Iterator[str]:
    """Yield the SQL that creates and fills the index."""
    if dialect == "sqlite":
        yield from fts5.create()
        yield fts5.REBUILD
    else:
        yield tsvector.create(schema, concurrently=concurrently)


def statements_without(dialect: str, *, schema: str | None = None, concurrently: bool = False) -> Iterator[str]:
    """Yield the SQL that drops the index."""
    if dialect == "sqlite":
        yield from fts5.drop()
    else:
        yield tsvector.drop(schema, concurrently=concurrently)


def skip_reason(db: Connection | None) -> str | None:
    """Return why a migration must not create the index, None if it must; without a database, by the variable only."""
    reason = _is_switched_off() if db is None else disabled_reason(db)
    if db is None or reason is not None:
        return reason
    some = select(MESSAGES.c.seq).limit(MANY_MESSAGES + 1).subquery()
    if (db.scalar(select(func.count()).select_from(some)) or 0) > MANY_MESSAGES:
        return f"there are more than {MANY_MESSAGES:,} messages"
    return None


def disabled_reason(db: Connection) -> str | None:
    """Return why a database has no index on purpose or cannot have one; None if it should have one."""
    return _is_switched_off() or _problem(db)


def log_skipped(reason: str) -> None:
    """Log which command creates the index."""
    _LOG.warning(
        "the search index was not created: %s. Searches use LIKE until you run session-store index create "
        "--concurrently, or session_store.search.index.create(engine, concurrently=True)",
        reason,
    )


def _build(bind: Bind, schema: str | None, *, concurrently: bool, drop_first: bool) -> SearchIndex:
    with connect(bind, schema) as db:
        if not concurrently or db.dialect.name == "sqlite":
            with migration_lock(db):
                _rebuild(db, schema, concurrently=False, drop_first=drop_first)
        elif isinstance(bind, Connection):
            problem = "concurrently=True does not work in a transaction: pass an engine or a URL"
            raise StoreError(problem)
        else:
            db.execution_options(isolation_level=AUTOCOMMIT)
            with index_build_lock(db):
                _rebuild(db, schema, concurrently=True, drop_first=drop_first)
        # A concurrent search may have cached the previous state.
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
