"""What others in the database cost an append, and what it leaves behind: ``python -m benchmarks.neighbours``.

A transaction that holds a snapshot, autovacuum, SQLite's write-ahead log, and a cleanup beside a writer. SQLite is a
file, PostgreSQL a server that is started for it. What is compared is measured in turn, in one run, against databases
that are otherwise the same; medians are printed, as Markdown.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing, contextmanager
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import cleanup
from benchmarks.databases import connected
from benchmarks.measuring import MEAN_CHARACTERS, POSTGRESQL_VERSION, Row, Texts, ms, seconds, table
from session_store import ChatMessage, SessionStore
from session_store.testing import Clock
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import psycopg
    from sqlalchemy import URL

HEADS = "session_store_sessions"
MESSAGES = "session_store_messages"
HOT = "hot"

TEXTS = Texts(5)
APPENDS = 20_000
STEPS = 20
APPENDS_A_SECOND = 20
"""By the clock of the stores, however fast they go: it moves the heads in the indexes, once a minute."""
MOST_TO_SHRINK = 1_000

HOUR = 3_600
FAST_HOUR = 120
SESSIONS = 200
HOTTEST = 10
"""The first of the sessions get half of all appends."""
LOOKS = 12

STALE = 100_000
ALONE_SECS = 10.0


class Workload(NamedTuple):
    """How much is done: all of it, or a tenth."""

    appends: int
    appends_in_hour: int
    stale: int
    alone_secs: float


def main() -> None:
    """Measure everything and print it."""
    parts: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
        "snapshot": (snapshot_on_sqlite, snapshot_on_postgresql),
        "autovacuum": (lambda *_: None, autovacuum),
        "cleanup": (
            lambda directory, work: cleanup.on_sqlite(directory, work.stale, work.alone_secs),
            lambda server, work: cleanup.on_postgresql(server, work.stale, work.alone_secs),
        ),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, help="where the databases are made, on a real disk")
    parser.add_argument("--on", choices=("sqlite", "postgresql"), help="only one of them")
    parser.add_argument("--part", choices=parts, action="append", help="only this; may be given again")
    parser.add_argument("--fsync", action="store_true", help="let PostgreSQL wait for the disk, as it does by default")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    options = parser.parse_args()
    part = 10 if options.quick else 1
    work = Workload(APPENDS // part, HOUR * APPENDS_A_SECOND // part, STALE // part, ALONE_SECS / part)
    started = time.perf_counter()
    random.seed(5)
    waits = "on" if options.fsync else "off"
    print(f"SQLite {sqlite3.sqlite_version}, synchronous=FULL; PostgreSQL {POSTGRESQL_VERSION}, fsync={waits}.")
    print(f"Load of the machine before: {os.getloadavg()[0]:.1f}, on {os.cpu_count()} processors.")
    chosen = [parts[name] for name in options.part or parts]
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="session_store-") as directory:
        if options.on != "postgresql":
            for on_sqlite, _ in chosen:
                on_sqlite(Path(directory), work)
        if options.on != "sqlite":
            with servers.start_postgresql(POSTGRESQL_VERSION, Path(directory)) as server:
                if options.fsync:
                    changed(server.url, "RESET ALL")
                for _, on_postgresql in chosen:
                    on_postgresql(server, work)
    print(f"\nAll this took {time.perf_counter() - started:.0f} seconds.")


# A snapshot, held.


def snapshot_on_sqlite(directory: Path, work: Workload) -> None:
    """Measure and print appends while a reader sits on a snapshot, and what becomes of the log when it has gone."""
    alone, held = (directory / f"{name}.db" for name in ("alone", "held"))
    with two_stores(str(alone), str(held)) as (clocks, stores), closing(sqlite3.connect(held)) as reader:
        reader.execute("BEGIN")
        reader.execute(f"SELECT count(*) FROM {HEADS}").fetchall()
        before = wal(held)
        print_curve("SQLite", appended(clocks, stores, work.appends))
        during = wal(held)
        lines = [
            ("without a snapshot, after as many appends", mb(wal(alone))),
            ("when the snapshot was taken", mb(before)),
            (f"after {work.appends:,} appends beside it", mb(during)),
            ("for each append, bytes", f"{(during - before) / work.appends:,.0f}"),
        ]
        reader.rollback()
        size = during
        for number in range(1, MOST_TO_SHRINK + 1):
            taken = seconds(partial(stores["held"].append, HOT, ChatMessage.user(TEXTS.text(MEAN_CHARACTERS))))
            if number == 1 or wal(held) != size:
                size = wal(held)
                lines.append((f"after append {number} since it has gone, which took {ms(taken)} ms", mb(size)))
        lines.append((f"after append {MOST_TO_SHRINK:,}", mb(size)))
    lines.append(("when the store was closed", mb(wal(held))))
    table("SQLite: the write-ahead log while a reader sits on a snapshot", ("", "MB"), lines)


def snapshot_on_postgresql(server: servers.Server, work: Workload) -> None:
    """Measure and print the same on PostgreSQL, and what becomes of the head's versions."""
    with server.clone(server.template_dbname) as alone, server.clone(server.template_dbname) as held:
        with two_stores(alone, held) as (clocks, stores), connected(held) as reader:
            reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            reader.execute(f"SELECT count(*) FROM {HEADS}")
            print_curve("PostgreSQL", appended(clocks, stores, work.appends))
            reader.execute("ROLLBACK")
        with connected(alone) as db, connected(held) as other:
            lines = [(name, *map(str, pair)) for name, *pair in zip(*versions(db), *versions(other)[1:], strict=True)]
        table(f"PostgreSQL: one head after {work.appends:,} updates", ("", "no snapshot", "snapshot held"), lines)


