"""Full text on PostgreSQL: a GIN index on an expression over the messages.

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
from session_store.models.models import MESSAGES
from session_store.search import like, tokens
from session_store.search.candidates import CONTENT, LOOKUP_LIMIT, Candidates, CandidateSql, recheck_text
from session_store.search.candidates import text_param as parameter
from session_store.search.index_query import IndexQuery
from session_store.search.query import MatchMode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import CTE, ColumnElement, Connection, Engine, Select, TextClause
    from sqlalchemy.sql.compiler import SQLCompiler

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
"""What PostgreSQL takes for a part of a word and we do not: ASCII (in paths, hosts, numbers), characters without
width, and letters in circles and squares."""

_FOLDED: Final = f"replace({{}}, chr({ord(tokens.FINAL_SIGMA)}), chr({ord(tokens.SIGMA)}))"
_EXPRESSION: Final = f"to_tsvector('simple', regexp_replace({_FOLDED}, '[{_NO_WORD}]+', ' ', 'g'))".format(
    f"left({{}}, {tokens.SEARCHED_CHARACTERS})"
)
_NOT_PORTABLE: Final = rf"[^{tokens.PORTABLE_CHARS}]|[0-9][eE][0-9]+[^\x01-\x40\x5b-\x60\x7b-\x7f]"
"""Within 6e35d56a PostgreSQL reads a number, and takes what is behind it for another word."""

_MAX_POSITIONED_LENGTH: Final = 500
"""Of a word PostgreSQL keeps 256 places, so of a text of so many characters all of them."""


class as_words(FunctionElement[Any]):  # noqa: N801 - reads as the SQL function it stands for
    """The words of a text, as the index has them."""

    inherit_cache = True
    name = "as_words"


@compiles(as_words, "postgresql")
def _(element: as_words, compiler: SQLCompiler, **kw: Any) -> str:
    return _EXPRESSION.format(compiler.process(element.clauses, **kw))


class as_query(FunctionElement[Any]):  # noqa: N801
    """A search, written as PostgreSQL writes one; its own function SQLAlchemy has only with PostgreSQL's dialect."""

    inherit_cache = True
    name = "as_query"


@compiles(as_query, "postgresql")
def _(element: as_query, compiler: SQLCompiler, **kw: Any) -> str:
    return f"to_tsquery('simple', {compiler.process(element.clauses, **kw)})"


_NUMBER_OF_FEW: Final = literal_column(str(LOOKUP_LIMIT), Integer())
_LARGEST_GUESS: Final = 0.0051
"""The share of all messages at which PostgreSQL puts a word it knows nothing of, or less (DEFAULT_TS_MATCH_SEL)."""
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
    ) = :tells
""").bindparams(probe=_PROBE_TEXT, tells=_EXPECTED_TOKENS)


def create(schema: str | None, *, concurrently: bool = False) -> str:
    """Return the statement that makes the index."""
    # A short list of what is not merged yet: all of it is read by every search.
    return (
        f"CREATE INDEX {_how(concurrently=concurrently)}{INDEX} ON {_name(MESSAGES.name, schema)} "
        f"USING gin (({_EXPRESSION.format('content')})) WITH (gin_pending_list_limit = 1024)"
    )


def drop(schema: str | None, *, concurrently: bool = False) -> str:
    """Return the statement that removes the index, if it is there."""
    return f"DROP INDEX {_how(concurrently=concurrently)}IF EXISTS {_name(INDEX, schema)}"


def _how(*, concurrently: bool) -> str:
    return "CONCURRENTLY " if concurrently else ""


def _name(name: str, schema: str | None) -> str:
    return name if schema is None else schemas.qualified_name(name, schema)


class IndexInfo(NamedTuple):
    """The index as the catalogue has it: another one has another number."""

    oid: int
    is_valid: bool
    """False after CREATE INDEX CONCURRENTLY was broken off, and while it runs."""


def find_index(db: Connection, schema: str | None) -> IndexInfo | None:
    """Return the index that is beside our tables; None if there is none."""
    values = {"index": schemas.qualified_name(INDEX, schema), "table": schemas.qualified_name(MESSAGES.name, schema)}
    row = db.execute(_FIND_INDEX, values).one_or_none()
    return None if row is None else IndexInfo(*row)


def is_in_utf8(db: Connection) -> bool:
    """Whether this database can hold the expression's characters."""
    return bool(db.scalar(_IS_IN_UTF8))


