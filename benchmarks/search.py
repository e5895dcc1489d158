"""What searching costs on real text, beside hand-written SQL on the same index: ``python -m benchmarks.search``.

Conversations are imported into a SQLite file and into a PostgreSQL server that is started for it. What is compared is
measured in one run, in another order each round; medians are printed, as Markdown. The floor is the fastest of several
hand-written plans on the raw driver, each of which makes the same rows and must find the same sessions.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from benchmarks.measuring import POSTGRESQL_VERSION, Row, compared, ms, seconds, table
from benchmarks.plans import INDEX, MESSAGES, PAGE, PLANS, Case, postgresql_database, sqlite_file, word
from session_store import ChatMessage, SessionQuery, SessionStore
from session_store.search import index as search_index
from session_store.transfer import import_jsonl
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from benchmarks.plans import Database

ROOT = Path(__file__).resolve().parent.parent
CORPORA = Path(os.environ.get("SESSION_STORE_TEST_CORPORA", ROOT.parent / "shared" / "corpus"))
SECS_FOR_A_SEARCH = 4.0
HOPELESS = 8
"""A plan that takes so many times as long as the fastest when it is tried twice is not tried again."""
APPENDS = 2_000
SESSIONS_APPENDED_TO = 50
APPENDED_CHARACTERS = 740
"""Messages are joined until they have so many, which makes some 800 on average."""
IN_HALF = "everysecond"
TO_HALF = f"content || CASE length(content) % 2 WHEN 0 THEN ' {IN_HALF}' ELSE '' END"

RARE = [word(text, is_rare=True) for text in ("goldenseal", "segfaulting", "turmeric", "xinerama")]
FREQUENT = [word(text) for text in ("latte", "any", "ubuntu", "the")]
OPERATORS = [
    Case('"sudo apt get"', '"sudo apt get"', "sudo <-> apt <-> get"),
    Case("segf*", '"segf" *', "segf:*", is_rare=True),
    Case("grub -windows", '"grub" NOT "windows"', "grub & !windows"),
    Case("segfaulting OR turmeric", '"segfaulting" OR "turmeric"', "segfaulting | turmeric", is_rare=True),
]
CHINESE = {"common": "\u9152\u5e97", "rare": "\u56db\u5ddd"}


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=Path, default=CORPORA, help="a folder of *.jsonl.gz")
    parser.add_argument("--rounds", type=int, default=25, help="how often each search is made, if it is quick")
    parser.add_argument("--dir", type=Path, help="where the databases are made, on a real disk")
    parser.add_argument("--on", choices=("sqlite", "postgresql"), help="only one of them")
    options = parser.parse_args()
    files = sorted(options.corpora.glob("*.jsonl.gz"))
    if not files:
        sys.exit(f"no *.jsonl.gz in {options.corpora}: name a folder by --corpora or SESSION_STORE_TEST_CORPORA")
    started = time.perf_counter()
    random.seed(4)
    print(f"SQLite {sqlite3.sqlite_version}, PostgreSQL {POSTGRESQL_VERSION}, psycopg {psycopg.__version__}.")
    print(f'"{IN_HALF}" is put behind every message of an even length, in copies of the databases.')
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="session_store-") as directory:
        texts = texts_to_append(files)
        if options.on != "postgresql":
            on_sqlite(files, Path(directory), options.rounds, texts)
        if options.on == "sqlite":
            return
        on_postgresql(files, Path(directory), options.rounds, texts)
    print(f"\nAll this took {time.perf_counter() - started:.0f} seconds.")


def on_sqlite(files: list[Path], directory: Path, rounds: int, texts: list[str]) -> None:
    """Measure SQLite."""
    plain, indexed, half = (directory / f"{name}.db" for name in ("plain", "indexed", "half"))
    with SessionStore.open(indexed) as store:
        kept = seconds(lambda: import_jsonl(store, files))
    with SessionStore.open(plain) as store:
        search_index.drop(store.engine)
        imported = seconds(lambda: import_jsonl(store, files))
    for copy in (indexed, half):
        shutil.copyfile(plain, copy)
    with closing(sqlite3.connect(half, isolation_level=None)) as raw:
        raw.execute(f"UPDATE session_store_messages SET content = {TO_HALF}")
    created = seconds(lambda: search_index.create(indexed))
    search_index.create(half)
    with sqlite_file(indexed) as database, sqlite_file(half) as in_half:
        searches(database, in_half, rounds)
        messages = database.number(f"SELECT count(*) FROM {MESSAGES}")
    whole, index = plain.stat().st_size, indexed.stat().st_size - plain.stat().st_size
    table(
        f"SQLite: an index of {messages:,} messages",
        ("", "without", "with"),
        [
            ("import, s", f"{imported:.1f}", f"{kept:.1f}, the index suspended and made anew"),
            ("create, s", "", f"{created:.1f}"),
            ("bytes on disk for each message", f"{whole / messages:.0f}", f"{(whole + index) / messages:.0f}"),
        ],
    )
    with SessionStore(plain) as without, SessionStore(indexed) as with_it:
        appends("SQLite, synchronous=FULL", without, with_it, texts)


def on_postgresql(files: list[Path], place: Path, rounds: int, texts: list[str]) -> None:
    """Measure PostgreSQL, on a server of our own."""
    with ExitStack() as stack:
        server = stack.enter_context(servers.start_postgresql(POSTGRESQL_VERSION, place))
        plain = stack.enter_context(server.clone(server.template_dbname))
        with SessionStore.open(plain) as store:
            search_index.drop(store.engine)
            imported = seconds(lambda: import_jsonl(store, files))
        indexed, half = (stack.enter_context(server.clone(str(plain.database))) for _ in range(2))
        with postgresql_database(half) as database:
            # Every row is written anew, in its place.
            database.raw.execute(f"ALTER TABLE session_store_messages ALTER content TYPE text USING {TO_HALF}")
        concurrently = seconds(lambda: search_index.create(indexed, concurrently=True))
        search_index.drop(indexed)
        created = seconds(lambda: search_index.create(indexed))
        search_index.create(half)
        for url in (plain, indexed, half):
            with postgresql_database(url) as database:
                database.raw.execute("VACUUM ANALYZE")
        with postgresql_database(indexed) as database, postgresql_database(half) as in_half:
            searches(database, in_half, rounds)
            messages = database.number(f"SELECT count(*) FROM {MESSAGES}")
            index = database.number("SELECT pg_relation_size(to_regclass(%s))", INDEX)
            whole = database.number("SELECT pg_total_relation_size('session_store_messages')") - index
        table(
            f"PostgreSQL: an index of {messages:,} messages",
            ("", "without", "with"),
            [
                ("import, s", f"{imported:.1f}", f"{imported + created:.1f} made afterwards"),
                ("create, s", "", f"{created:.1f}; concurrently {concurrently:.1f}"),
                ("bytes on disk for each message", f"{whole / messages:.0f}", f"{(whole + index) / messages:.0f}"),
            ],
        )
        with (
            SessionStore(plain) as without,
            SessionStore(indexed) as with_it,
            postgresql_database(server.url) as database,
        ):
            written = partial(database.number, "SELECT pg_current_wal_insert_lsn() - '0/0'")
            appends("PostgreSQL, fsync=off, full_page_writes=off", without, with_it, texts, written)
            database.raw.execute("ALTER SYSTEM RESET ALL")
            database.raw.execute("SELECT pg_reload_conf()")
            database.raw.execute("CHECKPOINT")
            appends("PostgreSQL by its defaults: fsync=on, full_page_writes=on", without, with_it, texts, written)


def searches(database: Database, in_half: Database, rounds: int) -> None:
    """Measure and print searches of every kind, in two databases of one kind."""
    with SessionStore(database.url) as store, SessionStore(in_half.url) as store_in_half:
        beside_plans(f"rare words, newest {PAGE}: at most 3 x", database, store, RARE, rounds)
        half = word(IN_HALF)
        beside_plans(
            f"a word in half of all messages, newest {PAGE}: at most 2 x", in_half, store_in_half, [half], rounds
        )
        beside_plans(f"frequent words, newest {PAGE}", database, store, FREQUENT, rounds)
        beside_plans(f"operators, newest {PAGE}", database, store, OPERATORS, rounds)
        chinese(database, store, rounds)
        hits(database, store, rounds)


def beside_plans(title: str, database: Database, store: SessionStore, cases: Iterable[Case], rounds: int) -> None:
    """Measure and print searches beside the same by hand."""
    lines = []
    for case in cases:
        query = SessionQuery(keyword=case.keyword, limit=PAGE)
        keys = [session.key for session in store.search(query)]
        plans = database.plans(case)
        once = {name: min(seconds(partial(check, plan, keys)) for _ in range(2)) for name, plan in plans.items()}
        hopeful = {name: plan for name, plan in plans.items() if once[name] < HOPELESS * min(once.values())}
        with store.engine.connect() as db:
            joined = store.joined_to(db)
            calls: dict[str, Callable[[], object]] = {
                "ours": partial(store.search, query),
                "joined": partial(joined.search, query),
                **hopeful,
            }
            taken = once | medians(rounds, calls)
        fastest = min(hopeful, key=lambda name: taken[name])
        found = (f"{database.matches(case):,}", len(keys))
        by_hand = f"{ms(taken[fastest])} ({fastest})"
        ratio = f"{taken['ours'] / taken[fastest]:.1f}"
        others = "; ".join(f"{name} {ms(taken[name])}" for name in plans if name != fastest)
        lines.append((f"`{case.keyword}`", *found, ms(taken["ours"]), ms(taken["joined"]), by_hand, ratio, others))
    header = ("search", "messages", "sessions", "ours, ms", "joined, ms", "by hand, ms", "ratio", "other plans, ms")
    table(f"{database.name}: {title}", header, lines)


def chinese(database: Database, store: SessionStore, rounds: int) -> None:
    """Measure and print searches for two characters by LIKE."""
    lines = []
    like = PLANS["walk"].replace("{tested}", "m.content LIKE {has}")
    for name, text in CHINESE.items():
        for limit in (PAGE, None):
            sql = like.replace("{has}", "?" if database.name == "SQLite" else "%s")
            by_hand = partial(database.sessions, sql, limit, f"%{text}%")
            ours = partial(store.search, SessionQuery(keyword=text, limit=limit))
            keys = [session.key for session in ours()]
            check(by_hand, keys)
            taken = medians(rounds, {"ours": ours, "by hand": by_hand})
            ratio = f"{taken['ours'] / taken['by hand']:.1f}"
            lines.append((f"{text}, {name}", limit or "all", len(keys), *map(ms, taken.values()), ratio))
    table(
        f"{database.name}: two Chinese characters, by LIKE",
        ("search", "newest", "sessions", "ours, ms", "by hand, ms", "ratio"),
        lines,
    )


def hits(database: Database, store: SessionStore, rounds: int) -> None:
    """Measure and print searches for messages."""
    lines = []
    for case in (*RARE[1:3], *FREQUENT):
        orders = ("recency", "relevance")
        taken = medians(rounds, {order: partial(store.search_messages, case.keyword, order=order) for order in orders})
        lines.append((f"`{case.keyword}`", f"{database.matches(case):,}", *map(ms, taken.values())))
    table(
        f"{database.name}: search_messages, 20 of them",
        ("search", "messages", "by recency, ms", "by relevance, ms"),
        lines,
    )


def appends(
    title: str,
    without: SessionStore,
    with_it: SessionStore,
    texts: list[str],
    written: Callable[[], int] = lambda: 0,
) -> None:
    """Measure and print appends with the index and without, to databases that are otherwise the same."""
    stores = {"without": without, "with": with_it}
    taken: dict[str, list[float]] = {name: [] for name in stores}
    logged = dict.fromkeys(stores, 0)
    for number, text in enumerate(texts):
        for name in random.sample(list(stores), len(stores)):
            append = partial(stores[name].append, f"appended_{number % SESSIONS_APPENDED_TO}", ChatMessage.user(text))
            before = written()
            taken[name].append(seconds(append))
            logged[name] += written() - before

    def line(what: str, of: Callable[[list[float]], float]) -> Row:
        one, other = (of(taken[name]) for name in stores)
        return what, ms(one), ms(other), f"{other / one:.2f}"

    lines = [
        line("median, ms", statistics.median),
        line("mean, ms", statistics.fmean),
        line("99 of 100 within, ms", lambda times: statistics.quantiles(times, n=100)[-1]),
    ]
    if logged["without"]:
        one, other = (logged[name] / len(texts) for name in stores)
        lines.append(("bytes of WAL", f"{one:.0f}", f"{other:.0f}", f"{other / one:.2f}"))
    mean = statistics.fmean(map(len, texts))
    table(f"{title}: {len(texts):,} appends of {mean:.0f} characters", ("", "without", "with", "ratio"), lines)


def texts_to_append(files: list[Path]) -> list[str]:
    """Return texts of the usual length, made of messages at random places of the files."""
    contents: list[str] = []
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            contents += [json.loads(line)["content"] for line in lines]
    texts: list[str] = []
    while len(texts) < APPENDS:
        at = random.randrange(len(contents))
        text = ""
        while len(text) < APPENDED_CHARACTERS:
            text += contents[at % len(contents)] + "\n"
            at += 1
        texts.append(text)
    return texts


def check(by_hand: Callable[[], list[Row]], keys: list[str]) -> None:
    """Refuse to go on where what is written by hand finds other sessions than the store."""
    found = [row[0] for row in by_hand()]
    if found != keys:
        sys.exit(f"by hand {len(found)} sessions are found, by the store {len(keys)}, and not the same: {by_hand}")


def medians(rounds: int, calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return how many seconds each call takes."""
    timings = compared(calls, rounds=rounds, secs=SECS_FOR_A_SEARCH)
    return {name: timing.wall for name, timing in timings.items()}


if __name__ == "__main__":
    main()
