"""What an engine proposes: the messages among which those are that a query asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import Text, bindparam, type_coerce

from session_store.search.words import SEARCHED_CHARACTERS
from session_store.tables import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import BindParameter, ColumnElement, Connection, Select

    from session_store.search.language import Meaning, Query

CONTENT: Final = type_coerce(MESSAGES.c.content, Text())
"""The text as it is stored."""

FEW: Final = 2_000
"""Up to so many messages are looked up one by one, and then their sessions; of more only the newest are looked for."""

VERY_FEW: Final = 200
"""Up to so many are looked up without asking first whether they are few."""

MOST_GROUPS: Final = 100
MOST_PARTS: Final = 20
MOST_WORDS: Final = 20
"""What of a query becomes SQL: more of it decides on what is proposed, in Python."""


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """Conditions on a row of the messages; none of them leaves out what a query asks for.

    They are made once for all queries of a shape, because making SQL takes longer than running it; what was typed is
    in their parameters.
    """

    listed: tuple[ColumnElement[bool], ...]
    """Each proposes some, where the database is to begin with an index of the words; together all of them."""
    tested: ColumnElement[bool]
    """Proposed, where the database has the row already."""
    settled: ColumnElement[bool]
    """What is proposed is what is asked for."""
    hits: Select[Any]
    """Select nothing yet of the messages proposed, so that their rank can be had."""
    rank: ColumnElement[float]
    listed_if_few: ColumnElement[bool] | None = None
    """The same as what is listed, if those are very few; else nothing. None: the database cannot say that at once."""
    size: Callable[[Connection, Mapping[str, str]], int] | None = None
    """Say how many messages are proposed, about, or up to one more than a few; None: that would be all the work."""


class Proposals(NamedTuple):
    """The messages that an engine proposes for a query.

    An index does not see every word as we do. Where it may be wrong, the message is read and the query decides.
    """

    query: Query
    meaning: Meaning
    conditions: Conditions
    values: Mapping[str, str]

    def confirms(self, text: str) -> bool:
        """Whether a message is what the query asks for, by its text."""
        return self.query.finds(text[:SEARCHED_CHARACTERS], self.meaning)


def text(name: str) -> BindParameter[str]:
    """Return a parameter for text."""
    return bindparam(name, type_=Text())
