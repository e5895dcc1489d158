"""The page of figures, made from the results: ``python -m benchmarks.figures`` writes ``docs/figures.md``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import RESULTS, ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

PAGE = RESULTS.parent.parent / "docs" / "figures.md"
_LINK = "../benchmarks/results"
GROWN = {
    "newest 50 sessions": ("reading", "ours, ms"),
    "50 sessions anywhere in the list": ("reading", "ours, ms"),
    "sessions of an owner": ("reading", "ours, ms"),
    "load 10 messages": ("reading", "ours, ms"),
    "last 10 messages of many": ("reading", "ours, ms"),
    "50 messages in the middle of many": ("reading", "ours, ms"),
    "search: a word in 20 messages": ("reading", "ours, ms"),
    "search: a frequent word": ("reading", "ours, ms"),
    "search: in one of 500": ("reading", "ours, ms"),
    "list_running_sessions": ("reading", "ours, ms"),
    "count_sessions": ("reading", "ours, ms"),
    "append": ("writing", "ours, median, ms"),
    "append, making the session": ("writing", "ours, median, ms"),
    "set_session_state": ("writing", "ours, median, ms"),
    "8 writers": ("crowds", "appends a second"),
    "32 writers": ("crowds", "appends a second"),
}
"""What is told of growth: the part of the results it is in, and of what figure."""

INTRODUCTION = """# Figures

What the store costs, measured and not promised: each time beside hand-written SQL on the raw driver that keeps the
same (counts, numbers, states, the search index), called in the same run in turn with it. Ratios carry over to other
machines better than times do. Messages have 800 characters on the average, 41 in 100 of them beyond ASCII, one in four
a payload. This page is made from [benchmarks/results](../benchmarks/results) by `python -m benchmarks.figures`.
"""
REPRODUCED = """## Do it again

```console
$ make bench PEERS=1
```

measures all of this again, with the other libraries in an environment of their own, writes the results and this page,
and takes about an hour and 60 GB of disk; without `PEERS=1` it leaves them out. Its parts are in
[benchmarks/README.md](../benchmarks/README.md).
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())
    print(PAGE.relative_to(RESULTS.parent.parent))


def page() -> str:
    """Return the page as the results have it."""
    budget, scale, cost, analytics = (
        json.loads((RESULTS / f"{name}.json").read_text()) for name in ("budget", "scale", "cost", "analytics")
    )
    lines = budget["lines"]
    databases = list(dict.fromkeys(line["database"] for line in lines if line["database"]))
    sections = [
        INTRODUCTION,
        _measured(budget["versions"]),
        _within(lines),
        _remaining(lines),
        *(_beside_peers(database, lines) for database in databases),
        *(_grown(database, scale) for database in scale["results"]),
        _waited(analytics["results"]),
        _walked(scale),
        *(_cost(database, cost) for database in ("sqlite", "postgresql")),
        REPRODUCED,
    ]
    return "\n".join(filter(None, sections))


def _measured(versions: Mapping[str, Any]) -> str:
    rest = {name: version for name, version in versions.items() if name not in {"date", "processors", "machine"}}
    told = ", ".join(f"{name} {version}" for name, version in rest.items())
    where = f"{versions['processors']} processors ({versions['machine']})"
    return f"Measured on {versions['date']}, on {where}: {told}.\n"


def _charts(kind: str) -> str:
    return "".join(f"\n![{path.stem}]({_LINK}/{path.name})\n" for path in sorted(RESULTS.glob(f"{kind}*.svg")))


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    every = (header, ["---"] * len(header), *rows)
    return "".join("| " + " | ".join(map(str, row)) + " |\n" for row in every)


def _within(lines: Sequence[dict[str, Any]]) -> str:
    rows = [
        (
            line["row"],
            line["database"],
            line["entrant"],
            ms(line["wall"]),
            f"{line['ratio']:.2f}",
            line["limit"],
            "" if line["ratio"] <= line["limit"] else "missed",
        )
        for line in lines
        if line["limit"] is not None
    ]
    header = ("", "database", "called through", "ms", "times SQL by hand", "aimed at, at most", "")
    return f"## Beside SQL by hand\n\n{_table(header, rows)}{_charts('budget')}"


