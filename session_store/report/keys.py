"""The figures at the top of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from session_store.report import words
from session_store.report.parts import Key

if TYPE_CHECKING:
    from session_store.report.figures import About, Figures


def keys(found: Figures, about: About) -> list[Key]:
    """Return them in their order; owners and costs only where they were asked for."""
    said, models = found.all_activity, found.models
    stored = sum(row.content_bytes + row.payload_bytes for row in found.storage)
    each = f"{said.messages / said.sessions:,.1f} messages each"
    shown = [
        Key("Sessions", words.count(said.sessions), each),
        Key("Messages", words.count(said.messages), f"{words.count(said.user_messages)} by users"),
        Key("Owners", words.count(said.owners), "with a message in this time"),
        Key("Turns", words.count(found.all_turns.turns), f"{words.count(found.all_turns.ended)} of them ended"),
        _error_rate(found),
        _response_time(found),
        _tokens(found),
        Key(
            "Cost",
            words.NONE if models.cost is None else words.cost(models.cost),
            "of models with a price",
            models.cost,
        ),
        Key("Database", words.size(found.size), f"on disk; {words.size(stored)} in these messages", found.size),
    ]
    left_out = {"Owners": about.owner is not None, "Cost": about.prices is None}
    return [key for key in shown if not left_out.get(key.name)]


def _error_rate(found: Figures) -> Key:
    turns = found.all_turns
    if turns.error_rate is None:
        return Key("Error rate", words.NONE, "no turn ended")
    below = f"{words.count(turns.errors)} of {words.number(turns.ended, 'turn')} that ended"
    return Key("Error rate", words.share(turns.error_rate), below, turns.error_rate)


def _response_time(found: Figures) -> Key:
    answers, title = found.all_responses, "Median response time"
    if not answers.answers:
        return Key(title, words.NONE, "nobody was answered")
    below = f"95 of 100 within {words.duration(answers.p95_seconds)}"
    return Key(title, words.duration(answers.median_seconds), below, answers.median_seconds)


def _tokens(found: Figures) -> Key:
    if not found.models.rows:
        return Key("Tokens", words.NONE, "no payload says how many")
    taken, given = (sum(getattr(row, which) for row in found.tokens) for which in ("input_tokens", "output_tokens"))
    below = f"{words.short(taken)} in, {words.short(given)} out"
    return Key("Tokens", words.short(found.models.amount), below, found.models.amount)