def versions(db: psycopg.Connection[Any]) -> tuple[list[str], list[object]]:
    """Return what there is to say of the updates of the heads, and their values."""
    updated, heap_only = one(db, f"SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = '{HEADS}'")
    pages = db.execute(
        """
        SELECT relname, pg_relation_size(oid) / 8192 FROM pg_class WHERE oid = to_regclass(%s)
        UNION ALL
        SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) / 8192
        FROM pg_index WHERE indrelid = to_regclass(%s)
        """,
        [HEADS, HEADS],
    ).fetchall()
    names = ["updates, heap-only"] + [f"pages of {name}" for name, _ in pages]
    return names, [f"{updated:,}, {heap_only / updated:.1%}", *(number for _, number in pages)]


@contextmanager
def two_stores(alone: URL | str, held: URL | str) -> Iterator[tuple[list[Clock], dict[str, SessionStore]]]:
    """Open a store on each of two new databases, with one session."""
    clocks = [Clock(), Clock()]
    with SessionStore.open(alone, clock=clocks[0]) as one, SessionStore.open(held, clock=clocks[1]) as other:
        stores = {"alone": one, "held": other}
        for store in stores.values():
            store.append(HOT, ChatMessage.user("first"))
        yield clocks, stores


def appended(clocks: Sequence[Clock], stores: dict[str, SessionStore], number: int) -> dict[str, list[float]]:
    """Append to one session of each store, in turn, and return how long each append took."""
    taken: dict[str, list[float]] = {name: [] for name in stores}
    for _ in range(number):
        message = ChatMessage.user(TEXTS.text(MEAN_CHARACTERS))
        for clock in clocks:
            clock.advance(1 / APPENDS_A_SECOND)
        for name in random.sample(list(stores), len(stores)):
            taken[name].append(seconds(partial(stores[name].append, HOT, message)))
    for store in stores.values():
        flush(store)
    return taken


def print_curve(title: str, taken: dict[str, list[float]]) -> None:
    """Print medians of each twentieth of the appends, and the last in terms of the first."""
    step = len(taken["alone"]) // STEPS
    curve = {
        name: [statistics.median(times[start : start + step]) for start in range(0, step * STEPS, step)]
        for name, times in taken.items()
    }
    lines: list[Row] = [
        (f"{(number + 1) * step:,}", ms(alone), ms(held), f"{held / alone:.2f}")
        for number, (alone, held) in enumerate(zip(curve["alone"], curve["held"], strict=True))
    ]
    last = [f"{times[-1] / times[0]:.2f}" for times in (curve["alone"], curve["held"])]
    lines.append(("last / first: at most 4", *last, ""))
    header = ("up to append", "no snapshot, ms", "snapshot held, ms", "ratio")
    table(f"{title}: appends to one session, {APPENDS_A_SECOND} a second by its clock", header, lines)


def wal(path: Path) -> int:
    """Return the size of a file's write-ahead log."""
    log = Path(f"{path}-wal")
    return log.stat().st_size if log.exists() else 0


# Autovacuum.


