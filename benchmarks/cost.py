"""What a message and a change of state take in bytes, on disk and in the log: ``python -m benchmarks.cost``.

Each message is appended in a transaction of its own, to 200 sessions in turn. On disk is what the database has grown
by, indexes included: on SQLite without free pages, on PostgreSQL after VACUUM. In the log is what was written to the
write-ahead log meanwhile: on SQLite by how much the ``-wal`` file grew, which a reader that stays keeps from being
begun anew; on PostgreSQL the distance of two positions, with ``full_page_writes`` on. That is the steady state: no
checkpoint falls within. Directly after one PostgreSQL logs each page whole that is changed for the first time, so what
one message takes then is measured as well.

No figure depends on how fast the disk is, so everything is kept in memory where there is some.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache, partial
from itertools import count, cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from benchmarks import databases, stores
from benchmarks.contestants import Contestant
from benchmarks.databases import psycopg_url
from benchmarks.measuring import Texts, keep, markdown, result_of, versions
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import URL

    from benchmarks.databases import Databases
    from session_store import ChatMessage

KINDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
AFTER_CHECKPOINTS = 10
"""How often a single message is appended after a checkpoint."""
CALLS_UNTIL_PREPARED = 12
"""psycopg prepares a statement when it comes for the sixth time."""
TABLES_BY_HAND = (
    """
    CREATE TABLE messages (
        session_key TEXT, seq INTEGER, role TEXT, content TEXT, payload TEXT, created_at TIMESTAMPTZ,
        PRIMARY KEY (session_key, seq)
    )
    """,
    """
    CREATE TABLE states (
        session_key TEXT, seq INTEGER, state TEXT, turn_id TEXT, entered_at TIMESTAMPTZ,
        PRIMARY KEY (session_key, seq)
    )
    """,
)
"""The least that keeps the same: no sessions, hence no counts and no list of them."""


class Sizes(NamedTuple):
    """How much is written."""

    sessions: int = 200
    messages: int = 20_000
    changes: int = 4_000


SMOKE = Sizes(sessions=5, messages=50, changes=20)


class Way(NamedTuple):
    """A way of keeping conversations."""

    name: str
    url: URL
    """Of a database of its own."""
    opened: Callable[[URL], AbstractContextManager[Contestant]]


class Meter(NamedTuple):
    """What can be read of a database, in bytes."""

    disk: Callable[[], int]
    log: Callable[[], int]
    checkpoint: Callable[[], object] | None


@dataclass(frozen=True)
class Cost:
    """What one write takes, in bytes."""

    database: str
    written: str
    way: str
    disk: float
    log: float
    log_after_checkpoint: float | None
    """None where a checkpoint makes no difference."""


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", action="store_true", help="other libraries too, those of peers/requirements.txt")
    parser.add_argument("--smoke", action="store_true", help="everything, with little in it; no figures are kept")
    parser.add_argument("--on", choices=KINDS, help="only this; no figures are kept")
    parser.add_argument("--dir", type=Path, help="where the databases are made, if not in memory")
    options = parser.parse_args()
    sizes = SMOKE if options.smoke else Sizes()
    costs: list[Cost] = []
    known = versions(*_packages(with_peers=options.peers))
    for kind in [options.on] if options.on else KINDS:
        with _place(kind, options.dir) as place:
            if kind == "postgresql":
                known |= versions(postgresql=_quieted(place))
            for way in _ways(place, with_peers=options.peers):
                costs += _costs(place, way, sizes)
                print(f"{place.name}: {way.name}", file=sys.stderr)
    told = _told(costs, sizes, known)
    print(told)
    if not (options.smoke or options.on):
        data = {"versions": known, "sizes": sizes._asdict(), "text": _text(), "costs": list(map(asdict, costs))}
        keep("cost", told, data)


# Where, and what is compared.


@contextmanager
def _place(kind: str, directory: Path | None) -> Iterator[Databases]:
    if kind == "postgresql":
        with databases.postgresql(directory) as place:
            yield place
    else:
        parent = directory or servers.memory()
        with (
            tempfile.TemporaryDirectory(prefix="session_store-", dir=parent) as path,
            databases.sqlite(Path(path)) as place,
        ):
            yield place


def _quieted(place: Databases) -> str:
    """Let nothing be written to the log of a server but what is measured, and return its version."""
    with psycopg.connect(psycopg_url(place.new()), autocommit=True) as db:
        db.execute("ALTER SYSTEM SET autovacuum = off")
        db.execute("ALTER SYSTEM SET checkpoint_timeout = '1d'")
        db.execute("SELECT pg_reload_conf()")
        return str(db.info.parameter_status("server_version"))


def _packages(*, with_peers: bool) -> tuple[str, ...]:
    if not with_peers:
        return ()
    from benchmarks.peers import PACKAGES  # noqa: PLC0415 - only where they are installed

    return PACKAGES


def _ways(place: Databases, *, with_peers: bool) -> Iterator[Way]:
    yield Way("rows by hand", place.new(), _by_hand)
    yield Way("SessionStore, search index off", place.with_tables(indexed=False), stores.blocking)
    yield Way("SessionStore, search index on", place.with_tables(indexed=True), stores.blocking)
    if with_peers:
        from benchmarks.peers import peers_on  # noqa: PLC0415 - only where they are installed

        url = place.new()
        for name, opened in peers_on(url).items():
            yield Way(name, url, opened)
            url = place.new()


@contextmanager
def _by_hand(url: URL) -> Iterator[Contestant]:
    with ExitStack() as stack:
        if url.get_backend_name() == "sqlite":
            db: Any = stack.enter_context(closing(sqlite3.connect(str(url.database), isolation_level=None)))
            db.execute("PRAGMA journal_mode = WAL")
            mark = "?"
        else:
            db = stack.enter_context(psycopg.connect(psycopg_url(url), autocommit=True))
            mark = "%s"
        for statement in TABLES_BY_HAND:
            db.execute(statement)
        seqs: Counter[tuple[str, str]] = Counter()

        def insert(table: str, key: str, *values: object) -> None:
            seqs[table, key] += 1
            row = (key, seqs[table, key], *values, datetime.now(UTC).isoformat())
            db.execute(f"INSERT INTO {table} VALUES ({', '.join([mark] * len(row))})", row)

        def append(key: str, message: ChatMessage) -> None:
            payload = None if message.payload is None else json.dumps(message.payload)
            insert("messages", key, message.role, message.content, payload)

        yield Contestant("rows by hand", {"append": append, "set_state": partial(insert, "states")}, lambda _: None)


# What is written, and what it takes.


def _costs(place: Databases, way: Way, sizes: Sizes) -> Iterator[Cost]:
    with way.opened(way.url) as contestant, _meter(way.url) as meter:
        for written, operation, arguments, number in (
            ("a message", "append", _appended(sizes), sizes.messages),
            ("a change of state", "set_state", _changed(sizes), sizes.changes),
        ):
            if operation in contestant.calls:
                write = partial(_write, contestant.calls[operation], arguments)
                # Then all sessions are there, and all statements prepared.
                write(max(sizes.sessions, CALLS_UNTIL_PREPARED))
                yield Cost(place.kind, written, way.name, *_measured(meter, write, number))
    if place.kind == "sqlite":
        Path(str(way.url.database)).unlink()


def _write(call: Callable[..., object], arguments: Iterator[tuple[Any, ...]], times: int) -> None:
    for _ in range(times):
        result_of(call, *next(arguments))


def _measured(meter: Meter, write: Callable[[int], None], number: int) -> tuple[float, float, float | None]:
    disk, log = meter.disk(), meter.log()
    write(number)
    # The log first: what PostgreSQL does for the disk is logged, too.
    log, disk = meter.log() - log, meter.disk() - disk
    return disk / number, log / number, _log_after_checkpoint(meter, write)


def _log_after_checkpoint(meter: Meter, write: Callable[[int], None]) -> float | None:
    if meter.checkpoint is None:
        return None
    taken = []
    for _ in range(AFTER_CHECKPOINTS):
        meter.checkpoint()
        log = meter.log()
        write(1)
        taken.append(meter.log() - log)
    return statistics.mean(taken)


@cache
def _messages() -> list[ChatMessage]:
    return Texts(7).messages(2_000)


def _appended(sizes: Sizes) -> Iterator[tuple[Any, ...]]:
    return ((f"telegram_{number % sizes.sessions}", message) for number, message in enumerate(cycle(_messages())))


def _changed(sizes: Sizes) -> Iterator[tuple[Any, ...]]:
    for number in count():
        key = f"telegram_{number % sizes.sessions}"
        yield key, "running", f"turn_{number}"
        yield key, "idle", None


def _text() -> float:
    """Return how long a message is by itself, its payload included."""
    return statistics.mean(
        len(message.content.encode()) + len(json.dumps(message.payload) if message.payload else "")
        for message in _messages()
    )


def _meter(url: URL) -> AbstractContextManager[Meter]:
    return _meter_of_file(url) if url.get_backend_name() == "sqlite" else _meter_of_server(url)


@contextmanager
def _meter_of_file(url: URL) -> Iterator[Meter]:
    path = str(url.database)
    with closing(sqlite3.connect(path, isolation_level=None)) as db, closing(sqlite3.connect(path)) as reader:
        ((is_busy, *_),) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if is_busy:
            problem = f"somebody is in a transaction on {path}"
            raise RuntimeError(problem)

        def pragma(name: str) -> int:
            return int(db.execute(f"PRAGMA {name}").fetchone()[0])

        # A page in the log: who reads while it is empty makes every commit try, in vain, to copy the whole log.
        db.execute(f"PRAGMA user_version = {pragma('user_version')}")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_schema")

        def disk() -> int:
            return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size")

        yield Meter(disk, lambda: Path(f"{path}-wal").stat().st_size, None)


@contextmanager
def _meter_of_server(url: URL) -> Iterator[Meter]:
    with psycopg.connect(psycopg_url(url), autocommit=True) as db:

        def number(query: str) -> int:
            ((value,),) = db.execute(query).fetchall()
            return int(value)

        def disk() -> int:
            db.execute("VACUUM")
            return number(
                "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace NOT IN"
                " ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
            )

        yield Meter(
            disk,
            lambda: number("SELECT pg_current_wal_insert_lsn() - '0/0'"),
            lambda: db.execute("CHECKPOINT"),
        )


# What is told.


def _told(costs: list[Cost], sizes: Sizes, known: dict[str, Any]) -> str:
    tables = [_table(kind, [cost for cost in costs if cost.database == kind], sizes) for kind in KINDS]
    by_itself = f"A message by itself has {_bytes(_text())} bytes on the average, its payload included."
    measured_with = ", ".join(f"{name} {version}" for name, version in known.items())
    return "\n".join([*filter(None, tables), by_itself, "", measured_with, ""])


def _table(kind: str, costs: list[Cost], sizes: Sizes) -> str:
    if not costs:
        return ""
    header = ("written", "by", "on disk", "in the log", "in the log, first after a checkpoint")
    width = len(header) - (costs[0].log_after_checkpoint is None)
    lines = (
        (cost.written, cost.way, *map(_bytes, (cost.disk, cost.log, cost.log_after_checkpoint)))[:width]
        for cost in sorted(costs, key=lambda cost: cost.written, reverse=True)
    )
    title = f"{KINDS[kind]}: bytes for each write, {sizes.messages:,} messages in {sizes.sessions} sessions"
    return markdown(title, header[:width], lines)


def _bytes(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"


if __name__ == "__main__":
    main()
