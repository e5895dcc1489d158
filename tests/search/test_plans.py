"""How a database goes about a search: with the index where that finds few, by recency where it would find most.

What is explained is what the public calls really sent, with what they sent along.
"""

import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from session_store import ChatMessage, SessionQuery, SessionStore
from session_store.search.candidates import LOOKUP_LIMIT
from session_store.testing import Clock

SESSIONS = 800
EACH = 6
INDEX = "session_store_messages_search"
MESSAGES = "session_store_messages"
RECENCY = "session_store_sessions_recency"
RARE = SessionQuery(keyword="needle", limit=20)
COMMON = SessionQuery(keyword="common", limit=20)
MORE_SESSIONS = text("""
    INSERT INTO session_store_sessions (
        key, created_at, last_activity, active_minute, attributes, message_count, last_seq, state_seq, state
    )
    SELECT 'empty' || copy || key, created_at, last_activity, active_minute, attributes, 0, 0, 0, 'idle'
    FROM session_store_sessions CROSS JOIN (SELECT 1 AS copy UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) AS copies
""")
"""Of fewer sessions PostgreSQL would rather sort all."""


@dataclass(frozen=True)
class Sent:
    """A statement as it went to the driver, and what went with it."""

    statement: str
    parameters: Any


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionStore]:
    """A store with some thousand messages, most of them with a common word and few with a rare one; analyzed."""
    clock = Clock()
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("plans") / "sessions.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        with SessionStore(f"sqlite:///{path}", clock=clock) as store:
            yield filled(store, clock)
    else:
        server = request.getfixturevalue("postgresql_server")
        with (
            server.clone(request.getfixturevalue("postgresql_template").template_dbname) as url,
            SessionStore(url, clock=clock) as store,
        ):
            yield filled(store, clock)


def filled(store: SessionStore, clock: Clock) -> SessionStore:
    """Fill a store, and let its database look at what it has."""
    filler = "the answer to what was asked, in some words that say nothing at all about it. " * 4
    with store.begin() as tx:
        for number in range(SESSIONS):
            words = [f"common {n} {filler}" if n < EACH - 1 else f"word{number % 100} {filler}" for n in range(EACH)]
            if number % 100 == 7:
                words[2] += " a needle in it"
            clock.advance(60)
            tx.append_many(f"session{number:04}", [ChatMessage.user(each) for each in words])
    with store.engine.begin() as db:
        db.execute(MORE_SESSIONS)
    analyze = "ANALYZE" if store.engine.dialect.name == "sqlite" else "VACUUM ANALYZE"
    with store.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as db:
        db.execute(text(analyze))
    assert len(store.search_messages("common", limit=10_000)) > LOOKUP_LIMIT
    return store


@contextmanager
def sent_by(store: SessionStore) -> Iterator[list[Sent]]:
    """What a store sends while this lasts."""
    sent: list[Sent] = []

    def note(_db: Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        sent.append(Sent(statement, parameters))

    event.listen(store.engine, "before_cursor_execute", note)
    yield sent
    event.remove(store.engine, "before_cursor_execute", note)


def steps(engine: Engine, sent: Sent) -> list[str]:
    """What a database says it does, step by step."""
    with engine.connect() as db:
        if db.dialect.name == "sqlite":
            rows = db.exec_driver_sql(f"EXPLAIN QUERY PLAN {sent.statement}", sent.parameters)
            return [row.detail for row in rows]
        plan = db.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sent.statement}", sent.parameters).scalar_one()
        return list(nodes(plan[0]["Plan"]))


def nodes(plan: dict[str, Any]) -> Iterator[str]:
    """The steps of a plan of PostgreSQL's, those first that are done first."""
    for below in plan.get("Plans", ()):
        yield from nodes(below)
    yield " ".join(str(plan[key]) for key in ("Node Type", "Relation Name", "Index Name") if key in plan)


def explained(store: SessionStore, call: Callable[[], Any]) -> list[list[str]]:
    """How a call's statements on messages are gone about, one after the other."""
    with sent_by(store) as sent:
        assert call()
    # What looks for the index itself names it only in what is sent along, and to ask for a plan is not to run it.
    return [
        steps(store.engine, each)
        for each in sent
        if f"FROM {MESSAGES}" in each.statement and not each.statement.startswith("EXPLAIN")
    ]


def scans_all_messages(steps: list[str]) -> bool:
    """Whether every message is looked at."""
    return any(step in {f"SCAN {MESSAGES}", f"Seq Scan {MESSAGES}"} or "_created" in step for step in steps)


def is_walk(sent: Sent) -> bool:
    """Whether a statement looks into messages, and does not begin with the index."""
    return "lower(" in sent.statement


def uses_the_index(steps: list[str]) -> bool:
    """Whether a step lists what the index has for the words."""
    return any(step in {f"SCAN {INDEX} VIRTUAL TABLE INDEX 0:M0", f"Bitmap Index Scan {INDEX}"} for step in steps)


def test_few_are_grouped(store: SessionStore) -> None:
    """The index is begun with, and messages are looked up by their number; no other statement is needed."""
    (grouped,) = explained(store, lambda: store.search(RARE))

    assert uses_the_index(grouped)
    assert not scans_all_messages(grouped)
    if store.engine.dialect.name == "sqlite":
        assert f"SEARCH {MESSAGES} USING INTEGER PRIMARY KEY (rowid=?)" in grouped
        assert not any(RECENCY in step for step in grouped)


