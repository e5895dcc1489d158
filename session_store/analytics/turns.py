"""Response times, and the duration and failures of turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, case, cast, func, literal, select

from session_store.analytics.filters import (
    Filters,
    count_if,
    percentile,
    period_column,
    period_start,
    ranked_values,
    select_messages,
    select_rows,
)
from session_store.analytics.views import MESSAGES_V1, TURNS_V1
from session_store.database.time_functions import seconds_between

if TYPE_CHECKING:
    from typing import Unpack

    from sqlalchemy import Select

    from session_store.database.time_functions import Unit


def turns(by: Unit | None = None, *, tz: str = "UTC", **filters: Unpack[Filters]) -> Select[*tuple[Any, ...]]:
    """Select the duration and the failures of turns, in all or by the period of their start.

    Columns: ``period`` if ``by`` is given, ``turns``, ``ended``, ``errors`` (of those that ended, in state
    ``error``), ``error_rate`` (0 to 1; NULL if none ended), ``median_seconds``, ``p95_seconds`` (of those that ended;
    NULL if none). Ordered by ``period``. A turn is a row of the view of turns: an interval in state ``running``.

    Args:
        by: ``"hour"``, ``"day"``, ``"week"`` (from Monday) or ``"month"``; None: one row for all.
        tz: The time zone of the hours, days, weeks and months.
        filters: See `Filters`; the time is the start of the turn.

    Raises:
        InvalidQuery: The period, the time zone or a filter is invalid.
    """
    time = TURNS_V1.c.started_at
    columns = [*period_start(time, by, tz), TURNS_V1.c.seconds, TURNS_V1.c.outcome]
    taken = ranked_values(select_rows(TURNS_V1, time, columns, filters).subquery())
    period = period_column(taken)
    ended = func.count(taken.c.seconds)
    errors = count_if(taken.c.outcome == "error", "errors")
    return (
        select(
            *period,
            func.count().label("turns"),
            ended.label("ended"),
            errors,
            (cast(errors.element, Double) / func.nullif(cast(ended, Double), 0)).label("error_rate"),
            percentile(taken, 50),
            percentile(taken, 95),
        )
        .group_by(*period)
        .order_by(*period)
    )


def response_times(by: Unit | None = None, *, tz: str = "UTC", **filters: Unpack[Filters]) -> Select[*tuple[Any, ...]]:
    """Select the time from a user's message to the next one of an assistant, in all or by the period of the former.

    Columns: ``period`` if ``by`` is given, ``answers``, ``median_seconds``, ``p95_seconds`` (NULL without
    answers). Ordered by ``period``. A message of role ``user`` counts if a later one in its session has the role
    ``assistant``, and both match the time filter; if their times go backwards, it counts as 0 seconds. Arguments and
    errors are those of `turns`; the time is that of the message.
    """
    asked = MESSAGES_V1.c.role == "user"
    answered = MESSAGES_V1.c.role == "assistant"
    # Numbered from the end of a session: an answer and the messages since the previous answer share a number.
    number = func.count(case((answered, 1))).over(
        partition_by=MESSAGES_V1.c.session_key, order_by=MESSAGES_V1.c.seq.desc(), rows=(None, 0)
    )
    columns = [MESSAGES_V1.c.session_key, MESSAGES_V1.c.role, MESSAGES_V1.c.created_at, number.label("number")]
    said = select_messages(columns, by, tz, filters).where(asked | answered).subquery()
    answer = func.max(case((said.c.role == "assistant", said.c.created_at))).over(
        partition_by=[said.c.session_key, said.c.number]
    )
    both = select(*period_column(said), said.c.role, said.c.created_at, answer.label("answered_at")).subquery()
    seconds = seconds_between(both.c.created_at, both.c.answered_at)
    took = (
        select(*period_column(both), case((seconds > 0, seconds), else_=literal(0.0, Double)).label("seconds"))
        .where(both.c.role == "user", both.c.answered_at.is_not(None))
        .subquery()
    )
    answers = ranked_values(took)
    period = period_column(answers)
    return (
        select(*period, func.count().label("answers"), percentile(answers, 50), percentile(answers, 95))
        .group_by(*period)
        .order_by(*period)
    )