def autovacuum(server: servers.Server, work: Workload) -> None:
    """Measure and print what an hour of appends makes of the heads, with autovacuum as much faster as the hour is.

    What cannot be made faster is how long one run takes. While the messages are analyzed, for which the words of a
    sample are found anew, no version of a head can go: in a fast hour that is many times what it is in a real one. So
    it is measured with it, as on a server with so many appends a second, and without.
    """
    naptime = max(1, round(60 * FAST_HOUR / HOUR))
    changed(server.url, f"SET autovacuum_naptime = {naptime}")
    for name, statement in (
        ("", "SELECT 1"),
        (", messages left out", f"ALTER TABLE {MESSAGES} SET (autovacuum_enabled = off)"),
    ):
        with server.clone(server.template_dbname) as url:
            lines, secs, analyzing = fast_hour(url, statement, work)
        rate = work.appends_in_hour / secs
        table(
            f"PostgreSQL, autovacuum{name}: heads of {SESSIONS} sessions, {work.appends_in_hour:,} appends, by their"
            f" clock {APPENDS_A_SECOND} a second, made at {rate:,.0f}; autovacuum_naptime {naptime} s instead of 60",
            (
                "appends",
                "heads, pages",
                "live",
                "ratio, at most 3",
                "indexes, pages",
                "live",
                "ratio",
                "dead rows",
                "heap-only",
                "vacuums",
                "messages analyzed",
            ),
            lines,
        )
        print(
            f"\nTo analyze the messages takes {analyzing:.2f} s:"
            f" {analyzing * APPENDS_A_SECOND:,.0f} appends in a real hour, {analyzing * rate:,.0f} in this one."
        )
    changed(server.url, "RESET autovacuum_naptime")


def fast_hour(url: URL, statement: str, work: Workload) -> tuple[list[Row], float, float]:
    """Append to hot and to other sessions, and return the states of the heads and how long it all took."""
    keys = [f"session_{number}" for number in range(SESSIONS)]
    weights = [SESSIONS - HOTTEST if number < HOTTEST else HOTTEST for number in range(SESSIONS)]
    cumulative = list(accumulate(weights))
    total = work.appends_in_hour
    clock = Clock()
    with SessionStore.open(url, clock=clock) as store, connected(url) as db:
        db.execute(statement)
        for key in keys:
            store.set_session_owner(key, "ann")
        lines = [state_of_heads(db, 0)]
        start = time.perf_counter()
        for number in range(1, total + 1):
            clock.advance(1 / APPENDS_A_SECOND)
            (key,) = random.choices(keys, cum_weights=cumulative)
            store.append(key, ChatMessage.user(TEXTS.text(MEAN_CHARACTERS)))
            if number % (total // LOOKS) == 0:
                flush(store)
                lines.append(state_of_heads(db, number))
            time.sleep(max(0, start + number / APPENDS_A_SECOND * FAST_HOUR / HOUR - time.perf_counter()))
        secs = time.perf_counter() - start
        return lines, secs, seconds(partial(db.execute, f"ANALYZE {MESSAGES}"))


def state_of_heads(db: psycopg.Connection[Any], appends: int) -> Row:
    """Return sizes of the heads beside those of a fresh copy, and what the statistics say."""
    db.execute("BEGIN")
    db.execute(f"CREATE TABLE live (LIKE {HEADS} INCLUDING ALL) WITH (fillfactor = 90)")
    db.execute(f"INSERT INTO live SELECT * FROM {HEADS}")
    sizes = [
        one(db, f"SELECT {of}('{name}') / 8192")[0]
        for of in ("pg_relation_size", "pg_indexes_size")
        for name in (HEADS, "live")
    ]
    db.execute("ROLLBACK")
    query = """
        SELECT h.n_dead_tup, h.n_tup_upd, h.n_tup_hot_upd, h.autovacuum_count, m.autoanalyze_count
        FROM pg_stat_user_tables AS h CROSS JOIN pg_stat_user_tables AS m WHERE h.relname = %s AND m.relname = %s
    """
    dead, updated, heap_only, vacuums, analyzed = one(db, query, HEADS, MESSAGES)
    heads, live, indexes, live_indexes = sizes
    ratios = (f"{heads / live:.1f}", f"{indexes / live_indexes:.1f}")
    share = f"{heap_only / updated:.1%}" if updated else ""
    return f"{appends:,}", heads, live, ratios[0], indexes, live_indexes, ratios[1], dead, share, vacuums, analyzed


# What all of them need.


def one(db: psycopg.Connection[Any], sql: str, *values: object) -> Row:
    """Return the one row there is."""
    (row,) = db.execute(sql, values).fetchall()
    return tuple(row)


def changed(url: URL, setting: str) -> None:
    """Change a setting of the server."""
    with connected(url) as db:
        db.execute(f"ALTER SYSTEM {setting}")
        db.execute("SELECT pg_reload_conf()")


def flush(store: SessionStore) -> None:
    """Let the server count what the store's connection did."""
    if store.engine.dialect.name == "postgresql":
        with store.engine.connect() as db:
            db.exec_driver_sql("SELECT pg_stat_force_next_flush()")


def mb(size: int) -> str:
    """Write a number of bytes."""
    return f"{size / 1e6:.1f}"


if __name__ == "__main__":
    main()
