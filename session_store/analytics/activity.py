"""Messages, active sessions and returning owners over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from session_store.analytics.filters import (
    Filters,
    count_if,
    period_column,
    period_start,
    select_messages,
    select_rows,
    session_filter,
    total,
    unit,
)
from session_store.analytics.views import MESSAGES_V1, SESSIONS_V1

if TYPE_CHECKING:
    from typing import Unpack

    from sqlalchemy import Select

    from session_store.database.time_functions import Unit


def activity(by: Unit | None = "day", *, tz: str = "UTC", **filters: Unpack[Filters]) -> Select[*tuple[Any, ...]]:
    """Select the number of messages, sessions and owners, in all or for each hour, day, week or month.

    Columns: ``period`` unless ``by`` is None, ``messages``, ``user_messages``, ``assistant_messages``, ``sessions``
    (with a message), ``owners`` (of those sessions). Ordered by ``period``; a period without a message has no row.

    Args:
        by: ``"hour"``, ``"day"``, ``"week"`` (from Monday) or ``"month"``; None: one row for all.
        tz: The time zone of the hours, days, weeks and months, such as ``"Europe/Lisbon"``.
        filters: See `Filters`; the time is that of the message.

    Raises:
        InvalidQuery: The period, the time zone or a filter is invalid.
    """
    per_session = select_messages([MESSAGES_V1.c.session_key, MESSAGES_V1.c.role], by, tz, filters).subquery()
    period = period_column(per_session)
    # Grouped by session first, so that there is less to look up and to deduplicate.
    spoken = (
        select(
            *period,
            per_session.c.session_key,
            func.count().label("messages"),
            count_if(per_session.c.role == "user", "user_messages"),
            count_if(per_session.c.role == "assistant", "assistant_messages"),
        )
        .group_by(*period, per_session.c.session_key)
        .subquery()
    )
    period = period_column(spoken)
    return (
        select(
            *period,
            *(total(spoken.c[name], name) for name in ("messages", "user_messages", "assistant_messages")),
            func.count().label("sessions"),
            func.count(SESSIONS_V1.c.owner.distinct()).label("owners"),
        )
        .join(SESSIONS_V1, SESSIONS_V1.c.session_key == spoken.c.session_key)
        .group_by(*period)
        .order_by(*period)
    )


def span(**filters: Unpack[Filters]) -> Select[*tuple[Any, ...]]:
    """Select the times of the first and the last message.

    Columns: ``first_at``, ``last_at``, NULL if there is no message. One row.

    Args:
        filters: See `Filters`; the time is that of the message.

    Raises:
        InvalidQuery: A filter is invalid.
    """
    time = MESSAGES_V1.c.created_at
    return select_rows(MESSAGES_V1, time, [func.min(time).label("first_at"), func.max(time).label("last_at")], filters)


def owners(by: Unit = "week", *, tz: str = "UTC", **filters: Unpack[Filters]) -> Select[*tuple[Any, ...]]:
    """Select the number of active owners in each hour, day, week or month, and of returning owners among them.

    Columns: ``period``, ``active_owners`` (with a message in it), ``new_owners``, ``returning_owners`` (with a session
    that began in an earlier period, and matches the filters of owner and attributes). Sessions without an owner do not
    count. Ordered by ``period``. Arguments and errors are those of `activity`.
    """
    per_session = select_messages([MESSAGES_V1.c.session_key], unit(by), tz, filters).distinct().subquery()
    seen = (
        select(per_session.c.period, SESSIONS_V1.c.owner)
        .join(SESSIONS_V1, SESSIONS_V1.c.session_key == per_session.c.session_key)
        .where(SESSIONS_V1.c.owner.is_not(None))
        .distinct()
        .subquery()
    )
    first_at = func.min(SESSIONS_V1.c.created_at).label("first_at")
    came = (
        select(SESSIONS_V1.c.owner, first_at).where(*session_filter(filters)).group_by(SESSIONS_V1.c.owner).subquery()
    )
    first = select(came.c.owner, *period_start(came.c.first_at, by, tz)).subquery()
    return (
        select(
            seen.c.period,
            func.count().label("active_owners"),
            count_if(first.c.period >= seen.c.period, "new_owners"),
            count_if(first.c.period < seen.c.period, "returning_owners"),
        )
        .join(first, first.c.owner == seen.c.owner)
        .group_by(seen.c.period)
        .order_by(seen.c.period)
    )
