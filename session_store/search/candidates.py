"""The candidates of a query: messages that a search backend proposes, among them all that match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Integer, Text, bindparam, case, func, literal_column, type_coerce

from session_store.models.models import MESSAGES
from session_store.search.tokens import SEARCHED_CHARACTERS, is_portable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import ColumnElement, Connection

    from session_store.database.access import AnySelect
    from session_store.search.query import MatchMode, Query

CONTENT: Final = type_coerce(MESSAGES.c.content, Text())
"""The content as it is stored."""

LOOKUP_LIMIT: Final = 2_000
"""Up to this number of messages, each is looked up with its session; of more, only the newest are searched."""

MAX_CLAUSES: Final = 100
MAX_TERMS: Final = 20
MAX_WORDS: Final = 20
"""The part of a query that becomes SQL; the rest is applied in the recheck, in Python."""


@dataclass(frozen=True, slots=True, eq=False)
class CandidateSql:
    """SQL conditions on a message row. Together they may match too many messages, but never miss one.

    They are built once for all queries of the same shape, because building SQL takes longer than running it; the terms
    are in the parameters.
    """

    listed: tuple[ColumnElement[bool], ...]
    """Conditions that the index can list; the union of all is complete."""
    tested: ColumnElement[bool]
    """The same as a condition on a row that was already read."""
    settled: ColumnElement[bool]
    """True for a candidate that needs no recheck."""
    matching_rows: AnySelect
    """A SELECT of the candidates without columns, to which their rank can be added."""
    rank: ColumnElement[float]
    if_few: AnySelect | None = None
    """If the listed messages are few: their ``session_key``, ``seq`` and ``doubted``, else no row. None: listing is the
    main cost."""
    one_by_one: bool = False
    """Whether the planner would read all sessions instead of looking up those of a few messages."""
    may_be_few: Callable[[Connection, Mapping[str, str]], bool] | None = None
    """Estimate, without listing them, whether the messages are few; None: listing some is cheap."""
    size: Callable[[Connection, Mapping[str, str]], int] | None = None
    """Count the listed messages, up to one more than `LOOKUP_LIMIT`."""


class Candidates(NamedTuple):
    """The messages that a search backend proposes for a query.

    An index tokenizes some words differently. Where it may be wrong, the message is read and rechecked.
    """

    query: Query
    meaning: MatchMode
    conditions: CandidateSql
    values: Mapping[str, str]
    trusted: bool = False
    """True if a candidate needs no recheck when its text has only characters that all tokenizers agree on."""

    def matches(self, text: str) -> bool:
        """Return whether a text matches the query."""
        searched = text[:SEARCHED_CHARACTERS]
        return (self.trusted and is_portable(searched)) or self.query.matches(searched, self.meaning)


def recheck_text(settled: ColumnElement[bool]) -> ColumnElement[str]:
    """Return an empty text if a message needs no recheck, else a question mark and its searched characters."""
    beginning = literal_column("'?'", Text()) + func.substr(CONTENT, 1, bindparam("most_doubted", type_=Integer()))
    return case((settled, literal_column("''", Text())), else_=beginning).label("doubted")
