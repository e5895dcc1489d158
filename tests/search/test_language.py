"""The query language without a database, against the reference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store import InvalidQuery
from session_store.search.query import MatchMode, parse
from tests.conftest import examples
from tests.search import search_reference
from tests.search.queries import any_text, nasty, queries, texts
from tests.search.search_cases import CASES, LIKE_CASES

pytestmark = pytest.mark.once

REFERENCE = {MatchMode.WORDS: search_reference.finds, MatchMode.SUBSTRINGS: search_reference.finds_by_like}
SHORT = [
    "a",
    "b",
    "ab",
    " ",
    " ",
    '"',
    ' "',
    "-",
    " -",
    "*",
    "_",
    " OR ",
    "é",
    "\u0301",
    "\u03c3",
    "ς",
    "Σ",
    "İ",
    "K",
    "\u212a",
]

short = st.lists(st.sampled_from(SHORT), max_size=12).map("".join)
meanings = pytest.mark.parametrize("meaning", MatchMode)


def decided(query: str, content: str, meaning: MatchMode) -> bool | None:
    """Whether a message is found; None if the query has no word."""
    asked = parse(query)
    return None if asked is None else asked.matches(content, meaning)


@pytest.mark.parametrize(
    ("cases", "meaning"), [(CASES, MatchMode.WORDS), (LIKE_CASES, MatchMode.SUBSTRINGS)], ids=["words", "substrings"]
)
def test_cases_decided_by_hand(cases: list[tuple[str, str, bool | None]], meaning: MatchMode) -> None:
    """Each is decided as it was by hand."""
    assert [
        (query, content[:80]) for query, content, expected in cases if decided(query, content, meaning) is not expected
    ] == []


@meanings
@examples(1_000)
@given(query=short | queries | nasty | any_text, content=short | texts | any_text)
def test_decides_as_the_reference(query: str, content: str, meaning: MatchMode) -> None:
    """Whatever is typed, and whatever the message is."""
    assert decided(query, content, meaning) is REFERENCE[meaning](query, content)


@meanings
@examples(500)
@given(query=short | queries, content=short | texts, around=texts)
def test_what_is_found_is_shown(query: str, content: str, around: str, meaning: MatchMode) -> None:
    """A message that is found has a match, and the first one is in the snippet."""
    asked = parse(query)
    if asked is not None and asked.matches(f"{around}{content}", meaning):
        snippet = asked.snippet(f"{around}{content}", meaning)

        assert snippet.matches
        assert all(0 <= start < end <= len(snippet.text) for start, end in snippet.matches)


@examples(300)
@given(query=queries | nasty | any_text)
def test_a_query_is_its_own_parts(query: str) -> None:
    """The groups that can find something, their parts and prefixes are those of the reference, each once."""
    asked = parse(query)
    expected = [
        ({part[:3] for part in parts if not part.excluded}, {part[:3] for part in parts if part.excluded})
        for parts in (_hashable(group) for group in search_reference.groups(query))
    ]
    found = [] if asked is None else asked.clauses

    assert [({*_plain(group.terms)}, {*_plain(group.excluded)}) for group in found] == [
        group for place, group in enumerate(expected) if group[0] and group not in expected[:place]
    ]


def _hashable(group: list[search_reference.Part]) -> list[search_reference.Part]:
    return [part._replace(words=tuple(part.words)) for part in group]


def _plain(parts: tuple[tuple[object, ...], ...]) -> list[tuple[object, ...]]:
    return [tuple(part) for part in parts]


@pytest.mark.parametrize("keyword", [b"cat", 1, ["cat"], object()])
def test_only_text_is_a_query(keyword: object) -> None:
    """Anything else is refused."""
    with pytest.raises(InvalidQuery, match="keyword must be a str"):
        parse(keyword)