def test_many_are_walked(store: SessionStore) -> None:
    """For a word of most messages the newest sessions are gone through, and the messages of each looked at."""
    with sent_by(store) as sent:
        assert store.search(COMMON)
    walked = next(steps(store.engine, each) for each in sent if is_walk(each))

    assert not uses_the_index(walked)
    assert not scans_all_messages(walked)
    (sessions,) = [step for step in walked if RECENCY in step]
    if store.engine.dialect.name == "sqlite":
        assert sessions == f"SCAN session_store_sessions USING INDEX {RECENCY}"
        # Row by row, where the index is asked for one message.
        assert f"SCAN {INDEX} VIRTUAL TABLE INDEX 0:=M0" in walked
        assert any(step.startswith(f"SEARCH {MESSAGES} USING INDEX") and "session_key=?" in step for step in walked)
    else:
        assert sessions == f"Index Scan session_store_sessions {RECENCY}"
        assert f"Index Scan {MESSAGES} session_store_messages_pkey" in walked
        assert "Seq Scan session_store_sessions" not in walked


def test_that_they_are_many_is_known_without_reading_them(store: SessionStore) -> None:
    """SQLite asks the index alone, and PostgreSQL its planner."""
    with sent_by(store) as sent:
        assert store.search(COMMON)
    before = list(itertools.takewhile(lambda each: not is_walk(each), sent))

    assert len(before) < len(sent)
    if store.engine.dialect.name == "sqlite":
        (size,) = [each for each in before if "count(*)" in each.statement and MESSAGES + "." not in each.statement]
        assert not any(MESSAGES in step.replace(INDEX, "") for step in steps(store.engine, size))
    else:
        # Once a second it looks for the index before.
        assert [each.statement.split()[0] for each in before][-1:] == ["EXPLAIN"]


def test_all_pages_are_counted_by_the_index(store: SessionStore) -> None:
    """How many sessions there are on all pages is one statement that begins with the index."""
    for query, found in ((RARE, 8), (COMMON, SESSIONS)):
        (counted,) = explained(store, lambda query=query: store.count_sessions(query))

        assert uses_the_index(counted)
        assert not scans_all_messages(counted)
        assert store.count_sessions(query) == found


@pytest.mark.parametrize("order", ["recency", "relevance"])
@pytest.mark.parametrize("filters", [{}, {"key": "session0007"}, {"role": "user"}])
def test_hits_begin_with_the_index(store: SessionStore, order: str, filters: dict[str, str]) -> None:
    """In whatever order and of whatever session; on PostgreSQL it is counted first whether they are few."""
    each = explained(store, lambda: store.search_messages("needle", order=order, **filters))

    assert len(each) == (1 if store.engine.dialect.name == "sqlite" else 2)
    for steps_taken in each:
        assert uses_the_index(steps_taken)
        assert not scans_all_messages(steps_taken)


def test_without_an_index_of_words_all_messages_are_looked_at(store: SessionStore) -> None:
    """What is written without spaces is looked for in every message: there is nothing to begin with."""
    with sent_by(store) as sent:
        assert store.search(SessionQuery(keyword="\u4f60\u597d", limit=20)) == []

    assert not any(uses_the_index(steps(store.engine, each)) for each in sent if f"FROM {MESSAGES}" in each.statement)


KEYWORDS = [
    "needle",
    "common needle",
    '"common 3" OR needle',
    "common -needle",
    "comm*",
    "nowhere",
    "x'; DROP VIEW xyzzy; -- %s :x ? {xyzzy}",
    "\u043f\u0440\u0438\u0432\u0435\u0442 xyzzy",
    "\u4f60\u597d xyzzy",
    "xyzzy\u0301",
]


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_what_is_typed_travels_beside_the_sql(store: SessionStore, keyword: str) -> None:
    """No word of a query is in the text of a statement, and a search of usual texts is a handful of them."""
    words = re.findall(r"[a-z]{4,}|[^\x00-\x7f]+", keyword.lower())
    calls: list[Callable[[], Any]] = [
        lambda: store.search(SessionQuery(keyword=keyword, limit=20)),
        lambda: store.search(SessionQuery(keyword=keyword)),
        lambda: store.count_sessions(SessionQuery(keyword=keyword)),
        lambda: store.search_messages(keyword),
        lambda: store.search_messages(keyword, order="relevance", key="session0007"),
    ]
    for call in calls:
        with sent_by(store) as sent:
            call()
        assert 0 < len(sent) <= 5
        texts = " ".join(each.statement for each in sent).lower()
        assert [word for word in words if word in texts] == []


def test_what_is_running_is_found_by_its_index(store: SessionStore) -> None:
    """Not by looking at every session, whatever calls for it."""
    calls: tuple[Callable[[], Any], ...] = (
        store.list_running_sessions,
        lambda: store.list_stuck_sessions(0),
        lambda: store.list_sessions(SessionQuery(state="running")),
    )
    for call in calls:
        with sent_by(store) as sent:
            call()
        (one,) = sent

        assert any("session_store_sessions_state" in step for step in steps(store.engine, one))


def test_old_sessions_are_found_by_recency(store: SessionStore) -> None:
    """A cleanup, and a deletion by owner, do not go through all sessions under their lock."""
    calls = {
        RECENCY: lambda: store.cleanup_stale(24 * 365 * 1_000),
        "session_store_sessions_owner_recency": lambda: store.delete_sessions(owner="nobody"),
    }
    for index, call in calls.items():
        with sent_by(store) as sent:
            assert call() == 0
        (lock,) = [each for each in sent if each.statement.startswith("UPDATE")]

        assert any(index in step for step in steps(store.engine, lock))
