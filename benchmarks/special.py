"""The rows that are not one call beside another: growth, many writers, a process that starts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks import first, rows, together
from benchmarks.contest import Line, compare
from benchmarks.measuring import compared
from session_store import ChatMessage, SessionStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import URL

    from benchmarks.contest import Entrant, Opened
    from benchmarks.databases import Databases
    from benchmarks.rows import Sizes


def grown(opened: Sequence[Opened], place: Databases, sizes: Sizes) -> Iterator[Line]:
    """Measure appends to a session with many messages in terms of appends to one with few, each beside itself."""
    ages = {"young": rows.appended_when_young, "grown": rows.appended_when_grown}
    calls = {
        f"{one.entrant.name}, {age}": one.call(replace(rows.APPEND, arguments=arguments), sizes)
        for one in opened
        for age, arguments in ages.items()
    }
    timings = compared(calls, rounds=sizes.rounds, repeat=sizes.in_a_turn, secs=sizes.secs)
    for one in opened:
        young, old = (timings[f"{one.entrant.name}, {age}"] for age in ages)
        yield Line(
            place.name,
            rows.GROWN,
            one.entrant.name,
            old.wall,
            old.cpu,
            old.wall / young.wall,
            old.cpu / young.cpu,
            rows.GROWN_LIMIT if one.entrant.limit else None,
            old.calls,
            one.entrant.is_peer,
            one.entrant.is_floor,
        )


def writers(place: Databases, entrants: Sequence[Entrant], sizes: Sizes) -> Iterator[Line]:
    """Measure appends while eight write to one session: in one process, and in as many."""
    plain = place.with_tables(indexed=False)
    able = [entrant for entrant in entrants if entrant.name != "joined to a session"]
    urls = {entrant: place.new() if entrant.is_peer else place.copy(plain) for entrant in able}
    taken = together.threads(list(urls.items()), sizes)
    yield from compare(
        place,
        rows.WRITERS,
        {entrant: taken[entrant.name] for entrant in able if entrant.name in taken},
        rows.WRITERS_LIMITS,
    )
    if place.durability == "full":
        blocking = {entrant: urls[entrant] for entrant in able if entrant.name in {entrants[0].floor, "SessionStore"}}
        taken = together.processes(list(blocking.items()), sizes)
        for line in compare(place, rows.WRITING_PROCESSES, {entrant: taken[entrant.name] for entrant in blocking}, {}):
            yield replace(line, cpu=None, cpu_ratio=None)
    for entrant, url in urls.items():
        if not entrant.is_peer:
            together.check_numbers(url)


def answers(place: Databases, entrants: Sequence[Entrant], sizes: Sizes) -> Iterator[Line]:
    """Measure how long a new process takes to its first answer, in terms of Core: both import a driver then."""
    url = place.with_tables(indexed=True)
    with SessionStore(url) as store:
        store.append_many("known", [ChatMessage.user("Hello")] * 10)
    raw = entrants[0].floor
    drivers = {
        f"AsyncSessionStore, {driver}": _text(url.set(drivername=f"{place.kind}+{driver}")) for driver in place.drivers
    }
    taken = first.answers(sizes.starts, raw, _text(url), drivers)
    for name, secs in taken.items():
        yield Line(place.name, rows.FIRST, name, secs, None, secs / taken["Core"], None, None, sizes.starts)


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def imports(sizes: Sizes) -> Iterator[Line]:
    """Measure our import in terms of SQLAlchemy's."""
    taken = first.imports(sizes.starts)
    for name, secs in taken.items():
        limit = rows.IMPORT_LIMIT if name == "session_store" else None
        yield Line("", rows.IMPORT, name, secs, None, secs / taken["sqlalchemy"], None, limit, sizes.starts)
