"""What an engine proposes: the messages among which those are that a query asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import Integer, Text, bindparam, case, func, literal_column, type_coerce

from session_store.models.models import MESSAGES
from session_store.search.tokens import SEARCHED_CHARACTERS, is_portable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import BindParameter, ColumnElement, Connection, Select

    from session_store.search.query import MatchMode, Query

CONTENT: Final = type_coerce(MESSAGES.c.content, Text())
"""The text as it is stored."""

LOOKUP_LIMIT: Final = 2_000
"""Up to so many messages are looked up one by one, and then their sessions; of more only the newest are looked for."""

MAX_CLAUSES: Final = 100
MAX_TERMS: Final = 20
MAX_WORDS: Final = 20
"""What of a query becomes SQL: more of it decides on what is proposed, in Python."""


@dataclass(frozen=True, slots=True, eq=False)
class CandidateSql:
    """Conditions on a row of the messages; none of them leaves out what a query asks for.

    They are made once for all queries of a shape, because making SQL takes longer than running it; what was typed is
    in their parameters.
    """

    listed: tuple[ColumnElement[bool], ...]
    """Each proposes some, where the database is to begin with an index of the words; together all of them."""
    tested: ColumnElement[bool]
    """Proposed, where the database has the row already."""
    settled: ColumnElement[bool]
    """What is proposed is what is asked for, and need not be read."""
    matching_rows: Select[Any]
    """Select nothing yet of the messages proposed, so that their rank can be had."""
    rank: ColumnElement[float]
    if_few: Select[Any] | None = None
    """Of what is listed, if those are few, ``session_key``, ``seq`` and ``doubted``; else nothing. None: to list is all
    the work."""
    one_by_one: bool = False
    """Whether the database, left to itself, would rather read all sessions than look up those of a few messages."""
    may_be_few: Callable[[Connection, Mapping[str, str]], bool] | None = None
    """Say, without listing them, that the messages may be few; None: to list some takes no time."""
    size: Callable[[Connection, Mapping[str, str]], int] | None = None
    """Say how many messages are listed, up to one more than a few."""


class Candidates(NamedTuple):
    """The messages that an engine proposes for a query.

    An index does not see every word as we do. Where it may be wrong, the message is read and the query decides.
    """

    query: Query
    meaning: MatchMode
    conditions: CandidateSql
    values: Mapping[str, str]
    trusted: bool = False
    """Whether what is proposed is what is asked for, if the index sees the words of the message as we do."""

    def matches(self, text: str) -> bool:
        """Whether a message is what the query asks for, by its text."""
        searched = text[:SEARCHED_CHARACTERS]
        return (self.trusted and is_portable(searched)) or self.query.matches(searched, self.meaning)


def text_param(name: str) -> BindParameter[str]:
    """Return a parameter for text."""
    return bindparam(name, type_=Text())


def recheck_text(settled: ColumnElement[bool]) -> ColumnElement[str]:
    """Return an empty text where a message needs no second look, else a question mark and its first characters."""
    beginning = literal_column("'?'", Text()) + func.substr(CONTENT, 1, bindparam("most_doubted", type_=Integer()))
    return case((settled, literal_column("''", Text())), else_=beginning).label("doubted")
