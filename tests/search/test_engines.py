"""What is found is the same on every engine, and what the reference says; no text is an error."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from session_store import ChatMessage, MessageHit, NewMessage, SessionQuery, SessionStore, Snippet
from session_store.repositories import search, search_statements
from session_store.search import index as search_index
from tests.conftest import examples
from tests.search import search_reference
from tests.search.conftest import Searched
from tests.search.queries import any_text, finds_with, hits_with, nasty, queries, texts
from tests.search.search_cases import CASES, LIKE_CASES

ALL = 100_000
"""More messages than any test here has."""


def check(searched: Searched, sessions: Mapping[str, Sequence[str]], query: str) -> None:
    """Every way to search finds what the reference does."""
    store, keyword = searched.store, SessionQuery(keyword=query)
    hits = hits_with(searched.engine, query, sessions)
    keys = list(dict.fromkeys(key for key, _ in hits))

    assert [found.key for found in store.search(keyword)] == keys, query
    assert [found.key for found in store.search(replace(keyword, limit=len(keys) + 1))] == keys, query
    assert store.count_sessions(keyword) == len(keys), query
    assert [(hit.key, hit.seq) for hit in store.search_messages(query, limit=ALL)] == hits, query


def test_each_engine_serves_where_it_should(searched: Searched, request: pytest.FixtureRequest) -> None:
    """By the locale C PostgreSQL does not know letters beyond ASCII, and the index is not asked."""
    name = request.node.callspec.params["migrated"]
    status = search_index.status(searched.store.engine)

    assert status.engine == searched.engine == searched.store.health().search
    assert ("locale" in status.reason) == (name == "postgresql-c")
    assert (status.size is None) == name.endswith("without")


def test_cases_decided_by_hand(searched: Searched) -> None:
    """Each query finds of all the messages of the cases what the reference finds."""
    messages = dict.fromkeys(text for _, text, _ in CASES + LIKE_CASES)
    sessions = {f"session{number:03}": [text] for number, text in enumerate(messages)}
    searched.fill(sessions)
    for query in dict.fromkeys(query for query, _, _ in CASES + LIKE_CASES):
        check(searched, sessions, query)


@examples(12)
@given(asked=st.lists(any_text | nasty, min_size=5, max_size=20))
def test_any_text_is_a_query(searched: Searched, asked: list[str]) -> None:
    """Nothing that can be typed raises."""
    searched.fill({"a": ["foo bar", "\0\ud800\x1a"], "b": ["6e35d56a 你好 كِتَاب"]})
    for query in asked:
        sessions = searched.store.search(SessionQuery(keyword=query, limit=5))
        hits = searched.store.search_messages(query, limit=5, order="relevance")

        assert {found.key for found in sessions} == {hit.key for hit in hits}


@examples(15)
@given(
    messages=st.lists(st.lists(texts, min_size=1, max_size=4), min_size=3, max_size=8),
    asked=st.lists(queries, min_size=5, max_size=15),
)
def test_generated_messages(searched: Searched, messages: list[list[str]], asked: list[str]) -> None:
    """On any messages any query finds what the reference does."""
    sessions = {f"session{number}": contents for number, contents in enumerate(messages)}
    searched.fill(sessions)
    for query in asked:
        check(searched, sessions, query)


LETTERS = "a" * 100_000
NUMBERED = [f"word{number:05}" for number in range(10_000)]
HUGE = {
    "300 times the same word": ("buffalo " * 300, "one buffalo", "no bison"),
    "300 words": (" ".join(NUMBERED[:300]), " ".join(NUMBERED[:300]), " ".join(NUMBERED[:299])),
    "10,000 words": (" ".join(NUMBERED), " ".join(reversed(NUMBERED)), " ".join(NUMBERED[:9])),
    "5,000 alternatives": (" OR ".join(NUMBERED[:5_000]), "say word04999", "say word05000"),
    "5,000 exclusions": ("cat -" + " -".join(NUMBERED[:5_000]), "cat word05000", "cat word04999"),
    "a word of 100,000 letters": (LETTERS, f"say {LETTERS.upper()}", f"say {LETTERS[:-1]}"),
    "a prefix of 100,000 letters": (f"{LETTERS}*", f"say {LETTERS}b", f"say {LETTERS[:-1]}b"),
    "letters beyond ASCII": ("ж" * 3_000, "Ж" * 3_000, "Ж" * 2_999),
    "a word without 100,000 letters": (f"cat -{LETTERS}", "cat", f"cat {LETTERS}"),
    "a phrase of 200 words": (
        f'"{" ".join(NUMBERED[:200])}"',
        " ".join(NUMBERED[:300]),
        " ".join([*NUMBERED[:100], "and", *NUMBERED[100:300]]),
    ),
    "without a phrase of 200 words": (
        f'word00000 -"{" ".join(NUMBERED[:200])}"',
        " ".join([*NUMBERED[:100], "and", *NUMBERED[100:300]]),
        " ".join(NUMBERED[:300]),
    ),
    "10,000 quotes": ('"' * 10_000 + "cat", "cat", "dog"),
    "10,000 stars": ("cat" + "*" * 10_000, "cat" + "*" * 10_001, "dog"),
    "10,000 signs": ("cat " + "- " * 10_000, "cat", "dog"),
}
HUGE_ENOUGH = ("10,000 words", "5,000 alternatives", "a word of 100,000 letters", "letters beyond ASCII")
"""Of each kind the largest, for every change."""


@pytest.mark.once
@pytest.mark.parametrize(
    "size", [*HUGE_ENOUGH, *(pytest.param(size, marks=pytest.mark.long) for size in HUGE if size not in HUGE_ENOUGH)]
)
def test_huge_queries(searched: Searched, size: str) -> None:
    """However much is typed, it is searched for as it is."""
    query, found, other = HUGE[size]
    searched.fill({"found": [found], "other": [other]})

    assert [session.key for session in searched.store.search(SessionQuery(keyword=query))] == ["found"]
    assert searched.store.count_sessions(SessionQuery(keyword=query)) == 1
    assert [hit.key for hit in searched.store.search_messages(query)] == ["found"]


@pytest.mark.timeout(300)
@pytest.mark.long
def test_a_message_of_five_megabytes(searched: Searched) -> None:
    """A message of 700,000 different words is appended whole, and found by those that stand first."""
    words = [f"w{number}x" for number in range(700_000)]
    content = " ".join(words)
    searched.store.append("big", ChatMessage.user(content))

    assert len(content) > 5_000_000
    assert searched.store.load("big") == [ChatMessage.user(content)]
    for query in ("w5x", "w9x w5x", '"w5x w6x"', "w17999*", f'"{" ".join(words[1_000:1_200])}"'):
        assert [found.key for found in searched.store.search(SessionQuery(keyword=query))] == ["big"], query
    for query in ("w5y", '"w6x w5x"', "w5x -w17000x"):
        assert searched.store.search(SessionQuery(keyword=query)) == [], query


def pages(store: SessionStore, query: str, size: int, order: str) -> list[MessageHit]:
    """All hits, from one page to the next."""
    hits: list[MessageHit] = []
    while page := store.search_messages(query, limit=size, order=order, after=hits[-1].cursor if hits else None):
        assert len(page) <= size
        hits += page
    return hits


SOME = {
    "plain": ["the quick fox", "a quick QUICK quick fox", "slow", "quick"],
    "marks": ["qui\u0301ck", "quick e\u0301", "kwik quick\u20dd", "נ quick ק", "quick كِتَاب"],
    "more": ["quick " * 30 + "end", "end of the quick", "nothing", "quick-fox", "quick, fox; quick.", "the quick\0fox"],
    "others": ["quickly", "quickest fox", "unquick"],
}
ASKED = [
    "quick",
    "quick*",
    '"quick fox"',
    "quick -fox",
    "fox OR end",
    "كِتَاب OR quick",
    "quic",
    "%",
    "-quick",
    "6e35d56a",
]


@pytest.mark.parametrize("order", ["recency", "relevance"])
def test_pages_of_messages(searched: Searched, order: str) -> None:
    """From page to page each hit comes once, in the order asked for, whatever the size of a page."""
    searched.fill(SOME)
    for query in ASKED:
        whole = searched.store.search_messages(query, limit=ALL, order=order)
        places = [(hit.created_at if order == "recency" else hit.rank, hit.key, hit.seq) for hit in whole]

        assert sorted((hit.key, hit.seq) for hit in whole) == sorted(hits_with(searched.engine, query, SOME)), query
        assert places == sorted(places, reverse=True), query
        for size in (1, 2, 3, 7):
            assert pages(searched.store, query, size, order) == whole, (query, size)
        assert searched.store.search_messages(query, limit=0, order=order) == []


def test_hits_have_one_shape(searched: Searched) -> None:
    """A hit says where it is, how well it matches and what matched, by whatever engine."""
    searched.fill(SOME)
    for query in ASKED:
        for hit in searched.store.search_messages(query):
            assert isinstance(hit, MessageHit)
            assert [type(value) for value in hit[:3]] == [str, int, str]
            assert hit.created_at.utcoffset() == timedelta(0)
            assert isinstance(hit.rank, float)
            assert isinstance(hit.snippet, Snippet)
    (hit,) = searched.store.search_messages('"a quick"')

    assert (hit.key, hit.seq, hit.role) == ("plain", 2, "user")
    assert hit.snippet.highlight("<", ">") == "<a quick> QUICK quick fox"


def test_filters_of_messages(searched: Searched) -> None:
    """Session, role and time narrow down what is found, alone and together."""
    start = searched.clock.now
    roles = ["user", "assistant", "tool"]
    hours = [3, 0, 1, 2, 5, 4]
    texts = ["quick fox", "fox", "quick e\u0301"]
    messages = [
        (f"session{number % 2}", roles[number % 3], start + timedelta(hours=hours[number % 6]), texts[number // 4 % 3])
        for number in range(24)
    ]
    for key, role, created_at, content in messages:
        searched.store.append(key, ChatMessage(role, content), created_at=created_at)
    two, four = start + timedelta(hours=2), start + timedelta(hours=4)
    for query in ("quick", "fox -quick", "é OR quick", "uick", "%"):
        finds = finds_with(searched.engine, query)
        for key, role, since, until in itertools.product(
            (None, "session0", "unknown"), (None, "tool"), (None, two), (None, two, four)
        ):
            hits = searched.store.search_messages(query, key=key, role=role, since=since, until=until, limit=ALL)
            expected = sorted(
                (of, by, at)
                for of, by, at, content in messages
                if finds(content)
                and key in {None, of}
                and role in {None, by}
                and (since is None or at >= since)
                and (until is None or at < until)
            )

            assert sorted((hit.key, hit.role, hit.created_at) for hit in hits) == expected, query


def check_snippet(engine: str, query: str, content: str, snippet: Snippet) -> None:
    """A snippet is a piece of its message, and each match in it is one."""
    finds = finds_with(engine, " OR ".join(f'"{part.text}"' for part in required(query)))
    shown = snippet.text.removeprefix("\u2026") if snippet.text not in content else snippet.text
    shown = shown.removesuffix("\u2026") if shown not in content else shown
    ends = list(itertools.chain.from_iterable(snippet.matches))

    assert shown in content
    assert ends == sorted(set(ends))
    assert not ends or (ends[0] >= 0 and ends[-1] <= len(snippet.text))
    for start, end in snippet.matches:
        cut_off = snippet.text[end:] == "\u2026"
        assert cut_off or finds(snippet.text[start:end]), (query, snippet)
    without_marks = snippet.highlight("", "", escape=str.upper)
    assert without_marks == "".join(map(str.upper, _split(snippet)))


def _split(snippet: Snippet) -> list[str]:
    at = [0, *itertools.chain.from_iterable(snippet.matches), len(snippet.text)]
    return [snippet.text[start:end] for start, end in itertools.pairwise(at)]


def required(query: str) -> list[search_reference.Part]:
    """What a query asks for."""
    return [part for group in search_reference.groups(query) for part in group if not part.excluded]


@examples(12)
@given(
    messages=st.lists(st.lists(texts, max_size=15).map(" ".join), min_size=3, max_size=6),
    asked=st.lists(queries, min_size=5, max_size=15),
)
def test_snippets(searched: Searched, messages: list[str], asked: list[str]) -> None:
    """A snippet shows a piece of the message with the first match in it."""
    searched.fill({"session": messages})
    for query in asked:
        for hit in searched.store.search_messages(query, limit=ALL):
            check_snippet(searched.engine, query, messages[hit.seq - 1], hit.snippet)
            assert bool(hit.snippet.matches) == bool(required(query)), (query, hit)


def test_filters_of_sessions(searched: Searched) -> None:
    """A keyword narrows down what the other filters find, on all pages."""
    start = searched.clock.now
    contents = ["quick fox", "slow fox", "quick e\u0301", "e\u0301"]
    for number in range(40):
        key = f"session{number:02}"
        searched.clock.advance(20)
        searched.store.append(key, ChatMessage.user(contents[number % 4]))
        searched.store.append(key, ChatMessage.user(contents[number // 8 % 4]))
        searched.store.set_session_owner(key, "anna" if number % 3 else "ben")
        searched.store.set_session_attributes(key, {"room": number % 5})
        searched.store.set_session_state(key, "running" if number % 7 == 0 else "idle", "turn")
    with searched.store.begin() as transaction:
        transaction.create_session("empty", owner="anna")
    filters = [
        SessionQuery(),
        SessionQuery(owner="anna"),
        SessionQuery(state="running"),
        SessionQuery(attributes={"room": 3}),
        SessionQuery(active_since=start + timedelta(seconds=200)),
        SessionQuery(active_before=start + timedelta(seconds=500)),
        SessionQuery(owner="ben", attributes={"room": 0}, active_since=start + timedelta(seconds=100)),
    ]
    said = {key: [message.content for message in searched.store.load(key)] for key in searched.store.list_sessions()}
    without_words = [(others, searched.store.search(others)) for others in filters]
    for (others, listed), query in itertools.product(without_words, ("quick", "quick -fox", "e\u0301", "no", "%")):
        finds = finds_with(searched.engine, query)
        everything = not search_reference.groups(query)
        expected = [found for found in listed if everything or any(map(finds, said[found.key]))]
        asked = replace(others, keyword=query)

        assert searched.store.search(asked) == expected, asked
        assert searched.store.count_sessions(asked) == len(expected), asked
        for size in (3, 50):
            assert paged(searched.store, asked, size) == expected, (asked, size)


def paged(store: SessionStore, query: SessionQuery, size: int) -> list[object]:
    """All sessions, from one page to the next."""
    found: list[object] = []
    after = None
    while page := store.search(replace(query, limit=size, after=after)):
        found += page
        after = page[-1].cursor
    return found


def test_many_and_few_matches(searched: Searched) -> None:
    """Of a word that thousands of messages have, and of one that few have, the newest sessions are the same."""
    kinds = [
        [*(f"common number{number}" for number in range(15)), "common e\u0301", "half e\u0301"],
        ["common\u0301 number4"] * 17,
        [*(["common number3"] * 15), "common half", "another"],
    ]
    sessions = {
        f"session{number:03}": [*kinds[number % 3], "rare" if number % 60 == 0 else "e\u0301"] for number in range(180)
    }
    searched.fill(sessions)
    for query in ("common", "rare", "common -number3", '"common number3"', "common e\u0301", "common half OR rare"):
        keys = list(dict.fromkeys(key for key, _ in hits_with(searched.engine, query, sessions)))
        asked = SessionQuery(keyword=query)

        assert [found.key for found in searched.store.search(asked)] == keys, query
        for limit in (1, 60, 1_000):
            found = searched.store.search(replace(asked, limit=limit))

            assert [session.key for session in found] == keys[:limit], (query, limit)
        if keys:
            found = searched.store.search(replace(asked, limit=2))
            rest = searched.store.search(replace(asked, limit=100, after=found[-1].cursor))

            assert [session.key for session in rest] == keys[2:102], query
        assert searched.store.count_sessions(asked) == len(keys), query


@pytest.mark.parametrize("most_tested", [20_000, 500], ids=["tested", "asked of the index"])
def test_old_messages_of_long_sessions(searched: Searched, monkeypatch: pytest.MonkeyPatch, most_tested: int) -> None:
    """Of a frequent word a session is found by its oldest message too, however much came behind that."""
    monkeypatch.setattr(search, "_MAX_RECHECKED", most_tested)
    others = ["nothing"] * (search_statements.NEWEST + 30)
    sessions = {
        "long, with it": ["common", *others],
        **{f"session{number:02}": ["common"] * 100 for number in range(25)},
        "long, without it": ["something", *others],
        "long, with another": ["common\u0301", *others],
    }
    searched.fill(sessions)
    if searched.store.engine.dialect.name == "postgresql":
        with searched.store.engine.begin() as db:
            db.execute(text("ANALYZE"))
    keys = list(dict.fromkeys(key for key, _ in hits_with(searched.engine, "common", sessions)))
    for limit in (1, 5, 26, 100):
        found = searched.store.search(SessionQuery(keyword="common", limit=limit))

        assert [session.key for session in found] == keys[:limit]


def test_messages_with_a_time_of_their_own(searched: Searched) -> None:
    """Hits come by the time of the message, which need not be that of the append."""
    start = searched.clock.now
    searched.store.append_many(
        "session",
        [NewMessage(ChatMessage.user("fox"), start + timedelta(days=day)) for day in (2, -5, 0, -1_000_000 // 1_500)],
    )

    assert [hit.seq for hit in searched.store.search_messages("fox")] == [1, 3, 2, 4]
    assert pages(searched.store, "fox", 1, "recency") == searched.store.search_messages("fox")
