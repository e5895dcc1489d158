"""The selects: each answers what the reference does of the same conversations, and can be built upon."""

import asyncio
import math
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import cycle, islice
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from session_store import InvalidQuery, analytics, migrations
from session_store.analytics.views import SESSIONS_V1
from tests.analytics import asking, filling
from tests.analytics.asking import ALWAYS_BY, NEVER_BY, PERIODS, PRICES, arguments_of, bys_of, expected
from tests.analytics.comparing import differences
from tests.analytics.conftest import Analysed
from tests.analytics.conversations import questions
from tests.analytics.crowd import CROWD, PARTS
from tests.analytics.figures import Conversations
from tests.analytics.samples import DAY, NOTHING, SHOP
from tests.analytics.select_figures import SELECTS
from tests.conftest import Database, examples
from tests.hosts import ASYNC_DRIVERS, SYNC_DRIVERS, async_host_engine, host_engine

COLUMNS = {
    "activity": ["messages", "user_messages", "assistant_messages", "sessions", "owners"],
    "span": ["first_at", "last_at"],
    "owners": ["active_owners", "new_owners", "returning_owners"],
    "session_lengths": ["at_least", "sessions", "messages"],
    "response_times": ["answers", "median_seconds", "p95_seconds"],
    "turns": ["turns", "ended", "errors", "error_rate", "median_seconds", "p95_seconds"],
    "tools": ["name", "calls", "sessions"],
    "tokens": ["model", "messages", "input_tokens", "output_tokens"],
    "busiest_sessions": ["session_key", "name", "owner", "messages", "first_at", "last_at"],
    "storage": ["messages", "content_bytes", "payload_bytes"],
}
"""Behind ``period``, if by one."""

each_select = pytest.mark.parametrize("name", SELECTS)


@pytest.mark.parametrize("number", [6, pytest.param(1_000, marks=pytest.mark.long)])
@pytest.mark.timeout(900)
def test_rows_are_those_of_the_reference(analysed: Analysed, number: int) -> None:
    """Every select has exactly the rows of its description, in their order, in any zone and whatever is chosen."""

    @examples(number)
    @example((NOTHING, {}, "UTC"), 0, PRICES, 1)
    @given(questions(), st.integers(0, 3), st.sampled_from([None, PRICES]), st.sampled_from([None, 0, 1, 2]))
    def check(
        question: tuple[Conversations, dict[str, Any], str],
        turn: int,
        prices: dict[str, Any] | None,
        limit: int | None,
    ) -> None:
        said, filters, tz = question
        analysed.fill(said)
        for name, by in zip(SELECTS, islice(cycle([None, *PERIODS]), turn, None), strict=False):
            arguments = filters | arguments_of(name, by, tz)
            if name == "tokens" and prices:
                arguments["prices"] = prices
            if name == "busiest_sessions" and limit is not None:
                arguments["limit"] = limit
            found = analysed.rows(getattr(analytics, name)(**arguments))
            assert differences(found, expected(analysed.name, said, name, arguments)) == [], (name, arguments)

    check()


def test_many_sessions(analysed: Analysed) -> None:
    """So they have where much is to be told apart: by every period, of all and of a part."""
    analysed.fill(CROWD)
    for question, name, arguments in asking.questions(PARTS):
        found = analysed.rows(getattr(analytics, name)(**arguments))
        assert differences(found, expected(analysed.name, CROWD, name, arguments)) == [], question


@each_select
def test_columns_are_as_promised(name: str) -> None:
    """Names and order, with a period first where one is asked for."""
    for by in bys_of(name):
        columns = ["period", *COLUMNS[name]] if by else COLUMNS[name]
        made = getattr(analytics, name)(**arguments_of(name, by, "UTC"))

        assert list(made.selected_columns.keys()) == columns
    assert list(analytics.tokens(prices=PRICES).selected_columns.keys()) == [*COLUMNS["tokens"], "cost"]


@each_select
def test_it_can_be_built_upon(analysed: Analysed, name: str) -> None:
    """Its rows can be limited, counted and be part of something else."""
    analysed.fill(SHOP)
    made = getattr(analytics, name)()
    rows = analysed.rows(made)
    assert len(rows) > 0

    assert analysed.rows(made.limit(1)) == rows[:1]
    assert analysed.rows(select(func.count()).select_from(made.subquery())) == [(len(rows),)]
    inner = made.subquery()
    assert {*analysed.rows(select(inner))} == {*rows}


def test_conditions_and_joins(analysed: Analysed) -> None:
    """What a select is grouped by can be asked for, and a session's key leads to the rest of it."""
    analysed.fill(SHOP)
    activity, tokens = analytics.activity(), analytics.tokens()
    busiest = analytics.busiest_sessions().subquery()
    joined = select(busiest.c.messages, SESSIONS_V1.c.attributes).join(
        SESSIONS_V1, SESSIONS_V1.c.session_key == busiest.c.session_key
    )

    assert analysed.rows(activity.where(activity.selected_columns.period == DAY)) == [(DAY, 5, 3, 2, 1, 1)]
    assert analysed.rows(tokens.where(tokens.selected_columns.model == "m")) == [("m", 1, 10, 2)]
    assert {(row.messages, *row.attributes) for row in analysed.rows(joined)} == {(5, "channel"), (1,)}


