"""What searching costs on real text, beside hand-written SQL on the same index: ``python benchmarks/search.py``.

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
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from session_store import ChatMessage, SessionQuery, SessionStore, search_index
from session_store.jsonl import import_jsonl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import servers  # noqa: E402 - it is beside the package, not in it

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sqlalchemy import URL

CORPORA = Path(os.environ.get("SESSION_STORE_TEST_CORPORA", ROOT.parent / "shared" / "corpus"))
POSTGRESQL_VERSION = 18
INDEX = "session_store_messages_search"
PAGE = 50
LEAST_ROUNDS = 5
SECS_FOR_A_SEARCH = 4.0
HOPELESS = 8
"""A plan that takes so many times as long as the fastest when it is tried twice is not tried again."""
APPENDS = 2_000
SESSIONS_APPENDED_TO = 50
APPENDED_CHARACTERS = 740
"""Messages are joined until they have so many, which makes some 800 on average."""
IN_HALF = "everysecond"
TO_HALF = f"content || CASE length(content) % 2 WHEN 0 THEN ' {IN_HALF}' ELSE '' END"

HEADS = """
    SELECT key, name, owner, attributes, created_at, last_activity, message_count, last_seq, state, turn_id,
           state_entered_at
    FROM session_store_sessions AS s
"""
MESSAGES = "session_store_messages AS m"
NEWEST = "ORDER BY active_minute DESC, last_activity DESC, key DESC"
PLANS = {
    "in": f"{HEADS} WHERE key IN (SELECT session_key FROM {MESSAGES} WHERE {{listed}}) {NEWEST}",
    "group": f"{HEADS} JOIN (SELECT session_key FROM {MESSAGES} WHERE {{listed}} GROUP BY session_key) AS f"
    f" ON f.session_key = s.key {NEWEST}",
    "walk": f"{HEADS} WHERE EXISTS (SELECT 1 FROM {MESSAGES} WHERE m.session_key = s.key AND {{tested}}) {NEWEST}",
    "sieved walk": f"{HEADS} WHERE EXISTS"
    f" (SELECT 1 FROM {MESSAGES} WHERE m.session_key = s.key AND {{has}} AND {{tested}}) {NEWEST}",
}

Row = tuple[Any, ...]


class Case(NamedTuple):
    """A search, and how it is written by hand."""

    keyword: str
    fts5: str
    tsquery: str
    is_rare: bool = False
    """Nobody would walk for it, and it would take long to try."""


def word(text: str, *, is_rare: bool = False) -> Case:
    """Make a search for one word."""
    return Case(text, f'"{text}"', text, is_rare)


RARE = [word(text, is_rare=True) for text in ("goldenseal", "segfaulting", "turmeric", "xinerama")]
FREQUENT = [word(text) for text in ("latte", "any", "ubuntu", "the")]
OPERATORS = [
    Case('"sudo apt get"', '"sudo apt get"', "sudo <-> apt <-> get"),
    Case("segf*", '"segf" *', "segf:*", is_rare=True),
    Case("grub -windows", '"grub" NOT "windows"', "grub & !windows"),
    Case("segfaulting OR turmeric", '"segfaulting" OR "turmeric"', "segfaulting | turmeric", is_rare=True),
]
CHINESE = {"common": "\u9152\u5e97", "rare": "\u56db\u5ddd"}


@dataclass
class Database:
    """A database as one has it who writes SQL by hand, on the driver alone."""

    name: str
    url: str
    raw: Any
    listed: str
    tested: str
    has: str
    decoded: Callable[[Row], Row]

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Return what the driver returns."""
        found: list[Row] = self.raw.execute(sql, values).fetchall()
        return found

    def number(self, sql: str, *values: Any) -> int:
        """Return the one value there is."""
        return int(self.rows(sql, *values)[0][0])

    def matches(self, case: Case) -> int:
        """Count the messages found."""
        return self.number(f"SELECT count(*) FROM {MESSAGES} WHERE {self.listed}", self.words(case))

    def words(self, case: Case) -> str:
        """Return the search in the language of the index."""
        return case.fts5 if self.name == "SQLite" else case.tsquery

    def plans(self, case: Case) -> dict[str, Callable[[], list[Row]]]:
        """Return the search by hand, by the name of the plan."""
        names = ["in", "group"]
        if not case.is_rare:
            names += ["walk", "sieved walk"] if case.keyword.isalpha() else ["walk"]
        values = {"sieved walk": (case.keyword, self.words(case))}
        return {
            name: partial(self.sessions, PLANS[name], PAGE, *values.get(name, (self.words(case),))) for name in names
        }

    def sessions(self, sql: str, limit: int | None, *values: Any) -> list[Row]:
        """Return sessions with all that the store returns of them."""
        sql = sql.format(listed=self.listed, tested=self.tested, has=self.has)
        return list(map(self.decoded, self.rows(sql if limit is None else f"{sql} LIMIT {limit}", *values)))


