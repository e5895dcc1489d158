"""Calls of tools, and tokens with their costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import Double, case, cast, func, literal, null, or_, select

from session_store.analytics.filters import Filters, period_column, period_start, select_messages, select_rows, total
from session_store.analytics.views import MESSAGES_V1, TOOL_CALLS_V1
from session_store.database.functions import bytewise
from session_store.interface.errors import InvalidQuery, describe
from session_store.models.validation import type_error

if TYPE_CHECKING:
    from typing import Unpack

    from sqlalchemy import Select

    from session_store.database.time_functions import Unit

_PRICED_BY: Final = 1_000_000.0


class Price(NamedTuple):
    """The price of a million input tokens and of a million output tokens of a model, in any currency."""

    input: float
    output: float


def tools(by: Unit | None = None, *, tz: str = "UTC", **filters: Unpack[Filters]) -> Select[*tuple[Any, ...]]:
    """Select the number of calls of each tool, in all or for each hour, day, week or month.

    Columns: ``period`` if ``by`` is given, ``name``, ``calls``, ``sessions`` (with a call). Ordered by ``period``,
    then by calls, most first, then by name.

    Args:
        by: ``"hour"``, ``"day"``, ``"week"`` (from Monday) or ``"month"``; None: no periods.
        tz: The time zone of the hours, days, weeks and months.
        filters: See `Filters`; the time is that of the message with the call.

    Raises:
        InvalidQuery: The period, the time zone or a filter is invalid.
    """
    time = TOOL_CALLS_V1.c.created_at
    columns = [*period_start(time, by, tz), TOOL_CALLS_V1.c.name, TOOL_CALLS_V1.c.session_key]
    called = select_rows(TOOL_CALLS_V1, time, columns, filters).subquery()
    period = period_column(called)
    return (
        select(
            *period,
            called.c.name,
            func.count().label("calls"),
            func.count(called.c.session_key.distinct()).label("sessions"),
        )
        .group_by(*period, called.c.name)
        .order_by(*period, func.count().desc(), bytewise(called.c.name))
    )


def tokens(
    by: Unit | None = None,
    *,
    tz: str = "UTC",
    prices: Mapping[str, Price] | None = None,
    **filters: Unpack[Filters],
) -> Select[*tuple[Any, ...]]:
    """Select the tokens of each model and their cost, in all or for each hour, day, week or month.

    Columns: ``period`` if ``by`` is given, ``model`` (NULL if the payload has none), ``messages`` (with token
    counts in their payload), ``input_tokens``, ``output_tokens``, and with ``prices`` ``cost``, NULL for a model
    without a price. Ordered by ``period`` and ``model``.

    Args:
        by: ``"hour"``, ``"day"``, ``"week"`` (from Monday) or ``"month"``; None: no periods.
        tz: The time zone of the hours, days, weeks and months.
        prices: The price of each model, by name.
        filters: See `Filters`; the time is that of the message.

    Raises:
        InvalidQuery: The period, the time zone, a price or a filter is invalid.
    """
    numbers = [MESSAGES_V1.c.input_tokens, MESSAGES_V1.c.output_tokens]
    known = or_(*(number.is_not(None) for number in numbers))
    used = select_messages([MESSAGES_V1.c.model, *numbers], by, tz, filters).where(known).subquery()
    period = period_column(used)
    taken, given = (total(used.c[name], name) for name in ("input_tokens", "output_tokens"))
    cost = []
    if prices is not None:
        costs = [
            (
                used.c.model == model,
                cast(taken.element, Double) * literal(price.input / _PRICED_BY, Double)
                + cast(given.element, Double) * literal(price.output / _PRICED_BY, Double),
            )
            for model, price in _checked(prices).items()
        ]
        cost = [(case(*costs) if costs else cast(null(), Double)).label("cost")]
    return (
        select(*period, used.c.model, func.count().label("messages"), taken, given, *cost)
        .group_by(*period, used.c.model)
        .order_by(*period, bytewise(used.c.model).nulls_first())
    )


def _checked(prices: object) -> dict[str, Price]:
    if not isinstance(prices, Mapping):
        raise InvalidQuery(type_error(prices, "prices", "a mapping of models to a Price"))
    checked = {}
    for model, price in prices.items():
        if not isinstance(model, str):
            raise InvalidQuery(type_error(model, "a model in prices", "a str"))
        try:
            pair = Price(*map(float, price))
        except (TypeError, ValueError, OverflowError):
            pair = None
        # A str of two digits is not a pair of numbers, and the databases differ for infinite numbers.
        if pair is None or isinstance(price, str) or not all(0 <= number < math.inf for number in pair):
            raise InvalidQuery(type_error(price, f"the price of {describe(model)}", "two numbers of 0 or more"))
        checked[model] = pair
    return checked
