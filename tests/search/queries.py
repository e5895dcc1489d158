"""Texts and queries to try, and what the reference finds by them."""

import re
from collections.abc import Callable, Mapping, Sequence

from hypothesis import strategies as st

from session_store.search.tokens import SEARCHED_CHARACTERS, has_no_spaces
from tests.search import search_reference

WORDS = re.findall(
    r"\S+",
    "a b A ab foo Foo foobar bar or k i 12 1e5 6e35d56a 6e35 d56a e1 "
    "é É e\u0301 E\u0301 ß ẞ ss \ufb01 \u017f s ǆ ǅ Ǆ İ \u0131 \u212a \u2126 \u03c9 µ \u03bc "
    "\u03c3 ς Σ σίσυφος ΣΊΣΥΦΟΣ Σίσυφος привет ПРИВЕТ Приве ёж \u0435\u0308ж "
    "كتاب كِتَاب ك שלום שָׁלוֹם नमस्ते नमस दुनिया தமிழ் 한글 한 ² ½ Ⅷ ⅷ ٣ \ua673 ა Ა \u13a0 \uab70",
)
"""Words that are easily taken for one another, or for two."""

WITHOUT_SPACES = ["你", "你好", "世界", "你好世界", "สวัสดี", "สวัส", "カ", "ｶﾞ", "ひらがな", "ກ", "\U00020000"]

SIGNS = [
    *("   \n\t\u3000\u00a0\u0085.,/\\_':%[]()^$+{„¿"),
    *("\u200b\u200d\u200e\u2060\u00ad\ufe0f\u0301\u064e\u094d\u20dd\U000e0100"),
    *("\u2764\U0001f600\U0001f923\U0001fae8ⓐ\U0001f170"),
    *("\0\ud800\udfff\x1a\x01\x02\x7f\ufffd\ufeff\ufffe"),
    "\u2764\ufe0f",
    "\U0001f468\u200d\U0001f469",
    "\x1a\x01\x02\x03",
]
"""What is no word by itself."""

OPERATORS = [
    *(" OR ", "OR", " -", "-", '"', ' "', '" ', ' -"', "*", "* ", "**", '*"'),
    *("NOT ", "AND ", "NEAR(", "content:", "&", "|", "!", "<->", ":*"),
]
"""Ours, and those of the engines, which mean nothing."""

any_character = st.characters(exclude_categories=())
known_character = st.characters(exclude_categories=("Cn", "Co"))
"""What is unassigned or private is no word to us, and a part of one to FTS5."""

any_text = st.text(any_character)


def _joined(pieces: Sequence[str], most: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), max_size=most).map("".join)


_phrases = _joined([*WORDS, " ", " ", " "], 8)
nasty = _joined([*WORDS, *WITHOUT_SPACES, *SIGNS, *OPERATORS], 14)
texts = st.one_of(_phrases, nasty, _joined([*WORDS, *SIGNS], 30), st.text(known_character, max_size=20))
queries = st.one_of(
    nasty,
    _joined([*WORDS, *OPERATORS, " ", " "], 8),
    _joined([*WORDS, *SIGNS], 5),
    st.tuples(st.text(known_character, max_size=3), st.sampled_from(WORDS)).map("".join),
    st.sampled_from(WORDS + WITHOUT_SPACES),
)

Finds = Callable[[str], bool]


def finds_with(engine: str, query: str) -> Finds:
    """Whether a message is found by a query, as far as it is searched; by a query without a word each one is."""
    parts = [part for part in search_reference.parts(query) if part is not None]
    substrings = engine == "like" or any(has_no_spaces(word) for part in parts for word in part.words)
    finds = search_reference.finds_by_like if substrings else search_reference.finds
    return lambda text: finds(query, text[:SEARCHED_CHARACTERS]) is not False


def hits_with(engine: str, query: str, sessions: Mapping[str, Sequence[str]]) -> list[tuple[str, int]]:
    """The messages found, by key and seq, newest first."""
    finds = finds_with(engine, query)
    return [
        (key, seq)
        for key, texts in reversed(sessions.items())
        for seq, text in reversed([*enumerate(texts, 1)])
        if finds(text)
    ]
