"""Format numbers, durations, sizes and times for people, and escape stored text."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final
from unicodedata import east_asian_width

if TYPE_CHECKING:
    from session_store.database.time_functions import Unit

NONE: Final = "\N{EN DASH}"
"""The dash for a missing value, and between two ends of a range."""

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_CONTROL_CHARS: Final = (
    r"\x00-\x1f\x7f-\x9f\u00ad\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\uffff"
)
"""Characters that steer a terminal or mislead a reader, and those that XML forbids: vl-convert aborts on one."""
_ESCAPED_IN_LINE: Final = re.compile(f"[{_CONTROL_CHARS}]")
_ESCAPED_IN_TEXT: Final = re.compile(rf"(?![\n\t])[{_CONTROL_CHARS}]")
_MAX_LABEL_LENGTH: Final = 100

_THOUSAND: Final = 1000
SHORT_FROM: Final = 10_000
"""From here on a number is shortened where space is limited."""
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


def escape_line(text: str) -> str:
    r"""Return a text in one line, with control characters escaped, such as ``\x1b`` and ``\n``."""
    return _ESCAPED_IN_LINE.sub(_escape, text)


def escape_text(text: str) -> str:
    """Return a text with control characters escaped, except line feeds and tabs."""
    return _ESCAPED_IN_TEXT.sub(_escape, text)


def label(text: str, max_length: int = _MAX_LABEL_LENGTH) -> str:
    """Return a stored text in one line, escaped and truncated; an empty one becomes quotation marks."""
    if text == "":
        return '""'
    # A character may become six.
    written = escape_line(text[: max_length + 1])
    return written if len(written) <= max_length else f"{written[: max_length - 1]}…"


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def truncate_to_width(text: str, ems: float) -> str:
    """Truncate a text to a width in em, approximately."""
    width = 0.0
    for place, char in enumerate(text):
        width += 1.0 if east_asian_width(char) in {"W", "F"} else 0.62
        if width > ems:
            return f"{text[: max(place - 1, 0)]}…"
    return text


def format_count(number: int) -> str:
    """Return an integer with thousands separators."""
    return f"{number:,}"


def format_short(number: float) -> str:
    """Return a number in three digits and a letter if it is long."""
    return f"{number:,.0f}" if number < SHORT_FROM else shortened(number)


def shortened(number: float) -> str:
    """Return a number in at most three digits and a letter."""
    return _scaled(number, ("", " k", " M", " bn", " tn", " qn"))


def format_size(number: float) -> str:
    """Return a size in bytes for people, such as ``1.2 MB``."""
    return _scaled(number, (" B", " kB", " MB", " GB", " TB", " PB", " EB"))


def _scaled(number: float, units: tuple[str, ...]) -> str:
    power = 0
    # Round once: 999,999 is 1 M and not 1000 k.
    while power < len(units) - 1 and float(f"{number:.3g}") >= _THOUSAND:
        number /= _THOUSAND
        power += 1
    digits = f"{number:.0f}" if power == 0 or number >= 100 else f"{number:.3g}"  # noqa: PLR2004
    return f"{digits}{units[power]}"


def format_share(part: float) -> str:
    """Return a share as a percentage."""
    hundredths = part * 100
    # A small share is not shown as 0 %, nor a large one as 100 %.
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
    """Return the name of an hour, day, week or month."""
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
    """Return a range of periods, both ends included, in short form."""
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
    """Return an amount of money, without a currency, which is unknown."""
    return f"{amount:,.2f}" if amount >= 1 or amount == 0 else f"{amount:.4f}"


def local(when: datetime, zone: tzinfo) -> datetime:
    """Return a time in a time zone; the first and last possible times may not exist there."""
    try:
        return when.astimezone(zone)
    except OverflowError:
        return when


def pluralize(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, in the singular or plural."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def format_window(since: datetime | None, until: datetime | None, zone: tzinfo) -> str | None:
    """Return the time range of the report; None for all time."""
    moments = (("since", since), ("before", until))
    return " and ".join(f"{word} {_moment(local(when, zone))}" for word, when in moments if when is not None) or None


def _moment(when: datetime) -> str:
    return format_time(when) if when.hour or when.minute else format_day(when)
