"""What each part of the page shows: the rows of the selects as charts, and as the tables behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from session_store.dialects import times
from session_store.report import axes, charts, words
from session_store.report.axes import Periods
from session_store.report.charts import Series
from session_store.report.figures import COLOURS
from session_store.report.parts import (
    NOTHING,
    Cell,
    Chart,
    Key,
    Section,
    Table,
    cost,
    count,
    duration,
    foreign,
    name,
    share,
    size,
    time,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Row

    from session_store.report.axes import Scale
    from session_store.report.figures import About, Figures, Top

_DRAWN: Final = 10
"""How many rows of a ranking are drawn; the table has more."""

Columns = "Mapping[str, Callable[[Row[Any]], Cell]]"


def of(found: Figures, about: About) -> dict[str, Any]:
    """Return what the template needs of the figures."""
    page = _Page(found, about)
    zone = times.zone(about.tz)
    return {
        "span": words.between(words.local(found.first_at, zone), words.local(found.last_at, zone)),
        "keys": list(_keys(found, about)),
        "sections": list(page.sections()),
        "left_out": page.left_out,
    }


def _keys(found: Figures, about: About) -> Iterator[Key]:
    said, turns, answers, models = found.all_activity, found.all_turns, found.all_responses, found.models
    yield Key(
        "Sessions", words.count(said.sessions), f"{words.short_ratio(said.messages, said.sessions)} messages each"
    )
    yield Key("Messages", words.count(said.messages), f"{words.count(said.user_messages)} by users")
    if about.owner is None:
        yield Key("Owners", words.count(said.owners), "with a message in this time")
    running = turns.turns - turns.ended
    yield Key(
        "Turns", words.count(turns.turns), f"{words.count(running)} not ended" if running else "all of them ended"
    )
    rate = turns.error_rate
    yield Key(
        "Error rate",
        "–" if rate is None else words.share(rate),
        f"{words.count(turns.errors)} of {words.count(turns.ended)} turns",
        rate,
    )
    median, p95 = answers.median_seconds, answers.p95_seconds
    yield Key(
        "Median response time",
        "–" if median is None else words.duration(median),
        "no answers" if p95 is None else f"95 of 100 within {words.duration(p95)}",
        median,
    )
    taken, given = (sum(getattr(row, each) for row in found.tokens) for each in ("input_tokens", "output_tokens"))
    yield Key("Tokens", words.short(models.amount), f"{words.short(taken)} in, {words.short(given)} out", models.amount)
    if about.prices is not None:
        yield Key(
            "Cost", "–" if models.cost is None else words.cost(models.cost), "of models with a price", models.cost
        )
    stored = sum(row.content_bytes + row.payload_bytes for row in found.storage)
    yield Key("Database", words.size(found.size), f"on disk; {words.size(stored)} in these messages", found.size)


class _Page:
    """The sections about some figures, over the same periods."""

    def __init__(self, found: Figures, about: About) -> None:
        self._found = found
        self._about = about
        by_period = (found.activity, found.owners, found.turns, found.responses, found.tokens, found.storage)
        times_of_rows = [row.period for rows in by_period for row in rows]
        every = Periods.of(found.unit, min(times_of_rows), max(times_of_rows))
        self._periods = every.latest()
        left_out = every.number - self._periods.number
        self.left_out = f"the first {words.count(left_out)} {found.unit}s are left out" if left_out else None

    def sections(self) -> Iterator[Section]:
        """Give them from above."""
        yield self._activity()

    def _activity(self) -> Section:
        rows, unit = self._found.activity, self._found.unit
        others = self._values(rows, _others)
        by_role = [
            Series("users", "series-1", self._values(rows, _get("user_messages"))),
            Series("assistants", "series-2", self._values(rows, _get("assistant_messages"))),
            Series("others", "series-other", others),
        ]
        messages = self._bars(
            f"Messages per {unit}, by who wrote them",
            by_role if any(others.values()) else by_role[:2],
            axes.counted,
            self._table(
                rows,
                {
                    "messages": lambda row: count(row.messages),
                    "by users": lambda row: count(row.user_messages),
                    "by assistants": lambda row: count(row.assistant_messages),
                    "by others": lambda row: count(_others(row)),
                },
            ),
        )
        sessions = self._bars(
            f"Sessions with a message per {unit}",
            [Series("sessions", "series-4", self._values(rows, _get("sessions")))],
            axes.counted,
            self._table(
                rows,
                {"sessions": lambda row: count(row.sessions), "their owners": lambda row: count(row.owners)},
            ),
        )
        return Section("activity", "Activity", "How much was said, and in how many sessions.", [messages, sessions])

    def _values(self, rows: Sequence[Row[Any]], value: Callable[[Row[Any]], float | None]) -> dict[int, float]:
        placed = ((self._periods.place(row.period), value(row)) for row in rows)
        return {place: value for place, value in placed if place >= 0 and value is not None}

    def _bars(self, title: str, series: Sequence[Series], scale: Callable[[float], Scale], table: Table) -> Chart:
        totals: dict[int, float] = {}
        for each in series:
            for place, value in each.values.items():
                totals[place] = totals.get(place, 0) + value
        svg = charts.bars(series, self._periods, scale(max(totals.values(), default=0)))
        return Chart(title, title, svg, series if len(series) > 1 else [], table)

    def _table(self, rows: Sequence[Row[Any]], columns: Any) -> Table:
        shown = [row for row in rows if self._periods.place(row.period) >= 0]
        return Table(
            [self._found.unit, *columns],
            [
                [name(words.period(row.period, self._found.unit)), *(cell(row) for cell in columns.values())]
                for row in shown
            ],
        )


def _get(name: str) -> Callable[[Row[Any]], Any]:
    return lambda row: getattr(row, name)


def _others(row: Row[Any]) -> int:
    return int(row.messages - row.user_messages - row.assistant_messages)
