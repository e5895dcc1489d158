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
from session_store.search.candidates import CONTENT, MOST_GROUPS, MOST_PARTS, Conditions, Proposals, text
from session_store.search.query import Meaning, Query, lower

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import ColumnElement

    from session_store.search.query import Group

ENGINE: Final = "like"

_LONGEST_PATTERN: Final = 400
"""Characters; SQLite takes 50,000 bytes, and a letter becomes up to five of them."""
_ESCAPING: Final = {*ESCAPE_DIGITS, SUB}
_SPECIAL: Final = set(r"\.*+?[]{}()|^$-")


class Kind(Enum):
    """How a text is looked for."""

    WORD = "word"
    """As it is, A to Z being the same as a to z."""
    TEXT = "text"
    """As it is."""
    PATTERN = "pattern"
    """As a pattern in which every letter is there in both cases."""


class Sought(NamedTuple):
    """A text to look for; as a pattern, SQLite's GLOB and PostgreSQL's regular expression."""

    kind: Kind
    values: tuple[str, ...]


Shape = tuple[tuple[tuple[Kind, ...], tuple[Kind, ...]], ...]
"""Of each group how its parts are looked for, those required and those excluded."""


def everything() -> Proposals:
    """Propose every message, for a keyword without a word."""
    return Proposals(Query((), has_no_spaces=False), Meaning.WORDS, _conditions(None, exact=True), {})


def substrings(query: Query) -> Proposals:
    """Propose the messages in which the parts occur as they were typed."""
    exact = len(query.groups) <= MOST_GROUPS and all(map(_is_exact, query.groups))
    sought = [
        (
            [_substring(part.text) for part in group.required[:MOST_PARTS]],
            [_substring(part.text) for part in group.excluded if exact],
        )
        for group in query.groups
    ]
    return _proposed(query, Meaning.SUBSTRINGS, sought, exact=exact)


def spelled(query: Query) -> Proposals:
    """Propose the messages that have all characters of the words, in whatever case."""
    sought: list[tuple[list[Sought], list[Sought]]] = [
        ([spelling(part.words[0]) for part in group.required[:MOST_PARTS]], []) for group in query.groups
    ]
    return _proposed(query, Meaning.WORDS, sought, exact=False)


def spelling(word: str) -> Sought:
    """Return what a message must have that has a word, perhaps within another one, in whatever case."""
    if word.isascii() and all(tokens.variants(char).isascii() for char in word):
        return Sought(Kind.WORD, (word,))
    return _pattern(word)


def sieve(query: Query) -> list[Sought]:
    """Return the longest word of each group: cheap to see, and most messages have not one of them."""
    return [spelling(max((word for part in group.required for word in part.words), key=len)) for group in query.groups]


def has_one(kinds: Iterable[Kind], name: str) -> ColumnElement[bool]:
    """Whether a message has one of the texts whose values are called so."""
    return or_(false(), *(_has(kind, f"{name}_{number}") for number, kind in enumerate(kinds)))


def values(name: str, sought: Iterable[Sought]) -> dict[str, str]:
    """Return the values of the texts that are called so."""
    return {
        f"{name}_{number}_{position}": value
        for number, one in enumerate(sought)
        for position, value in enumerate(one.values)
    }


def _proposed(
    query: Query, meaning: Meaning, sought: Sequence[tuple[list[Sought], list[Sought]]], *, exact: bool
) -> Proposals:
    if len(sought) > MOST_GROUPS:
        return Proposals(query, meaning, _conditions(None, exact=False), {})
    shape = tuple((tuple(one.kind for one in all_of), tuple(one.kind for one in none_of)) for all_of, none_of in sought)
    every = (one for all_of, none_of in sought for one in (*all_of, *none_of))
    return Proposals(query, meaning, _conditions(shape, exact=exact), values("part", every))


@lru_cache(maxsize=256)
def _conditions(shape: Shape | None, *, exact: bool) -> Conditions:
    """Return the conditions of a shape; None: every message."""
    found: ColumnElement[bool] = true() if shape is None else or_(false(), *_groups(shape))
    return Conditions(
        listed=(found,),
        tested=found,
        settled=true() if exact else false(),
        hits=select().where(found),
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


def _has(kind: Kind, name: str) -> ColumnElement[bool]:
    if kind is Kind.WORD:
        return has_word(CONTENT, text(f"{name}_0"))
    if kind is Kind.TEXT:
        return has_text(CONTENT, text(f"{name}_0"))
    return has_pattern(CONTENT, text(f"{name}_0"), text(f"{name}_1"))


def _is_exact(group: Group) -> bool:
    return len(group.required) + len(group.excluded) <= MOST_PARTS and all(
        # A control character that was typed may be found in what stands for one that cannot be stored.
        not _ESCAPING & set(part.text) and (_is_plain(part.text) or len(part.text) <= _LONGEST_PATTERN)
        for part in (*group.required, *group.excluded)
    )


def _substring(typed: str) -> Sought:
    stored = escape(typed)
    if typed.isascii():
        return Sought(Kind.WORD, (lower(stored, like=typed),))
    return Sought(Kind.TEXT, (stored,)) if _is_plain(typed) else _pattern(stored)


def _is_plain(typed: str) -> bool:
    """Whether no pattern is needed to find a text in both cases."""
    return typed.isascii() or all(len(tokens.variants(char)) == 1 for char in tokens.fold(typed))


def _pattern(typed: str) -> Sought:
    sets = [tokens.variants(char) for char in tokens.fold(typed[:_LONGEST_PATTERN])]
    glob = "".join(f"[{same}]" if len(same) > 1 or same in "*?[" else same for same in sets)
    regular = "".join(f"[{same}]" if len(same) > 1 else f"\\{same}" if same in _SPECIAL else same for same in sets)
    return Sought(Kind.PATTERN, (f"*{glob}*", regular))
