"""The SQL that finds session rows that do not match their messages and states, and rows without a session.

One statement checks a session row, so that a concurrent append does not make it look wrong. A repair checks a range of
keys, and then each session again under its lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Integer, and_, bindparam, case, cast, delete, exists, func, or_, select, tuple_

from session_store.database.parameters import int_param, text_param
from session_store.database.time_functions import minute_of_time
from session_store.models.models import MESSAGES, SESSIONS, STATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Delete, Executable, Subquery, Table

    from session_store.database.access import AnySelect

# Session rows.

_IN_RANGE: Final = {
    table: and_(column > text_param("behind"), column <= text_param("up_to"))
    for table, column in (
        (SESSIONS, SESSIONS.c.key),
        (MESSAGES, MESSAGES.c.session_key),
        (STATES, STATES.c.session_key),
    )
}


def _expected_values(*, in_range: bool) -> tuple[Subquery, Subquery]:
    messages = select(
        MESSAGES.c.session_key,
        func.count().label("number"),
        func.max(MESSAGES.c.seq).label("last_seq"),
        func.max(MESSAGES.c.created_at).label("newest"),
    ).group_by(MESSAGES.c.session_key)
    last = select(STATES.c.session_key, func.max(STATES.c.seq).label("seq")).group_by(STATES.c.session_key)
    if in_range:
        messages, last = messages.where(_IN_RANGE[MESSAGES]), last.where(_IN_RANGE[STATES])
    of_last = last.subquery("last")
    states = select(STATES).join(
        of_last, and_(STATES.c.session_key == of_last.c.session_key, STATES.c.seq == of_last.c.seq)
    )
    return messages.subquery("logged"), states.subquery("entry")


def _is_wrong(logged: Subquery, entry: Subquery) -> Mapping[str, ColumnElement[bool]]:
    """Return the conditions that a session row is wrong, by column."""
    return {
        "message_count": SESSIONS.c.message_count != func.coalesce(logged.c.number, 0),
        "last_seq": SESSIONS.c.last_seq < func.coalesce(logged.c.last_seq, 0),
        "last_activity": and_(logged.c.newest.is_not(None), SESSIONS.c.last_activity < logged.c.newest),
        "active_minute": SESSIONS.c.active_minute != minute_of_time(SESSIONS.c.last_activity),
        "state_seq": and_(entry.c.seq.is_not(None), SESSIONS.c.state_seq != entry.c.seq),
        "state": and_(
            entry.c.seq.is_not(None),
            or_(
                SESSIONS.c.state != entry.c.state,
                SESSIONS.c.turn_id.is_distinct_from(entry.c.turn_id),
                SESSIONS.c.state_entered_at.is_distinct_from(entry.c.entered_at),
            ),
        ),
    }


def _joined_with_logs(statement: AnySelect, logged: Subquery, entry: Subquery) -> AnySelect:
    return statement.select_from(
        SESSIONS.outerjoin(logged, logged.c.session_key == SESSIONS.c.key).outerjoin(
            entry, entry.c.session_key == SESSIONS.c.key
        )
    )


def _count_wrong() -> AnySelect:
    logged, entry = _expected_values(in_range=False)
    figures: list[ColumnElement[Any]] = []
    for name, is_wrong in _is_wrong(logged, entry).items():
        figures += [
            func.coalesce(func.sum(cast(case((is_wrong, 1), else_=0), Integer)), 0).label(name),
            func.min(case((is_wrong, SESSIONS.c.key))).label(f"{name}_of"),
        ]
    return _joined_with_logs(select(func.count().label("sessions"), *figures), logged, entry)


def _wrong_in_range() -> AnySelect:
    logged, entry = _expected_values(in_range=True)
    wrong = or_(*_is_wrong(logged, entry).values())
    return (
        _joined_with_logs(select(SESSIONS.c.key), logged, entry)
        .where(_IN_RANGE[SESSIONS], wrong)
        .order_by(SESSIONS.c.key)
    )


COUNT_WRONG_HEADS: Final = _count_wrong()
"""For each column, the number of wrong session rows and the key of one; and the number of all sessions."""
WRONG_HEADS: Final = _wrong_in_range()
"""The keys of the sessions with a wrong row, in a range of keys."""
NEXT_KEYS: Final = (
    select(SESSIONS.c.key)
    .where(SESSIONS.c.key > text_param("behind"))
    .order_by(SESSIONS.c.key)
    .limit(int_param("limit"))
)


# Orphans: rows without a session, which exist if the application does not check foreign keys.


def _has_no_head(log: Table) -> ColumnElement[bool]:
    return ~exists().where(SESSIONS.c.key == log.c.session_key)


def _count_orphans(log: Table) -> Executable:
    key = log.c.session_key
    return select(func.count(), func.count(key.distinct()), func.min(key)).where(_has_no_head(log))


def _some_orphans(log: Table) -> AnySelect:
    entry = tuple_(log.c.session_key, log.c.seq)
    return (
        select(log.c.session_key, log.c.seq)
        .where(_has_no_head(log), tuple_(text_param("behind_key"), int_param("behind_seq")) < entry)
        .order_by(log.c.session_key, log.c.seq)
        .limit(int_param("limit"))
    )


def _delete_orphans(log: Table) -> Delete:
    entry = tuple_(log.c.session_key, log.c.seq)
    return delete(log).where(entry.in_(bindparam("entries", expanding=True)), _has_no_head(log))


LOGS: Final = (MESSAGES, STATES)
COUNT_ORPHANS: Final = {log: _count_orphans(log) for log in LOGS}
"""The number of orphans, of their sessions, and the key of one."""
_TIMES: Final = {MESSAGES: MESSAGES.c.created_at, STATES: STATES.c.entered_at}
ORPHANED_KEYS: Final = {
    log: (
        select(
            log.c.session_key,
            func.min(time),
            select(func.min(_TIMES[other])).where(other.c.session_key == log.c.session_key).scalar_subquery(),
        )
        .where(_has_no_head(log), log.c.session_key > text_param("behind"))
        .group_by(log.c.session_key)
        .order_by(log.c.session_key)
        .limit(int_param("limit"))
    )
    for (log, time), other in zip(_TIMES.items(), reversed(LOGS), strict=True)
}
"""The keys of orphans, with the first time in each of the two tables, which may be NULL."""
SOME_ORPHANS: Final = {log: _some_orphans(log) for log in LOGS}
DELETE_ORPHANS: Final = {log: _delete_orphans(log) for log in LOGS}
"""Delete these orphans, unless their session exists now."""
