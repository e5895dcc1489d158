"""Figures by period: as bars, as lines and as a table, over the same range."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from session_store.maintenance.report import axes, charts
from session_store.maintenance.report.axes import Periods
from session_store.maintenance.report.charts import Series
from session_store.maintenance.report.view_models import Cell, Chart, Table, count, period

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Row

    from session_store.maintenance.report.axes import Scale
    from session_store.maintenance.report.data import ReportData

    Rows = Sequence[Row[Any]]


class Timeline(NamedTuple):
    """The periods of all charts of a page, and the number at the start that are not drawn."""

    periods: Periods
    left_out: int

    @classmethod
    def build(cls, found: ReportData) -> Timeline:
        """Return the timeline of all data."""
        by_period = (found.activity, found.owners, found.turns, found.responses, found.tokens, found.storage)
        starts = [row.period for rows in by_period for row in rows]
        every = Periods.covering(found.unit, min(starts), max(starts))
        periods = every.latest()
        return cls(periods, every.number - periods.number)

    def values(self, rows: Rows, value: Callable[[Row[Any]], float | None]) -> dict[int, float]:
        """Return the values of rows, by the index of their period."""
        placed = ((self.periods.place(row.period), value(row)) for row in rows)
        return {place: value for place, value in placed if place >= 0 and value is not None}

    def bars(self, title: str, series: Sequence[Series], scale: Callable[[float], Scale], table: Table) -> Chart:
        """Return a bar chart, with a legend for several series."""
        heights: Counter[int] = Counter()
        for each in series:
            heights.update(each.values)
        drawn = [each for each in series if any(each.values.values())]
        svg = charts.bars(drawn, self.periods, scale(max(heights.values(), default=0)))
        return Chart(f"{title} per {self.periods.unit}", svg, drawn if len(series) > 1 else [], table)

    def percentiles(self, title: str, rows: Rows, usual: float, table: Table) -> Chart:
        """Return a line chart of the median and the 95th percentile."""
        series = [
            Series("95th percentile", "series-5", self.values(rows, lambda row: row.p95_seconds)),
            Series("median", "series-1", self.values(rows, lambda row: row.median_seconds)),
        ]
        seconds = [value for each in series for value in each.values.values()]
        svg = charts.lines(series, self.periods, axes.duration_scale(seconds or [0], usual))
        return Chart(f"{title}, per {self.periods.unit}", svg, series, table)

    def table(self, rows: Rows, columns: Mapping[str, Callable[[Row[Any]], Cell]]) -> Table:
        """Return rows as a table, with the period first."""
        return Table(
            [self.periods.unit, *columns],
            [
                [period(row.period, self.periods.unit), *(cell(row) for cell in columns.values())]
                for row in rows
                if self.periods.place(row.period) >= 0
            ],
        )

    def table_of(self, series: Sequence[Series], rows: Rows) -> Table:
        """Return series as a table with a column each, for the periods of the rows."""
        starts = {self.periods.place(row.period): row.period for row in rows}
        return Table(
            [self.periods.unit, *(each.name for each in series)],
            [
                [period(start, self.periods.unit), *(count(int(each.values.get(place, 0))) for each in series)]
                for place, start in sorted(starts.items())
                if place >= 0
            ],
        )
