"""Numbers, durations, sizes and times as people write them, and text of others so that it steers nothing."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final
from unicodedata import east_asian_width

if TYPE_CHECKING:
    from session_store.database.time_functions import Unit

NONE: Final = "\N{EN DASH}"
"""What stands where there is nothing, and between two ends."""

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_CONTROL_CHARS: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\uffff]"
)
"""Among them all that XML cannot have: at one of those the library that draws ends the whole process."""
_MAX_TEXT_LENGTH: Final = 100

_THOUSAND: Final = 1000
SHORT_FROM: Final = 10_000
"""From here on a number is long where there is little room."""
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


def escape_text(text: str, max_length: int = _MAX_TEXT_LENGTH) -> str:
    r"""Return the text in one line, steering neither the page nor the reader's eye: an escape is ``\x1b``.

    Of a long one the beginning, of an empty one the quotation marks.
    """
    if text == "":
        return '""'
    # Each of its characters may become six.
    written = _CONTROL_CHARS.sub(lambda match: match[0].encode("unicode_escape").decode(), text[: max_length + 1])
    return written if len(written) <= max_length else f"{written[: max_length - 1]}…"


def truncate_to_width(text: str, ems: float) -> str:
    """Return as much of a text as has room in a line of so many times the height of its letters, about."""
    width = 0.0
    for place, char in enumerate(text):
        width += 1.0 if east_asian_width(char) in {"W", "F"} else 0.62
        if width > ems:
            return f"{text[: max(place - 1, 0)]}…"
    return text


def format_count(number: int) -> str:
    """Return a whole number with its thousands apart."""
    return f"{number:,}"


def format_short(number: float) -> str:
    """Return a number in at most three digits and a letter, or as it is while it is not long."""
    return f"{number:,.0f}" if number < SHORT_FROM else shortened(number)


def shortened(number: float) -> str:
    """Return a number in at most three digits and a letter."""
    return _scaled(number, ("", " k", " M", " bn", " tn", " qn"))


def format_size(number: float) -> str:
    """Return a number of bytes in units of a thousand."""
    return _scaled(number, (" B", " kB", " MB", " GB", " TB", " PB", " EB"))


def _scaled(number: float, units: tuple[str, ...]) -> str:
    power = 0
    # Not a division of what is rounded already: 999,999 is 1 M and not 1000 k.
    while power < len(units) - 1 and float(f"{number:.3g}") >= _THOUSAND:
        number /= _THOUSAND
        power += 1
    digits = f"{number:.0f}" if power == 0 or number >= 100 else f"{number:.3g}"  # noqa: PLR2004
    return f"{digits}{units[power]}"


def format_share(part: float) -> str:
    """Return a part of one in hundredths."""
    hundredths = part * 100
    # Some are not shown as none, nor nearly all as all.
    digits = 0 if part in {0, 1} else 2 if min(part, 1 - part) < 0.001 else 1  # noqa: PLR2004
    return f"{hundredths:.{digits}f}%"


def format_duration(seconds: float) -> str:
    """Return a duration in its one or two largest units."""
    if seconds < 0.0005:  # noqa: PLR2004 - half a millisecond
        return "0 s"
    if seconds < 0.9995:  # noqa: PLR2004
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:  # noqa: PLR2004
        return f"{seconds:.1f} s".replace(".0 ", " ")
    whole = round(seconds)
    for large, small, in_large, in_small in (
        (_DAY, _HOUR, "d", "h"),
        (_HOUR, _MINUTE, "h", "min"),
        (_MINUTE, 1, "min", "s"),
    ):
        if whole >= large:
            rest = whole % large // small
            days = f"{whole // large:,} {in_large}"
            return f"{days} {rest} {in_small}" if rest else days
    return f"{whole} s"


def format_day(when: date) -> str:
    """Return a date."""
    return f"{when.day} {MONTHS[when.month - 1]} {when.year}"


def format_time(when: datetime) -> str:
    """Return a time to the minute."""
    return f"{format_day(when)}, {when:%H:%M}"


def format_period(when: date | datetime, unit: Unit) -> str:
    """Return which hour, day, week or month it is."""
    match unit:
        case "hour":
            return f"{format_day(when)}, {when:%H:%M}"
        case "day":
            return f"{_WEEKDAYS[when.weekday()]} {format_day(when)}"
        case "week":
            return f"week of {format_day(when)}"
        case "month":
            return f"{MONTHS[when.month - 1]} {when.year}"


def format_span(first: datetime, last: datetime) -> str:
    """Return from when until when, both included, as briefly as it can be said."""
    if last - first < timedelta(days=3):
        return (
            format_time(first)
            if format_time(first) == format_time(last)
            else f"{format_time(first)} {NONE} {_rest(first, last)}"
        )
    same_year = first.year == last.year
    start = f"{first.day} {MONTHS[first.month - 1]}" if same_year else format_day(first)
    return f"{start} {NONE} {format_day(last)}"


def _rest(first: datetime, last: datetime) -> str:
    return f"{last:%H:%M}" if first.date() == last.date() else format_time(last)


def format_cost(amount: float) -> str:
    """Return an amount of money, without its currency, which nobody told."""
    return f"{amount:,.2f}" if amount >= 1 or amount == 0 else f"{amount:.4f}"


def local(when: datetime, zone: tzinfo) -> datetime:
    """Return a time as clocks there show it; the first and the last one there is may have no place on them."""
    try:
        return when.astimezone(zone)
    except OverflowError:
        return when


def pluralize(amount: int, thing: str) -> str:
    """Return how many things there are, in words."""
    return f"{format_count(amount)} {thing}" if amount == 1 else f"{format_count(amount)} {thing}s"


def format_window(since: datetime | None, until: datetime | None, zone: tzinfo) -> str | None:
    """Return which time was asked for; None: any."""
    moments = (("since", since), ("before", until))
    return " and ".join(f"{word} {_moment(local(when, zone))}" for word, when in moments if when is not None) or None


def _moment(when: datetime) -> str:
    return format_time(when) if when.hour or when.minute else format_day(when)
