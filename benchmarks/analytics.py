"""What analysts wait for: every select and every view about the last 30 days of a year, and what its indexes cost.

Ten million messages on PostgreSQL and one million on SQLite, spread evenly over the year, five to a turn of an agent:
a question, an answer that calls two tools, their results, an answer. Each question is asked on a connection of its
own, as somebody does who asks once; the median of some tries is told. With ``--keep`` the databases stay, and are used
again.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import NullPool, create_engine, select

from benchmarks import filling, measuring
from benchmarks.measuring import seconds
from session_store import SessionStore, analytics
from session_store.analytics import DAILY_V1, MESSAGES_V1, TURNS_V1

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import URL, Engine, Select

YEAR = 365
UNTIL = filling.END
SINCE = UNTIL - timedelta(days=30)
TRIES = 3
ROUNDS = 100
WAYS = ("as it is", "with the indexes")
LIMIT_SECS = 2.0
ZONE = "Europe/Lisbon"
PRICES = {"small": analytics.Price(0.15, 0.6)}


class Size(NamedTuple):
    """How many sessions of ten messages."""

    sqlite: int = 100_000
    postgresql: int = 1_000_000


def questions() -> dict[str, Select[Any]]:
    """Return what is asked, about the last 30 days."""
    month: analytics.Filters = {"since": SINCE, "until": UNTIL}
    since_day = SINCE.date()
    return {
        "activity by day": analytics.activity("day", **month),
        "activity by hour, in Lisbon": analytics.activity("hour", tz=ZONE, **month),
        "activity by week": analytics.activity("week", **month),
        "activity by day, of one channel": analytics.activity("day", attributes={"channel": "slack"}, **month),
        "owners by week": analytics.owners("week", **month),
        "session lengths": analytics.session_lengths(**month),
        "response times": analytics.response_times(**month),
        "response times by day": analytics.response_times("day", **month),
        "turns": analytics.turns(**month),
        "turns by day": analytics.turns("day", **month),
        "tools": analytics.tools(**month),
        "tokens and cost": analytics.tokens(prices=PRICES, **month),
        "tokens and cost by day": analytics.tokens("day", prices=PRICES, **month),
        "busiest sessions": analytics.busiest_sessions(**month),
        "storage by day": analytics.storage("day", **month),
        "view daily": select(DAILY_V1).where(DAILY_V1.c.day >= since_day).order_by(DAILY_V1.c.day),
        "view messages: newest 100": select(MESSAGES_V1)
        .where(MESSAGES_V1.c.day >= UNTIL.date() - timedelta(days=1))
        .order_by(MESSAGES_V1.c.created_at.desc())
        .limit(100),
        "view turns: longest 100": select(TURNS_V1)
        .where(TURNS_V1.c.day >= since_day)
        .order_by(TURNS_V1.c.seconds.desc().nulls_last(), TURNS_V1.c.session_key, TURNS_V1.c.seq)
        .limit(100),
    }


def main() -> None:
    """Ask everything, print it, and keep the results of a whole run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, help="where the databases are made, on a real disk")
    parser.add_argument("--on", choices=("sqlite", "postgresql"), help="only one of them")
    parser.add_argument("--keep", action="store_true", help="leave the databases in the directory, to be used again")
    parser.add_argument("--smoke", action="store_true", help="see that it runs, on very few sessions")
    options = parser.parse_args()
    if options.keep and options.dir is None:
        parser.error("--keep needs --dir")
    size = Size(200, 200) if options.smoke else Size()
    results: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        place = options.dir
        if not options.keep:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="session_store-", dir=options.dir)))
        place.mkdir(parents=True, exist_ok=True)
        for name, database in (("SQLite", sqlite), ("PostgreSQL", postgresql)):
            if options.on in {None, name.lower()}:
                with database(place, size) as year:
                    results[name] = measured(year, tries=1 if options.smoke else TRIES)
                print(told(name, results[name]), flush=True)
    if not options.smoke and options.on is None:
        text = "\n".join(["# What analysts wait for", "", *(told(name, result) for name, result in results.items())])
        kept = {"versions": measuring.versions(postgresql=results["PostgreSQL"]["version"]), "results": results}
        measuring.keep("analytics", text, kept)


class Year(NamedTuple):
    """A database with a year in it, and two with nothing."""

    url: URL | str
    empty: Sequence[URL | str]


@contextmanager
def sqlite(place: Path, size: Size) -> Iterator[Year]:
    """Give files."""
    path = place / f"year_{size.sqlite}.db"
    filling.fill_sqlite(path, filling.Contents(size.sqlite, days=YEAR, turns=True))
    with tempfile.TemporaryDirectory(dir=place) as empty:
        yield Year(f"sqlite:///{path}", [f"sqlite:///{empty}/{number}.db" for number in range(2)])


