"""The search backend without an index: reads every message, for words and substrings.

The result does not depend on the locale of the database: A to Z are folded by functions that fold nothing else, and
for other letters both cases are written out.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Float, and_, false, func, literal_column, not_, or_, select, true, type_coerce

from session_store.database.functions import has_pattern, has_text, has_word
from session_store.database.parameters import text_param
from session_store.models.types import ESCAPE_DIGITS, SUB, escape
from session_store.search import tokens
from session_store.search.candidates import CONTENT, MAX_CLAUSES, MAX_TERMS, Candidates, CandidateSql
from session_store.search.query import MatchMode, Query, lower

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import ColumnElement

    from session_store.search.query import Clause

ENGINE: Final = "like"

_MAX_PATTERN_LENGTH: Final = 400
"""In characters. SQLite takes patterns of up to 50,000 bytes, and a letter becomes up to five bytes."""
_ESCAPING: Final = {*ESCAPE_DIGITS, SUB}
_SPECIAL: Final = set(r"\.*+?[]{}()|^$-")


class PatternKind(Enum):
    """How a text is matched."""

    WORD = "word"
    """With A to Z equal to a to z."""
    TEXT = "text"
    """Exactly."""
    PATTERN = "pattern"
    """As a pattern with both cases of every letter."""


class Pattern(NamedTuple):
    """A text to match; a pattern has a GLOB for SQLite and a regular expression for PostgreSQL."""

    kind: PatternKind
    values: tuple[str, ...]


Shape = tuple[tuple[tuple[PatternKind, ...], tuple[PatternKind, ...]], ...]
"""For each clause, how its required and its excluded terms are matched."""


def match_all() -> Candidates:
    """Return every message as a candidate, for a keyword without a word."""
    return Candidates(Query((), has_no_spaces=False), MatchMode.WORDS, _conditions(None, exact=True), {})


def substrings(query: Query) -> Candidates:
    """Return the messages that contain the terms as they were typed."""
    exact = len(query.clauses) <= MAX_CLAUSES and all(map(_is_exact, query.clauses))
    patterns = [
        (
            [_substring(part.text) for part in group.terms[:MAX_TERMS]],
            [_substring(part.text) for part in group.excluded if exact],
        )
        for group in query.clauses
    ]
    return _proposed(query, MatchMode.SUBSTRINGS, patterns, exact=exact)


def case_variants(query: Query) -> Candidates:
    """Return the messages that contain all words in any case, also inside longer words."""
    patterns: list[tuple[list[Pattern], list[Pattern]]] = [
        ([word_variants(part.words[0]) for part in group.terms[:MAX_TERMS]], []) for group in query.clauses
    ]
    return _proposed(query, MatchMode.WORDS, patterns, exact=False)


def word_variants(word: str) -> Pattern:
    """Return the pattern of a word in any case, also inside a longer word."""
    if word.isascii() and all(tokens.variants(char).isascii() for char in word):
        return Pattern(PatternKind.WORD, (word,))
    return _pattern(word)


def prefilter(query: Query) -> list[Pattern]:
    """Return the longest word of each clause: cheap to match, and absent from most messages."""
    return [
        word_variants(max((word for part in group.terms for word in part.words), key=len)) for group in query.clauses
    ]


def has_one(kinds: Iterable[PatternKind], name: str) -> ColumnElement[bool]:
    """Return the condition that a message has one of the patterns, by their parameter names."""
    return or_(false(), *(_has(kind, f"{name}_{number}") for number, kind in enumerate(kinds)))


def values(name: str, patterns: Iterable[Pattern]) -> dict[str, str]:
    """Return the parameters of the patterns with this name."""
    return {
        f"{name}_{number}_{position}": value
        for number, one in enumerate(patterns)
        for position, value in enumerate(one.values)
    }


def _proposed(
    query: Query, meaning: MatchMode, patterns: Sequence[tuple[list[Pattern], list[Pattern]]], *, exact: bool
) -> Candidates:
    if len(patterns) > MAX_CLAUSES:
        return Candidates(query, meaning, _conditions(None, exact=False), {})
    shape = tuple(
        (tuple(one.kind for one in all_of), tuple(one.kind for one in none_of)) for all_of, none_of in patterns
    )
    every = (one for all_of, none_of in patterns for one in (*all_of, *none_of))
    return Candidates(query, meaning, _conditions(shape, exact=exact), values("part", every))


@lru_cache(maxsize=256)
def _conditions(shape: Shape | None, *, exact: bool) -> CandidateSql:
    """Return the conditions of a shape; None for every message."""
    found: ColumnElement[bool] = true() if shape is None else or_(false(), *_groups(shape))
    return CandidateSql(
        listed=(found,),
        tested=found,
        settled=true() if exact else false(),
        matching_rows=select().where(found),
        # In a shorter message, the match is a larger part.
        rank=type_coerce(literal_column("1.0") / (1 + func.length(CONTENT)), Float(53)),
    )


def _groups(shape: Shape) -> Iterator[ColumnElement[bool]]:
    number = 0
    for required, excluded in shape:
        conditions: list[ColumnElement[bool]] = []
        for position, kind in enumerate((*required, *excluded)):
            has = _has(kind, f"part_{number}")
            conditions.append(has if position < len(required) else not_(has))
            number += 1
        yield and_(*conditions)


def _has(kind: PatternKind, name: str) -> ColumnElement[bool]:
    if kind is PatternKind.WORD:
        return has_word(CONTENT, text_param(f"{name}_0"))
    if kind is PatternKind.TEXT:
        return has_text(CONTENT, text_param(f"{name}_0"))
    return has_pattern(CONTENT, text_param(f"{name}_0"), text_param(f"{name}_1"))


def _is_exact(group: Clause) -> bool:
    return len(group.terms) + len(group.excluded) <= MAX_TERMS and all(
        # A typed control character may match the escape of a character that cannot be stored.
        not _ESCAPING & set(part.text) and (_is_plain(part.text) or len(part.text) <= _MAX_PATTERN_LENGTH)
        for part in (*group.terms, *group.excluded)
    )


def _substring(typed: str) -> Pattern:
    stored = escape(typed)
    if typed.isascii():
        return Pattern(PatternKind.WORD, (lower(stored, like=typed),))
    return Pattern(PatternKind.TEXT, (stored,)) if _is_plain(typed) else _pattern(stored)


def _is_plain(typed: str) -> bool:
    """Return whether a text in any case can be matched without a pattern."""
    return typed.isascii() or all(len(tokens.variants(char)) == 1 for char in tokens.fold(typed))


def _pattern(typed: str) -> Pattern:
    sets = [tokens.variants(char) for char in tokens.fold(typed[:_MAX_PATTERN_LENGTH])]
    glob = "".join(f"[{same}]" if len(same) > 1 or same in "*?[" else same for same in sets)
    regular = "".join(f"[{same}]" if len(same) > 1 else f"\\{same}" if same in _SPECIAL else same for same in sets)
    return Pattern(PatternKind.PATTERN, (f"*{glob}*", regular))
