"""The SQL of what removes many rows: whole sessions, old messages, old states; by batches, in the order of an index.

Each batch goes on behind the last one, so that a table is gone through once, and not once for every batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, delete, func, literal_column, or_, select, tuple_, update

from session_store.models.models import MESSAGES, SESSIONS, STATES
from session_store.repositories.statements import ITS_MESSAGES, KEYS, THIS_SESSION, a_number, a_text, a_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate

# Whole sessions.

DELETE_STATES: Final = delete(STATES).where(STATES.c.session_key.in_(KEYS))
DELETE_MESSAGES: Final = delete(MESSAGES).where(MESSAGES.c.session_key.in_(KEYS))
DELETE_HEADS: Final = delete(SESSIONS).where(SESSIONS.c.key.in_(KEYS))

OWNED: Final = (SESSIONS.c.owner == a_text("owner_is"),)
STALE: Final = (
    # The index holds the minute only; the second condition is exact.
    SESSIONS.c.active_minute <= a_time("minute"),
    SESSIONS.c.last_activity < a_time("cutoff"),
    or_(SESSIONS.c.state_entered_at.is_(None), SESSIONS.c.state_entered_at < a_time("cutoff")),
)
STALE_AT_REST: Final = (*STALE, SESSIONS.c.state != literal_column("'running'"))


def count_heads(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """Count the sessions for which all conditions hold."""
    return select(func.count()).select_from(SESSIONS).where(*conditions)


def lock_some(conditions: Sequence[ColumnElement[bool]], *, skip_locked: bool) -> ReturningUpdate[Any]:
    """Lock the next ``limit`` sessions and return their keys and minutes; a session that is locked waits or is skipped.

    They come as the indexes by recency have them, backwards: longest unused first, behind the place where the last
    ones ended. By key SQLite would read every session there is. The order is the same for everybody, so that two of
    these do not wait for each other.
    """
    minute = SESSIONS.c.active_minute
    chosen = (
        select(SESSIONS.c.key)
        .where(
            *conditions,
            minute >= a_time("behind_minute"),
            or_(minute > a_time("behind_minute"), SESSIONS.c.key < a_text("behind_key")),
        )
        .order_by(minute, SESSIONS.c.key.desc())
        .limit(a_number("limit"))
        .with_for_update(skip_locked=skip_locked)
    )
    return (
        update(SESSIONS)
        .where(SESSIONS.c.key.in_(chosen.scalar_subquery()))
        .values(state_seq=SESSIONS.c.state_seq)
        .returning(SESSIONS.c.key, minute)
    )


LOCK_OWNED: Final = lock_some(OWNED, skip_locked=False)
LOCK_STALE: Final = lock_some(STALE, skip_locked=True)
LOCK_STALE_AT_REST: Final = lock_some(STALE_AT_REST, skip_locked=True)


# Old messages of one session.

_NEWEST_TO_GO: Final = (
    select(MESSAGES.c.seq)
    .where(ITS_MESSAGES)
    .order_by(MESSAGES.c.seq.desc())
    .limit(1)
    .offset(a_number("keep_last"))
    .scalar_subquery()
)
_BEYOND_THE_NEWEST: Final = MESSAGES.c.seq <= _NEWEST_TO_GO
_OLD_ENOUGH: Final = MESSAGES.c.created_at < a_time("before")


def to_trim(*, keep_last: bool, before: bool) -> tuple[ColumnElement[bool], ...]:
    """Return what holds for the messages to be removed: not among the newest, older than a time, or both."""
    newest = (_BEYOND_THE_NEWEST,) if keep_last else ()
    return (*newest, _OLD_ENOUGH) if before else newest


def count_messages(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """Count the messages of a session for which all conditions hold."""
    return select(func.count()).select_from(MESSAGES).where(ITS_MESSAGES, *conditions)


def trim_some(conditions: Sequence[ColumnElement[bool]]) -> ReturningDelete[Any]:
    """Remove the next ``limit`` messages of a session behind the seq ``behind``; their seqs."""
    chosen = (
        select(MESSAGES.c.seq)
        .where(ITS_MESSAGES, MESSAGES.c.seq > a_number("behind"), *conditions)
        .order_by(MESSAGES.c.seq)
        .limit(a_number("limit"))
    )
    return delete(MESSAGES).where(ITS_MESSAGES, MESSAGES.c.seq.in_(chosen.scalar_subquery())).returning(MESSAGES.c.seq)


COUNT_SOME_OFF: Final = (
    update(SESSIONS).where(THIS_SESSION).values(message_count=SESSIONS.c.message_count - a_number("removed"))
)


# Old states. What a session is doing now is its newest entry, which nothing comes after.

_LATER: Final = STATES.alias("later")
_ENDED_BY_THEN: Final = (
    # Through the key, so that an entry costs one look at the next one, and the last has none.
    select(_LATER.c.entered_at)
    .where(_LATER.c.session_key == STATES.c.session_key, _LATER.c.seq > STATES.c.seq)
    .order_by(_LATER.c.seq)
    .limit(1)
    .scalar_subquery()
    <= a_time("before")
)
# What began later cannot have ended, and is known without looking further.
_ENDED: Final = and_(STATES.c.entered_at <= a_time("before"), _ENDED_BY_THEN)
_ENTRY: Final = tuple_(STATES.c.session_key, STATES.c.seq)

COUNT_ENDED: Final = select(func.count()).select_from(STATES).where(_ENDED)
SOME_ENDED: Final = (
    select(STATES.c.session_key, STATES.c.seq)
    .where(_ENDED, tuple_(a_text("behind_key"), a_number("behind_seq")) < _ENTRY)
    .order_by(STATES.c.session_key, STATES.c.seq)
    .limit(a_number("limit"))
)
"""The next entries whose state had ended by a time; read without a lock, for most of the log may have to be passed."""

DELETE_ENDED: Final = delete(STATES).where(_ENTRY.in_(bindparam("entries", expanding=True)), _ENDED)
"""Remove these entries, if that is still so: a session may have been deleted and made anew since they were read."""
