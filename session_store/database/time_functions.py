"""Where the two databases differ in what they can do with times: SQLite knows no time zone, and milliseconds only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Date, DateTime, Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from session_store.models.types import UtcDateTime, utc_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.sql.compiler import SQLCompiler

Unit = Literal["hour", "day", "week", "month"]

_FIRST_YEAR: Final = 1850
_LAST_YEAR: Final = 2150
_TZ_FILES: Final = ("localtime", "posix", "right/")
"""Found where zones are kept, and no names of any: PostgreSQL knows none of them."""

_STEP: Final = timedelta(days=2)
"""No zone has changed its offset twice within so short a time."""


class period(FunctionElement[Any]):  # noqa: N801 - reads as the SQL function it stands for
    """The hour, day, week (from Monday) or month of a time, as a clock on the wall of a time zone shows it.

    A day, a week and a month are the date they begin with, an hour is a time without zone.
    """

    inherit_cache = False  # the unit and the zone are no parameters
    name = "period"

    def __init__(self, time: ColumnElement[datetime], unit: Unit, zone: str) -> None:
        self.type = DateTime() if unit == "hour" else Date()
        self.unit = unit
        self.zone = zone
        super().__init__(time)


_SQLITE_PERIODS: Final = {
    "hour": "strftime('%Y-%m-%d %H:00:00', {})",
    "day": "date({})",
    # To the Monday that is not before six days ago.
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
        # The expression of which there may be an index.
        if element.unit == "day":
            return f"substr({time}, 1, 10)"
        return _SQLITE_PERIODS[element.unit].format(f"substr({time}, 1, 19)")
    offset = _offset_in_sql(time, _offsets(element.zone))
    return _SQLITE_PERIODS[element.unit].format(f"substr({time}, 1, 19), {offset}")


@compiles(period, "postgresql")
def _(element: period, compiler: SQLCompiler, **kw: Any) -> str:
    local = f"({compiler.process(element.clauses, **kw)} AT TIME ZONE '{element.zone}')"
    return _POSTGRESQL_PERIODS[element.unit].format(local)


class seconds_between(FunctionElement[float]):  # noqa: N801
    """How many seconds one time is before another one."""

    type = Double()
    inherit_cache = True
    name = "seconds_between"


@compiles(seconds_between, "sqlite")
def _(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = (compiler.process(clause, **kw) for clause in element.clauses)
    whole = f"strftime('%s', substr({end}, 1, 19)) - strftime('%s', substr({start}, 1, 19))"
    rest = f"substr({end}, 21, 6) - substr({start}, 21, 6)"
    return f"((({whole}) * 1000000 + ({rest})) / 1000000.0)"


@compiles(seconds_between, "postgresql")
def _(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"CAST(extract(epoch FROM {end} - {start}) AS DOUBLE PRECISION)"


class minute_of_time(FunctionElement[Any]):  # noqa: N801
    """A time cut to its minute, as `session_store.models.types.truncate_to_minute` does."""

    type = UtcDateTime()
    inherit_cache = True
    name = "minute_of_time"


@compiles(minute_of_time, "sqlite")
def _(element: minute_of_time, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(substr({compiler.process(element.clauses, **kw)}, 1, 17) || '00.000000+00:00')"


@compiles(minute_of_time, "postgresql")
def _(element: minute_of_time, compiler: SQLCompiler, **kw: Any) -> str:
    return f"date_trunc('minute', {compiler.process(element.clauses, **kw)}, 'UTC')"


def zone_info(name: str) -> tzinfo:
    """Return the time zone of an IANA name.

    Raises:
        ValueError: This machine knows none of that name.
    """
    if name == "UTC":
        return UTC
    if name.startswith(_TZ_FILES):
        raise ValueError(name)
    try:
        return ZoneInfo(name)
    except (KeyError, OSError) as error:  # of a name that is a directory, or longer than a file's
        raise ValueError(name) from error


@cache
def _offsets(name: str) -> Sequence[tuple[datetime, int]]:
    """Return the seconds by which a zone is ahead of UTC, and from when on; the first ones from ever."""
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
    """Return the second between two times at which the offset changes."""
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
    # A tree: for a list of all changes a row of today would be compared with a hundred of them.
    if len(offsets) == 1:
        return f"'{offsets[0][1]:+d} seconds'"
    middle = len(offsets) // 2
    earlier, later = (_offset_in_sql(time, half) for half in (offsets[:middle], offsets[middle:]))
    return f"CASE WHEN {time} < '{utc_text(offsets[middle][0])}' THEN {earlier} ELSE {later} END"
