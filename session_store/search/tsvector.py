"""The search backend of PostgreSQL: a GIN index on an expression of the messages.

https://www.postgresql.org/docs/current/textsearch.html
"""

from __future__ import annotations

import math
import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import (
    Float,
    Integer,
    Text,
    and_,
    bindparam,
    cast,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from session_store.database import schemas
from session_store.database.parameters import text_param as parameter
from session_store.models.models import MESSAGES
from session_store.search import like, tokens
from session_store.search.candidates import CONTENT, LOOKUP_LIMIT, Candidates, CandidateSql, recheck_text
from session_store.search.index_query import IndexQuery
from session_store.search.query import MatchMode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import CTE, ColumnElement, Connection, Engine, TextClause
    from sqlalchemy.sql.compiler import SQLCompiler

    from session_store.database.access import AnySelect
    from session_store.search.query import Query, Term

ENGINE: Final = "tsvector"
INDEX: Final = "session_store_messages_search"

_NO_WORD: Final = (
    r"\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f"
    r"\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064"
    r"\u2066-\u206f\u24b6-\u24e9\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U00013438\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U0001f130-\U0001f149\U0001f150-\U0001f169\U0001f170-\U0001f189\U000e0001"
    r"\U000e0020-\U000e007f"
)
"""Characters that PostgreSQL takes for parts of words and we do not: ASCII (in paths, host names, numbers),
zero-width characters, and letters in circles and squares."""

_FOLDED: Final = f"replace({{}}, chr({ord(tokens.FINAL_SIGMA)}), chr({ord(tokens.SIGMA)}))"
_EXPRESSION: Final = f"to_tsvector('simple', regexp_replace({_FOLDED}, '[{_NO_WORD}]+', ' ', 'g'))".format(
    f"left({{}}, {tokens.SEARCHED_CHARACTERS})"
)
_NOT_PORTABLE: Final = rf"[^{tokens.PORTABLE_CHARS}]|[0-9][eE][0-9]+[^\x01-\x40\x5b-\x60\x7b-\x7f]"
"""PostgreSQL splits 6e35d56a into a number and another word."""

_MAX_POSITIONED_LENGTH: Final = 500
"""PostgreSQL keeps 256 positions of a word, which are all in a text of this length."""


class as_words(FunctionElement[Any]):  # noqa: N801 - reads as the SQL function it stands for
    """The words of a text, as in the index."""

    inherit_cache = True
    name = "as_words"


@compiles(as_words, "postgresql")
def _(element: as_words, compiler: SQLCompiler, **kw: Any) -> str:
    return _EXPRESSION.format(compiler.process(element.clauses, **kw))


class as_query(FunctionElement[Any]):  # noqa: N801
    """A tsquery; SQLAlchemy has its function only in the PostgreSQL dialect."""

    inherit_cache = True
    name = "as_query"


@compiles(as_query, "postgresql")
def _(element: as_query, compiler: SQLCompiler, **kw: Any) -> str:
    return f"to_tsquery('simple', {compiler.process(element.clauses, **kw)})"


_NUMBER_OF_FEW: Final = literal_column(str(LOOKUP_LIMIT), Integer())
_LARGEST_GUESS: Final = 0.0051
"""PostgreSQL's default selectivity of a word without statistics (DEFAULT_TS_MATCH_SEL)."""
_REFRESH_SECS: Final = 60.0
_NUMBER: Final = text("SELECT reltuples FROM pg_class WHERE oid = to_regclass(:table)").bindparams(
    bindparam("table", type_=Text())
)
_statistics: Final[WeakKeyDictionary[Engine, dict[str | None, tuple[float, float]]]] = WeakKeyDictionary()
_ROWS: Final = re.compile(r"rows=(\d+)")
_WORDS: Final = as_words(CONTENT)
_PROPOSED: Final = _WORDS.bool_op("@@")(as_query(parameter("proposed")))
_WANTED: Final = _WORDS.bool_op("@@")(as_query(parameter("wanted")))

_PROBE_TEXT: Final = "K\u00c4\u2014\u041f\u0440\u0438\u0412\u0435\u0442 \u03a3\u03c2/a_1\u200eb \ud55c\uae00"
_EXPECTED_TOKENS: Final = "1 a b k\u00e4 \u03c3\u03c3 \u043f\u0440\u0438\u0432\u0435\u0442 \ud55c\uae00"

_FIND_INDEX: Final = text("""
    SELECT made.indexrelid::bigint, made.indisvalid AND made.indisready FROM pg_index AS made
    WHERE made.indexrelid = to_regclass(:index) AND made.indrelid = to_regclass(:table)
""").bindparams(bindparam("index", type_=Text()), bindparam("table", type_=Text()))
_IS_IN_UTF8: Final = text("SELECT current_setting('server_encoding') = 'UTF8'")
_TRY: Final = text(f"""
    SELECT array_to_string(
        ARRAY(SELECT unnest(tsvector_to_array({_EXPRESSION.format(":probe")})) COLLATE "C" ORDER BY 1), ' '
    ) = :expected
""").bindparams(probe=_PROBE_TEXT, expected=_EXPECTED_TOKENS)


def create(schema: str | None, *, concurrently: bool = False) -> str:
    """Return the statement that creates the index."""
    # A short pending list: every search reads all of it.
    return (
        f"CREATE INDEX {_how(concurrently=concurrently)}{INDEX} ON {_name(MESSAGES.name, schema)} "
        f"USING gin (({_EXPRESSION.format('content')})) WITH (gin_pending_list_limit = 1024)"
    )


def drop(schema: str | None, *, concurrently: bool = False) -> str:
    """Return the statement that drops the index if it exists."""
    return f"DROP INDEX {_how(concurrently=concurrently)}IF EXISTS {_name(INDEX, schema)}"


def _how(*, concurrently: bool) -> str:
    return "CONCURRENTLY " if concurrently else ""


def _name(name: str, schema: str | None) -> str:
    return name if schema is None else schemas.qualified_name(name, schema)


class IndexInfo(NamedTuple):
    """The index in the catalog; a new index has another oid."""

    oid: int
    is_valid: bool
    """False while CREATE INDEX CONCURRENTLY runs, and after it was interrupted."""


def find_index(db: Connection, schema: str | None) -> IndexInfo | None:
    """Return the index of our tables, or None."""
    values = {"index": schemas.qualified_name(INDEX, schema), "table": schemas.qualified_name(MESSAGES.name, schema)}
    row = db.execute(_FIND_INDEX, values).one_or_none()
    return None if row is None else IndexInfo(*row)


def is_in_utf8(db: Connection) -> bool:
    """Return whether this database can store the characters of the expression."""
    return bool(db.scalar(_IS_IN_UTF8))


def tokenizer_agrees(db: Connection) -> bool:
    """Return whether this database splits and folds words as we do; with the C locale it does so only for ASCII."""
    return bool(db.scalar(_TRY))


def candidates_for(query: Query) -> Candidates | None:
    """Return candidates from the index; None for a query that the index cannot answer."""
    exact_query = IndexQuery.build(query, _render_term, any_of=" | ", all_of=" & ", but_not="({}) & !({})")
    if exact_query is None:
        return None
    parts = [part for group in query.clauses for part in (*group.terms, *group.excluded)]
    sieve = like.prefilter(query)
    conditions = _conditions(
        tuple(patterns.kind for patterns in sieve),
        exact=exact_query.exact,
        narrowed=exact_query.exact_query != exact_query.superset,
        ordered=any(len(part.words) > 1 for part in parts),
    )
    return Candidates(query, MatchMode.WORDS, conditions, {**exact_query.values, **like.values("sieve", sieve)})


@lru_cache(maxsize=256)
def _conditions(prefilter: tuple[like.PatternKind, ...], *, exact: bool, narrowed: bool, ordered: bool) -> CandidateSql:
    settled: ColumnElement[bool] = false()
    if exact:
        settled = CONTENT.bool_op("!~")(literal(_NOT_PORTABLE, Text()))
        if ordered:
            settled = and_(func.length(CONTENT) <= literal_column(str(_MAX_POSITIONED_LENGTH)), settled)
    found = and_(_PROPOSED, or_(not_(settled), _WANTED)) if narrowed else _PROPOSED
    # As two conditions: with OR, each side would be evaluated on the text of the other's matches.
    listed = (_WANTED, and_(_PROPOSED, not_(settled))) if narrowed else (_PROPOSED,)
    some = _some(listed, recheck_text(settled))
    return CandidateSql(
        listed=listed,
        # Within one session the index does not help, and PostgreSQL would read all of its list for each.
        tested=and_(like.has_one(prefilter, "sieve"), func.coalesce(found, false())),
        settled=settled,
        matching_rows=select().where(found),
        rank=cast(func.ts_rank(_WORDS, as_query(parameter("proposed"))), Float(53)),
        if_few=select(some).where(_size_of(some).scalar_subquery() <= _NUMBER_OF_FEW),
        one_by_one=True,
        may_be_few=_may_be_few,
        size=_size,
    )


def _some(listed: Iterable[ColumnElement[bool]], *columns: ColumnElement[Any]) -> CTE:
    each = [select(MESSAGES.c.session_key, MESSAGES.c.seq, *columns).where(condition) for condition in listed]
    one_more_than_few = _NUMBER_OF_FEW + literal_column("1")
    return (each[0] if len(each) == 1 else union_all(*each)).limit(one_more_than_few).cte("some")


def _size_of(some: CTE) -> AnySelect:
    return select(func.count()).select_from(some)


_SIZE: Final = _size_of(_some([_PROPOSED]))


def _size(db: Connection, values: Mapping[str, str]) -> int:
    return db.scalar(_SIZE, {"proposed": values["proposed"]}) or 0


def _may_be_few(db: Connection, values: Mapping[str, str]) -> bool:
    # PostgreSQL reads all of a word's list before it returns the first message, so the list of a frequent word must not
    # be used. Of words outside the most frequent ones, the statistics say no more than that.
    plan = db.scalar(_explain(schemas.schema_of(db)), {"proposed": values["proposed"]})
    found = _ROWS.search(str(plan))
    expected = 0 if found is None else int(found[1])
    return expected <= LOOKUP_LIMIT or expected <= _LARGEST_GUESS * _number_of_messages(db)


def _number_of_messages(db: Connection) -> float:
    """Return the estimated number of messages from PostgreSQL's statistics, cached for a minute."""
    schema = schemas.schema_of(db)
    exact_query = _statistics.setdefault(db.engine, {})
    number, asked_at = exact_query.get(schema, (0.0, -math.inf))
    if time.monotonic() - asked_at > _REFRESH_SECS:
        number = db.scalar(_NUMBER, {"table": schemas.qualified_name(MESSAGES.name, schema)}) or 0.0
        exact_query[schema] = (number, time.monotonic())
    return number


@lru_cache
def _explain(schema: str | None) -> TextClause:
    found = f"{_EXPRESSION.format('content')} @@ to_tsquery('simple', :proposed)"
    statement = f"EXPLAIN SELECT 1 FROM {_name(MESSAGES.name, schema)} WHERE {found}"  # noqa: S608 - names of our own
    return text(statement.replace(":", r"\:").replace(r"\:proposed", ":proposed")).bindparams(parameter("proposed"))


def _render_term(part: Term, *, wanted: bool) -> str:
    # Without an order, as in the superset query: of a long text PostgreSQL does not keep all positions.
    pieces = [f"'{piece}'" for word in part.words for piece in tokens.pieces(word)]
    if part.prefix:
        pieces[-1] += ":*"
    return f"({(' <-> ' if wanted else ' & ').join(pieces)})"