@contextmanager
def sqlite_file(path: Path) -> Iterator[Database]:
    """Open a file with sqlite3."""

    def decoded(row: Row) -> Row:
        key, name, owner, attributes, created_at, last_activity, *rest, entered_at = row
        times = (datetime.fromisoformat(created_at), datetime.fromisoformat(last_activity))
        entered_at = None if entered_at is None else datetime.fromisoformat(entered_at)
        return (key, name, owner, json.loads(attributes), *times, *rest, entered_at)

    matching = f"SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH ?"
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        yield Database(
            name="SQLite",
            url=f"sqlite:///{path}",
            raw=raw,
            listed=f"m.id IN ({matching})",
            tested=f"EXISTS ({matching} AND rowid = m.id)",
            has="instr(lower(m.content), ?)",
            decoded=decoded,
        )


@contextmanager
def postgresql_database(url: URL) -> Iterator[Database]:
    """Connect with psycopg."""
    text = url.render_as_string(hide_password=False)
    with psycopg.connect(text, autocommit=True) as raw:
        row = raw.execute("SELECT pg_get_indexdef(to_regclass(%s)::oid, 1, true)", [INDEX]).fetchone()
        expression = str(row and row[0]).replace("%", "%%")
        matching = f"{expression} @@ to_tsquery('simple', %s)"
        yield Database(
            name="PostgreSQL",
            url=text,
            raw=raw,
            listed=matching,
            tested=matching,
            has='strpos(lower(m.content COLLATE "C"), %s) > 0',
            decoded=tuple,  # psycopg decodes
        )


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
        compared(f"rare words, newest {PAGE}: at most 3 x", database, store, RARE, rounds)
        half = word(IN_HALF)
        compared(f"a word in half of all messages, newest {PAGE}: at most 2 x", in_half, store_in_half, [half], rounds)
        compared(f"frequent words, newest {PAGE}", database, store, FREQUENT, rounds)
        compared(f"operators, newest {PAGE}", database, store, OPERATORS, rounds)
        chinese(database, store, rounds)
        hits(database, store, rounds)


def compared(title: str, database: Database, store: SessionStore, cases: Iterable[Case], rounds: int) -> None:
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
    """Return how many seconds each call takes, all of them made in turn; fewer rounds where they take long."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + SECS_FOR_A_SEARCH
    for done in range(rounds):
        if done >= LEAST_ROUNDS and time.perf_counter() > end:
            break
        for name in random.sample(list(calls), len(calls)):
            taken[name].append(seconds(calls[name]))
    return {name: statistics.median(times) for name, times in taken.items()}


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def ms(secs: float) -> str:
    """Write seconds as milliseconds."""
    return f"{secs * 1000:.3g}"


def table(title: str, header: Row, lines: Iterable[Row]) -> None:
    """Print a Markdown table."""
    print(f"\n### {title}\n")
    for line in (header, ["---"] * len(header), *lines):
        print("|", " | ".join(map(str, line)), "|")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
