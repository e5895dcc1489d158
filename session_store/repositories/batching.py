"""Delete many rows in batches, each in a transaction: after an interruption the same call continues."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy.exc import DBAPIError

from session_store.database.access import Access, Step, Steps
from session_store.database.driver_errors import ErrorKind, classify
from session_store.database.functions import set_constraints_immediate
from session_store.interface.errors import InvalidQuery
from session_store.models.validation import integer, type_error
from session_store.repositories import retention
from session_store.repositories.row_mapping import fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, Executable
    from sqlalchemy.sql.dml import ReturningUpdate

    OnBatch = Callable[[int], object] | None

BEFORE_FIRST: Final = (datetime.min.replace(tzinfo=UTC), "")
"""The position before all sessions."""

_MAX_BATCH_SIZE: Final = 10_000


class BatchResult(NamedTuple):
    """The number of rows deleted, and the position of the last row read: None when there are no more."""

    removed: int
    last: Any


def batch_limit(batch_size: object) -> int:
    """Return a batch size, 1 to 10,000."""
    return integer(batch_size, "batch_size", 1, _MAX_BATCH_SIZE)


def progress_callback(on_batch: OnBatch) -> Callable[[int], object]:
    """Return the function that is called after each batch.

    Raises:
        InvalidQuery: The value is not callable.
    """
    if on_batch is None or callable(on_batch):
        return on_batch or _ignore_progress
    raise InvalidQuery(type_error(on_batch, "on_batch", "a function, or None"))


def run_batches(
    delete: Callable[..., BatchResult], batch_size: object, on_batch: OnBatch, *, after: Any, key: str | None = None
) -> Steps[int]:
    """Delete one batch after the other, each in a transaction of its own, and return the number of rows deleted.

    Args:
        delete: Deletes up to ``limit`` rows after the position ``after``.
        batch_size: The caller's argument.
        on_batch: The caller's argument.
        after: The position before the first batch.
        key: The session, if all rows belong to one.
    """
    limit = batch_limit(batch_size)
    tell = progress_callback(on_batch)
    removed = 0
    while after is not None:
        batch: BatchResult = yield Step(partial(delete, after=after, limit=limit), key=key)
        removed += batch.removed
        tell(batch.removed)
        after = batch.last
    return removed


def count_only(count: Executable, values: Mapping[str, Any], batch_size: object, on_batch: OnBatch) -> Steps[int]:
    """Return the result of a counting SELECT, for a dry run; the arguments are checked as for a real run."""
    batch_limit(batch_size)
    progress_callback(on_batch)
    number: int = yield Step(lambda db: int(fetch(db, count, values)[0][0]), Access.READ)
    return number


def delete_batch(
    db: Connection,
    *,
    lock: ReturningUpdate[*tuple[Any, ...]],
    values: Mapping[str, Any],
    after: tuple[datetime, str],
    limit: int,
) -> BatchResult:
    """Delete the next sessions that a statement locks; those that another table refers to stay."""
    place = {"behind_minute": after[0], "behind_key": after[1]}
    minutes = {row.key: row.active_minute for row in db.execute(lock, {**values, **place, "limit": limit})}
    keys = sorted(minutes)
    # A session that another table refers to must not block the others: only then delete them one by one.
    whole = not keys or delete_locked(db, keys)
    deleted = len(keys) if whole else sum(delete_locked(db, [key]) for key in keys)
    if len(keys) < limit:
        return BatchResult(deleted, None)
    last = max(minutes.values())
    return BatchResult(deleted, (last, next(key for key in keys if minutes[key] == last)))


def delete_locked(db: Connection, keys: Sequence[str]) -> bool:
    """Delete locked sessions; return False and delete nothing if another table refers to one of them."""
    # Each table by itself, not by cascade: an application's SQLite engine may not check foreign keys.
    try:
        with db.begin_nested():
            set_constraints_immediate(db)
            for statement in (retention.DELETE_STATES, retention.DELETE_MESSAGES, retention.DELETE_HEADS):
                db.execute(statement, {"keys": keys})
    except DBAPIError as error:
        if classify(error) is ErrorKind.FOREIGN_KEY_VIOLATION:
            return False
        raise
    return True


def _ignore_progress(_removed: int) -> None:
    pass
