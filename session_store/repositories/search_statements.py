"""The SELECTs of searches, from the filters of a query and the candidates of a search backend.

Sessions are found in two ways. `newest_first` scans the newest ones and tests their messages, which suits a frequent
word. `index_first` starts with the messages that the index lists. For each session, both return NULL if no message is
a candidate, a question mark and the start of the message if it needs a recheck, else an empty text.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import (
    Float,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    null,
    select,
    true,
    tuple_,
    union_all,
)

from session_store.database.parameters import int_param, text_param, time_param
from session_store.interface.errors import InvalidQuery
from session_store.models.models import MESSAGES, SESSIONS
from session_store.models.validation import (
    MAX_WORD_BYTES,
    aware_datetime,
    identifier,
    integer,
    type_error,
)
from session_store.repositories.session_filters import (
    LIMIT,
    RECENCY,
    BoundStatement,
    GivenParams,
    decode_cursor,
    filter_and_page,
    filtered,
    given_params,
    ordered,
    page_of,
)
from session_store.repositories.statements import ITS_MESSAGES, METADATA
from session_store.search.candidates import CONTENT, recheck_text
from session_store.search.tokens import SEARCHED_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Subquery

    from session_store.database.access import AnySelect
    from session_store.interface.values import SessionQuery
    from session_store.search.candidates import Candidates, CandidateSql

MAX_RECHECK_TEXT: Final = 4_000
"""Characters of a message that are returned with its session."""

_TEXT_BATCH_SIZE: Final = 100
"""Messages read by one statement for a recheck: a text may have 200,000 characters."""

NEWEST: Final = 400
"""Only this number of the newest messages of a scanned session are tested: otherwise one long session would take
longer than all others together."""
_NEWEST: Final[ColumnElement[int]] = literal_column(str(NEWEST))

_SEARCHED: Final = func.substr(CONTENT, 1, SEARCHED_CHARACTERS).label("content")


_HIT_PARAMS: Final[Mapping[str, ColumnElement[bool]]] = {
    "key": MESSAGES.c.session_key == text_param("key_is"),
    "role": MESSAGES.c.role == text_param("role_is"),
    "since": MESSAGES.c.created_at >= time_param("since"),
    "until": MESSAGES.c.created_at < time_param("until"),
}


class Order(StrEnum):
    """The order of messages."""

    RECENCY = "recency"
    RELEVANCE = "relevance"


class MessageQuery(NamedTuple):
    """A filter of candidates."""

    key: str | None
    role: str | None
    since: datetime | None
    until: datetime | None
    limit: int
    after: str | None
    order: str


def newest_first(query: SessionQuery, candidates: Candidates) -> BoundStatement:
    """Select a page of the sessions that match the filters, and whether their newest messages are candidates."""
    params, values = given_params(query)
    return BoundStatement(
        _newest_first(params, candidates.conditions), {**values, **candidates.values, **_max_recheck(query)}
    )


def index_first(query: SessionQuery, candidates: Candidates, *, if_few: bool = False) -> BoundStatement:
    """Select the sessions that match the filters and have a candidate; optionally only if candidates are few."""
    params, values = given_params(query)
    statement = _index_first(params, candidates.conditions, if_few=if_few)
    return BoundStatement(statement, {**values, **candidates.values, **_max_recheck(query)})


def count_matching(query: SessionQuery, candidates: Candidates) -> BoundStatement:
    """Count the sessions that match the filters and have a candidate; return each that needs a recheck by itself."""
    params, values = given_params(query)
    return BoundStatement(_count_matching(params, candidates.conditions), {**values, **candidates.values})


def candidate_texts(candidates: Candidates, key: str, after_seq: int) -> BoundStatement:
    """Select a page of the candidates of a session: seq, settled, text."""
    return BoundStatement(
        _candidate_texts(candidates.conditions), {**candidates.values, "the_key": key, "after": after_seq}
    )


def select_hits(query: MessageQuery, candidates: Candidates, *, if_few: bool = False) -> BoundStatement:
    """Select a page of the candidates; optionally only if they are few.

    Raises:
        InvalidQuery: A field of the query has the wrong type or is out of range.
        InvalidKey: The key or the role is not a valid identifier.
    """
    if not isinstance(query.order, str) or query.order not in set(Order):
        raise InvalidQuery(type_error(query.order, "order", " or ".join(Order)))
    order = Order(query.order)
    values: dict[str, Any] = {**candidates.values, "limit": integer(query.limit, "limit"), "most_doubted": 0}
    if query.key is not None:
        values["key_is"] = identifier(query.key, "key")
    if query.role is not None:
        values["role_is"] = identifier(query.role, "role", MAX_WORD_BYTES)
    if query.since is not None:
        values["since"] = aware_datetime(query.since, "since")
    if query.until is not None:
        values["until"] = aware_datetime(query.until, "until")
    if query.after is not None:
        values |= zip(
            ("after_time", "after_rank", "after_key", "after_seq"), _decode_hit_cursor(query.after), strict=True
        )
    params = tuple(name for name in (*_HIT_PARAMS, "after") if getattr(query, name) is not None)
    return BoundStatement(_hits(params, order, candidates.conditions, if_few=if_few), values)


def _max_recheck(query: SessionQuery) -> dict[str, int]:
    # Do not return the texts of all sessions at once.
    return {"most_doubted": 0 if query.limit is None else MAX_RECHECK_TEXT}


@lru_cache(maxsize=256)
def _newest_first(params: GivenParams, conditions: CandidateSql) -> AnySelect:
    # Only of the page: to sort by seconds, SQLite would test the messages of every session of a minute.
    page = page_of(select(*METADATA), params).subquery("page")
    tested = select(recheck_text(conditions.settled)).where(
        MESSAGES.c.session_key == page.c.key, MESSAGES.c.seq > page.c.last_seq - _NEWEST, conditions.tested
    )
    first = tested.limit(literal_column("1")).correlate(page).scalar_subquery()
    return select(*page.c, first.label("doubted")).order_by(page.c.last_activity.desc(), page.c.key.desc())


@lru_cache(maxsize=256)
def _index_first(params: GivenParams, conditions: CandidateSql, *, if_few: bool) -> AnySelect:
    if if_few and conditions.if_few is not None:
        each = conditions.if_few.subquery("listed")
        # The smallest text is the empty one: the session has a candidate that needs no recheck.
        doubted = func.min(each.c.doubted).label("doubted")
        matches = select(each.c.session_key, doubted).group_by(each.c.session_key).subquery("found")
        return _lookup(params, matches) if conditions.one_by_one else _joined(params, matches, matches.c.doubted)
    matches = _newest_candidate(conditions)
    page = _joined(params, matches, matches.c.witness).subquery("page")
    *metadata, witness = page.c
    of_witness = select(recheck_text(conditions.settled)).select_from(MESSAGES).correlate(page)
    its = of_witness.where(MESSAGES.c.session_key == page.c.key, MESSAGES.c.seq == witness).scalar_subquery()
    return select(*metadata, its.label("doubted")).order_by(page.c.last_activity.desc(), page.c.key.desc())


@lru_cache(maxsize=256)
def _count_matching(params: GivenParams, conditions: CandidateSql) -> AnySelect:
    matches = _newest_candidate(conditions)
    settled = select(conditions.settled).where(
        MESSAGES.c.session_key == SESSIONS.c.key, MESSAGES.c.seq == matches.c.witness
    )
    is_settled = settled.correlate_except(MESSAGES).scalar_subquery()
    unsettled = case((is_settled, null()), else_=SESSIONS.c.key).label("unsettled")
    sessions = select(unsettled).join_from(SESSIONS, matches, matches.c.session_key == SESSIONS.c.key)
    each = filtered(sessions, params).subquery("each")
    return select(each.c.unsettled, func.count()).group_by(each.c.unsettled)


@lru_cache(maxsize=256)
def _candidate_texts(conditions: CandidateSql) -> AnySelect:
    return (
        select(MESSAGES.c.seq, conditions.settled, _SEARCHED)
        .where(ITS_MESSAGES, MESSAGES.c.seq > int_param("after"), conditions.tested)
        .order_by(MESSAGES.c.seq)
        .limit(literal_column(str(_TEXT_BATCH_SIZE)))
    )


@lru_cache(maxsize=256)
def _hits(params: GivenParams, order: Order, conditions: CandidateSql, *, if_few: bool) -> AnySelect:
    rank = conditions.rank
    hits = conditions.matching_rows
    if if_few and conditions.if_few is not None:
        listed = conditions.if_few.subquery("listed")
        few = select(listed.c.session_key, listed.c.seq).distinct().subquery("few")
        each = and_(MESSAGES.c.session_key == few.c.session_key, MESSAGES.c.seq == few.c.seq)
        hits = select().select_from(few.join(MESSAGES, each))
    columns = (MESSAGES.c.session_key, MESSAGES.c.seq, MESSAGES.c.role, MESSAGES.c.created_at, rank.label("rank"))
    matches = hits.add_columns(*columns, _SEARCHED, conditions.settled.label("settled"))
    matches = matches.where(*(_HIT_PARAMS[name] for name in params if name in _HIT_PARAMS))
    first, behind = (
        (MESSAGES.c.created_at, time_param("after_time"))
        if order is Order.RECENCY
        else (rank, bindparam("after_rank", type_=Float(53)))
    )
    place = (first, MESSAGES.c.session_key, MESSAGES.c.seq)
    if "after" in params:
        matches = matches.where(tuple_(*place) < tuple_(behind, text_param("after_key"), int_param("after_seq")))
    return matches.order_by(*(column.desc() for column in place)).limit(LIMIT)


def _newest_candidate(conditions: CandidateSql) -> Subquery:
    """Select the newest candidate of each session."""
    each = [select(MESSAGES.c.session_key, MESSAGES.c.seq).where(some) for some in conditions.listed]
    matches = (each[0] if len(each) == 1 else union_all(*each)).subquery("listed")
    newest = func.max(matches.c.seq).label("witness")
    return select(matches.c.session_key, newest).group_by(matches.c.session_key).subquery("found")


def _joined(params: GivenParams, matches: Subquery, what: ColumnElement[Any]) -> AnySelect:
    return page_of(select(*METADATA, what).join(matches, matches.c.session_key == SESSIONS.c.key), params)


def _lookup(params: GivenParams, matches: Subquery) -> AnySelect:
    """Select the page of sessions by looking up the row of each one found; PostgreSQL uses LATERAL."""
    this = select(*METADATA, SESSIONS.c.active_minute).where(SESSIONS.c.key == matches.c.session_key)
    # OFFSET makes PostgreSQL plan the subquery by itself.
    head = filter_and_page(this, params).correlate(matches).offset(literal_column("0")).lateral("head")
    page = select(*(head.c[column.name] for column in METADATA), matches.c.doubted).select_from(
        matches.join(head, true())
    )
    return ordered(page, params, [head.c[column.name] for column in RECENCY])


def _decode_hit_cursor(cursor: object) -> tuple[datetime, float, str, int]:
    def read(created_at: str, rank: float, key: str, seq: int) -> tuple[datetime, float, str, int]:
        time = aware_datetime(datetime.fromisoformat(created_at), "after")
        return time, float(rank), identifier(key, "after"), integer(seq, "after")

    return decode_cursor(cursor, read, "the cursor of a MessageHit")
