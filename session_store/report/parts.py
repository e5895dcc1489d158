"""What a page is put together of, in words and figures; how it looks is said in the template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from session_store.report import words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, tzinfo

    from session_store.report.charts import Series, Svg


class Cell(NamedTuple):
    """What stands in a table; ``exact`` is the value where the text is rounded."""

    text: str
    kind: str = "number"
    exact: float | str | None = None


class Table(NamedTuple):
    """The names of columns, and rows of cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class Chart(NamedTuple):
    """A chart: what is seen, the same for those who do not see it, its colours, and the figures behind it."""

    title: str
    label: str
    svg: Svg
    legend: Sequence[Series]
    table: Table


class Section(NamedTuple):
    """A part of the page; without charts there is only the sentence."""

    id: str
    title: str
    says: str
    charts: Sequence[Chart]


class Key(NamedTuple):
    """A key figure, and what stands below it."""

    name: str
    text: str
    below: str
    exact: float | None = None


NOTHING: Final = Cell("–")


def name(text: str) -> Cell:
    """Return a cell of words of our own."""
    return Cell(text, "name")


def foreign(text: str | None) -> Cell:
    """Return a cell of somebody's text."""
    return Cell("–" if text is None else words.legible(text), "foreign")


def count(number: int) -> Cell:
    """Return a cell of a whole number."""
    return Cell(words.count(number))


def duration(seconds: float | None) -> Cell:
    """Return a cell of seconds."""
    return NOTHING if seconds is None else Cell(words.duration(seconds), exact=seconds)


def share(part: float | None) -> Cell:
    """Return a cell of a part of one."""
    return NOTHING if part is None else Cell(words.share(part), exact=part)


def size(number: int) -> Cell:
    """Return a cell of bytes."""
    return Cell(words.size(number), exact=number)


def cost(amount: float | None) -> Cell:
    """Return a cell of money."""
    return NOTHING if amount is None else Cell(words.cost(amount), exact=amount)


def time(when: datetime, zone: tzinfo) -> Cell:
    """Return a cell of a time."""
    return Cell(words.time(words.local(when, zone)), "time", when.isoformat())
