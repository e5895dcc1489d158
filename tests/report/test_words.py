"""Figures as people write them."""

import re
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store.maintenance import formatting
from session_store.maintenance.report import axes
from session_store.maintenance.report.axes import MAX_PERIODS, Periods
from tests.conftest import examples

pytestmark = pytest.mark.once

TO = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0004, "0 s"),
        (0.0006, "1 ms"),
        (0.43, "430 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.44, "1.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3599.7, "1 h"),
        (7500, "2 h 5 min"),
        (86_400 * 3 + 14_400, "3 d 4 h"),
        (86_400 * 4000.0, "4,000 d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """In the one or two largest units, and never as sixty of one."""
    assert formatting.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "size", "short"),
    [
        (0, "0 B", "0"),
        (999, "999 B", "999"),
        (1000, "1 kB", "1,000"),
        (1234, "1.23 kB", "1,234"),
        (9_999, "10 kB", "9,999"),
        (12_345, "12.3 kB", "12.3 k"),
        (123_456, "123 kB", "123 k"),
        (999_400, "999 kB", "999 k"),
        (999_999, "1 MB", "1 M"),
        (12_345_678, "12.3 MB", "12.3 M"),
        (545_296_384, "545 MB", "545 M"),
        (2**53, "9.01 PB", "9.01 qn"),
    ],
)
def test_sizes_and_large_numbers(number: int, size: str, short: str) -> None:
    """In units of a thousand, three digits, and never as a thousand of one."""
    assert (formatting.format_size(number), formatting.format_short(number)) == (size, short)


@pytest.mark.parametrize(
    ("part", "text"), [(0, "0%"), (1, "100%"), (0.0491, "4.9%"), (0.0004, "0.04%"), (0.9999, "99.99%"), (0.5, "50.0%")]
)
def test_shares(part: float, text: str) -> None:
    """In hundredths; some are not none, and nearly all is not all."""
    assert formatting.format_share(part) == text


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        ("2026-03-05T09:12:03", "2026-03-05T09:12:40", "5 Mar 2026, 09:12"),
        ("2026-03-05T09:12:03", "2026-03-05T17:01", f"5 Mar 2026, 09:12 {TO} 17:01"),
        ("2026-03-05T09:12:03", "2026-03-06T07:00", f"5 Mar 2026, 09:12 {TO} 6 Mar 2026, 07:00"),
        ("2026-03-05T09:12:03", "2026-04-06T07:00", f"5 Mar {TO} 6 Apr 2026"),
        ("2024-03-05T09:12:03", "2026-04-06T07:00", f"5 Mar 2024 {TO} 6 Apr 2026"),
        ("0900-03-05T09:12:03", "2026-04-06T07:00", f"5 Mar 900 {TO} 6 Apr 2026"),
    ],
)
def test_spans(first: str, last: str, text: str) -> None:
    """As briefly as it can be said."""
    assert formatting.format_span(datetime.fromisoformat(first), datetime.fromisoformat(last)) == text


def test_what_is_legible_can_be_drawn() -> None:
    """Of all characters there are, none is left that XML, and so a chart, cannot have.

    Source: https://www.w3.org/TR/xml/#charsets
    """
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    written = formatting.label(every, max_length=len(every) * 2)

    assert re.findall("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", written) == []
    assert written.encode()
    assert written.startswith(r"\x00\x01")


def evenly(most: float) -> axes.Scale:
    """The scale of seconds that are much the same."""
    return axes.duration_scale([most], most)


@given(st.floats(0, 1e18), st.sampled_from([axes.count_scale, axes.size_scale, evenly, axes.share_scale]))
@examples(300)
def test_a_scale_reaches_what_is_drawn(most: float, scale: Any) -> None:
    """From 0 to the most and not far beyond, by few even steps that all say something else."""
    most = most % 1.0 if scale is axes.share_scale else most
    end, ticks, _ = scale(most)
    values = list(ticks)

    assert (values[0], values[-1]) == (0, end)
    assert end >= most * (1 - 1e-9)
    assert 2 <= len(values) <= 6
    assert values == pytest.approx([place * end / (len(values) - 1) for place in range(len(values))])
    assert len({*ticks.values()}) == len(values)
    least = {axes.count_scale: 1, axes.size_scale: 1, evenly: 0.001, axes.share_scale: 0.001}[scale]
    assert end < max(least, most * 2.6) + 1e-9


@given(st.lists(st.floats(0, 1e11), min_size=1), st.floats(0, 1e6))
@examples(300)
def test_a_scale_of_seconds_has_what_is_usual(seconds: list[float], usual: float) -> None:
    """Where the longest is many times as long as usual, ticks are tenfold and what is usual is not next to nothing."""
    end, ticks, start = axes.duration_scale(seconds, usual)
    values = list(ticks)

    assert (values[0], values[-1]) == (start, end)
    assert end >= max(seconds) * (1 - 1e-9)
    assert bool(start) is (max(seconds) > max(usual * 20, 0.01))
    assert not start or start <= max(min(seconds), 0.001)
    assert len(values) <= 17
    assert len({*ticks.values()}) == len(values)


moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 1)).map(  # noqa: DTZ001 - periods have no zone
    lambda time: time.replace(minute=0, second=0, microsecond=0)
)


@given(moments, st.integers(1, MAX_PERIODS), st.sampled_from(["hour", "day", "week", "month"]), st.sampled_from([5, 9]))
@examples(300)
def test_ticks_are_few_and_in_their_order(first: datetime, number: int, unit: Any, most: int) -> None:
    """Within the time that is drawn, at most so many; of a time that is not short there are at least two."""
    start: date = first if unit == "hour" else first.date()
    if unit == "month":
        start = start.replace(day=1)
    if first.year > 9900:
        start = start.replace(year=9000)
    ticks = Periods(unit, start, number).ticks(most)

    assert len(ticks) <= most
    assert list(ticks) == sorted(ticks)
    assert all(0 <= place <= number for place in ticks)
    assert len(ticks) >= 2 or number < {"hour": 4, "day": 4, "week": 27, "month": 36}[unit]


@pytest.mark.parametrize(
    ("periods", "ticks"),
    [
        (
            Periods("hour", datetime(2026, 3, 5, 7), 24),  # noqa: DTZ001
            {5: "12:00", 11: "18:00", 17: "6 Mar", 23: "06:00"},
        ),
        (Periods("hour", datetime(2026, 3, 5, 7), 72), {17: "6 Mar", 41: "7 Mar", 65: "8 Mar"}),  # noqa: DTZ001
        (
            Periods("day", date(2026, 3, 1), 31),
            {1.5: "2 Mar", 8.5: "9 Mar", 15.5: "16 Mar", 22.5: "23 Mar", 29.5: "30 Mar"},
        ),
        (Periods("week", date(2025, 12, 29), 104), {0.429: "2026", 26.286: "Jul", 52.571: "2027", 78.429: "Jul"}),
        (Periods("month", date(2025, 11, 1), 48), {2: "2026", 14: "2027", 26: "2028", 38: "2029"}),
    ],
)
def test_ticks_of_a_phone(periods: Periods, ticks: dict[float, str]) -> None:
    """At midnights, Mondays, or where a month or a year begins."""
    assert periods.ticks(5) == ticks


@given(moments, st.integers(0, 3000), st.sampled_from(["hour", "day", "week", "month"]))
@examples(200)
def test_the_latest_periods_end_with_the_last(first: datetime, number: int, unit: Any) -> None:
    """As many as can be drawn, or all."""
    start: date = first.replace(day=1) if unit == "hour" else first.date().replace(day=1)
    start = start.replace(year=min(start.year, 9000))
    last = start + timedelta(hours=number) if unit == "hour" else start + timedelta(days=number)
    every = Periods.covering(unit, start, last)
    latest = every.latest()

    assert latest.number == min(every.number, MAX_PERIODS)
    assert latest.place(last) == latest.number - 1
    assert latest.place(start) == latest.number - every.number


def test_a_time_of_year_9999() -> None:
    """The last time there is has no place on a clock that is ahead; it is shown by ours."""
    last = datetime.max.replace(tzinfo=UTC)

    assert formatting.local(last, UTC) == last
    assert formatting.local(last, ZoneInfo("Asia/Tokyo")) == last
