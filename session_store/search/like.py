"""Looking at every message: for substrings, and for words that no index has.

Nothing here depends on how the database folds, which it does as its locale says: A to Z are folded by functions that
know nothing else, and for other letters both cases are written out.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Float, and_, false, func, literal_column, not_, or_, select, true, type_coerce

from session_store.database.functions import has_pattern, has_text, has_word
from session_store.models.types import ESCAPE_DIGITS, SUB, escape
from session_store.search import tokens
from session_store.search.candidates import CONTENT, MAX_CLAUSES, MAX_TERMS, Candidates, CandidateSql, text_param
from session_store.search.query import MatchMode, Query, lower

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import ColumnElement

    from session_store.search.query import Clause

ENGINE: Final = "like"

_MAX_PATTERN_LENGTH: Final = 400
"""Characters; SQLite takes 50,000 bytes, and a letter becomes up to five of them."""
_ESCAPING: Final = {*ESCAPE_DIGITS, SUB}
_SPECIAL: Final = set(r"\.*+?[]{}()|^$-")


class PatternKind(Enum):
    """How a text is looked for."""

    WORD = "word"
    """As it is, A to Z being the same as a to z."""
    TEXT = "text"
    """As it is."""
    PATTERN = "pattern"
    """As a pattern in which every letter is there in both cases."""


class Pattern(NamedTuple):
    """A text to look for; as a pattern, SQLite's GLOB and PostgreSQL's regular expression."""

    kind: PatternKind
    values: tuple[str, ...]


Shape = tuple[tuple[tuple[PatternKind, ...], tuple[PatternKind, ...]], ...]
"""Of each group how its parts are looked for, those required and those excluded."""


def match_all() -> Candidates:
    """Propose every message, for a keyword without a word."""
    return Candidates(Query((), has_no_spaces=False), MatchMode.WORDS, _conditions(None, exact=True), {})


def substrings(query: Query) -> Candidates:
    """Propose the messages in which the parts occur as they were typed."""
    exact = len(query.clauses) <= MAX_CLAUSES and all(map(_is_exact, query.clauses))
    sought = [
        (
            [_substring(part.text) for part in group.terms[:MAX_TERMS]],
            [_substring(part.text) for part in group.excluded if exact],
        )
        for group in query.clauses
    ]
    return _proposed(query, MatchMode.SUBSTRINGS, sought, exact=exact)


def case_variants(query: Query) -> Candidates:
    """Propose the messages that have all characters of the words, in whatever case."""
    sought: list[tuple[list[Pattern], list[Pattern]]] = [
        ([word_variants(part.words[0]) for part in group.terms[:MAX_TERMS]], []) for group in query.clauses
    ]
    return _proposed(query, MatchMode.WORDS, sought, exact=False)


def word_variants(word: str) -> Pattern:
    """Return what a message must have that has a word, perhaps within another one, in whatever case."""
    if word.isascii() and all(tokens.variants(char).isascii() for char in word):
        return Pattern(PatternKind.WORD, (word,))
    return _pattern(word)


def prefilter(query: Query) -> list[Pattern]:
    """Return the longest word of each group: cheap to see, and most messages have not one of them."""
    return [
        word_variants(max((word for part in group.terms for word in part.words), key=len)) for group in query.clauses
    ]


def has_one(kinds: Iterable[PatternKind], name: str) -> ColumnElement[bool]:
    """Whether a message has one of the texts whose values are called so."""
    return or_(false(), *(_has(kind, f"{name}_{number}") for number, kind in enumerate(kinds)))


def values(name: str, sought: Iterable[Pattern]) -> dict[str, str]:
    """Return the values of the texts that are called so."""
    return {
        f"{name}_{number}_{position}": value
        for number, one in enumerate(sought)
        for position, value in enumerate(one.values)
    }


def _proposed(
    query: Query, meaning: MatchMode, sought: Sequence[tuple[list[Pattern], list[Pattern]]], *, exact: bool
) -> Candidates:
    if len(sought) > MAX_CLAUSES:
        return Candidates(query, meaning, _conditions(None, exact=False), {})
    shape = tuple((tuple(one.kind for one in all_of), tuple(one.kind for one in none_of)) for all_of, none_of in sought)
    every = (one for all_of, none_of in sought for one in (*all_of, *none_of))
    return Candidates(query, meaning, _conditions(shape, exact=exact), values("part", every))


@lru_cache(maxsize=256)
def _conditions(shape: Shape | None, *, exact: bool) -> CandidateSql:
    """Return the conditions of a shape; None: every message."""
    found: ColumnElement[bool] = true() if shape is None else or_(false(), *_groups(shape))
    return CandidateSql(
        listed=(found,),
        tested=found,
        settled=true() if exact else false(),
        matching_rows=select().where(found),
        # The shorter the message, the more of it is the match.
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
        # A control character that was typed may be found in what stands for one that cannot be stored.
        not _ESCAPING & set(part.text) and (_is_plain(part.text) or len(part.text) <= _MAX_PATTERN_LENGTH)
        for part in (*group.terms, *group.excluded)
    )


def _substring(typed: str) -> Pattern:
    stored = escape(typed)
    if typed.isascii():
        return Pattern(PatternKind.WORD, (lower(stored, like=typed),))
    return Pattern(PatternKind.TEXT, (stored,)) if _is_plain(typed) else _pattern(stored)


def _is_plain(typed: str) -> bool:
    """Whether no pattern is needed to find a text in both cases."""
    return typed.isascii() or all(len(tokens.variants(char)) == 1 for char in tokens.fold(typed))


def _pattern(typed: str) -> Pattern:
    sets = [tokens.variants(char) for char in tokens.fold(typed[:_MAX_PATTERN_LENGTH])]
    glob = "".join(f"[{same}]" if len(same) > 1 or same in "*?[" else same for same in sets)
    regular = "".join(f"[{same}]" if len(same) > 1 else f"\\{same}" if same in _SPECIAL else same for same in sets)
    return Pattern(PatternKind.PATTERN, (f"*{glob}*", regular))
