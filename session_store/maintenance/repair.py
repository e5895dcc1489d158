"""Vacuum a database, and repair what the doctor found.

Sessions are repaired in batches, each in a transaction that locks their rows, so that writers are not blocked for long.
After an interruption the same call continues.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from sqlalchemy import URL, Engine

from session_store.database import locks, revisions, schemas, storage
from session_store.database.access import Access
from session_store.database.connections import connect, migration_lock, resolve_engine
from session_store.database.runner import TransactionRunner
from session_store.database.transactions import use_autocommit
from session_store.interface.errors import InvalidQuery, StoreError
from session_store.models.models import METADATA
from session_store.models.types import as_utc, truncate_to_minute
from session_store.repositories import consistency, statements
from session_store.repositories.batching import batch_limit
from session_store.repositories.row_mapping import fetch
from session_store.repositories.sessions import repair_head
from session_store.search import fts5

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, Executable, Table

    from session_store.database.access import Work

__all__ = ["OrphanCounts", "VacuumResult", "adopt_orphans", "delete_orphans", "enable_wal", "repair_heads", "vacuum"]

R = TypeVar("R")
Bind = Engine | URL | str | os.PathLike[str]

_TABLES: Final = tuple(METADATA.tables)
_HEAD_BATCH_SIZE: Final = 1_000
_SESSION_BATCH_SIZE: Final = 100
"""The number of sessions that one transaction locks."""


class VacuumResult(NamedTuple):
    """The size of the tables before and after, in bytes; on SQLite the size of the file and its WAL.

    ``complete`` is False if a reader kept SQLite's WAL from being truncated: deleted data may still be in it.
    """

    before: int
    after: int
    complete: bool


class OrphanCounts(NamedTuple):
    """The number of messages and states without a session."""

    messages: int
    states: int


def vacuum(bind: Bind, *, full: bool = False, schema: str | None = None) -> VacuumResult:
    """Free the disk space of deleted sessions, messages and states.

    On PostgreSQL this is VACUUM of the three tables, which does not block readers and writers. On SQLite the free pages
    of the file are truncated in chunks, and so is its WAL.

    With ``full`` everything is rewritten, and no deleted byte remains in the file, or in the tables and indexes.
    Writers are blocked, on PostgreSQL also readers. PostgreSQL recycles its WAL over time. Rows that a transaction
    begun before the deletion can still see remain until a vacuum after its end.

    Args:
        bind: An engine, a URL or the path of a SQLite file.
        full: Rewrite everything.
        schema: The PostgreSQL schema of the tables; None: the first on the search path that has them.

    Raises:
        SchemaOutOfDate: The tables are missing.
        StoreError: The role may not vacuum them.
        StoreUnavailable: The database cannot be reached, has no room for a copy, or was locked for too long.
    """
    with connect(bind, schema) as db:
        if full and db.dialect.name == "sqlite":
            has_index = fts5.TABLE in fts5.objects(db)
            db.rollback()
            if has_index:
                # The index removes deleted words when it merges its parts, which may be long after the deletion.
                with migration_lock(db):
                    db.exec_driver_sql(fts5.OPTIMIZE)
        use_autocommit(db)
        with schemas.schema_translate(db, schema):
            revisions.require_tables(db)
        before = storage.total_size(db, _TABLES, schema)
        complete = storage.vacuum(db, _TABLES, schema, full=full)
        return VacuumResult(before, storage.total_size(db, _TABLES, schema), complete)


def repair_heads(
    bind: Bind,
    *,
    schema: str | None = None,
    dry_run: bool = False,
    on_progress: Callable[[int], object] | None = None,
) -> int:
    """Recompute every session row from its messages and states, and return how many were wrong.

    The rules are those of ``compact``, which also deletes duplicates: messages are counted, ``last_seq`` and
    ``last_activity`` are never lowered, and the state is the newest one in the state log.

    Args:
        bind: As in `vacuum`.
        schema: As in `vacuum`.
        dry_run: Count only.
        on_progress: Called with the number of sessions checked since the previous call.

    Raises:
        SchemaOutOfDate: The tables are missing.
        StoreUnavailable: The database cannot be reached, or was locked for too long.
    """
    with resolve_engine(bind) as engine:
        run = _Runner(engine, schema)
        repaired = 0
        behind = ""
        while keys := run.read(partial(_rows, consistency.NEXT_KEYS, {"behind": behind, "limit": _HEAD_BATCH_SIZE})):
            up_to = keys[-1][0]
            wrong = run.read(partial(_rows, consistency.WRONG_HEADS, {"behind": behind, "up_to": up_to}))
            if dry_run:
                repaired += len(wrong)
            else:
                for start in range(0, len(wrong), _SESSION_BATCH_SIZE):
                    repaired += run.write(partial(_repair_heads, wrong[start : start + _SESSION_BATCH_SIZE]))
            if on_progress is not None:
                on_progress(len(keys))
            behind = up_to
        return repaired


def delete_orphans(
    bind: Bind, *, schema: str | None = None, batch_size: int = 500, dry_run: bool = False
) -> OrphanCounts:
    """Delete messages and states without a session, and return their numbers; `adopt_orphans` keeps them instead.

    They exist if a session row was deleted with SQL on an engine that does not check foreign keys.

    Args:
        bind: As in `vacuum`.
        schema: As in `vacuum`.
        batch_size: Rows deleted per transaction, 1 to 10,000.
        dry_run: Count only.

    Raises:
        InvalidQuery: The batch size is out of range; nothing was deleted.
        SchemaOutOfDate: The tables are missing.
        StoreUnavailable: The database cannot be reached, or was locked for too long.
    """
    limit = batch_limit(batch_size)
    with resolve_engine(bind) as engine:
        run = _Runner(engine, schema)
        if dry_run:
            return OrphanCounts(*(run.read(partial(_count_orphans, log)) for log in consistency.LOGS))
        return OrphanCounts(*(_delete_orphans(run, log, limit) for log in consistency.LOGS))


def adopt_orphans(bind: Bind, *, schema: str | None = None) -> int:
    """Create session rows for messages and states without one, and return their number.

    Such a session is as old as its oldest row; its name, owner and attributes are lost.

    Args:
        bind: As in `vacuum`.
        schema: As in `vacuum`.

    Raises:
        SchemaOutOfDate: The tables are missing.
        StoreUnavailable: The database cannot be reached, or was locked for too long.
    """
    with resolve_engine(bind) as engine:
        run = _Runner(engine, schema)
        return sum(_adopt_orphans(run, log) for log in consistency.LOGS)


def enable_wal(bind: Bind) -> list[str]:
    """Switch a SQLite file to a write-ahead log, and return the pragmas that were changed.

    Pragmas of a connection are set by the application with `session_store.configure_sqlite`. A file that does not track
    its free pages does so after a `vacuum` with ``full``.

    Raises:
        InvalidQuery: The database is not SQLite.
        StoreUnavailable: Another process has the file open, or it cannot be written.
        StoreError: The file system does not support a WAL that processes share.
    """
    with resolve_engine(bind, read_only=True) as engine, connect(engine, None) as db:
        if db.dialect.name != "sqlite":
            problem = f"only SQLite has pragmas, not {db.dialect.name}"
            raise InvalidQuery(problem)
        if storage.uses_wal(db):
            return []
    with resolve_engine(bind) as engine, connect(engine, None) as db:
        use_autocommit(db)
        db.exec_driver_sql("PRAGMA journal_mode = WAL").close()
        if not storage.uses_wal(db):
            problem = "SQLite could not switch to a write-ahead log: the file system may not support it"
            raise StoreError(problem)
    return ["journal_mode = WAL"]


class _Runner:
    """Runs transactions one after the other, and yields SQLite's lock between them."""

    def __init__(self, engine: Engine, schema: str | None) -> None:
        self._engine = engine
        self._transactions = TransactionRunner(engine, schema)

    def read(self, work: Work[R]) -> R:
        return self._run(work, Access.READ)

    def write(self, work: Work[R]) -> R:
        started = time.monotonic()
        result = self._run(work, Access.WRITE)
        self._transactions.yield_to_writers(time.monotonic() - started)
        return result

    def _run(self, work: Work[R], access: Access) -> R:
        with locks.writer_lock(self._engine, access):
            return self._transactions.run(work, access)


