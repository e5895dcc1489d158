"""A query as the text in which an index takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from session_store.search import tokens
from session_store.search.candidates import MOST_GROUPS, MOST_PARTS, MOST_WORDS

if TYPE_CHECKING:
    from session_store.search.query import Group, Part, Query


class Spells(Protocol):
    """Spells a part in the language of an index."""

    def __call__(self, part: Part, *, wanted: bool) -> str:
        """Spell it as what is wanted, or as what is proposed: with nothing in it that could be left out."""
        ...


class Indexed(NamedTuple):
    """What an index is asked for: text for a parameter, and never for SQL."""

    proposed: str
    """Finds all messages that are asked for, and perhaps others."""
    wanted: str
    """On usual messages finds those alone, if ``exact``."""
    exact: bool

    @property
    def values(self) -> dict[str, str]:
        """The values of the parameters that have these names."""
        return {"proposed": self.proposed, "wanted": self.wanted}

    @classmethod
    def of(cls, query: Query, spell: Spells, *, any_of: str, all_of: str, but_not: str) -> Indexed | None:
        """Return a query in the language of an index; None where no part of a group is sure to be in it."""
        proposals = [_surely_indexed(group) for group in query.groups]
        if not all(proposals) or not 0 < len(proposals) <= MOST_GROUPS:
            return None

        def wanted(group: Group) -> str:
            required = all_of.join(spell(part, wanted=True) for part in group.required)
            excluded = any_of.join(spell(part, wanted=True) for part in group.excluded)
            return but_not.format(required, excluded) if excluded else required

        proposed = any_of.join(f"({all_of.join(spell(part, wanted=False) for part in parts)})" for parts in proposals)
        exact = all(
            len(group.required) + len(group.excluded) <= MOST_PARTS
            and all(map(_is_exact, (*group.required, *group.excluded)))
            for group in query.groups
        )
        asked = any_of.join(f"({wanted(group)})" for group in query.groups) if exact else proposed
        return cls(proposed, asked, exact)


def _surely_indexed(group: Group) -> list[Part]:
    """Return what of a group an index can be asked for, cut to a size at which no index complains."""
    indexed = [part for part in group.required if all(map(tokens.is_indexed, part.words))]
    return [
        part if len(part.words) <= MOST_WORDS else part._replace(words=part.words[:MOST_WORDS], prefix=False)
        for part in indexed[:MOST_PARTS]
    ]


def _is_exact(part: Part) -> bool:
    return len(part.words) <= MOST_WORDS and all(
        tokens.is_indexed(word) and tokens.is_usual(word) and tokens.is_whole(word) for word in part.words
    )
