"""The filters and the periods of the SELECTs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypedDict, get_args

from sqlalchemy import BigInteger, Double, Text, bindparam, case, cast, func, literal, select

from session_store.analytics.views import MESSAGES_V1, SESSIONS_V1
from session_store.database import time_functions
from session_store.database.functions import has_attributes
from session_store.database.time_functions import Unit
from session_store.interface.errors import InvalidQuery
from session_store.models.types import dump_json
from session_store.models.validation import attribute_filter, aware_datetime, identifier, type_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Label, Select, Subquery, Table

_HUNDREDTHS: Final = 100


class Filters(TypedDict, total=False):
    """Filters of sessions and time; all must hold.

    ``owner``: only sessions of this owner. ``attributes``: only sessions with these values (strings, numbers or
    booleans). ``since``, ``until``: timezone-aware times; ``since`` is included, ``until`` is not.
    """

    owner: str | None
    attributes: Mapping[str, Any] | None
    since: datetime | None
    until: datetime | None


def session_filter(filters: Filters) -> list[ColumnElement[bool]]:
    """Return the conditions on a session.

    Raises:
        TypeError: A filter does not exist: a misspelled one must not match everything.
    """
    unknown = filters.keys() - Filters.__annotations__.keys()
    if unknown:
        problem = f"unknown filter {', '.join(sorted(unknown))}"
        raise TypeError(problem)
    conditions: list[ColumnElement[bool]] = []
    owner, attributes = filters.get("owner"), filters.get("attributes")
    if owner is not None:
        conditions.append(SESSIONS_V1.c.owner == identifier(owner, "owner"))
    if attributes is not None:
        wanted = bindparam(None, dump_json(attribute_filter(attributes)), type_=Text())
        conditions.append(has_attributes(SESSIONS_V1.c.attributes, wanted))
    return conditions


def time_filter(time: ColumnElement[datetime], filters: Filters) -> list[ColumnElement[bool]]:
    """Return the conditions on a time, and on its day for the indexes by day."""
    day = time_functions.period(time, "day", "UTC")
    conditions: list[ColumnElement[bool]] = []
    since, until = filters.get("since"), filters.get("until")
    if since is not None:
        since = aware_datetime(since, "since")
        conditions += [time >= since, day >= since.date()]
    if until is not None:
        until = aware_datetime(until, "until")
        conditions += [time < until, day <= until.date()]
    return conditions


def period_start(time: ColumnElement[datetime], by: Unit | None, tz: str) -> list[Label[Any]]:
    """Return the column ``period``, or no column without periods.

    Raises:
        InvalidQuery: The period or the time zone is invalid.
    """
    if not isinstance(tz, str):
        raise InvalidQuery(type_error(tz, "tz", "the name of a time zone"))
    try:
        time_functions.zone_info(tz)
    except ValueError:
        raise InvalidQuery(type_error(tz, "tz", "the name of a time zone")) from None
    return [] if by is None else [time_functions.period(time, unit(by), tz).label("period")]


def unit(by: object) -> Unit:
    """Return the unit of the periods.

    Raises:
        InvalidQuery: The period is invalid.
    """
    for known in get_args(Unit):
        if by == known:
            return known  # type: ignore[no-any-return]
    raise InvalidQuery(type_error(by, "by", " or ".join(map(repr, get_args(Unit)))))


def select_rows(
    source: Table, time: ColumnElement[datetime], columns: Sequence[ColumnElement[Any]], filters: Filters
) -> Select[*tuple[Any, ...]]:
    """Select columns of the rows that match the filters."""
    chosen = select(*columns).select_from(source).where(*time_filter(time, filters))
    conditions = session_filter(filters)
    if conditions:
        chosen = chosen.join(SESSIONS_V1, SESSIONS_V1.c.session_key == source.c.session_key).where(*conditions)
    return chosen


def select_messages(
    columns: Sequence[ColumnElement[Any]], by: Unit | None, tz: str, filters: Filters
) -> Select[*tuple[Any, ...]]:
    """Select columns of the messages that match the filters, with their period first."""
    time = MESSAGES_V1.c.created_at
    return select_rows(MESSAGES_V1, time, [*period_start(time, by, tz), *columns], filters)


def period_column(source: Subquery) -> list[ColumnElement[Any]]:
    """Return the column ``period`` if the rows have one."""
    return [source.c.period] if "period" in source.c else []


def total(number: ColumnElement[Any], name: str) -> Label[int]:
    """Return a sum as an integer: PostgreSQL's is a decimal."""
    return cast(func.coalesce(func.sum(number), 0), BigInteger).label(name)


def count_if(condition: ColumnElement[bool], name: str) -> Label[int]:
    """Return the number of rows for which a condition holds."""
    return total(case((condition, 1), else_=0), name)


def ranked_values(source: Subquery) -> Subquery:
    """Number the rows of each period by ``seconds``, and count those that have any, for `percentile`."""
    period = period_column(source)
    return select(
        *source.c,
        func.row_number().over(partition_by=period, order_by=source.c.seconds.nulls_last()).label("place"),
        func.count(source.c.seconds).over(partition_by=period).label("ended"),
    ).subquery()


def percentile(source: Subquery, hundredths: int) -> Label[float]:
    """Return a percentile of the seconds, by linear interpolation.

    The same as ``percentile_cont`` and numpy's default, in SQL with the same result on both databases.
    """
    place = (source.c.ended - 1) * hundredths
    first = place // _HUNDREDTHS
    low, high = (func.max(case((source.c.place == number, source.c.seconds))) for number in (first + 1, first + 2))
    between = cast(func.max(place - first * _HUNDREDTHS), Double) / literal(float(_HUNDREDTHS), Double)
    name = "median_seconds" if hundredths == _HUNDREDTHS // 2 else f"p{hundredths}_seconds"
    return (low + between * (func.coalesce(high, low) - low)).label(name)
