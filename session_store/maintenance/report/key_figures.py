"""The key figures at the top of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from session_store.maintenance import formatting
from session_store.maintenance.report.view_models import KeyFigure

if TYPE_CHECKING:
    from session_store.maintenance.report.data import ReportData, ReportOptions


def key_figures(data: ReportData, options: ReportOptions) -> list[KeyFigure]:
    """Return the key figures in order; owners and costs only if they apply."""
    activity, models = data.all_activity, data.models
    stored = sum(row.content_bytes + row.payload_bytes for row in data.storage)
    each = f"{activity.messages / activity.sessions:,.1f} messages each"
    shown = [
        KeyFigure("Sessions", formatting.format_count(activity.sessions), each),
        KeyFigure(
            "Messages",
            formatting.format_count(activity.messages),
            f"{formatting.format_count(activity.user_messages)} by users",
        ),
        KeyFigure("Owners", formatting.format_count(activity.owners), "with a message in this time"),
        KeyFigure(
            "Turns",
            formatting.format_count(data.all_turns.turns),
            f"{formatting.format_count(data.all_turns.ended)} of them ended",
        ),
        _error_rate(data),
        _response_time(data),
        _tokens(data),
        KeyFigure(
            "Cost",
            formatting.NONE if models.cost is None else formatting.format_cost(models.cost),
            "of models with a price",
            models.cost,
        ),
        KeyFigure(
            "Database",
            formatting.format_size(data.size),
            f"on disk; {formatting.format_size(stored)} in these messages",
            data.size,
        ),
    ]
    left_out = {"Owners": options.owner is not None, "Cost": options.prices is None}
    return [key for key in shown if not left_out.get(key.name)]


def _error_rate(found: ReportData) -> KeyFigure:
    turns = found.all_turns
    if turns.error_rate is None:
        return KeyFigure("Error rate", formatting.NONE, "no turn ended")
    below = f"{formatting.format_count(turns.errors)} of {formatting.pluralize(turns.ended, 'turn')} that ended"
    return KeyFigure("Error rate", formatting.format_share(turns.error_rate), below, turns.error_rate)


def _response_time(found: ReportData) -> KeyFigure:
    answers, title = found.all_responses, "Median response time"
    if not answers.answers:
        return KeyFigure(title, formatting.NONE, "no answers")
    below = f"95 of 100 within {formatting.format_duration(answers.p95_seconds)}"
    return KeyFigure(title, formatting.format_duration(answers.median_seconds), below, answers.median_seconds)


def _tokens(found: ReportData) -> KeyFigure:
    if not found.models.rows:
        return KeyFigure("Tokens", formatting.NONE, "no payload says how many")
    taken, given = (sum(getattr(row, which) for row in found.tokens) for which in ("input_tokens", "output_tokens"))
    below = f"{formatting.format_short(taken)} in, {formatting.format_short(given)} out"
    return KeyFigure("Tokens", formatting.format_short(found.models.amount), below, found.models.amount)
