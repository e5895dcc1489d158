"""What an operator does to a database: giving the disk back what was deleted, and mending what is wrong.

A session is mended under the lock of its head and in a transaction of its own batch, so that others go on writing; who
is interrupted calls again and goes on.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from sqlalchemy import URL, Engine

from session_store.database import engines, locks, revisions, schemas, storage
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
"""Sessions in one transaction, whose heads it locks."""


class VacuumResult(NamedTuple):
    """What the tables took before and after, in bytes; on SQLite the file and its write-ahead log, whoever uses it.

    ``complete`` is False where a reader kept SQLite's log from being emptied: what was deleted may still be in it.
    """

    before: int
    after: int
    complete: bool


class OrphanCounts(NamedTuple):
    """How many messages and states had no session."""

    messages: int
    states: int


def vacuum(bind: Bind, *, full: bool = False, schema: str | None = None) -> VacuumResult:
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
        StoreError: The role may not vacuum them.
        StoreUnavailable: The database cannot be reached, has no room for a copy, or was locked for too long.
    """
    with connect(bind, schema) as db:
        if full and db.dialect.name == "sqlite":
            has_index = fts5.TABLE in fts5.objects(db)
            db.rollback()
            if has_index:
                # The index forgets words when it merges its parts, some time after their messages have gone.
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
    """Let every head say what its logs say, and return how many did not.

    The rules are those of ``compact``, which also removes doubles: messages are counted, ``last_seq`` and the last
    activity are never lowered, and the state is that of the newest entry in its log.

    Args:
        bind: As in `vacuum`.
        schema: As in `vacuum`.
        dry_run: Count only.
        on_progress: Told how many more sessions have been gone through.

    Raises:
        SchemaOutOfDate: The tables are missing.
        StoreUnavailable: The database cannot be reached, or was locked for too long.
    """
    with resolve_engine(bind) as engine:
        run = _Runner(engine, schema)
        mended = 0
        behind = ""
        while keys := run.read(partial(_rows, consistency.NEXT_KEYS, {"behind": behind, "limit": _HEAD_BATCH_SIZE})):
            up_to = keys[-1][0]
            wrong = run.read(partial(_rows, consistency.WRONG_HEADS, {"behind": behind, "up_to": up_to}))
            if dry_run:
                mended += len(wrong)
            else:
                for start in range(0, len(wrong), _SESSION_BATCH_SIZE):
                    mended += run.write(partial(_repair_heads, wrong[start : start + _SESSION_BATCH_SIZE]))
            if on_progress is not None:
                on_progress(len(keys))
            behind = up_to
        return mended


def delete_orphans(
    bind: Bind, *, schema: str | None = None, batch_size: int = 500, dry_run: bool = False
) -> OrphanCounts:
    """Delete messages and states whose session is not there, and say how many there were; `adopt_orphans` keeps them.

    They come to be where somebody deletes a head by SQL on an engine that keeps no foreign keys.

    Args:
        bind: As in `vacuum`.
        schema: As in `vacuum`.
        batch_size: Rows deleted per transaction, 1 to 10,000.
        dry_run: Count only.

    Raises:
        InvalidQuery: The batch size is out of its range; nothing was deleted.
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
    """Make the heads that messages and states without one need, and return how many.

    Such a session is as old as its oldest entry; its name, owner and attributes are not known any more.

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
    """Set what a SQLite file keeps of how it is written, and return what was not so: the write-ahead log.

    What is set by each connection is the host's: `session_store.configure_sqlite`. A file that does not keep track of
    its free pages does so after a `vacuum` with ``full``.

    Raises:
        InvalidQuery: The database is not SQLite.
        StoreUnavailable: Somebody else has the file open, or it cannot be written.
        StoreError: Its file system has no room for a log that processes share.
    """
    with resolve_engine(bind, read_only=True) as engine, connect(engine, None) as db:
        if db.dialect.name != "sqlite":
            problem = f"only SQLite has pragmas, this database is {db.dialect.name}"
            raise InvalidQuery(problem)
        if storage.uses_wal(db):
            return []
    with resolve_engine(bind) as engine, connect(engine, None) as db:
        use_autocommit(db)
        db.exec_driver_sql("PRAGMA journal_mode = WAL").close()
        if not storage.uses_wal(db):
            problem = "SQLite could not switch to its write-ahead log, which this file system may not allow"
            raise StoreError(problem)
    return ["journal_mode = WAL"]


class _Runner:
    """Transactions one after the other, between which SQLite's lock is left to others."""

    def __init__(self, engine: Engine, schema: str | None) -> None:
        self._engine = engine
        self._transactions = TransactionRunner(engine, schema)

    def read(self, work: Work[R]) -> R:
        return self._run(work, Access.READ)

    def write(self, work: Work[R]) -> R:
        begun = time.monotonic()
        result = self._run(work, Access.WRITE)
        self._transactions.yield_to_writers(time.monotonic() - begun)
        return result

    def _run(self, work: Work[R], access: Access) -> R:
        with locks.writer_lock(self._engine.pool, exclusive=engines.needs_exclusive_access(self._engine, access)):
            return self._transactions.run(work, access)


def _repair_heads(wrong: Sequence[tuple[Any, ...]], db: Connection) -> int:
    mended = 0
    for (key,) in wrong:
        values = {"the_key": key}
        # Again under the lock: what was wrong may be right by now, or gone.
        if not db.execute(statements.LOCK, values).all():
            continue
        told = repair_head(db, key)
        if told:
            db.execute(statements.REPAIR_HEAD.values(told), values)
            mended += 1
    return mended


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
