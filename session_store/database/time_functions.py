"""SQL for times that differs between the databases: SQLite has no time zones, and only milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Date, DateTime, Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from session_store.database.functions import dialect_function
from session_store.models.types import UtcDateTime, utc_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.sql.compiler import SQLCompiler

Unit = Literal["hour", "day", "week", "month"]

_FIRST_YEAR: Final = 1850
_LAST_YEAR: Final = 2150
_TZ_FILES: Final = ("localtime", "posix", "right/")
"""Files among the time zones that are not zones; PostgreSQL does not know them."""

_STEP: Final = timedelta(days=2)
"""No zone has changed its offset twice within this time."""


class period(FunctionElement[Any]):  # noqa: N801 - reads as the SQL function it stands for
    """The hour, day, week (from Monday) or month of a time in a time zone.

    A day, week or month is its first date; an hour is a time without a zone.
    """

    inherit_cache = False  # the unit and the zone are not parameters
    name = "period"

    def __init__(self, time: ColumnElement[datetime], unit: Unit, zone: str) -> None:
        self.type = DateTime() if unit == "hour" else Date()
        self.unit = unit
        self.zone = zone
        super().__init__(time)


_SQLITE_PERIODS: Final = {
    "hour": "strftime('%Y-%m-%d %H:00:00', {})",
    "day": "date({})",
    # The last Monday: six days back, then forward to a Monday.
    "week": "date({}, '-6 days', 'weekday 1')",
    "month": "date({}, 'start of month')",
}
_POSTGRESQL_PERIODS: Final = {
    "hour": "date_trunc('hour', {})",
    "day": "CAST({} AS DATE)",
    "week": "CAST(date_trunc('week', {}) AS DATE)",
    "month": "CAST(date_trunc('month', {}) AS DATE)",
}


@compiles(period, "sqlite")
def _(element: period, compiler: SQLCompiler, **kw: Any) -> str:
    time = compiler.process(element.clauses, **kw)
    if element.zone == "UTC":
        # The expression of the optional index.
        if element.unit == "day":
            return f"substr({time}, 1, 10)"
        return _SQLITE_PERIODS[element.unit].format(f"substr({time}, 1, 19)")
    offset = _offset_in_sql(time, _offsets(element.zone))
    return _SQLITE_PERIODS[element.unit].format(f"substr({time}, 1, 19), {offset}")


@compiles(period, "postgresql")
def _(element: period, compiler: SQLCompiler, **kw: Any) -> str:
    local = f"({compiler.process(element.clauses, **kw)} AT TIME ZONE '{element.zone}')"
    return _POSTGRESQL_PERIODS[element.unit].format(local)


seconds_between = dialect_function(
    "seconds_between",
    Double(),
    sqlite="(((strftime('%s', substr({1}, 1, 19)) - strftime('%s', substr({0}, 1, 19))) * 1000000"
    " + (substr({1}, 21, 6) - substr({0}, 21, 6))) / 1000000.0)",
    postgresql="CAST(extract(epoch FROM {1} - {0}) AS DOUBLE PRECISION)",
)
"""The seconds from one time to another."""

minute_of_time = dialect_function(
    "minute_of_time",
    UtcDateTime(),
    sqlite="(substr({0}, 1, 17) || '00.000000+00:00')",
    postgresql="date_trunc('minute', {0}, 'UTC')",
)
"""A time truncated to its minute, like `session_store.models.types.truncate_to_minute`."""


def zone_info(name: str) -> tzinfo:
    """Return the time zone with an IANA name.

    Raises:
        ValueError: This machine has no such zone.
    """
    if name == "UTC":
        return UTC
    if name.startswith(_TZ_FILES):
        raise ValueError(name)
    try:
        return ZoneInfo(name)
    except (KeyError, OSError) as error:  # the name is a directory, or too long for a file
        raise ValueError(name) from error


@cache
def _offsets(name: str) -> Sequence[tuple[datetime, int]]:
    """Return the offsets of a zone from UTC in seconds, each with the time from which on it is in effect."""
    its = zone_info(name)
    time, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (_FIRST_YEAR, _LAST_YEAR))
    offsets = [(time, _offset(time, its))]
    while time < end:
        later = time + _STEP
        if _offset(later, its) != offsets[-1][1]:
            offsets.append((_transition(time, later, its), _offset(later, its)))
        time = later
    return offsets


def _transition(before: datetime, after: datetime, its: tzinfo) -> datetime:
    """Return the second between two times at which the offset changes, by bisection."""
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if _offset(middle, its) == _offset(before, its):
            before = middle
        else:
            after = middle
    return after


def _offset(time: datetime, its: tzinfo) -> int:
    return int((time.astimezone(its).utcoffset() or timedelta()).total_seconds())


def _offset_in_sql(time: str, offsets: Sequence[tuple[datetime, int]]) -> str:
    # A tree: in a flat list, a row of today would be compared with a hundred transitions.
    if len(offsets) == 1:
        return f"'{offsets[0][1]:+d} seconds'"
    middle = len(offsets) // 2
    earlier, later = (_offset_in_sql(time, half) for half in (offsets[:middle], offsets[middle:]))
    return f"CASE WHEN {time} < '{utc_text(offsets[middle][0])}' THEN {earlier} ELSE {later} END"