@contextmanager
def postgresql(place: Path, size: Size) -> Iterator[Year]:
    """Give databases of one server."""
    with filling.kept_server(place) as server:
        url = server.set(database=f"year_{size.postgresql}", drivername="postgresql+psycopg")
        filling.fill_postgresql(url, filling.Contents(size.postgresql, days=YEAR, turns=True))
        empty = [url.set(database=f"empty_{number}") for number in range(2)]
        admin = create_engine(server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with admin.connect() as db:
            for database in empty:
                db.exec_driver_sql(f"DROP DATABASE IF EXISTS {database.database}")
                db.exec_driver_sql(f"CREATE DATABASE {database.database}")
        admin.dispose()
        yield Year(url, empty)


def measured(year: Year, *, tries: int) -> dict[str, Any]:
    """Return the seconds of each question without the indexes one asks for and with them, and of an append."""
    engine = create_engine(year.url, poolclass=NullPool)
    analytics.drop_indexes(engine)
    figures: dict[str, Any] = {"messages": _messages(engine), "version": _version(engine)}
    for name in WAYS:
        if name == WAYS[1]:
            figures["seconds to make the indexes"] = seconds(lambda: analytics.create_indexes(engine))
            _let_the_planner_know(engine)
        figures[name] = {question: _asked(engine, answer, tries) for question, answer in questions().items()}
    figures["time index"] = _time_index(engine)
    figures["append"] = _appends(year.empty, 1 if tries == 1 else ROUNDS)
    return figures


def told(name: str, figures: Mapping[str, Any]) -> str:
    """Return the figures of a database as a table."""
    lines = [
        (question, f"{without:.2f}", f"{figures['with the indexes'][question]:.2f}")
        for question, without in figures["as it is"].items()
    ]
    slow = [question for question, _, with_them in lines if float(with_them) > LIMIT_SECS]
    table = measuring.markdown(
        f"{name}: the last 30 days of a year, {figures['messages']:,} messages in all, seconds",
        ("", "as it is", "with the indexes"),
        lines,
    )
    appends = ", ".join(f"{way} {secs * 1e3:.2f} ms" for way, secs in figures["append"].items())
    return (
        f"{table}\nOver {LIMIT_SECS:.0f} seconds: {', '.join(slow) or 'none'}. "
        f"The plan of activity by day: {figures['time index']}. "
        f"Made in {figures['seconds to make the indexes']:.1f} s; an append: {appends}.\n"
    )


def _asked(engine: Engine, question: Select[Any], tries: int) -> float:
    def ask() -> None:
        with engine.connect() as db:
            db.execute(question).all()

    return statistics.median(seconds(ask) for _ in range(tries))


def _messages(engine: Engine) -> int:
    with engine.connect() as db:
        return int(db.exec_driver_sql("SELECT sum(message_count) FROM session_store_sessions").scalar_one())


def _version(engine: Engine) -> str:
    with engine.connect():
        return ".".join(map(str, engine.dialect.server_version_info or ()))


def _let_the_planner_know(engine: Engine) -> None:
    """Do at once what autovacuum does in its time."""
    if engine.dialect.name != "sqlite":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            db.exec_driver_sql("VACUUM ANALYZE session_store_messages")


def _time_index(engine: Engine) -> str:
    """Return the index by time that the database says it uses for the question about a month."""
    question = questions()["activity by day"]
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    with engine.connect() as db:
        sql = str(question.compile(db, compile_kwargs={"literal_binds": True}))
        plan = "\n".join(str(row[-1]) for row in db.exec_driver_sql(f"{explain} {sql.replace('%', '%%')}"))
    used = re.search(r"session_store_messages_(?:by_day|day|created_at)", plan)
    return used[0] if used else "no index by time"


def _appends(urls: Sequence[URL | str], rounds: int) -> dict[str, float]:
    """Return the median of an append as it is and with the indexes; in a turn, of others one index knows nothing."""
    texts = measuring.Texts()
    with ExitStack() as stack:
        stores = [stack.enter_context(SessionStore.open(url)) for url in urls]
        for store in stores:
            store.set_session_state("appended", "running", "turn")
        analytics.create_indexes(stores[1].engine)
        calls = {
            way: lambda store=store: store.append("appended", texts.message())
            for way, store in zip(WAYS, stores, strict=True)
        }
        for call in calls.values():
            call()
        timings = measuring.compared(calls, rounds=rounds, repeat=10)
    return {way: timing.wall for way, timing in timings.items()}


if __name__ == "__main__":
    main()