def _repair_heads(wrong: Sequence[tuple[Any, ...]], db: Connection) -> int:
    repaired = 0
    for (key,) in wrong:
        values = {"the_key": key}
        # Check again under the lock: another transaction may have changed or deleted the session.
        if not db.execute(statements.LOCK, values).all():
            continue
        told = repair_head(db, key)
        if told:
            db.execute(statements.REPAIR_HEAD.values(told), values)
            repaired += 1
    return repaired


def _count_orphans(log: Table, db: Connection) -> int:
    return int(fetch(db, consistency.COUNT_ORPHANS[log])[0][0])


def _delete_orphans(run: _Runner, log: Table, limit: int) -> int:
    deleted = 0
    place: Sequence[Any] | None = ("", 0)
    while place is not None:
        values = {"behind_key": place[0], "behind_seq": place[1], "limit": limit}
        entries = run.read(partial(_rows, consistency.SOME_ORPHANS[log], values))
        if entries:
            deleted += run.write(partial(_delete, consistency.DELETE_ORPHANS[log], entries))
        place = entries[-1] if len(entries) == limit else None
    return deleted


def _adopt_orphans(run: _Runner, log: Table) -> int:
    adopted, behind = 0, ""
    while keys := run.read(
        partial(_rows, consistency.ORPHANED_KEYS[log], {"behind": behind, "limit": _SESSION_BATCH_SIZE})
    ):
        adopted += run.write(partial(_adopt, keys))
        behind = keys[-1][0]
    return adopted


def _rows(statement: Executable, values: Mapping[str, Any], db: Connection) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in fetch(db, statement, values)]


def _delete(delete: Executable, entries: Sequence[tuple[Any, ...]], db: Connection) -> int:
    return db.execute(delete, {"entries": entries}).rowcount


def _adopt(orphans: Sequence[tuple[Any, ...]], db: Connection) -> int:
    for key, *oldest in orphans:
        born = min(as_utc(time) for time in oldest if time is not None)
        values = {"the_key": key, "created_at": born, "last_activity": born, "active_minute": truncate_to_minute(born)}
        db.execute(statements.LOCK_OR_CREATE, values)
        told = repair_head(db, key)
        if told:
            db.execute(statements.REPAIR_HEAD.values(told), {"the_key": key})
    return len(orphans)