def _remaining(lines: Sequence[dict[str, Any]]) -> str:
    by_name = {(line["database"], line["row"], line["entrant"]): line["wall"] for line in lines}
    floors = {"postgresql": "psycopg"}
    rows = []
    for (database, row, entrant), ours in by_name.items():
        floor = by_name.get((database, row, floors.get(database.lower(), "sqlite3")))
        core = by_name.get((database, row, "Core"))
        if entrant == "SessionStore" and floor is not None and core is not None and "against" not in row:
            rows.append((row, database, *(f"{secs * 1e6:,.0f}" for secs in (floor, core - floor, ours - core))))
    return f"""## What remains

Where the time of a call goes, in microseconds: what the driver and the database take for SQL by hand, what SQLAlchemy
Core adds to it with statements it has compiled already (a connection from the pool and back, the execution, the rows),
and what the store adds to that (checks, escapes, values; less than nothing where its way is shorter than Core's own).

{_table(("", "database", "by hand", "SQLAlchemy adds", "the store adds"), rows)}"""


def _beside_peers(database: str, lines: Sequence[dict[str, Any]]) -> str:
    here = [line for line in lines if line["database"] == database]
    peers = list(dict.fromkeys(line["entrant"] for line in here if line["is_peer"]))
    if not peers:
        return ""
    rows = []
    for row in dict.fromkeys(line["row"] for line in here if line["is_peer"]):
        ratios = {line["entrant"]: f"{line['ratio']:.2f}" for line in here if line["row"] == row}
        ours = next(name for name in ("SessionStore", *ratios) if name in ratios)
        rows.append((row, ratios[ours], *(ratios.get(peer, "") for peer in peers)))
    remarks = {(line["entrant"], line["row"]): line["remark"] for line in here if line["is_peer"] and line["remark"]}
    told = "".join(f"* {peer}, {row}: {remark}\n" for (peer, row), remark in remarks.items())
    return f"""## Beside other libraries: {database}

Times SQL by hand on the raw driver, which keeps what the store keeps; each library by its documented calls. An empty
field is something it has no call for.

{_table(("", "session_store", *peers), rows)}
{told}"""


def _grown(database: str, scale: Mapping[str, Any]) -> str:
    parts = scale["results"][database]
    rows = []
    for call, (part, of) in GROWN.items():
        values = parts.get(part, {}).get(call, {}).get(of)
        if values:
            figures = [ms(value) if of.endswith("ms") else f"{value:,.0f}" for value in values]
            rows.append((call, of.removeprefix("ours, "), *figures, f"{values[-1] / values[0]:.2f}"))
    sizes = [f"{size:,} sessions" for size in scale["sizes"]]
    return f"""## How it grows: {database}

Ten messages a session, so ten million at a million sessions; sessions are chosen at random. What grows has more to look
at: a word in one of 500 messages is in 20,000 of ten million, and to count is to count.

{_table(("", "", *sizes, "largest / smallest"), rows)}{_charts(f"scale_{database.lower()}")}"""


def _waited(results: Mapping[str, Any]) -> str:
    header, rows, told = [""], {}, []
    for database, figures in results.items():
        header += [database, "with the indexes"]
        for question, secs in figures["as it is"].items():
            rows.setdefault(question, [question]).extend(
                f"{taken:.2f}" for taken in (secs, figures["with the indexes"][question])
            )
        without, with_them = (ms(figures["append"][way]) for way in ("as it is", "with the indexes"))
        told.append(
            f"* {database}, {figures['messages']:,} messages: the indexes are made in "
            f"{figures['seconds to make the indexes']:.1f} s; an append takes {with_them} ms with them, {without} "
            f"without. The plan of activity by day: {figures['time index']}.\n"
        )
    return f"""## What analysts wait for

Seconds for an answer about the last 30 days of a year, by the [selects and views](query.md) on a connection of their
own, without and with the [indexes one asks for](query.md#indexes). Each day of the year has as many messages; five make
a turn: a question, an answer that calls two tools, what those say, and an answer.

{_table(header, rows.values())}
{"".join(told)}"""


def _walked(scale: Mapping[str, Any]) -> str:
    told = [
        f"* {database}: {call} made the process grow by {figures['bytes of memory'][0] / 1e6:.1f} MB\n"
        for database, parts in scale["results"].items()
        for call, figures in parts.get("walking", {}).items()
    ]
    return f"## Memory\n\n{''.join(told)}"


def _cost(database: str, cost: Mapping[str, Any]) -> str:
    def rows() -> Iterator[Sequence[object]]:
        for line in cost["costs"]:
            if line["database"] == database:
                logs = [line["log"]] if database == "sqlite" else [line["log"], line["log_after_checkpoint"]]
                yield line["written"], line["way"], *(f"{size:,.0f}" for size in (line["disk"], *logs))

    header = ["", "by", "on disk", "in the log"]
    if database == "postgresql":
        header.append("in the log, directly after a checkpoint")
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[database]
    return f"""## Bytes for each write: {name}

A message has {cost["text"]:.0f} bytes by itself. Indexes are included.

{_table(header, rows())}"""


if __name__ == "__main__":
    main()
