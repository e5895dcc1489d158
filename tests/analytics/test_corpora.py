"""Real conversations: every view and every select says of all 283,183 messages what the reference does."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Select, create_engine, make_url, text

from session_store import analytics, migrations
from session_store.search import index as search_index
from tests.analytics import corpora, select_figures
from tests.analytics.asking import every, expected, questions
from tests.analytics.comparing import as_given, differences, in_order
from tests.analytics.conftest import DRIVERS, Analysed
from tests.analytics.figures import VIEWS, Conversations, turn_rows

MESSAGES = 283_183
PARTS: dict[str, dict[str, Any]] = {
    "of one": {"owner": "owner126"},
    "in a time": {
        "since": datetime(2009, 3, 29, 0, 30, tzinfo=UTC),
        "until": datetime(2010, 10, 31, 12, tzinfo=UTC),
    },
    "with attributes": {"attributes": {"corpus": "taskmaster4", "beta": True}},
    "with both": {"attributes": {"n": 3}, "since": datetime(2024, 1, 7, 23, tzinfo=UTC)},
    "of nobody": {"owner": "nobody"},
}

pytestmark = [
    pytest.mark.long,
    pytest.mark.once,
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(not corpora.FILES, reason="the corpora are not here: see SESSION_STORE_TEST_CORPORA"),
]


class Question(NamedTuple):
    """A question to a database."""

    name: str
    query: str | Select[Any]
    answer: list[Any]
    """The reference's."""
    view: str | None = None
    """The view that is read, whose rows are in no order."""


@pytest.fixture(scope="module")
def said() -> Conversations:
    """All that was said."""
    return corpora.read()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(
    request: pytest.FixtureRequest, said: Conversations, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analysed]:
    """A database with all of it."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = make_url(f"sqlite:///{tmp_path_factory.mktemp('analytics') / 'corpora.db'}")
        else:
            server = request.getfixturevalue("postgresql_server")
            url = stack.enter_context(server.clone(server.template_dbname))
        engine = create_engine(url.set(drivername=DRIVERS[request.param]))
        stack.callback(engine.dispose)
        migrations.upgrade(engine)
        search_index.drop(engine)
        analysed = Analysed(request.param, engine)
        analysed.fill(said)
        yield analysed


def check_answers(analysed: Analysed, asked: list[Question], record_property: Callable[[str, object], None]) -> None:
    """Ask everything, once without the indexes that one asks for and once with them, and print how long it took."""
    secs, wrong = [], {}
    for indexed in (False, True):
        (analytics.create_indexes if indexed else analytics.drop_indexes)(analysed.engine)
        with analysed.engine.begin() as db:
            # As PostgreSQL does by itself a minute later.
            db.execute(text("ANALYZE"))
        for question in asked:
            started = time.perf_counter()
            found = analysed.rows(question.query)
            secs.append(time.perf_counter() - started)
            wrong[indexed, question.name] = differences(
                in_order(question.view, found) if question.view else found, question.answer
            )[:3]
    lines = [
        f"{question.name:50}{len(question.answer):9,}{without:9.2f}{having:9.2f}"
        for question, without, having in zip(asked, secs, secs[len(asked) :], strict=False)
    ]
    title = f"{analysed.name:50}{'rows':>9}{'seconds':>9}{'indexed':>9}"
    record_property("table", "\n".join(["", title, *lines]))

    assert {which: rows for which, rows in wrong.items() if rows} == {}


def test_views(filled: Analysed, said: Conversations, record_property: Callable[[str, object], None]) -> None:
    """Every row of every view."""
    assert len(said.messages) == MESSAGES
    answers = {view: [as_given(filled.name, row) for row in rows(said)] for view, (_, rows) in VIEWS.items()}
    asked = [Question(view, every(view), in_order(view, answer), view) for view, answer in answers.items()]
    check_answers(filled, asked, record_property)


def test_selects(
    filled: Analysed,
    said: Conversations,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every row of every select."""
    turns = turn_rows(said)
    monkeypatch.setattr(select_figures, "turn_rows", lambda _: turns)
    asked = [
        Question(question, getattr(analytics, name)(**arguments), expected(filled.name, said, name, arguments))
        for question, name, arguments in questions(PARTS)
    ]
    check_answers(filled, asked, record_property)
