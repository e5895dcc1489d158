"""The SQL that deletes many rows in batches: whole sessions, old messages, old states.

A batch continues after the position of the previous one in an index, so that a table is read once in all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, delete, func, literal_column, or_, select, tuple_, update

from session_store.database.parameters import int_param, text_param, time_param
from session_store.models.models import MESSAGES, SESSIONS, STATES
from session_store.repositories.statements import ITS_MESSAGES, KEYS, THIS_SESSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate

    from session_store.database.access import AnySelect

# Whole sessions.

DELETE_STATES: Final = delete(STATES).where(STATES.c.session_key.in_(KEYS))
DELETE_MESSAGES: Final = delete(MESSAGES).where(MESSAGES.c.session_key.in_(KEYS))
DELETE_HEADS: Final = delete(SESSIONS).where(SESSIONS.c.key.in_(KEYS))

OWNED_BY: Final = (SESSIONS.c.owner == text_param("owner_is"),)
STALE: Final = (
    # The index has only the minute; the second condition is exact.
    SESSIONS.c.active_minute <= time_param("minute"),
    SESSIONS.c.last_activity < time_param("cutoff"),
    or_(SESSIONS.c.state_entered_at.is_(None), SESSIONS.c.state_entered_at < time_param("cutoff")),
)
STALE_NOT_RUNNING: Final = (*STALE, SESSIONS.c.state != literal_column("'running'"))


def count_heads(conditions: Sequence[ColumnElement[bool]]) -> AnySelect:
    """Return a SELECT that counts the sessions for which all conditions hold."""
    return select(func.count()).select_from(SESSIONS).where(*conditions)


def lock_batch(conditions: Sequence[ColumnElement[bool]], *, skip_locked: bool) -> ReturningUpdate[*tuple[Any, ...]]:
    """Return a statement that locks the next ``limit`` sessions and returns their keys and minutes.

    The order is that of the recency indexes, backwards: least recently used first, after the position of the previous
    batch. In the order of keys, SQLite would read every session. All calls use this order, so that two cannot deadlock.
    A session locked by another transaction is waited for, or skipped.
    """
    minute = SESSIONS.c.active_minute
    chosen = (
        select(SESSIONS.c.key)
        .where(
            *conditions,
            minute >= time_param("behind_minute"),
            or_(minute > time_param("behind_minute"), SESSIONS.c.key < text_param("behind_key")),
        )
        .order_by(minute, SESSIONS.c.key.desc())
        .limit(int_param("limit"))
        .with_for_update(skip_locked=skip_locked)
    )
    return (
        update(SESSIONS)
        .where(SESSIONS.c.key.in_(chosen.scalar_subquery()))
        .values(state_seq=SESSIONS.c.state_seq)
        .returning(SESSIONS.c.key, minute)
    )


LOCK_OWNED: Final = lock_batch(OWNED_BY, skip_locked=False)
LOCK_STALE: Final = lock_batch(STALE, skip_locked=True)
LOCK_STALE_NOT_RUNNING: Final = lock_batch(STALE_NOT_RUNNING, skip_locked=True)


# Old messages of one session.

_NEWEST_DELETED: Final = (
    select(MESSAGES.c.seq)
    .where(ITS_MESSAGES)
    .order_by(MESSAGES.c.seq.desc())
    .limit(1)
    .offset(int_param("keep_last"))
    .scalar_subquery()
)
_OLDER_THAN_KEPT: Final = MESSAGES.c.seq <= _NEWEST_DELETED
_BEFORE: Final = MESSAGES.c.created_at < time_param("before")


def trim_conditions(*, keep_last: bool, before: bool) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions on messages to delete: not among the newest, older than a time, or both."""
    newest = (_OLDER_THAN_KEPT,) if keep_last else ()
    return (*newest, _BEFORE) if before else newest


def count_messages(conditions: Sequence[ColumnElement[bool]]) -> AnySelect:
    """Return a SELECT that counts the messages of a session for which all conditions hold."""
    return select(func.count()).select_from(MESSAGES).where(ITS_MESSAGES, *conditions)


def delete_messages_batch(conditions: Sequence[ColumnElement[bool]]) -> ReturningDelete[*tuple[Any, ...]]:
    """Return a statement that deletes the next ``limit`` messages after a seq, and returns their seqs."""
    chosen = (
        select(MESSAGES.c.seq)
        .where(ITS_MESSAGES, MESSAGES.c.seq > int_param("behind"), *conditions)
        .order_by(MESSAGES.c.seq)
        .limit(int_param("limit"))
    )
    return delete(MESSAGES).where(ITS_MESSAGES, MESSAGES.c.seq.in_(chosen.scalar_subquery())).returning(MESSAGES.c.seq)


SUBTRACT_COUNT: Final = (
    update(SESSIONS).where(THIS_SESSION).values(message_count=SESSIONS.c.message_count - int_param("removed"))
)


# Old states. The current state of a session is its newest entry and has no next one.

_LATER: Final = STATES.alias("later")
_FINISHED_BEFORE: Final = (
    # By the primary key: reading the next entry costs one lookup.
    select(_LATER.c.entered_at)
    .where(_LATER.c.session_key == STATES.c.session_key, _LATER.c.seq > STATES.c.seq)
    .order_by(_LATER.c.seq)
    .limit(1)
    .scalar_subquery()
    <= time_param("before")
)
# A state that began later cannot have ended: no lookup needed.
_FINISHED: Final = and_(STATES.c.entered_at <= time_param("before"), _FINISHED_BEFORE)
_ENTRY: Final = tuple_(STATES.c.session_key, STATES.c.seq)

COUNT_FINISHED_STATES: Final = select(func.count()).select_from(STATES).where(_FINISHED)
FINISHED_STATES_PAGE: Final = (
    select(STATES.c.session_key, STATES.c.seq)
    .where(_FINISHED, tuple_(text_param("behind_key"), int_param("behind_seq")) < _ENTRY)
    .order_by(STATES.c.session_key, STATES.c.seq)
    .limit(int_param("limit"))
)
"""The next states that ended before a time; read without a lock, because most of the log may be skipped."""

DELETE_FINISHED_STATES: Final = delete(STATES).where(_ENTRY.in_(bindparam("entries", expanding=True)), _FINISHED)
"""Delete these states if they still match: a session may have been deleted and created again since."""
