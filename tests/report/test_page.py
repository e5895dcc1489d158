"""The page says what the selects say, and of nothing that it says so."""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event

from session_store import (
    ChatMessage,
    InvalidKey,
    InvalidQuery,
    SchemaOutOfDate,
    SessionStore,
    StoreError,
    StoreUnavailable,
    migrations,
)
from session_store.analytics import Price
from session_store.maintenance.report import page
from session_store.maintenance.report.axes import MAX_PERIODS
from tests.analytics import filling, select_figures
from tests.analytics.conversations import EDGES
from tests.analytics.crowd import CROWD, PARTS
from tests.analytics.figures import Conversations
from tests.analytics.samples import NOON, NOTHING, SHOP, head, said, with_payload
from tests.conftest import Database, migrated
from tests.imports.test_zeroclaw_database import as_nobody
from tests.report.conftest import DRIVERS, Fill, host_engine
from tests.report.parsing import Page

MADE = datetime(2026, 3, 10, 8, tzinfo=UTC)
PRICES = {"large": Price(2.5, 10.0), "small": Price(0.15, 0.6)}
ONE_MODEL = {"m": Price(1.0, 1.0)}


def parsed(bind: Any, **about: Any) -> Page:
    """The page, made at a time that is always the same."""
    return Page(page(bind, made_at=MADE, **about))


def unit_of(said: Conversations, **filters: Any) -> str:
    """By what the time of the messages is to be parted."""
    ((first, last),) = select_figures.span(said, **filters)
    days = (last - first) / timedelta(days=1)
    return next((unit for most, unit in ((3, "hour"), (100, "day"), (1100, "week")) if days <= most), "month")


def expected_tables(database: str, said: Conversations, tz: str, **filters: Any) -> dict[str, list[list[list[Any]]]]:
    """The rows of each table, by the description of the selects."""
    by = unit_of(said, **filters)

    def rows(name: str, **arguments: Any) -> list[tuple[Any, ...]]:
        return select_figures.SELECTS[name](said, **arguments, **filters)

    def by_period(name: str, *columns: int, **arguments: Any) -> list[list[Any]]:
        return [
            [row[0].isoformat(), *(row[column] for column in columns)] for row in rows(name, by=by, tz=tz, **arguments)
        ]

    json_text = select_figures.compact_json if database == "sqlite" else select_figures.jsonb_text
    tokens: dict[date, dict[str | None, int]] = defaultdict(dict)
    for when, model, _, came, went in rows("tokens", by=by, tz=tz):
        tokens[when][model] = came + went
    models = sorted(
        rows("tokens"), key=lambda row: (-row[2] - row[3], row[0] is None, select_figures.stored(row[0] or ""))
    )
    storage = by_period("storage", 1, 2, 3, json_text=json_text)
    turns = by_period("turns", 1, 2, 5, 6)
    errors = by_period("turns", 2, 3, 4)
    spoken = by_period("activity", 1, 2, 3)
    return {
        "activity": [
            [[*row, row[1] - row[2] - row[3]] for row in spoken],
            by_period("activity", 4, 5),
        ],
        "owners": [by_period("owners", 1, 2, 3)],
        "lengths": [[[step(row[0]), row[1], row[2]] for row in rows("session_lengths")]],
        "turns": [turns],
        "responses": [by_period("response_times", 1, 2, 3)],
        "errors": [errors, errors],
        "tokens": [
            [[when.isoformat(), *(used.get(row[0], 0) for row in models)] for when, used in tokens.items()],
            [["not named" if row[0] is None else row[0], *row[1:4]] for row in models],
        ],
        "tools": [[list(row) for row in rows("tools")]],
        "busiest": [[[*row[:4], row[4].isoformat(), row[5].isoformat()] for row in rows("busiest_sessions")]],
        "storage": [storage, added_up(storage)],
    }


def step(at_least: int) -> str:
    """How long the sessions of a step are."""
    if at_least < 2:
        return f"{at_least} message{'' if at_least else 's'}"
    return f"{at_least:,} \N{EN DASH} {2 * at_least - 1:,}"


def added_up(storage: list[list[Any]]) -> list[list[Any]]:
    """Bytes of each period and all before it."""
    rows, total = [], 0
    for when, _, content, payload in storage:
        total += content + payload
        rows.append([when, total])
    return rows


def close(rows: list[list[Any]]) -> list[list[Any]]:
    """Rows whose fractions may be off by what doubles are."""
    return [[pytest.approx(value) if isinstance(value, float) else value for value in row] for row in rows]


