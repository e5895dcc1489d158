"""What grows with the store: the same calls on ten thousand, a hundred thousand and a million sessions.

All sizes are there at the same time, warmed up, and are measured in turn; medians are told, and what the largest costs
in terms of the smallest. With ``--keep`` the databases stay, and are used again.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
from sqlalchemy import create_engine

from benchmarks import filling, measuring
from benchmarks.growing import a_changing_key, postgresql_databases, sqlite_files
from benchmarks.measuring import ms, seconds
from session_store import ChatMessage, SessionQuery, SessionStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.growing import Database, Databases
    from benchmarks.measuring import Call

Curves = dict[str, dict[str, list[float]]]
"""Figures at each size, by what is called and what they are of: in seconds if that ends with ms."""

SIZES = (10_000, 100_000, 1_000_000)
PAGE = 50
QUICK_SECS = 0.005
"""What takes no longer is called several times in a round."""
CROWDS = (8, 32)
PROCESSES = 2
STALE = filling.END - timedelta(days=filling.DAYS + 10)
BATCH = 500
WORDS_APPENDED = 30


class Workload(NamedTuple):
    """How much is done."""

    long_messages: int = 100_000
    walked_messages: int = 1_000_000
    rounds: int = 60
    secs: float = 8.0
    """After so long no more rounds of a comparison are begun."""
    writes: int = 1_500
    stale: int = 3 * BATCH
    crowd_secs: float = 4.0


SMOKE = Workload(300, 3_000, rounds=2, writes=5, stale=20, crowd_secs=0.1)


def main() -> None:
    """Measure everything, print it, and keep the results of a whole run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=_sizes, help=f"sizes, each a multiple of {filling.AT_A_TIME}")
    parser.add_argument("--dir", type=Path, help="where the databases are made, on a real disk")
    parser.add_argument("--on", choices=("sqlite", "postgresql"), help="only one of them")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this; may be given again")
    parser.add_argument("--keep", action="store_true", help="leave the databases in the directory, to be used again")
    parser.add_argument("--smoke", action="store_true", help="see that it runs, on very few sessions")
    options = parser.parse_args()
    if options.keep and options.dir is None:
        parser.error("--keep needs --dir")
    sizes = options.sessions or ((100, 200) if options.smoke else SIZES)
    work = SMOKE if options.smoke else Workload()
    parts = options.part or list(PARTS)
    results: dict[str, Any] = {}
    lines = []
    server_version = None
    with ExitStack() as stack:
        place = options.dir
        if not options.keep:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="session_store-", dir=options.dir)))
        place.mkdir(parents=True, exist_ok=True)
        for name, opened in (("SQLite", sqlite_files), ("PostgreSQL", postgresql_databases)):
            if options.on in {None, name.lower()}:
                with opened(place, sizes, work.long_messages, work.walked_messages) as databases:
                    results[name] = {part: PARTS[part](databases, work) for part in parts}
                    lines.append(_told(name, sizes, results[name]))
                    print(lines[-1], flush=True)
                    server_version = databases.version
    if not options.smoke and options.on is None and options.part is None and sizes == SIZES:
        versions = measuring.versions(postgresql=server_version)
        text = "\n".join(["# What grows with the store", "", *lines])
        measuring.keep("scale", text, {"versions": versions, "sizes": sizes, "results": results})


def _sizes(given: str) -> tuple[int, ...]:
    sizes = tuple(sorted(map(int, given.split(","))))
    if any(size % filling.AT_A_TIME for size in sizes):
        problem = f"each must be a multiple of {filling.AT_A_TIME}"
        raise argparse.ArgumentTypeError(problem)
    return sizes


def _told(name: str, sizes: Sequence[int], parts: Mapping[str, Curves]) -> str:
    header = ("", "", *(f"{size:,}" for size in sizes), "largest / smallest")
    tables = []
    for part, curves in parts.items():
        lines = [
            (call, of, *(_cell(of, value) for value in values), *_growth(values))
            for call, curve in curves.items()
            for of, values in curve.items()
        ]
        if lines:
            tables.append(measuring.markdown(f"{name}: {part}", header, lines))
    return "\n".join(tables)


def _cell(of: str, value: float) -> str:
    return ms(value) if of.endswith("ms") else f"{value:,.0f}"


def _growth(values: Sequence[float]) -> tuple[str, ...]:
    return (f"{values[-1] / values[0]:.2f}",) if len(values) > 1 else ()


# Reading.


class Pair(NamedTuple):
    """A call of the store, and the same by hand where there is one."""

    ours: Call
    by_hand: Call | None = None