def tokenizer_agrees(db: Connection) -> bool:
    """Whether this database parts and folds words as we do: by the locale C it would not, beyond ASCII."""
    return bool(db.scalar(_TRY))


def candidates_for(query: Query) -> Candidates | None:
    """Propose the messages whose words are in the index; None where it cannot know."""
    asked = IndexQuery.build(query, _render_term, any_of=" | ", all_of=" & ", but_not="({}) & !({})")
    if asked is None:
        return None
    parts = [part for group in query.clauses for part in (*group.terms, *group.excluded)]
    sieve = like.prefilter(query)
    conditions = _conditions(
        tuple(sought.kind for sought in sieve),
        exact=asked.exact,
        narrowed=asked.exact_query != asked.superset,
        ordered=any(len(part.words) > 1 for part in parts),
    )
    return Candidates(query, MatchMode.WORDS, conditions, {**asked.values, **like.values("sieve", sieve)})


@lru_cache(maxsize=256)
def _conditions(prefilter: tuple[like.PatternKind, ...], *, exact: bool, narrowed: bool, ordered: bool) -> CandidateSql:
    settled: ColumnElement[bool] = false()
    if exact:
        settled = CONTENT.bool_op("!~")(literal(_NOT_PORTABLE, Text()))
        if ordered:
            settled = and_(func.length(CONTENT) <= literal_column(str(_MAX_POSITIONED_LENGTH)), settled)
    found = and_(_PROPOSED, or_(not_(settled), _WANTED)) if narrowed else _PROPOSED
    # As two: of an OR each side would be tried on the text of what the index lists for the other one.
    listed = (_WANTED, and_(_PROPOSED, not_(settled))) if narrowed else (_PROPOSED,)
    some = _some(listed, recheck_text(settled))
    return CandidateSql(
        listed=listed,
        # Within one session the index is no help, and PostgreSQL would read all of its list for each.
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


def _size_of(some: CTE) -> Select[Any]:
    return select(func.count()).select_from(some)


_SIZE: Final = _size_of(_some([_PROPOSED]))


def _size(db: Connection, values: Mapping[str, str]) -> int:
    return db.scalar(_SIZE, {"proposed": values["proposed"]}) or 0


def _may_be_few(db: Connection, values: Mapping[str, str]) -> bool:
    # All of a word's list in the index is read before the first message of it is found: that of a frequent word is not
    # to be touched. Of the words that are not the most frequent ones PostgreSQL knows no more than that.
    plan = db.scalar(_explain(schemas.schema_of(db)), {"proposed": values["proposed"]})
    found = _ROWS.search(str(plan))
    expected = 0 if found is None else int(found[1])
    return expected <= LOOKUP_LIMIT or expected <= _LARGEST_GUESS * _number_of_messages(db)


def _number_of_messages(db: Connection) -> float:
    """Return how many messages there are, about: what PostgreSQL found when it last looked, and we within a minute."""
    schema = schemas.schema_of(db)
    asked = _statistics.setdefault(db.engine, {})
    number, asked_at = asked.get(schema, (0.0, -math.inf))
    if time.monotonic() - asked_at > _REFRESH_SECS:
        number = db.scalar(_NUMBER, {"table": schemas.qualified_name(MESSAGES.name, schema)}) or 0.0
        asked[schema] = (number, time.monotonic())
    return number


@lru_cache
def _explain(schema: str | None) -> TextClause:
    found = f"{_EXPRESSION.format('content')} @@ to_tsquery('simple', :proposed)"
    statement = f"EXPLAIN SELECT 1 FROM {_name(MESSAGES.name, schema)} WHERE {found}"  # noqa: S608 - names of our own
    return text(statement.replace(":", r"\:").replace(r"\:proposed", ":proposed")).bindparams(parameter("proposed"))


def _render_term(part: Term, *, wanted: bool) -> str:
    # As what is proposed without an order: in a long text PostgreSQL does not know all places of a word.
    pieces = [f"'{piece}'" for word in part.words for piece in tokens.pieces(word)]
    if part.prefix:
        pieces[-1] += ":*"
    return f"({(' <-> ' if wanted else ' & ').join(pieces)})"
