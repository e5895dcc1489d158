"""Who takes part in a comparison, and how one row is measured with all of them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import promises, stores
from benchmarks.counting import counted
from benchmarks.databases import settle
from benchmarks.floors import awaited, blocking
from benchmarks.measuring import compared, peak_memory, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import URL

    from benchmarks.contestants import Contestant
    from benchmarks.counting import Count
    from benchmarks.databases import Databases
    from benchmarks.measuring import Timing
    from benchmarks.rows import Row, Scene, Sizes

    Opener = Callable[[URL], AbstractContextManager[Contestant]]


class Entrant(NamedTuple):
    """Who takes part, and beside whom."""

    name: str
    opened: Opener
    floor: str
    """The entrant whose time is 1."""
    limit: str = ""
    """Which of a row's limits is its own."""
    is_floor: bool = False
    """Whether it is a raw driver."""
    is_peer: bool = False


@dataclass(frozen=True)
class Line:
    """What one entrant took for one row, in seconds."""

    database: str
    row: str
    entrant: str
    wall: float
    cpu: float | None
    """Of this process; None where others did the work."""
    ratio: float
    """Of the wall time to that of its floor."""
    cpu_ratio: float | None
    limit: float | None
    calls: int
    is_peer: bool = False
    is_floor: bool = False
    statements: int | None = None
    round_trips: int | None = None
    peak: int | None = None
    remark: str = ""

    @property
    def is_met(self) -> bool:
        """Whether it is within the budget, as far as it has one."""
        return self.limit is None or self.ratio <= self.limit


def compare(place: Databases, name: str, taken: Mapping[Entrant, Timing], limits: Mapping[str, float]) -> list[Line]:
    """Put timings in terms of their floors; a peer that is awaited beside the raw driver that is not."""
    by_name = {entrant.name: timing for entrant, timing in taken.items()}
    lines = []
    for entrant, timing in taken.items():
        floor = by_name[entrant.floor]
        lines.append(
            Line(
                place.name,
                name,
                entrant.name,
                timing.wall,
                timing.cpu,
                timing.wall / floor.wall,
                timing.cpu / floor.cpu,
                limits.get(entrant.limit),
                timing.calls,
                entrant.is_peer,
                entrant.is_floor,
            )
        )
    return lines


def entrants(place: Databases) -> list[Entrant]:
    """Return who takes part on a database, without peers."""
    tuned = {"durability": place.durability} if place.kind == "sqlite" else {}
    raw = "sqlite3" if place.kind == "sqlite" else "psycopg"
    has_budget = place.durability == "full"
    opened: dict[str, Any] = {
        "sqlite3": partial(blocking.on_sqlite3, **tuned),
        "psycopg": blocking.on_psycopg,
        "aiosqlite": partial(awaited.on_aiosqlite, **tuned),
        "psycopg, async": awaited.on_psycopg,
        "asyncpg": awaited.on_asyncpg,
    }
    found = [
        Entrant(raw, opened[raw], raw, is_floor=True),
        Entrant("Core", partial(blocking.on_core, **tuned), raw),
        # What a relaxed SQLite leaves of an append is nearly all computing: the budget is for one that waits.
        Entrant("SessionStore", partial(stores.blocking, **tuned), raw, place.kind if has_budget else ""),
        Entrant("joined to a session", partial(stores.joined, **tuned), raw),
    ]
    for driver in place.drivers:
        floor = "psycopg, async" if driver == "psycopg" else driver
        ours = partial(stores.awaited, driver=driver, **tuned)
        found += [
            Entrant(floor, opened[floor], floor, is_floor=True),
            Entrant(f"AsyncSessionStore, {driver}", ours, floor, driver if has_budget else ""),
        ]
    return found


def peers(place: Databases) -> list[Entrant]:
    """Return the other libraries that know this kind of database."""
    from benchmarks.peers import peers_on  # noqa: PLC0415 - only where they are installed

    if place.durability != "full":
        return []
    raw = "sqlite3" if place.kind == "sqlite" else "psycopg"
    return [Entrant(name, opener, raw, is_peer=True) for name, opener in peers_on(place.new()).items()]


class Opened(NamedTuple):
    """An entrant at work on its database."""

    entrant: Entrant
    url: URL
    contestant: Contestant

    def call(self, row: Row, sizes: Sizes) -> Callable[[], Any]:
        """Return what makes the next call of a row: a coroutine function if it is awaited."""
        operation, arguments = self.contestant.calls[row.operation], row.arguments(sizes)
        if not self.contestant.is_awaited:
            return lambda: operation(*next(arguments))

        async def awaited_call() -> Any:
            return await operation(*next(arguments))

        return awaited_call


@contextmanager
def staged(scene: Scene, place: Databases, taking_part: Iterable[Entrant], sizes: Sizes) -> Iterator[list[Opened]]:
    """Open all entrants on the data of a scene."""
    data = scene.conversations(sizes)
    ours = place.with_tables(indexed=scene.is_indexed)
    stores.fill(ours, data)
    if scene.is_written_to:
        promises.prepare(ours)
    settle(ours)
    with ExitStack() as stack:
        opened = []
        for entrant in taking_part:
            if entrant.is_peer:
                url = place.new()
                contestant = stack.enter_context(entrant.opened(url))
                contestant.fill(data)
                settle(url)
            else:
                url = place.copy(ours) if scene.is_written_to else ours
                contestant = stack.enter_context(entrant.opened(url))
            opened.append(Opened(entrant, url, contestant))
        if scene.is_written_to:
            ours_alike = [one for one in opened if not one.entrant.is_peer]
            promises.check_results({one.entrant.name: promises.kept(one.url, one.contestant) for one in ours_alike})
        yield opened


def measured(row: Row, opened: Sequence[Opened], place: Databases, sizes: Sizes) -> Iterator[Line]:
    """Measure a row with all who have its operation."""
    able = [one for one in opened if row.operation in one.contestant.calls]
    results = {one.entrant: result_of(one.call(row, sizes)) for one in able}
    promises.check_results({entrant.name: result for entrant, result in results.items() if not entrant.is_peer})
    if row.is_list:
        promises.check_lengths(
            results[able[0].entrant], {one.name: found for one, found in results.items() if one.is_peer}
        )
    timings = compared(
        {one.entrant.name: one.call(row, sizes) for one in able},
        rounds=sizes.rounds,
        repeat=sizes.in_a_turn,
        secs=sizes.secs,
    )
    lines = compare(place, row.name, {one.entrant: timings[one.entrant.name] for one in able}, row.limits)
    for one, line in zip(able, lines, strict=True):
        count = counts(one, row, sizes)
        yield replace(
            line,
            statements=count.statements,
            round_trips=count.round_trips,
            peak=peak_memory(one.call(row, sizes)) if row.has_memory else None,
            remark=one.contestant.remarks.get(row.operation, ""),
        )


def counts(one: Opened, row: Row, sizes: Sizes) -> Count:
    """Count what one call makes when connections are there and statements prepared."""
    with counted(one.url) as (url, counter), one.entrant.opened(url) as contestant:
        call = one._replace(contestant=contestant).call(row, sizes)
        for _ in range(sizes.until_prepared):
            result_of(call)
        counter.taken()
        result_of(call)
        return counter.taken()
