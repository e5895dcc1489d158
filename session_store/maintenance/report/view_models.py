"""The content of a page: texts, figures and charts. The template defines the layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from session_store.maintenance import formatting
from session_store.maintenance.report import charts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime, tzinfo

    from session_store.database.time_functions import Unit
    from session_store.maintenance.report.charts import Series, Svg
    from session_store.maintenance.report.data import TopValues


class Cell(NamedTuple):
    """A cell of a table; ``exact`` is the value if the text is rounded."""

    text: str
    kind: str = "number"
    exact: float | str | None = None


class Table(NamedTuple):
    """A table: the names of columns, and rows of cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @property
    def kinds(self) -> Sequence[str]:
        """The kind of each column."""
        return [cell.kind for cell in self.rows[0]] if self.rows else ["number" for _ in self.columns]


class Chart(NamedTuple):
    """A chart with its legend and table; without an image if all data is before the drawn range."""

    title: str
    svg: Svg | None
    legend: Sequence[Series]
    table: Table


class Section(NamedTuple):
    """A section of the page; without charts, the description says why."""

    id: str
    title: str
    description: str
    charts: Sequence[Chart]


class KeyFigure(NamedTuple):
    """A key figure, and the line below it."""

    name: str
    text: str
    below: str
    exact: float | None = None


CHART_NOTE: Final = 10
"""The number of names with a bar of their own; the table has more."""

NO_DATA: Final = Cell(formatting.NONE)


def period(when: date, unit: Unit) -> Cell:
    """Return a cell with a period."""
    return Cell(formatting.format_period(when, unit), "time", when.isoformat())


def name(text: str) -> Cell:
    """Return a cell with fixed text."""
    return Cell(text, "name")


def stored_text(text: str | None) -> Cell:
    """Return a cell with stored text."""
    return Cell(formatting.NONE if text is None else formatting.label(text), "foreign")


def count(number: int) -> Cell:
    """Return a cell with a count."""
    return Cell(formatting.format_count(number))


def duration(seconds: float | None) -> Cell:
    """Return a cell with a duration."""
    return NO_DATA if seconds is None else Cell(formatting.format_duration(seconds), exact=seconds)


def share(part: float | None) -> Cell:
    """Return a cell with a share."""
    return NO_DATA if part is None else Cell(formatting.format_share(part), exact=part)


def size(number: int) -> Cell:
    """Return a cell with a size."""
    return Cell(formatting.format_size(number), exact=number)


def cost(amount: float | None) -> Cell:
    """Return a cell with a cost."""
    return NO_DATA if amount is None else Cell(formatting.format_cost(amount), exact=amount)


def time(when: datetime, zone: tzinfo) -> Cell:
    """Return a cell with a time."""
    return Cell(formatting.format_time(formatting.local(when, zone)), "time", when.isoformat())


def ranking(
    title: str, rows: Sequence[tuple[str, int, str]], color: str, table: Table, top: TopValues | None = None
) -> Chart:
    """Return a ranking: a bar for each of the first names, and one for all others.

    Args:
        title: The title of the chart.
        rows: The names with their numbers and labels, greatest first.
        color: The color of the bars.
        table: The table of the chart.
        top: The totals of all names; None: the rows are all.
    """
    bars = [charts.Bar(*row, color) for row in rows[:CHART_NOTE]]
    others = 0 if top is None else top.names - len(bars)
    if top is not None and others:
        amount = top.amount - sum(number for _, number, _ in rows[:CHART_NOTE])
        bars.append(
            charts.Bar(formatting.pluralize(others, "other"), amount, formatting.format_short(amount), "series-other")
        )
    return Chart(title, charts.ranking(bars), [], table)
