"""What a page is put together of, in words and figures; how it looks is said in the template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from session_store.maintenance.report import charts, formatting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime, tzinfo

    from session_store.database.time_functions import Unit
    from session_store.maintenance.report.charts import Series, Svg
    from session_store.maintenance.report.data import TopValues


class Cell(NamedTuple):
    """What stands in a table; ``exact`` is the value where the text is rounded."""

    text: str
    kind: str = "number"
    exact: float | str | None = None


class Table(NamedTuple):
    """The names of columns, and rows of cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @property
    def kinds(self) -> Sequence[str]:
        """Of what kind each column is."""
        return [cell.kind for cell in self.rows[0]] if self.rows else ["number" for _ in self.columns]


class Chart(NamedTuple):
    """A chart: what is seen, its colours, and the figures behind it; without a drawing where all came before."""

    title: str
    svg: Svg | None
    legend: Sequence[Series]
    table: Table


class Section(NamedTuple):
    """A part of the page; without charts the sentence says why."""

    id: str
    title: str
    description: str
    charts: Sequence[Chart]


class KeyFigure(NamedTuple):
    """A key figure, and what stands below it."""

    name: str
    text: str
    below: str
    exact: float | None = None


CHART_NOTE: Final = 10
"""How many names of a ranking have a bar of their own; the table has more."""

NO_DATA: Final = Cell(formatting.NONE)


def period(when: date, unit: Unit) -> Cell:
    """Return a cell of an hour, a day, a week or a month."""
    return Cell(formatting.format_period(when, unit), "time", when.isoformat())


def name(text: str) -> Cell:
    """Return a cell of words of our own."""
    return Cell(text, "name")


def stored_text(text: str | None) -> Cell:
    """Return a cell of somebody's text."""
    return Cell(formatting.NONE if text is None else formatting.escape_text(text), "foreign")


def count(number: int) -> Cell:
    """Return a cell of a whole number."""
    return Cell(formatting.format_count(number))


def duration(seconds: float | None) -> Cell:
    """Return a cell of seconds."""
    return NO_DATA if seconds is None else Cell(formatting.format_duration(seconds), exact=seconds)


def share(part: float | None) -> Cell:
    """Return a cell of a part of one."""
    return NO_DATA if part is None else Cell(formatting.format_share(part), exact=part)


def size(number: int) -> Cell:
    """Return a cell of bytes."""
    return Cell(formatting.format_size(number), exact=number)


def cost(amount: float | None) -> Cell:
    """Return a cell of money."""
    return NO_DATA if amount is None else Cell(formatting.format_cost(amount), exact=amount)


def time(when: datetime, zone: tzinfo) -> Cell:
    """Return a cell of a time."""
    return Cell(formatting.format_time(formatting.local(when, zone)), "time", when.isoformat())


def ranking(
    title: str, rows: Sequence[tuple[str, int, str]], color: str, table: Table, top: TopValues | None = None
) -> Chart:
    """Return a chart of names, their numbers and what those say: of the first ones, and one bar for all others.

    Args:
        title: What is seen.
        rows: Those with most, from above.
        colour: Of their bars.
        table: The figures behind them.
        top: How many there are in all; None: these.
    """
    bars = [charts.Bar(*row, color) for row in rows[:CHART_NOTE]]
    others = 0 if top is None else top.names - len(bars)
    if top is not None and others:
        amount = top.amount - sum(number for _, number, _ in rows[:CHART_NOTE])
        bars.append(
            charts.Bar(formatting.pluralize(others, "other"), amount, formatting.format_short(amount), "series-other")
        )
    return Chart(title, charts.ranking(bars), [], table)
