"""Where the ticks of a chart are and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from itertools import count, takewhile
from typing import TYPE_CHECKING, Final, NamedTuple

from session_store.report import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from session_store.dialects.times import Unit

MOST_PERIODS: Final = 200
"""More would be thinner than a line, and the page too long."""

_DURATIONS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_INTERVALS: Final = 5
_LENGTHS: Final[Mapping[str, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_MONTHS_OF_A_YEAR: Final = 12


class Scale(NamedTuple):
    """From 0 to ``end``, and the ticks on the way with what they say."""

    end: float
    ticks: Mapping[float, str]


def counted(most: float) -> Scale:
    """Return the scale of a number of things."""
    return _scale(most, max(1, _round(most)), words.short)


def sized(most: float) -> Scale:
    """Return the scale of bytes."""
    return _scale(most, max(1, _round(most)), words.size)


def shared(most: float) -> Scale:
    """Return the scale of a part of one."""
    return _scale(most, min(0.25, max(0.001, _round(most))), _short_share)


def lasting(most: float) -> Scale:
    """Return the scale of seconds."""
    step = next((step for step in _DURATIONS if most <= step * _INTERVALS), None)
    if most < _INTERVALS:
        step = max(0.001, _round(most))
    return _scale(most, step or -(-most // (86_400 * _INTERVALS)) * 86_400, words.duration)


def _short_share(part: float) -> str:
    return f"{part * 100:.3g}%"


def _round(most: float) -> float:
    """Return the step of 1, 2 or 5 with its zeros that has so few intervals up to the most."""
    power = -4
    while True:
        for digit in (1, 2, 5):
            step = digit * 10**power if power >= 0 else digit / 10**-power
            if step * _INTERVALS >= most:
                return step
        power += 1


def _scale(most: float, step: float, say: Callable[[float], str]) -> Scale:
    intervals = max(1, -int(-most // step))
    values = [number if number % 1 else int(number) for number in (round(step * i, 6) for i in range(intervals + 1))]
    return Scale(values[-1], {value: say(value) if value else "0" for value in values})


class Periods(NamedTuple):
    """So many periods from the first one on."""

    unit: Unit
    first: date
    number: int

    @classmethod
    def of(cls, unit: Unit, first: date, last: date) -> Periods:
        """Return those from the first one to the last."""
        return cls(unit, first, cls(unit, first, 0).place(last) + 1)

    def latest(self) -> Periods:
        """Return the last of them, if they are more than can be drawn."""
        left_out = self.number - MOST_PERIODS
        if left_out <= 0:
            return self
        if self.unit == "month":
            year, month = divmod(_months(self.first) + left_out, _MONTHS_OF_A_YEAR)
            return Periods(self.unit, date(year, month + 1, 1), MOST_PERIODS)
        return Periods(self.unit, self.first + left_out * _LENGTHS[self.unit], MOST_PERIODS)

    def place(self, when: date) -> int:
        """Return which period this is, the first one being 0."""
        match self.unit:
            case "month":
                return _months(when) - _months(self.first)
            case unit:
                return (when - self.first) // _LENGTHS[unit]

    def ticks(self, most: int) -> dict[float, str]:
        """Return where ticks are, at most so many, and what they say."""
        return next(ticks for ticks in map(dict, self._choices()) if len(ticks) <= most)

    def _choices(self) -> Iterator[Iterator[tuple[float, str]]]:
        if self.unit == "hour":
            for hours in (1, 2, 3, 6, 12, 24, 48):
                yield self._hours(hours)
        if self.unit == "day":
            for days in (1, 2, 7, 14, 28):
                yield self._days(days)
        for months in (1, 2, 3, 6):
            yield self._month_starts(months)
        for power in count():
            for years in (1, 2, 5):
                yield self._month_starts(_MONTHS_OF_A_YEAR * years * 10**power)

    def _hours(self, step: int) -> Iterator[tuple[float, str]]:
        assert isinstance(self.first, datetime)  # noqa: S101 - what a period of this unit is
        for place in range(-self.first.hour % step if step < 24 else -self.first.hour % 24, self.number, step):
            when = self.first + timedelta(hours=place)
            yield place, f"{when:%H:%M}" if when.hour else f"{when.day} {words.MONTHS[when.month - 1]}"

    def _days(self, step: int) -> Iterator[tuple[float, str]]:
        first = -self.first.weekday() % 7 if step >= 7 else 0
        for place in range(first, self.number, step):
            when = self.first + timedelta(days=place)
            yield place + 0.5, f"{when.day} {words.MONTHS[when.month - 1]}"

    def _month_starts(self, step: int) -> Iterator[tuple[float, str]]:
        first = _months(self.first)
        first += (self.first.day > 1) if self.unit != "month" else 0
        for month in count(-(-first // step) * step, step):
            year, number = divmod(month, _MONTHS_OF_A_YEAR)
            if year > 9999:
                return
            place = self._exact_place(date(year, number + 1, 1)) if year else 0
            if place >= self.number:
                return
            yield place, words.MONTHS[number] if number else str(year)

    def _exact_place(self, when: date) -> float:
        if self.unit == "month":
            return self.place(when)
        first = self.first.date() if isinstance(self.first, datetime) else self.first
        return round((when - first) / _LENGTHS[self.unit], 3)


def _months(when: date) -> int:
    return when.year * _MONTHS_OF_A_YEAR + when.month - 1
