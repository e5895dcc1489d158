"""Charts of the results: ``python -m benchmarks.charts``. SVGs for each database, beside the results.

``budget_*`` shows what calls take beside SQL by hand, ``scale_*`` what they take the larger the store is.
"""

from __future__ import annotations

import json
import re
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.figures import GROWN
from benchmarks.measuring import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes

COLOURS = {
    "Core": "#9e9e9e",
    "SessionStore": "#1565c0",
    "joined to a session": "#64b5f6",
    "AsyncSessionStore, aiosqlite": "#2e7d32",
    "AsyncSessionStore, psycopg": "#2e7d32",
    "AsyncSessionStore, asyncpg": "#81c784",
}
PEER = "#e65100"
HEIGHT_OF_A_BAR = 0.17
NOT_BESIDE_A_FLOOR = ("append at message", "import", "first answer")
"""Rows whose ratio is to something else, or says nothing in a chart."""


def main() -> None:
    """Draw what there is."""
    sources = {name: RESULTS / f"{name}.json" for name in ("budget", "scale")}
    for name, source in sources.items():
        if not source.exists():
            sys.exit(f"there are no results yet: python -m benchmarks.{name}")
    # The same picture from the same results, byte for byte.
    mpl.rcParams["svg.hashsalt"] = "session_store"
    budget, scale = (json.loads(source.read_text()) for source in sources.values())
    lines = [line for line in budget["lines"] if not line["row"].startswith(NOT_BESIDE_A_FLOOR)]
    for database, group in groupby(lines, lambda line: line["database"]):
        save("budget", database, ratios(database, list(group)))
    for database, parts in scale["results"].items():
        save("scale", database, growth(database, scale["sizes"], parts))


def save(kind: str, database: str, figure: Figure) -> None:
    """Write a chart."""
    name = "_".join(re.findall(r"\w+", database.lower()))
    path = RESULTS / f"{kind}_{name}.svg"
    figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")
    print(path.relative_to(RESULTS.parent.parent))


def growth(database: str, sizes: Sequence[int], parts: dict[str, Any]) -> Figure:
    """Draw what each call takes at each size."""
    figure = Figure(figsize=(9, 5))
    axes = figure.subplots()
    curves = {
        call: values
        for call, (part, of) in GROWN.items()
        if of.endswith("ms") and (values := parts.get(part, {}).get(call, {}).get(of))
    }
    colours = mpl.colormaps["tab20"]
    for place, (call, values) in enumerate(curves.items()):
        axes.plot(sizes, [secs * 1000 for secs in values], marker="o", color=colours(place), label=call)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("sessions, of ten messages each")
    axes.set_ylabel("milliseconds")
    axes.set_title(f"{database}: what grows with the store")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def ratios(database: str, lines: Sequence[dict[str, Any]]) -> Figure:
    """Draw for each row how many times the floor's time everybody takes; the black mark is the budget."""
    rows = list(dict.fromkeys(line["row"] for line in lines))
    beside = [line for line in lines if not line["is_floor"]]
    most = max(sum(line["row"] == row and not line["is_peer"] for line in beside) for row in rows)
    figure = Figure(figsize=(9, 0.8 + len(rows) * (most + 1) * HEIGHT_OF_A_BAR))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        in_row = [line for line in beside if line["row"] == row]
        _bars(axes, place * (most + 1), [line for line in in_row if not line["is_peer"]])
        _peers(axes, place * (most + 1) + (most - 1) / 2, [line for line in in_row if line["is_peer"]])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    slowest = max(line["ratio"] for line in beside)
    axes.set_xticks([tick for tick in (1, 2, 5, 10, 20, 50, 100, 1_000, 10_000) if tick <= slowest], minor=False)
    axes.minorticks_off()
    axes.set_yticks([place * (most + 1) + (most - 1) / 2 for place in range(len(rows))], rows)
    axes.invert_yaxis()
    axes.set_title(f"{database}: time in terms of SQL on the raw driver")
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(once.values(), once.keys(), fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _bars(axes: Axes, top: float, lines: Iterable[dict[str, Any]]) -> None:
    for place, line in enumerate(lines):
        axes.barh(
            top + place, line["ratio"] - 1, left=1, height=0.8, color=COLOURS[line["entrant"]], label=line["entrant"]
        )
        if line["limit"] is not None:
            axes.plot([line["limit"]] * 2, [top + place - 0.5, top + place + 0.5], color="black", label="at most")


def _peers(axes: Axes, middle: float, lines: Sequence[dict[str, Any]]) -> None:
    if lines:
        label = "other libraries"
        axes.scatter([line["ratio"] for line in lines], [middle] * len(lines), s=14, color=PEER, label=label, zorder=3)


if __name__ == "__main__":
    main()