def reads(db: Database) -> dict[str, Pair]:
    """Return what is read of a database, by what it is called."""
    store, floor, long = db.store, db.floor.calls, filling.LONG
    cursors = [session.cursor for _ in range(PAGE) if (session := store.get_session_metadata(db.a_key()))]
    half = store.history(long, before_seq=2**62, limit=1)[0].seq // 2

    def owner() -> str:
        return f"user_{random.randrange(db.sessions // filling.SESSIONS_FOR_AN_OWNER)}"

    def listed(**query: Any) -> Call:
        return lambda: store.list_sessions_with_metadata(SessionQuery(limit=PAGE, **query))

    def found(word: str) -> Call:
        return partial(store.search, SessionQuery(keyword=word, limit=PAGE))

    return {
        "newest 50 sessions": Pair(listed(), partial(floor["newest"], PAGE)),
        "50 sessions anywhere in the list": Pair(
            lambda: store.list_sessions_with_metadata(SessionQuery(limit=PAGE, after=random.choice(cursors)))
        ),
        "sessions of an owner": Pair(
            lambda: store.list_sessions_with_metadata(SessionQuery(owner=owner(), limit=PAGE))
        ),
        "newest 50 of a channel that most have": Pair(listed(attributes={"channel": "telegram"})),
        "20 sessions of a channel": Pair(listed(attributes={"channel": filling.FAX})),
        "list_running_sessions": Pair(store.list_running_sessions),
        "list_stuck_sessions": Pair(partial(store.list_stuck_sessions, 3600)),
        "get_session_metadata": Pair(
            lambda: store.get_session_metadata(db.a_key()), lambda: floor["metadata"](db.a_key())
        ),
        "load 10 messages": Pair(lambda: store.load(db.a_key()), lambda: floor["load"](db.a_key())),
        "last 10 messages of many": Pair(partial(store.load, long, last=10), partial(floor["load_last"], long, 10)),
        "50 messages in the middle of many": Pair(
            partial(store.history, long, before_seq=half, limit=PAGE), partial(floor["page"], long, half, PAGE)
        ),
        "search: a word in 20 messages": Pair(
            found(filling.CONSTANT), partial(db.search_by_hand, filling.CONSTANT, PAGE)
        ),
        "search: in one of 50,000": Pair(found(filling.RARE), partial(db.search_by_hand, filling.RARE, PAGE)),
        "search: in one of 500": Pair(found(filling.MEDIUM)),
        "search: a frequent word": Pair(found(filling.FREQUENT)),
        "search_messages: a word in 20": Pair(partial(store.search_messages, filling.CONSTANT)),
        "search_messages: in one of 50,000": Pair(partial(store.search_messages, filling.RARE)),
        "search_messages: in one of 500": Pair(partial(store.search_messages, filling.MEDIUM)),
        "count_sessions": Pair(store.count_sessions),
        "count_sessions of an owner": Pair(lambda: store.count_sessions(SessionQuery(owner=owner()))),
    }


def be_active(db: Database) -> None:
    """Let the newest sessions be the same kind whatever was measured before: some a second apart, then the long one."""
    now = datetime.now(UTC)
    for number in range(2 * PAGE):
        message = ChatMessage.user(filling.words(WORDS_APPENDED))
        key = db.a_changing_key() if number < 2 * PAGE - 1 else filling.LONG
        db.store.append(key, message, created_at=now + timedelta(seconds=number))


def reading(databases: Databases, work: Workload) -> Curves:
    """Measure what reads, in turn on all sizes."""
    for db in databases.sizes:
        be_active(db)
    pairs = [reads(db) for db in databases.sizes]
    curves: Curves = {}
    for name in pairs[0]:
        each = {
            f"{side}, ms {size}": call
            for size, pair in enumerate(pairs)
            for side, call in zip(("ours", "by hand"), pair[name], strict=True)
            if call is not None
        }
        repeat = 5 if max(map(seconds, each.values())) < QUICK_SECS else 1
        curve = curves.setdefault(name, {})
        for told, timing in measuring.compared(each, rounds=work.rounds, repeat=repeat, secs=work.secs).items():
            curve.setdefault(told.rpartition(" ")[0], []).append(timing.wall)
    return curves


# Writing.


def writing(databases: Databases, work: Workload) -> Curves:
    """Measure what writes, each a transaction that waits for the disk, in turn on all sizes."""
    curves: Curves = {}
    for name, write in WRITES.items():
        taken: dict[tuple[str, int], list[float]] = {}
        for _ in range(work.writes):
            message = ChatMessage.user(filling.words(WORDS_APPENDED))
            each = {
                (side, size): call
                for size, db in enumerate(databases.sizes)
                for side, call in zip(("ours", "by hand"), write(db, message), strict=True)
                if call is not None
            }
            for side_and_size, call in random.sample(list(each.items()), len(each)):
                taken.setdefault(side_and_size, []).append(seconds(call))
        for (side, _), times in sorted(taken.items(), key=itemgetter(0)):
            for what, secs in summed_up(times).items():
                curves.setdefault(name, {}).setdefault(f"{side}, {what}", []).append(secs)
    return curves


