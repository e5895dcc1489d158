"""The figures at the top of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from session_store.maintenance.report import formatting
from session_store.maintenance.report.view_models import Key

if TYPE_CHECKING:
    from session_store.maintenance.report.data import About, Figures


def keys(found: Figures, about: About) -> list[Key]:
    """Return them in their order; owners and costs only where they were asked for."""
    said, models = found.all_activity, found.models
    stored = sum(row.content_bytes + row.payload_bytes for row in found.storage)
    each = f"{said.messages / said.sessions:,.1f} messages each"
    shown = [
        Key("Sessions", formatting.count(said.sessions), each),
        Key("Messages", formatting.count(said.messages), f"{formatting.count(said.user_messages)} by users"),
        Key("Owners", formatting.count(said.owners), "with a message in this time"),
        Key(
            "Turns", formatting.count(found.all_turns.turns), f"{formatting.count(found.all_turns.ended)} of them ended"
        ),
        _error_rate(found),
        _response_time(found),
        _tokens(found),
        Key(
            "Cost",
            formatting.NONE if models.cost is None else formatting.cost(models.cost),
            "of models with a price",
            models.cost,
        ),
        Key(
            "Database", formatting.size(found.size), f"on disk; {formatting.size(stored)} in these messages", found.size
        ),
    ]
    left_out = {"Owners": about.owner is not None, "Cost": about.prices is None}
    return [key for key in shown if not left_out.get(key.name)]


def _error_rate(found: Figures) -> Key:
    turns = found.all_turns
    if turns.error_rate is None:
        return Key("Error rate", formatting.NONE, "no turn ended")
    below = f"{formatting.count(turns.errors)} of {formatting.number(turns.ended, 'turn')} that ended"
    return Key("Error rate", formatting.share(turns.error_rate), below, turns.error_rate)


def _response_time(found: Figures) -> Key:
    answers, title = found.all_responses, "Median response time"
    if not answers.answers:
        return Key(title, formatting.NONE, "nobody was answered")
    below = f"95 of 100 within {formatting.duration(answers.p95_seconds)}"
    return Key(title, formatting.duration(answers.median_seconds), below, answers.median_seconds)


def _tokens(found: Figures) -> Key:
    if not found.models.rows:
        return Key("Tokens", formatting.NONE, "no payload says how many")
    taken, given = (sum(getattr(row, which) for row in found.tokens) for which in ("input_tokens", "output_tokens"))
    below = f"{formatting.short(taken)} in, {formatting.short(given)} out"
    return Key("Tokens", formatting.short(found.models.amount), below, found.models.amount)