WEB = Conversations(
    sessions=[
        head(f"web_{name}", name, 60 * place, 4, channel="web") for place, name in enumerate(("ann", "bo", "cy"))
    ],
    messages=[
        message
        for place, name in enumerate(("ann", "bo", "cy"))
        for turn in range(4 - place)
        for message in (
            said(f"web_{name}", 2 * turn + 1, "user", 3600 * turn * (place + 1), f"t{turn}"),
            with_payload(
                said(f"web_{name}", 2 * turn + 2, "assistant", 3600 * turn * (place + 1) + turn + 2, f"t{turn}"),
                {
                    "model": ("large", "small")[turn % 2],
                    "usage": {"input_tokens": 100 * place + 7 * turn + 1, "output_tokens": 3},
                    "tool_calls": [{"name": "find"}] * (turn + 1) + [{"name": "open"}],
                },
            ),
        )
    ],
    entries=SHOP.entries[:0],
)
"""What three customers said in a day."""


@pytest.mark.parametrize(
    ("said", "tz", "filters"),
    [
        (SHOP, "UTC", {}),
        (SHOP, "Asia/Kolkata", {"until": NOON + timedelta(days=1)}),
        (SHOP, "UTC", {"owner": "ann"}),
        (WEB, "Europe/Lisbon", {}),
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_tables_have_the_figures_of_the_selects(
    fill: Fill, database: Database, said: Conversations, tz: str, filters: dict[str, Any]
) -> None:
    """Every figure of every table is what the reference makes of the same conversations, and all of them are there."""
    found = parsed(fill(said), tz=tz, **filters)
    expected = expected_tables(database.name, said, tz, **filters)
    if "owner" in filters:
        del expected["owners"]
    expected = {name: tables for name, tables in expected.items() if tables[0]}
    if not said.entries:
        expected = {name: tables for name, tables in expected.items() if name not in {"turns", "errors"}}

    assert found.tables.keys() == expected.keys()
    for name, tables in expected.items():
        assert [found.rows(name, number) for number in range(len(tables))] == [close(rows) for rows in tables], name


@pytest.mark.usefixtures("undrawn")
def test_of_a_long_time_the_last_months(fill: Fill, database: Database) -> None:
    """Of more than can be drawn the latest are there, and what is left out is said; sums still have it."""
    found = parsed(fill(CROWD))
    expected = expected_tables(database.name, CROWD, "UTC")
    last = date.fromisoformat(expected["activity"][0][-1][0])
    first = date(last.year - MAX_PERIODS // 12, last.month, 1).isoformat()

    for name in ("activity", "responses", "storage"):
        kept = [row for row in expected[name][-1] if row[0] > first]
        assert found.rows(name, len(expected[name]) - 1) == close(kept)
    assert any("months at the start are not drawn" in words for words in found.words)


@pytest.mark.usefixtures("undrawn")
def test_key_figures(fill: Fill) -> None:
    """The figures at the top are those of everything, exact."""
    keys = parsed(fill(SHOP), prices=ONE_MODEL).keys
    size = keys.pop("Database")

    assert keys == {
        "Sessions": 2,
        "Messages": 6,
        "Owners": 2,
        "Turns": 4,
        "Error rate": 0.5,
        "Median response time": 0,
        "Tokens": 17,
        "Cost": pytest.approx(0.000012),
    }
    assert size > 50_000


@pytest.mark.parametrize("part", [{}, PARTS["of another in a time"], {"until": PARTS["until"]["until"]}])
@pytest.mark.usefixtures("undrawn")
def test_both_databases_make_the_same_page(
    part: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Word for word, but for the room that is taken."""
    pages = []
    for name in DRIVERS:
        with migrated(name, request, tmp_path) as database:
            engine = host_engine(database)
            with engine.begin() as db:
                filling.fill(db, CROWD)
            text = page(engine, made_at=MADE, tz="America/New_York", prices=PRICES, **part)
            engine.dispose()
        before, _, after = text.partition("<div>\n    <dt>Database</dt>")
        pages.append((before, after.partition("<section")[2].partition('<section id="storage"')[0]))

    assert pages[0] == pages[1]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_same_data_make_the_same_page(fill: Fill) -> None:
    """Byte for byte; only the time at which it was made differs."""
    engine = fill(WEB)
    text = page(engine, made_at=MADE)

    assert page(engine, made_at=MADE) == text
    assert page(engine, made_at=MADE + timedelta(minutes=1)) == text.replace(
        "2026-03-10T08:00:00+00:00", "2026-03-10T08:01:00+00:00"
    ).replace("10 Mar 2026, 08:00", "10 Mar 2026, 08:01")
    assert abs(datetime.fromisoformat(page(engine).rpartition('datetime="')[2][:32]) - datetime.now(UTC)) < timedelta(
        minutes=1
    )


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({}, "The store has no messages yet."),
        ({"since": NOON}, "No message matches this time range and owner."),
        ({"owner": "nobody"}, "No message matches this time range and owner."),
    ],
)
def test_an_empty_store(fill: Fill, about: dict[str, Any], told: str) -> None:
    """Says that nothing was said, and draws nothing."""
    found = parsed(fill(NOTHING), **about)

    assert told in found.words
    assert found.drawings == []
    assert found.tables == {}


def test_what_there_is_nothing_of_is_said(fill: Fill) -> None:
    """No chart is empty: where there is nothing to draw, a sentence says why."""
    found = parsed(fill(Conversations([head("a")], [said("a", 1, "critic", 0)], [])))

    assert found.tables.keys() == {"activity", "lengths", "busiest", "storage"}
    assert {"Owners", "Turns", "Response times", "Errors", "Tokens", "Tools"} <= {*found.words}
    for drawing in found.drawings:
        assert drawing.findall(".//{*}path[@fill='var(--series-1)']") or drawing.findall(".//{*}path[@d]")


MANY = Conversations(
    sessions=[head(f"session {number}", f"owner {number}", 0, 8) for number in range(400)],
    messages=[
        with_payload(
            said(f"session {number}", seq, ("user", "assistant")[seq % 2], 86_400 * 31 * (seq * 400 + number) / 4),
            {
                "model": f"model {number}",
                "usage": {"input_tokens": number + 1, "output_tokens": seq},
                "tool_calls": [{"name": f"tool {number}"}] * (number % 7 + 1),
            },
        )
        for number in range(400)
        for seq in range(8)
    ],
    entries=[],
)
"""Four hundred sessions, each with a tool and a model of its own, over two hundred years."""


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_page_has_an_end(fill: Fill) -> None:
    """Whatever there is many of, the page stays below a megabyte; what is not told apart is summed."""
    text = page(fill(MANY), made_at=MADE, prices=PRICES)
    found = Page(text)
    tools, models = found.rows("tools"), found.rows("tokens", 1)

    assert len(text.encode()) < 1_000_000
    assert [len(tools), len(models), len(found.rows("busiest"))] == [21, 21, 20]
    assert (tools[-1][0], models[-1][0]) == ("380 others", "380 others")
    assert sum(row[1] for row in tools) == sum(row[1] for row in select_figures.tools(MANY))
    for column in (2, 3):
        assert sum(row[column] for row in models) == sum(row[column] for row in select_figures.tokens(MANY))
    assert len(found.tables["tokens"][0][1]) == 8


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("times", [EDGES[:1], EDGES[1:], EDGES])
@pytest.mark.parametrize("tz", ["UTC", "Pacific/Apia"])
def test_the_first_and_the_last_time(fill: Fill, times: list[datetime], tz: str) -> None:
    """A message may be of any time that can be stored."""
    messages = [said("a", seq, "user", 0)._replace(created_at=time) for seq, time in enumerate(times, start=1)]
    found = parsed(fill(Conversations([head("a", "ann")], messages, [])), tz=tz)

    assert found.keys["Messages"] == len(times)
    assert found.rows("activity")[-1][1] == 1


# Only reading.


@pytest.mark.usefixtures("undrawn")
def test_a_database_that_can_only_be_read(fill: Fill, database: Database) -> None:
    """As a replica is, or a connection that was told so: nothing is written, on an engine or a connection."""
    text = page(fill(SHOP), made_at=MADE)
    engine = host_engine(database)

    @event.listens_for(engine, "connect")
    def only_read(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(
            "PRAGMA query_only = ON" if database.name == "sqlite" else "SET default_transaction_read_only = on"
        )
        connection.commit()

    assert page(engine, made_at=MADE) == text
    with engine.connect() as db:
        assert page(db, made_at=MADE) == text
        assert not db.in_transaction()
        with db.begin():
            assert page(db, made_at=MADE) == text
            assert db.in_transaction()
    engine.dispose()


@pytest.mark.usefixtures("undrawn")
def test_a_url(fill: Fill, database: Database) -> None:
    """Names a database as an engine does."""
    text = page(fill(SHOP), made_at=MADE)

    assert page(database.url, made_at=MADE) == text
    assert page(str(database), made_at=MADE) == text


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("undrawn")
def test_a_file_stays_as_it_is(fill: Fill, database: Database, tmp_path: Path) -> None:
    """A file is not tuned by being looked at: its journal mode, its bytes, and what lies beside it are as before."""
    fill(SHOP).dispose()
    path = tmp_path / "plain" / "sessions.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(str(database.url.database))) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("PRAGMA journal_mode = DELETE")
    shutil.copyfile(str(database.url.database), path)
    before = path.read_bytes()

    assert "Busiest sessions" in page(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("undrawn")
def test_a_directory_that_cannot_be_written(fill: Fill, database: Database) -> None:
    """A file in WAL mode is read there too, if it has no log; with one that cannot be read, the error says so."""
    fill(SHOP).dispose()
    with closing(sqlite3.connect(str(database.url.database))) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        data = Path(str(database.url.database)).read_bytes()
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("UPDATE session_store_sessions SET name = 'in the log'")
        db.commit()
        log = Path(f"{database.url.database}-wal").read_bytes()
    with tempfile.TemporaryDirectory() as place:
        whole, cut = Path(place, "whole.db"), Path(place, "cut.db")
        for path, its in ((whole, data), (cut, data), (Path(f"{cut}-wal"), log)):
            path.write_bytes(its)
        Path(place).chmod(0o555)
        with as_nobody():
            assert "Busiest sessions" in page(whole)
        with as_nobody(), pytest.raises(StoreUnavailable, match=r"readonly|unable to open"):
            page(cut)


@pytest.mark.usefixtures("undrawn")
def test_all_is_as_of_one_moment(fill: Fill, database: Database) -> None:
    """What is written while a page is made is in none of its figures."""
    engine = fill(WEB)
    tables = parsed(engine).tables
    written = []

    @event.listens_for(engine, "after_cursor_execute")
    def write_meanwhile(_db: object, _cursor: object, statement: str, *_: object) -> None:
        if not written and "min(" in statement:
            with SessionStore(database.url) as store:
                written.append(store.append("late", ChatMessage.user("Hello"), created_at=NOON))

    assert parsed(engine).tables == tables
    assert written
    assert parsed(engine).tables != tables


@pytest.mark.usefixtures("undrawn")
def test_a_schema(postgresql: Engine) -> None:
    """Of PostgreSQL, on an engine, a connection, or one whose options say where the tables are."""
    migrations.upgrade(postgresql, schema="chat")
    with postgresql.connect().execution_options(schema_translate_map={None: "chat"}) as db, db.begin():
        filling.fill(db, SHOP)
        text = page(db, made_at=MADE)
    assert "Busiest sessions" in text

    assert page(postgresql, schema="chat", made_at=MADE) == text
    with postgresql.connect() as db:
        assert page(db, schema="chat", made_at=MADE) == text
    with pytest.raises(SchemaOutOfDate):
        page(postgresql)


def test_tables_that_are_missing(empty_database: Database, tmp_path: Path) -> None:
    """Are told as anywhere else, and so is a file that is not there, which is not made."""
    if empty_database.name == "sqlite":
        with pytest.raises(StoreUnavailable, match="there is no file"):
            page(empty_database.url)
        assert list(tmp_path.iterdir()) == []
        create_engine(empty_database.url).connect().close()
        Path(str(empty_database.url.database)).touch()
    with pytest.raises(SchemaOutOfDate):
        page(empty_database.url)


# Asking.

NAIVE = datetime(2026, 3, 5)  # noqa: DTZ001 - that it is


@pytest.mark.once
@pytest.mark.parametrize(
    ("about", "error", "told"),
    [
        ({"title": 5}, InvalidQuery, "title must be a str"),
        ({"since": NAIVE}, InvalidQuery, "since must have a time zone"),
        ({"until": "now"}, InvalidQuery, "until must be a datetime"),
        ({"since": NOON, "until": NOON}, InvalidQuery, "since must be before until"),
        ({"made_at": NAIVE}, InvalidQuery, "made_at must have a time zone"),
        ({"tz": "Europe/Atlantis"}, InvalidQuery, "tz .*'Europe/Atlantis'"),
        ({"owner": ""}, InvalidKey, "owner"),
        ({"prices": {"large": 3}}, InvalidQuery, "'large'"),
        ({"schema": "chat"}, InvalidQuery, "schema"),
    ],
)
def test_what_cannot_be_asked(about: dict[str, Any], error: type[StoreError], told: str, sqlite_template: Path) -> None:
    """Is told with its value and the rule."""
    with pytest.raises(error, match=told):
        page(sqlite_template, **about)


@pytest.mark.once
@pytest.mark.parametrize(("module", "library"), [("jinja2", "Jinja2"), ("vl_convert", "vl-convert-python")])
def test_a_library_that_is_missing(
    module: str, library: str, monkeypatch: pytest.MonkeyPatch, sqlite_template: Path
) -> None:
    """Is named, with the extra that brings it, before anything is read."""
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(StoreError, match=rf"{library}.*pip install 'session-store\[report\]'"):
        page(sqlite_template)


@pytest.mark.once
def test_libraries_are_imported_when_a_page_is_made() -> None:
    """Whoever imports the package, or this part of it, does not wait for them."""
    program = "import sys, session_store.maintenance.report; print({'jinja2', 'vl_convert'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert done.stdout == "set()\n"
