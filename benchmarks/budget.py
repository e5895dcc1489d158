"""What each operation costs beside the same done by hand: ``python -m benchmarks.budget``.

For SQLite, with and without waiting for the disk at each commit, and for PostgreSQL: SQL on the raw driver is the
floor, beside it the same statements through SQLAlchemy Core, the store, the store joined to a host's session, the
store on an event loop with each driver beside the raw one, and with ``--peers`` other libraries.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import contest, databases, measuring, rows, special
from benchmarks.measuring import markdown, ms
from benchmarks.peers import PACKAGES
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.contest import Line
    from benchmarks.databases import Databases
    from benchmarks.rows import Sizes

KINDS = ("full", "relaxed", "postgresql")


def main() -> None:
    """Measure everything, print it, and keep it if it is complete."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", action="store_true", help="other libraries too, those of peers/requirements.txt")
    parser.add_argument("--smoke", action="store_true", help="everything once, small and in memory; nothing is kept")
    parser.add_argument("--on", choices=KINDS, action="append", help="SQLite as FULL or NORMAL has it, PostgreSQL")
    parser.add_argument("--row", action="append", help="only rows with this in their name; may be given again")
    parser.add_argument("--rounds", type=int, help="how often everybody has a turn; nothing is kept")
    parser.add_argument("--dir", type=Path, help="where the databases are made, on a real disk")
    options = parser.parse_args()
    sizes = rows.SMOKE if options.smoke else rows.Sizes()
    if options.rounds:
        sizes = sizes._replace(rounds=options.rounds, secs=float("inf"))
    started = time.perf_counter()
    random.seed(6)
    print(f"Load of the machine before: {os.getloadavg()[0]:.1f}, on {os.cpu_count()} processors.")
    place_for_all = servers.memory() if options.smoke else options.dir
    with tempfile.TemporaryDirectory(dir=place_for_all, prefix="session_store-") as directory, ExitStack() as stack:
        lines: list[Line] = []
        server: str | None = None
        for kind in options.on or KINDS:
            place = stack.enter_context(databases.lent(kind, Path(directory)))
            server = server or place.server
            for group in on(place, sizes, options.row or [], with_peers=options.peers):
                lines += told(group)
    if is_chosen(rows.IMPORT, options.row or []):
        lines += told(special.imports(sizes))
    known = measuring.versions(*(PACKAGES if options.peers else ()), postgresql=server)
    about = ", ".join(f"{name} {version}" for name, version in known.items())
    summary = f"{budget(lines)}\n{about}.\n"
    print(f"\n{summary}\nAll this took {time.perf_counter() - started:.0f} seconds.")
    if not (options.smoke or options.on or options.row or options.rounds):
        measuring.keep(
            "budget",
            f"# What each operation costs beside the same by hand\n\n{summary}\n{in_full(lines)}",
            {"versions": known, "lines": [asdict(line) for line in lines]},
        )


def told(group: Iterable[Line]) -> list[Line]:
    """Print lines, and return them."""
    lines = list(group)
    print(f"\n{in_full(lines)}", end="", flush=True)
    return lines


def on(place: Databases, sizes: Sizes, names: list[str], *, with_peers: bool) -> Iterator[Iterable[Line]]:
    """Measure the rows with these in their names on one kind of database."""
    ours = contest.entrants(place)
    entrants = [*ours, *(contest.peers(place) if with_peers else [])]
    for scene in rows.SCENES:
        chosen = [row for row in scene.rows if is_chosen(row.name, names)]
        has_grown = scene is rows.WRITTEN and is_chosen(rows.GROWN, names)
        if not (chosen or has_grown) or (place.durability == "relaxed" and not scene.is_written_to):
            continue
        # None of the peers has an index of words to keep.
        takes_part = ours if scene.is_indexed and scene.is_written_to else entrants
        with contest.staged(scene, place, takes_part, sizes) as opened:
            for row in chosen:
                yield contest.measured(row, opened, place, sizes)
            if has_grown:
                yield special.grown(opened, place, sizes)
    if is_chosen(rows.WRITERS, names):
        yield special.writers(place, entrants, sizes)
    if is_chosen(rows.FIRST, names) and place.durability == "full":
        yield special.answers(place, entrants, sizes)


def is_chosen(row: str, names: list[str]) -> bool:
    """Whether a row was asked for."""
    return not names or any(name in row for name in names)


def budget(lines: Iterable[Line]) -> str:
    """Return what has a limit, as a table."""
    lines = list(lines)
    told = []
    for line in lines:
        if line.limit is None:
            continue
        beside = {other.entrant: other for other in lines if (other.row, other.database) == (line.row, line.database)}
        peers = [other for other in beside.values() if other.is_peer]
        best = min(peers, key=lambda peer: peer.ratio, default=None)
        told.append(
            (
                line.row,
                line.database,
                line.entrant,
                ms(line.wall),
                f"{line.ratio:.2f}",
                line.limit,
                "met" if line.is_met else "**missed**",
                "" if line.cpu_ratio is None else f"{line.cpu_ratio:.2f}",
                "" if best is None else f"{best.ratio:.2f} ({best.entrant})",
            )
        )
    header = ("row", "database", "who", "ms", "ratio", "at most", "", "ratio of CPU", "best peer's ratio")
    return markdown("The budget", header, told)


def in_full(lines: Iterable[Line]) -> str:
    """Return everything, a table for each row on each database."""
    header = (
        "",
        "ms",
        "ratio",
        "CPU, ms",
        "ratio of CPU",
        "a second",
        "statements",
        "round trips",
        "peak, kB",
        "calls",
        "",
    )
    tables = []
    for (database, row), group in groupby(lines, lambda line: (line.database, line.row)):
        told = [
            (
                line.entrant,
                ms(line.wall),
                f"{line.ratio:.2f}",
                "" if line.cpu is None else ms(line.cpu),
                "" if line.cpu_ratio is None else f"{line.cpu_ratio:.2f}",
                f"{1 / line.wall:,.0f}",
                *("" if count is None else count for count in (line.statements, line.round_trips)),
                "" if line.peak is None else f"{line.peak / 1000:,.0f}",
                line.calls,
                line.remark,
            )
            for line in group
        ]
        tables.append(markdown(": ".join(filter(None, (database, row))), header, told))
    return "\n".join(tables)


if __name__ == "__main__":
    main()
