"""The scales of charts, with their ticks and labels."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from datetime import MAXYEAR, date, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

from session_store.maintenance import formatting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from session_store.database.time_functions import Unit

MAX_PERIODS: Final = 240
"""More bars would be thinner than a line."""

_DURATIONS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_TENFOLD: Final = (
    0.001,
    0.01,
    0.1,
    1,
    10,
    60,
    600,
    3600,
    36_000,
    86_400,
    *(86_400 * 10.0**power for power in range(1, 8)),
)
"""Durations, each about ten times the previous one."""
_MANY_TIMES: Final = 20
_INTERVALS: Final = 5
_ROUNDING: Final = 1e-9
_LENGTHS: Final[Mapping[str, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_MONTHS_OF_A_YEAR: Final = 12


class Scale(NamedTuple):
    """A scale up to ``end``, with its ticks and their labels; logarithmic unless it starts at 0."""

    end: float
    ticks: Mapping[float, str]
    start: float = 0


def count_scale(most: float) -> Scale:
    """Return the scale of a count."""
    # Do not mix 5,000 and 10 k.
    say = formatting.format_short if most < formatting.SHORT_FROM else formatting.shortened
    return _scale(most, max(1, _step(most)), say)


def size_scale(most: float) -> Scale:
    """Return the scale of bytes."""
    return _scale(most, max(1, _step(most)), formatting.format_size)


def share_scale(most: float) -> Scale:
    """Return the scale of a share."""
    return _scale(most, min(0.25, max(0.001, _step(most))), lambda part: f"{part * 100:.3g}%")


def duration_scale(seconds: Sequence[float], usual: float) -> Scale:
    """Return the scale of durations: logarithmic if a few are so long that usual ones would be invisible.

    Args:
        seconds: The durations to draw, at least one.
        usual: The usual duration.
    """
    most = max(seconds)
    if most > usual * _MANY_TIMES and most > _TENFOLD[1]:
        return _tenfold(min(seconds), most)
    if most <= _INTERVALS:
        step = max(0.001, _step(most))
    else:
        days = 86_400 * _step(most / 86_400)
        step = next((float(step) for step in _DURATIONS if most <= step * _INTERVALS), days)
    return _scale(most, step, formatting.format_duration)


def _tenfold(least: float, most: float) -> Scale:
    first = max(0, bisect_right(_TENFOLD, least) - 1)
    last = min(bisect_left(_TENFOLD, most), len(_TENFOLD) - 1)
    return Scale(
        _TENFOLD[last], {step: formatting.format_duration(step) for step in _TENFOLD[first : last + 1]}, _TENFOLD[first]
    )


def _step(most: float) -> float:
    """Return the smallest step of 1, 2 or 5 times a power of ten with few intervals."""
    return next(
        step for power in count(-4) for digit in (1, 2, 5) if (step := digit * 10.0**power) * _INTERVALS >= most
    )


def _scale(most: float, step: float, say: Callable[[float], str]) -> Scale:
    intervals = max(1, math.ceil(most / step - _ROUNDING))
    values = [round(step * interval, 4) for interval in range(intervals + 1)]
    return Scale(values[-1], {value: say(value) if value else "0" for value in values})


class Periods(NamedTuple):
    """A number of consecutive periods."""

    unit: Unit
    first: date
    number: int

    @classmethod
    def covering(cls, unit: Unit, first: date, last: date) -> Periods:
        """Return the periods from a first to a last one."""
        return cls(unit, first, cls(unit, first, 0).place(last) + 1)

    def latest(self) -> Periods:
        """Return the latest periods, if there are more than can be drawn."""
        left_out = self.number - MAX_PERIODS
        if left_out <= 0:
            return self
        if self.unit == "month":
            year, month = divmod(_months(self.first) + left_out, _MONTHS_OF_A_YEAR)
            return Periods(self.unit, date(year, month + 1, 1), MAX_PERIODS)
        return Periods(self.unit, self.first + left_out * _LENGTHS[self.unit], MAX_PERIODS)

    def place(self, when: date) -> int:
        """Return the index of a period."""
        match self.unit:
            case "month":
                return _months(when) - _months(self.first)
            case unit:
                return int((when - self.first) // _LENGTHS[unit])

    def ticks(self, most: int) -> dict[float, str]:
        """Return the positions and labels of a limited number of ticks."""
        return next(ticks for ticks in map(dict, self._choices()) if len(ticks) <= most)

    def _choices(self) -> Iterator[Iterator[tuple[float, str]]]:
        if self.unit == "hour":
            for hours in (1, 2, 3, 6, 12):
                yield self._hours(hours)
        if self.unit in {"hour", "day"}:
            for days in (1, 2, 7, 14, 28):
                yield self._days(days)
        for months in (1, 2, 3, 6):
            yield self._month_starts(months)
        for power in count():
            for years in (1, 2, 5):
                yield self._month_starts(_MONTHS_OF_A_YEAR * years * 10**power)

    def _hours(self, step: int) -> Iterator[tuple[float, str]]:
        for place, when in self._starts():
            if when.hour % step == 0:
                yield place, f"{when:%H:%M}" if when.hour else _day(when)

    def _days(self, step: int) -> Iterator[tuple[float, str]]:
        # A bar is at the middle of its day, a tick at the start of its first hour.
        middle = 0.5 if self.unit == "day" else 0
        for place, when in self._starts():
            # Weeks are counted from the first day of the calendar, which was a Monday.
            if when.hour == 0 and (when.toordinal() - 1) % step == 0:
                yield place + middle, _day(when)

    def _starts(self) -> Iterator[tuple[int, datetime]]:
        return ((place, _time(self.first) + place * _LENGTHS[self.unit]) for place in range(self.number))

    def _month_starts(self, step: int) -> Iterator[tuple[float, str]]:
        first = _months(self.first) + (self.unit != "month" and self.first != self.first.replace(day=1))
        for month in range(-(-first // step) * step, MAXYEAR * _MONTHS_OF_A_YEAR, step):
            year, number = divmod(month, _MONTHS_OF_A_YEAR)
            place = self._exact_place(datetime(year, number + 1, 1))  # noqa: DTZ001 - of the zone of the page
            if place >= self.number:
                return
            yield place, formatting.MONTHS[number] if number else str(year)

    def _exact_place(self, when: datetime) -> float:
        if self.unit == "month":
            return self.place(when)
        return round((when - _time(self.first)) / _LENGTHS[self.unit], 3)


def _time(when: date) -> datetime:
    return when if isinstance(when, datetime) else datetime(when.year, when.month, when.day)  # noqa: DTZ001


def _day(when: date) -> str:
    return f"{when.day} {formatting.MONTHS[when.month - 1]}"


def _months(when: date) -> int:
    return when.year * _MONTHS_OF_A_YEAR + when.month - 1
