"""The query language, and whether a message is what a query asks for.

    query = group { "OR" group }
    group = { [ "-" ] ( word [ "*" ] | '"' phrase '"' ) }

Every part of a group must hold in one message; a part with ``-`` must not. What is typed together without white space
is one part: its words follow each other, as those of a phrase do. ``-`` excludes right before a word or a quote, at
the start of what is typed together; ``*`` stands for the rest of a word right behind it, at the end of it. Anything
else is text, and no text is an error. A group of exclusions alone finds nothing.
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
    """What it is for a part to occur in a message."""

    WORDS = "words"
    """Its words follow each other."""
    SUBSTRINGS = "substrings"
    """It is in the text as it was typed, in a longer word too."""


class Term(NamedTuple):
    """Words that follow each other, folded; of the last one perhaps only the beginning."""

    words: tuple[str, ...]
    prefix: bool
    text: str
    """As it was typed, without what is an operator."""


class Clause(NamedTuple):
    """Parts that one message must have, and parts that it must not."""

    terms: tuple[Term, ...]
    excluded: tuple[Term, ...]


class Query(NamedTuple):
    """What somebody typed: one of the groups must hold; without a group nothing is found."""

    clauses: tuple[Clause, ...]
    has_no_spaces: bool
    """A part is in a script that is written without spaces."""

    def matches(self, text: str, meaning: MatchMode) -> bool:
        """Whether a message is what the query asks for."""
        occurs = _Text(text, meaning).has
        return any(all(map(occurs, group.terms)) and not any(map(occurs, group.excluded)) for group in self.clauses)

    def snippet(self, text: str, meaning: MatchMode) -> Snippet:
        """Return the piece of a message around the first match, with the places of all matches in it."""
        searched = _Text(text, meaning)
        required = {part for group in self.clauses for part in group.terms}
        return _cut_snippet(text, sorted({place for part in required for place in searched.places(part)}))


def parse(keyword: object) -> Query | None:
    """Return what a keyword asks for; None if there is no word in it.

    Raises:
        InvalidQuery: It is no `str`.
    """
    if not isinstance(keyword, str):
        problem = f"keyword must be a str, not {type(keyword).__name__}"
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
    """Return a text in which LIKE looks for another one: folded, or only A to Z if that one is ASCII."""
    return text.translate(_TO_ASCII_LOWER) if like.isascii() else tokens.fold(text)


def _parse_term(typed: str, *, may_end_in_star: bool) -> Term:
    before = typed[:-1]
    prefix = may_end_in_star and typed.endswith("*") and any(end == len(before) for _, end in tokens.spans(before))
    text = before if prefix else typed
    return Term(tuple(tokens.words(text)), prefix, text)


class _Text:
    """A message that is looked through for several parts."""

    def __init__(self, text: str, meaning: MatchMode) -> None:
        self._text = text
        self._meaning = meaning
        self._haystacks: dict[bool, str] = {}
        self._spans: list[tuple[int, int]] = []
        self._starts: list[int] = []

    def has(self, part: Term) -> bool:
        return self._needle(part) in self._haystack(part)

    def places(self, part: Term) -> Iterator[tuple[int, int]]:
        """Give where a part occurs in the text, as far as it can be shown."""
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
            # Where each word begins in the haystack, in which one space parts two.
            self._starts = [0, *accumulate(end - start + 1 for start, end in self._spans)]
        first = bisect_right(self._starts, at) - 1
        return self._spans[first][0], self._spans[first + len(part.words) - 1][1]

    def _needle(self, part: Term) -> str:
        if self._meaning is MatchMode.SUBSTRINGS:
            return lower(part.text, like=part.text)
        return f" {' '.join(part.words)}{'' if part.prefix else ' '}"

    def _haystack(self, part: Term) -> str:
        # For ASCII, LIKE folds ASCII alone.
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
        # Not in the middle of a word.
        begin = next((start for start, _ in tokens.spans(text[begin:first])), 0) + begin
    end = min(len(text), max(begin + _SNIPPET, disjoint[0][1] if disjoint else 0))
    left, right = _CUT if begin else "", _CUT if end < len(text) else ""
    shift = len(left) - begin
    shown = tuple((start + shift, min(stop, end) + shift) for start, stop in disjoint if begin <= start < end)
    return Snippet(f"{left}{text[begin:end]}{right}", shown)
