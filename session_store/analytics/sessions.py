"""The length of conversations, the busiest ones, and their size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Text, case, cast, func, literal_column, select, type_coerce

from session_store.analytics.filters import (
    Filters,
    period_column,
    period_start,
    select_rows,
    session_filter,
    time_filter,
    total,
)
from session_store.analytics.views import MESSAGES_V1, SESSIONS_V1
from session_store.database.functions import byte_length
from session_store.models.models import MESSAGES
from session_store.models.validation import integer

if TYPE_CHECKING:
    from typing import Unpack

    from sqlalchemy import ColumnElement, Select

    from session_store.database.time_functions import Unit

_POWERS_OF_TWO: Final = 40


def session_lengths(**filters: Unpack[Filters]) -> Select[*tuple[Any, ...]]:
    """Select a histogram of the number of messages of a session, in powers of two.

    Columns: ``at_least`` (0, 1, 2, 4, 8, ... messages, and fewer than the next step), ``sessions``, ``messages``.
    Ordered by ``at_least``; a step without a session has no row.

    Args:
        filters: See `Filters`; the time is the start of the session.

    Raises:
        InvalidQuery: A filter is invalid.
    """
    count = SESSIONS_V1.c.message_count
    # Most sessions are short, and match one of the first comparisons.
    steps: list[tuple[ColumnElement[bool], ColumnElement[int]]] = [
        (count < 2 ** (power + 1), literal_column(str(2**power))) for power in range(_POWERS_OF_TWO)
    ]
    at_least = case((count < 1, literal_column("0")), *steps, else_=literal_column(str(2**_POWERS_OF_TWO)))
    long = (
        select(at_least.label("at_least"), count)
        .where(*session_filter(filters), *time_filter(SESSIONS_V1.c.created_at, filters))
        .subquery()
    )
    return (
        select(long.c.at_least, func.count().label("sessions"), total(long.c.message_count, "messages"))
        .group_by(long.c.at_least)
        .order_by(long.c.at_least)
    )


def busiest_sessions(limit: int = 20, **filters: Unpack[Filters]) -> Select[*tuple[Any, ...]]:
    """Select the sessions with the most messages.

    Columns: ``session_key``, ``name``, ``owner``, ``messages``, and the times of the first and the last of
    them, ``first_at`` and ``last_at``. Ordered by ``messages``, most first, then by key.

    Args:
        limit: Maximum number of sessions.
        filters: See `Filters`; the time is that of the message.

    Raises:
        InvalidQuery: The limit is not an integer of 0 or more, or a filter is invalid.
    """
    time = MESSAGES_V1.c.created_at
    busiest = (
        select_rows(
            MESSAGES_V1,
            time,
            [
                MESSAGES_V1.c.session_key,
                func.count().label("messages"),
                func.min(time).label("first_at"),
                func.max(time).label("last_at"),
            ],
            filters,
        )
        .group_by(MESSAGES_V1.c.session_key)
        .order_by(func.count().desc(), MESSAGES_V1.c.session_key)
        .limit(integer(limit, "limit"))
        .subquery()
    )
    return (
        select(
            busiest.c.session_key,
            SESSIONS_V1.c.name,
            SESSIONS_V1.c.owner,
            busiest.c.messages,
            busiest.c.first_at,
            busiest.c.last_at,
        )
        .join(SESSIONS_V1, SESSIONS_V1.c.session_key == busiest.c.session_key)
        .order_by(busiest.c.messages.desc(), busiest.c.session_key)
    )


def storage(by: Unit | None = None, *, tz: str = "UTC", **filters: Unpack[Filters]) -> Select[*tuple[Any, ...]]:
    """Select the bytes of content and of payload, in all or for each hour, day, week or month.

    Columns: ``period`` if ``by`` is given, ``messages``, ``content_bytes``, ``payload_bytes``: of UTF-8, before
    compression, without indexes and row overhead; a payload counts as the JSON text of the database, which on
    PostgreSQL has a space after each comma and colon. Other arguments and errors are those of `activity`.
    """
    # Not from the view, which does not have the whole payload.
    time = MESSAGES.c.created_at
    columns = [
        *period_start(time, by, tz),
        byte_length(type_coerce(MESSAGES.c.content, Text)).label("content"),
        func.coalesce(byte_length(cast(MESSAGES.c.payload, Text)), 0).label("payload"),
    ]
    stored = select_rows(MESSAGES, time, columns, filters).subquery()
    period = period_column(stored)
    return (
        select(
            *period,
            func.count().label("messages"),
            total(stored.c.content, "content_bytes"),
            total(stored.c.payload, "payload_bytes"),
        )
        .group_by(*period)
        .order_by(*period)
    )
