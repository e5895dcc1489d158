"""The query language: parse a keyword, and match it against a text.

    query  = clause { "OR" clause }
    clause = { [ "-" ] ( word [ "*" ] | '"' phrase '"' ) }

A message matches a clause if it contains every term, and no term with ``-``. Characters without white space between
them are one term, whose words must follow each other like those of a phrase. ``-`` excludes a term if it is its first
character; ``*`` at the end of a term matches the rest of a word. All other characters are text, and no text is an
error. A clause with only exclusions matches nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from enum import Enum
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from session_store.interface.errors import InvalidQuery
from session_store.interface.values import Snippet
from session_store.search import tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PHRASE: Final = r'"[^"]*"'
_TYPED: Final = re.compile(rf"((?<!\S)-(?=[^\W_]|{_PHRASE}))?(?:({_PHRASE})|((?:(?!{_PHRASE})\S)+))")
_OR: Final = "OR"
_TO_ASCII_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}

_SNIPPET: Final = 160
_BEFORE_MATCH: Final = 40
_MAX_HIGHLIGHTS: Final = 100
_CUT: Final = "\u2026"


class MatchMode(Enum):
    """How a term occurs in a message."""

    WORDS = "words"
    """Its words follow each other in the message."""
    SUBSTRINGS = "substrings"
    """The text contains it as typed, also inside a longer word."""


class Term(NamedTuple):
    """Folded words that follow each other; with ``prefix`` the last one may be the start of a word."""

    words: tuple[str, ...]
    prefix: bool
    text: str
    """The text as typed, without operators."""


class Clause(NamedTuple):
    """Terms that a message must contain, and terms that it must not contain."""

    terms: tuple[Term, ...]
    excluded: tuple[Term, ...]


class Query(NamedTuple):
    """A parsed keyword: a message must match one of the clauses; without a clause nothing matches."""

    clauses: tuple[Clause, ...]
    has_no_spaces: bool
    """Whether a term is in a script that is written without spaces."""

    def matches(self, text: str, meaning: MatchMode) -> bool:
        """Return whether a text matches the query."""
        occurs = _Text(text, meaning).has
        return any(all(map(occurs, group.terms)) and not any(map(occurs, group.excluded)) for group in self.clauses)

    def snippet(self, text: str, meaning: MatchMode) -> Snippet:
        """Return the piece of a message around the first match, with the offsets of all matches in it."""
        searched = _Text(text, meaning)
        required = {part for group in self.clauses for part in group.terms}
        return _cut_snippet(text, sorted({place for part in required for place in searched.places(part)}))


def parse(keyword: object) -> Query | None:
    """Parse a keyword; return None if it has no word.

    Raises:
        InvalidQuery: The keyword is not a `str`.
    """
    if not isinstance(keyword, str):
        problem = f"keyword must be a str, got {type(keyword).__name__}"
        raise InvalidQuery(problem)
    groups: list[tuple[dict[Term, None], dict[Term, None]]] = [({}, {})]
    for minus, phrase, typed in _TYPED.findall(keyword):
        if typed == _OR and not minus:
            groups.append(({}, {}))
            continue
        part = _parse_term(phrase[1:-1], may_end_in_star=False) if phrase else _parse_term(typed, may_end_in_star=True)
        if part.words:
            groups[-1][bool(minus)][part] = None
    parts = [part for group in groups for side in group for part in side]
    if not parts:
        return None
    usable = (Clause(tuple(required), tuple(excluded)) for required, excluded in groups if required)
    return Query(tuple(dict.fromkeys(usable)), any(tokens.has_no_spaces(word) for part in parts for word in part.words))


def lower(text: str, *, like: str) -> str:
    """Return a text as LIKE folds it: all letters, or only A to Z if the other text is ASCII."""
    return text.translate(_TO_ASCII_LOWER) if like.isascii() else tokens.fold(text)


def _parse_term(typed: str, *, may_end_in_star: bool) -> Term:
    before = typed[:-1]
    prefix = may_end_in_star and typed.endswith("*") and any(end == len(before) for _, end in tokens.spans(before))
    text = before if prefix else typed
    return Term(tuple(tokens.words(text)), prefix, text)


class _Text:
    """A message that is searched for several terms."""

    def __init__(self, text: str, meaning: MatchMode) -> None:
        self._text = text
        self._meaning = meaning
        self._haystacks: dict[bool, str] = {}
        self._spans: list[tuple[int, int]] = []
        self._starts: list[int] = []

    def has(self, part: Term) -> bool:
        return self._needle(part) in self._haystack(part)

    def places(self, part: Term) -> Iterator[tuple[int, int]]:
        """Yield the offsets of a term in the text, as far as they can be shown."""
        haystack, needle = self._haystack(part), self._needle(part)
        at = -1
        for _ in range(_MAX_HIGHLIGHTS):
            at = haystack.find(needle, at + 1)
            if at < 0:
                return
            yield self._place(at, part, needle)

    def _place(self, at: int, part: Term, needle: str) -> tuple[int, int]:
        if self._meaning is MatchMode.SUBSTRINGS:
            return at, at + len(needle)
        if not self._spans:
            self._spans = list(tokens.spans(self._text))
            # The offset of each word in the haystack, which has one space between two words.
            self._starts = [0, *accumulate(end - start + 1 for start, end in self._spans)]
        first = bisect_right(self._starts, at) - 1
        return self._spans[first][0], self._spans[first + len(part.words) - 1][1]

    def _needle(self, part: Term) -> str:
        if self._meaning is MatchMode.SUBSTRINGS:
            return lower(part.text, like=part.text)
        return f" {' '.join(part.words)}{'' if part.prefix else ' '}"

    def _haystack(self, part: Term) -> str:
        # For ASCII terms, LIKE folds only ASCII.
        ascii_only = self._meaning is MatchMode.SUBSTRINGS and part.text.isascii()
        if ascii_only not in self._haystacks:
            self._haystacks[ascii_only] = (
                f" {' '.join(tokens.words(self._text))} "
                if self._meaning is MatchMode.WORDS
                else lower(self._text, like=part.text)
            )
        return self._haystacks[ascii_only]


def _cut_snippet(text: str, places: Iterable[tuple[int, int]]) -> Snippet:
    disjoint: list[tuple[int, int]] = []
    for start, end in places:
        if disjoint and start <= disjoint[-1][1]:
            disjoint[-1] = (disjoint[-1][0], max(end, disjoint[-1][1]))
        else:
            disjoint.append((start, end))
    first = disjoint[0][0] if disjoint else 0
    begin = max(0, min(first - _BEFORE_MATCH, len(text) - _SNIPPET))
    if begin:
        # Do not cut a word.
        begin = next((start for start, _ in tokens.spans(text[begin:first])), 0) + begin
    end = min(len(text), max(begin + _SNIPPET, disjoint[0][1] if disjoint else 0))
    left, right = _CUT if begin else "", _CUT if end < len(text) else ""
    shift = len(left) - begin
    shown = tuple((start + shift, min(stop, end) + shift) for start, stop in disjoint if begin <= start < end)
    return Snippet(f"{left}{text[begin:end]}{right}", shown)