CHOSEN = {"owner": "ann", "attributes": {"channel": "web"}, "since": datetime(2026, 3, 1, tzinfo=UTC)}


def check_all(database: str, rows: Callable[[Any], Any]) -> None:
    """Ask for each select."""
    for name in SELECTS:
        arguments = CHOSEN | arguments_of(name, "hour", "America/New_York")
        found = rows(getattr(analytics, name)(**arguments))
        assert differences(found, expected(database, SHOP, name, arguments)) == [], name


def test_on_every_driver(database: Database) -> None:
    """On a plain connection of the host's, whichever driver it is, blocking or not."""
    for driver in SYNC_DRIVERS[database.name]:
        engine = host_engine(database, driver, tuned=False)
        with engine.begin() as db:
            filling.fill(db, SHOP)
            check_all(database.name, lambda made, db=db: db.execute(made).all())
        engine.dispose()

    async def on_a_loop(driver: str) -> None:
        engine = async_host_engine(database, driver)
        async with engine.connect() as db:
            await db.run_sync(lambda db: check_all(database.name, lambda made: db.execute(made).all()))
        await engine.dispose()

    for driver in ASYNC_DRIVERS[database.name]:
        asyncio.run(on_a_loop(driver))


def test_in_a_host_s_schema(postgresql: Engine) -> None:
    """On a connection that says where the tables are, the selects find the views there."""
    migrations.upgrade(postgresql, schema="chat")
    with postgresql.connect().execution_options(schema_translate_map={None: "chat"}) as db, db.begin():
        filling.fill(db, SHOP)
        check_all("postgresql", lambda made: db.execute(made).all())


NAIVE = datetime(2026, 3, 5)  # noqa: DTZ001 - that it is
TIMED = [name for name in SELECTS if name not in NEVER_BY]


@pytest.mark.once
@pytest.mark.parametrize(
    ("names", "arguments", "told"),
    [
        (SELECTS, {"since": NAIVE}, "since .*2026-03-05"),
        (SELECTS, {"until": NAIVE}, "until .*2026-03-05"),
        (SELECTS, {"since": "2026-03-05"}, "since .*'2026-03-05'"),
        (SELECTS, {"attributes": {"n": None}}, "'n'"),
        (SELECTS, {"attributes": {"n": [1]}}, "'n'"),
        (SELECTS, {"attributes": "web"}, "attributes .*'web'"),
        (TIMED, {"by": "year"}, "by .*'year'"),
        (TIMED, {"by": "DAY"}, "by .*'DAY'"),
        (TIMED, {"by": 1}, "by .*1"),
        (TIMED, {"by": ["day"]}, "by .*list"),
        (ALWAYS_BY, {"by": None}, "by .*None"),
        (TIMED, {"tz": "Europe/Atlantis"}, "tz .*'Europe/Atlantis'"),
        (TIMED, {"tz": "Europe"}, "tz .*'Europe'"),
        (TIMED, {"tz": "../UTC"}, "tz .*'../UTC'"),
        (TIMED, {"tz": "a'b"}, "tz .*a'b"),
        (TIMED, {"tz": ""}, "tz .*''"),
        (TIMED, {"tz": "\0"}, r"tz .*'\\x00'"),
        (TIMED, {"tz": "x" * 5_000}, "tz .*xxx"),
        (TIMED, {"tz": None}, "tz .*None"),
        (TIMED, {"tz": "localtime"}, "tz .*'localtime'"),
        (TIMED, {"tz": "posix/UTC"}, "tz .*'posix/UTC'"),
        (["busiest_sessions"], {"limit": -1}, "limit .*-1"),
        (["busiest_sessions"], {"limit": "2"}, "limit .*'2'"),
        (["busiest_sessions"], {"limit": True}, "limit .*True"),
        (["tokens"], {"prices": {"large": 3}}, "'large'"),
        (["tokens"], {"prices": {"large": "12"}}, "'large'"),
        (["tokens"], {"prices": {"large": (10**400, 1)}}, "'large'"),
        (["tokens"], {"prices": {"large": (math.nan, 1)}}, "'large'"),
        (["tokens"], {"prices": {"large": (1, -1)}}, "'large'"),
        (["tokens"], {"prices": {5: (1, 2)}}, "model .*5"),
        (["tokens"], {"prices": [("large", (1, 2))]}, "prices .*list"),
    ],
)
def test_what_cannot_be_asked(names: list[str], arguments: dict[str, Any], told: str) -> None:
    """Is told with its value as soon as the select is made."""
    for name in names:
        with pytest.raises(InvalidQuery, match=told):
            getattr(analytics, name)(**arguments)


@pytest.mark.once
@each_select
def test_a_filter_that_is_none_is_refused(name: str) -> None:
    """A word misspelled does not choose everything."""
    with pytest.raises(TypeError, match="onwer"):
        getattr(analytics, name)(onwer="ann")
