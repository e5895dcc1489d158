"""The sections on agents: turns, response times, errors, tools and tokens."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from session_store.maintenance import formatting
from session_store.maintenance.report import axes
from session_store.maintenance.report.charts import Series
from session_store.maintenance.report.data import COLORS
from session_store.maintenance.report.view_models import (
    NO_DATA,
    Section,
    Table,
    cost,
    count,
    duration,
    name,
    ranking,
    share,
    stored_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Row

    from session_store.analytics import Price
    from session_store.maintenance.report.data import ReportData
    from session_store.maintenance.report.timeline import Timeline

_NO_TURNS: Final = "No turn has ended: no session was set to running and then to another state."


def turns_section(data: ReportData, timeline: Timeline) -> Section:
    """Return the section on the duration of turns."""
    rows = data.turns
    if not data.all_turns.ended:
        return Section("turns", "Turns", _NO_TURNS, [])
    table = timeline.table(
        rows,
        {
            "turns": lambda row: count(row.turns),
            "ended": lambda row: count(row.ended),
            "median": lambda row: duration(row.median_seconds),
            "95 of 100": lambda row: duration(row.p95_seconds),
        },
    )
    chart = timeline.percentiles("Duration of turns by start time", rows, data.all_turns.median_seconds, table)
    return Section("turns", "Turns", f"Half of them ended {_within(data.all_turns)}.", [chart])


def responses_section(data: ReportData, timeline: Timeline) -> Section:
    """Return the section on response times."""
    rows = data.responses
    if not rows:
        return Section("responses", "Response times", "No message of a user was answered by an assistant.", [])
    table = timeline.table(
        rows,
        {
            "answers": lambda row: count(row.answers),
            "median": lambda row: duration(row.median_seconds),
            "95 of 100": lambda row: duration(row.p95_seconds),
        },
    )
    chart = timeline.percentiles(
        "Time from a user message to the next assistant message", rows, data.all_responses.median_seconds, table
    )
    return Section("responses", "Response times", f"Half of them {_within(data.all_responses)}.", [chart])


def errors_section(data: ReportData, timeline: Timeline) -> Section:
    """Return the section on failed turns."""
    rows, every = data.turns, data.all_turns
    if not every.ended:
        return Section("errors", "Errors", _NO_TURNS, [])
    ended = f"the {formatting.format_count(every.ended)} turns that ended"
    if not every.errors:
        return Section("errors", "Errors", f"None of {ended} failed.", [])
    table = timeline.table(
        rows,
        {
            "ended": lambda row: count(row.ended),
            "failed": lambda row: count(row.errors),
            "rate": lambda row: share(row.error_rate),
        },
    )
    failed = [Series("failed", "bad", timeline.values(rows, attrgetter("errors")))]
    rate = [Series("rate", "bad", timeline.values(rows, attrgetter("error_rate")))]
    drawn = [
        timeline.bars("Turns that failed", failed, axes.count_scale, table),
        timeline.bars("Share of the turns that ended", rate, axes.share_scale, table),
    ]
    return Section(
        "errors", "Errors", f"{formatting.format_count(every.errors)} of {ended} failed (state error).", drawn
    )


def tokens_section(data: ReportData, timeline: Timeline, prices: Mapping[str, Price] | None) -> Section:
    """Return the section on the tokens of each model."""
    models = data.models
    if not models.rows:
        return Section("tokens", "Tokens", "No payload has token counts.", [])
    names = [_model(row) for row in models.rows[:COLORS]]
    colors = [f"series-{number}" for number in range(1, COLORS + 1)][: len(names)]
    if models.names > len(names):
        names.append(formatting.pluralize(models.names - len(names), "other"))
        colors.append("series-other")
    series = [
        Series(model, color, timeline.values([row for row in data.tokens if row.place == place], _token_cells))
        for place, (model, color) in enumerate(zip(names, colors, strict=True))
    ]
    over_time = timeline.bars(
        "Input and output tokens", series, axes.count_scale, timeline.table_of(series, data.tokens)
    )
    rows = [(_model(row), _token_cells(row), formatting.format_short(_token_cells(row))) for row in models.rows]
    by_model = ranking("Tokens by model", rows, "series-1", _table_of_models(data, prices), models)
    says = f"{formatting.pluralize(models.amount, 'token')} of {formatting.pluralize(models.names, 'model')}."
    return Section("tokens", "Tokens", says, [over_time, by_model])


def _table_of_models(data: ReportData, prices: Mapping[str, Price] | None) -> Table:
    models = data.models
    rows = [
        [
            name("not named") if row.model is None else stored_text(row.model),
            *map(count, (row.messages, row.input_tokens, row.output_tokens)),
            *([] if prices is None else [cost(row.cost)]),
        ]
        for row in models.rows
    ]
    others = models.names - len(rows)
    if others:
        left = [_sum(data.tokens, which) - _sum(models.rows, which) for which in ("input_tokens", "output_tokens")]
        costs = [] if prices is None else [NO_DATA]
        rows.append([name(formatting.pluralize(others, "other")), NO_DATA, *map(count, left), *costs])
    columns = ["model", "messages", "tokens in", "tokens out", *([] if prices is None else ["cost"])]
    return Table(columns, rows)


def tools_section(data: ReportData) -> Section:
    """Return the section on calls of tools."""
    called = data.tools
    if not called.rows:
        return Section("tools", "Tools", "No tool was called.", [])
    rows = [[stored_text(row.name), count(row.calls), count(row.sessions)] for row in called.rows]
    others = called.names - len(rows)
    if others:
        rows.append(
            [name(formatting.pluralize(others, "other")), count(called.amount - _sum(called.rows, "calls")), NO_DATA]
        )
    drawn = [(formatting.label(row.name), row.calls, formatting.format_count(row.calls)) for row in called.rows]
    chart = ranking("Calls by tool", drawn, "series-3", Table(["tool", "calls", "sessions"], rows), called)
    says = f"{formatting.pluralize(called.amount, 'call')} of {formatting.pluralize(called.names, 'tool')}."
    return Section("tools", "Tools", says, [chart])


def _within(row: Row[Any]) -> str:
    median, p95 = formatting.format_duration(row.median_seconds), formatting.format_duration(row.p95_seconds)
    return f"within {median}, 95 of 100 within {p95}"


def _model(row: Row[Any]) -> str:
    return "not named" if row.model is None else formatting.label(row.model)


def _token_cells(row: Row[Any]) -> int:
    return int(row.input_tokens + row.output_tokens)


def _sum(rows: Sequence[Row[Any]], column: str) -> int:
    return sum(map(attrgetter(column), rows))
