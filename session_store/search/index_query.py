"""Render a query in the language of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from session_store.search import tokens
from session_store.search.candidates import MAX_CLAUSES, MAX_TERMS, MAX_WORDS

if TYPE_CHECKING:
    from session_store.search.query import Clause, Query, Term


class TermRenderer(Protocol):
    """Renders a term in the language of an index."""

    def __call__(self, part: Term, *, wanted: bool) -> str:
        """Render the term for the exact query, or for the superset query, which must not miss a match."""
        ...


class IndexQuery(NamedTuple):
    """A query for an index; its texts are used as parameters, never as SQL."""

    superset: str
    """Matches all messages that the query matches, and maybe others."""
    exact_query: str
    """If ``exact``, matches only those, among messages of portable characters."""
    exact: bool

    @property
    def values(self) -> dict[str, str]:
        """The values of the parameters, by name."""
        return {"proposed": self.superset, "wanted": self.exact_query}

    @classmethod
    def build(cls, query: Query, spell: TermRenderer, *, any_of: str, all_of: str, but_not: str) -> IndexQuery | None:
        """Return a query for an index; None if a clause has no term that the index certainly has."""
        proposals = [_certainly_indexed(group) for group in query.clauses]
        if not all(proposals) or not 0 < len(proposals) <= MAX_CLAUSES:
            return None

        def wanted(group: Clause) -> str:
            required = all_of.join(spell(part, wanted=True) for part in group.terms)
            excluded = any_of.join(spell(part, wanted=True) for part in group.excluded)
            return but_not.format(required, excluded) if excluded else required

        proposed = any_of.join(f"({all_of.join(spell(part, wanted=False) for part in parts)})" for parts in proposals)
        exact = all(
            len(group.terms) + len(group.excluded) <= MAX_TERMS and all(map(_is_exact, (*group.terms, *group.excluded)))
            for group in query.clauses
        )
        clauses = any_of.join(f"({wanted(group)})" for group in query.clauses) if exact else proposed
        return cls(proposed, clauses, exact)


def _certainly_indexed(group: Clause) -> list[Term]:
    """Return the terms of a clause that an index can answer, limited to a number that every index accepts."""
    indexed = [part for part in group.terms if all(map(tokens.is_indexed, part.words))]
    return [
        part if len(part.words) <= MAX_WORDS else part._replace(words=part.words[:MAX_WORDS], prefix=False)
        for part in indexed[:MAX_TERMS]
    ]


def _is_exact(part: Term) -> bool:
    return len(part.words) <= MAX_WORDS and all(
        tokens.is_indexed(word) and tokens.is_portable(word) and tokens.is_whole(word) for word in part.words
    )
