"""How views and selects are asked for, and what the reference says to the same question."""

from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any

from session_store import analytics
from session_store.analytics import views
from tests.analytics import select_figures
from tests.analytics.conversations import ZONES
from tests.analytics.figures import VIEWS, Conversations

PREFIX = "session_store_v1_"
TABLES = {view: getattr(views, f"{view.upper()}_V1") for view in VIEWS}

PERIODS = ("hour", "day", "week", "month")
ALWAYS_BY = {"owners"}
NEVER_BY = {"span", "session_lengths", "busiest_sessions"}
PRICES = {"large": analytics.Price(2.5, 10.0), "small": analytics.Price(0.15, 0.6), "a\0b": analytics.Price(1.0, 0.0)}


def every(view: str, schema: str = "") -> str:
    """The query for all that a view has."""
    return f"SELECT * FROM {schema}{PREFIX}{view}"  # noqa: S608 - a name of ours


def bys_of(name: str) -> list[str | None]:
    """The periods by which a select can be asked for."""
    return [None] if name in NEVER_BY else list(PERIODS) if name in ALWAYS_BY else [None, *PERIODS]


def arguments_of(name: str, by: str | None, tz: str) -> dict[str, Any]:
    """The period and the zone, where a select takes them; None: its own."""
    if name in NEVER_BY:
        return {}
    return {"tz": tz} if by is None and name in ALWAYS_BY else {"tz": tz, "by": by}


def questions(parts: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every select by every period, of everything and of a part, in one zone after the other, and what to call it."""
    zones, filters = cycle(ZONES), cycle(parts.items())
    for name in select_figures.SELECTS:
        for by in bys_of(name):
            for part, chosen in (("all", {}), next(filters)):
                arguments = chosen | arguments_of(name, by, next(zones))
                if name == "tokens":
                    arguments["prices"] = PRICES
                yield f"{name} {part}" + ("" if by is None else f" by {by} in {arguments['tz']}"), name, arguments


def expected(database: str, said: Conversations, name: str, arguments: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What a select has to answer."""
    figures = select_figures.SELECTS[name]
    if name != "storage":
        return figures(said, **arguments)
    json_text = select_figures.compact_json if database == "sqlite" else select_figures.jsonb_text
    return figures(said, **arguments, json_text=json_text)