def summed_up(taken: Sequence[float]) -> dict[str, float]:
    """Return what says how long calls took that were made many times."""
    slow = sorted(taken)[len(taken) * 99 // 100]
    return {"median, ms": statistics.median(taken), "mean, ms": statistics.fmean(taken), "99 of 100 within, ms": slow}


WRITES: Mapping[str, Callable[[Database, ChatMessage], Pair]] = {
    "append": lambda db, message: Pair(
        partial(db.store.append, db.a_changing_key(), message),
        partial(db.floor.calls["append"], db.a_changing_key(), message),
    ),
    "append, making the session": lambda db, message: Pair(
        partial(db.store.append, db.a_new_key(), message), partial(db.floor.calls["append"], db.a_new_key(), message)
    ),
    "set_session_state": lambda db, _: Pair(
        partial(db.store.set_session_state, db.a_changing_key(), "waiting", f"turn_{time.time_ns()}"),
        partial(db.floor.calls["set_state"], db.a_changing_key(), "waiting", f"turn_{time.time_ns()}"),
    ),
    "compact 10 messages": lambda db, _: Pair(partial(db.store.compact, db.a_key())),
}
"""Each time to another session, chosen at random."""


# Writers at the same time.


def crowds(databases: Databases, work: Workload) -> Curves:
    """Measure many writers on PostgreSQL, each appending to sessions chosen at random."""
    curves: Curves = {}
    if databases.version is None:
        return curves
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("forkserver")) as processes:
        # They are made, and import what they need, before anything is measured.
        list(processes.map(filling.words, range(PROCESSES)))
        for writers in CROWDS:
            taken: list[list[float]] = [[] for _ in databases.sizes]
            for size in random.sample([*range(len(taken))] * 2, 2 * len(taken)):
                db = databases.sizes[size]
                url = db.url.render_as_string(hide_password=False)
                given = (url, db.sessions, writers // PROCESSES, work.crowd_secs)
                parts = [processes.submit(append_together, *given) for _ in range(PROCESSES)]
                taken[size] += [secs for part in parts for secs in part.result()]
            curves[f"{writers} writers"] = {
                "appends a second": [len(times) / (2 * work.crowd_secs) for times in taken],
                "99 of 100 within, ms": [summed_up(times)["99 of 100 within, ms"] for times in taken],
            }
    return curves


def append_together(url: str, sessions: int, threads: int, secs: float) -> list[float]:
    """Append by several threads for a while, and return how long each append took."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), pool_size=threads)
    store = SessionStore(engine)
    all_are_connected = threading.Barrier(threads)

    def append_again_and_again(_: int) -> list[float]:
        texts = [filling.words(WORDS_APPENDED) for _ in range(20)]
        with engine.connect():
            all_are_connected.wait()
        end = time.perf_counter() + secs
        taken = []
        while time.perf_counter() < end:
            message = ChatMessage.user(random.choice(texts))
            taken.append(seconds(partial(store.append, a_changing_key(sessions), message)))
        return taken

    try:
        with ThreadPoolExecutor(threads) as pool:
            return [secs for taken in pool.map(append_again_and_again, range(threads)) for secs in taken]
    finally:
        engine.dispose()


# All messages of a session, and the removal of sessions.


def walking(databases: Databases, _work: Workload) -> Curves:
    """Measure the memory that reading a very long session takes, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as process:
        messages, grown = process.submit(walk, databases.long.render_as_string(hide_password=False)).result()
    return {f"iter_history over {messages:,} messages": {"bytes of memory": [grown]}}


def walk(url: str) -> tuple[int, int]:
    """Read all messages of the long session; return how many they are, and how much this process grew."""
    process = psutil.Process()
    with SessionStore(url) as store:
        store.load(filling.LONG, last=1)
        before = most = process.memory_info().rss
        number = 0
        for number, _ in enumerate(store.iter_history(filling.LONG), 1):
            if number % 100 == 0:
                most = max(most, process.memory_info().rss)
    return number, most - before


def cleaning(databases: Databases, work: Workload) -> Curves:
    """Measure cleanup_stale, which changes what there is: of sessions made for it, as many at each size."""
    taken = []
    for db in databases.sizes:
        with SessionStore(db.url, clock=lambda: STALE) as then:
            for number in range(work.stale):
                between = filling.key(number * db.sessions // work.stale)
                then.append_many(f"{between}_stale", [ChatMessage.user(filling.words(WORDS_APPENDED))] * filling.EACH)
        hours = (datetime.now(UTC) - STALE).total_seconds() / 3600 - 1
        taken.append(seconds(partial(db.store.cleanup_stale, hours, batch_size=BATCH)))
    return {f"cleanup_stale, {work.stale:,} sessions": {"ours, ms": taken}}


PARTS: Mapping[str, Callable[[Databases, Workload], Curves]] = {
    "reading": reading,
    "writing": writing,
    "crowds": crowds,
    "walking": walking,
    "cleaning": cleaning,
}


if __name__ == "__main__":
    main()
