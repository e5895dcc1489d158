"""The SELECTs of lists and searches, from the filters of a query and the candidates of a search backend.

Sessions are found in two ways. `newest_first` scans the newest ones and tests their messages, which suits a frequent
word. `index_first` starts with the messages that the index lists. For each session, both return NULL if no message is
a candidate, a question mark and the start of the message if it needs a recheck, else an empty text.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from sqlalchemy import (
    BigInteger,
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

from session_store.database.functions import has_attributes
from session_store.interface.errors import InvalidQuery
from session_store.models.models import MESSAGES, SESSIONS
from session_store.models.types import UtcDateTime, dump_json, truncate_to_minute
from session_store.models.validation import (
    MAX_WORD_BYTES,
    attribute_filter,
    aware_datetime,
    identifier,
    integer,
    optional_number,
    state_word,
    type_error,
)
from session_store.repositories.statements import ITS_MESSAGES, METADATA, RUNNING
from session_store.search.candidates import CONTENT, recheck_text, text_param
from session_store.search.tokens import SEARCHED_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import BindParameter, ColumnElement, Executable, Select, Subquery

    from session_store.interface.values import SessionQuery
    from session_store.search.candidates import Candidates, CandidateSql

Position = TypeVar("Position")

MAX_CURSOR_LENGTH: Final = 8192
"""A key of 512 control characters takes 3,072 characters of JSON, which are 4,096 of base64."""

MAX_RECHECK_TEXT: Final = 4_000
"""Characters of a message that are returned with its session."""

_TEXT_BATCH_SIZE: Final = 100
"""Messages read by one statement for a recheck: a text may have 200,000 characters."""

NEWEST: Final = 400
"""Only this number of the newest messages of a scanned session are tested: otherwise one long session would take
longer than all others together."""
_NEWEST: Final[ColumnElement[int]] = literal_column(str(NEWEST))

_SEARCHED: Final = func.substr(CONTENT, 1, SEARCHED_CHARACTERS).label("content")


def _time(name: str) -> BindParameter[datetime]:
    return bindparam(name, type_=UtcDateTime())


def _number(name: str) -> BindParameter[int]:
    return bindparam(name, type_=BigInteger())


_RECENCY: Final = (SESSIONS.c.active_minute, SESSIONS.c.last_activity, SESSIONS.c.key)
_SESSION_PARAMS: Final[Mapping[str, tuple[ColumnElement[bool], ...]]] = {
    "owner": (SESSIONS.c.owner == text_param("owner_is"),),
    "state": (SESSIONS.c.state == text_param("state_is"),),
    # Other states have a partial index; ``idle``, which most sessions may have, is found sooner in the recency index.
    "running": (RUNNING,),
    "attributes": (has_attributes(SESSIONS.c.attributes, text_param("attributes_have")),),
    # The index has only the minute; the second condition is exact.
    "active_since": (SESSIONS.c.active_minute >= _time("since_minute"), SESSIONS.c.last_activity >= _time("since")),
    "active_before": (SESSIONS.c.active_minute <= _time("before_minute"), SESSIONS.c.last_activity < _time("before")),
}
_AFTER: Final = (
    # The second condition implies the first; only the first lets the index start there.
    SESSIONS.c.active_minute <= _time("after_minute"),
    tuple_(*_RECENCY) < tuple_(_time("after_minute"), _time("after_activity"), text_param("after_key")),
)
_HIT_PARAMS: Final[Mapping[str, ColumnElement[bool]]] = {
    "key": MESSAGES.c.session_key == text_param("key_is"),
    "role": MESSAGES.c.role == text_param("role_is"),
    "since": MESSAGES.c.created_at >= _time("since"),
    "until": MESSAGES.c.created_at < _time("until"),
}
_LIMIT: Final = _number("limit")

GivenParams = tuple[str, ...]
"""The fields of a query that are not None: their names determine the statement, their values are its parameters."""


class BoundStatement(NamedTuple):
    """A statement and its parameters."""

    statement: Executable
    values: Mapping[str, Any]


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


def select_keys(query: SessionQuery) -> BoundStatement:
    """Select the keys of the sessions that match the filters (not the keyword), newest activity first."""
    params, values = _given_params(query)
    return BoundStatement(_keys(params), values)


def select_heads(query: SessionQuery) -> BoundStatement:
    """Select the sessions that match the filters (not the keyword), newest activity first."""
    params, values = _given_params(query)
    return BoundStatement(_heads(params), values)


def count(query: SessionQuery) -> BoundStatement:
    """Count the sessions that match the filters (not the keyword), on all pages."""
    params, values = _given_params(query)
    return BoundStatement(_count(params), values)


def conditions(query: SessionQuery) -> tuple[Sequence[ColumnElement[bool]], Mapping[str, Any]]:
    """Return the conditions of the filters (not the keyword), and their parameters."""
    params, values = _given_params(query)
    return _conditions(params), values


def newest_first(query: SessionQuery, proposals: Candidates) -> BoundStatement:
    """Select a page of the sessions that match the filters, and whether their newest messages are candidates."""
    params, values = _given_params(query)
    return BoundStatement(
        _newest_first(params, proposals.conditions), {**values, **proposals.values, **_max_recheck(query)}
    )


def index_first(query: SessionQuery, proposals: Candidates, *, if_few: bool = False) -> BoundStatement:
    """Select the sessions that match the filters and have a candidate; optionally only if candidates are few."""
    params, values = _given_params(query)
    statement = _index_first(params, proposals.conditions, if_few=if_few)
    return BoundStatement(statement, {**values, **proposals.values, **_max_recheck(query)})


def count_matching(query: SessionQuery, proposals: Candidates) -> BoundStatement:
    """Count the sessions that match the filters and have a candidate; return each that needs a recheck by itself."""
    params, values = _given_params(query)
    return BoundStatement(_count_matching(params, proposals.conditions), {**values, **proposals.values})


def candidate_texts(proposals: Candidates, key: str, after_seq: int) -> BoundStatement:
    """Select a page of the candidates of a session: seq, settled, text."""
    return BoundStatement(
        _candidate_texts(proposals.conditions), {**proposals.values, "the_key": key, "after": after_seq}
    )


def select_hits(query: MessageQuery, proposals: Candidates, *, if_few: bool = False) -> BoundStatement:
    """Select a page of the candidates; optionally only if they are few.

    Raises:
        InvalidQuery: A field of the query has the wrong type or is out of range.
        InvalidKey: The key or the role is not a valid identifier.
    """
    if not isinstance(query.order, str) or query.order not in set(Order):
        raise InvalidQuery(type_error(query.order, "order", " or ".join(Order)))
    order = Order(query.order)
    values: dict[str, Any] = {**proposals.values, "limit": integer(query.limit, "limit"), "most_doubted": 0}
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
    return BoundStatement(_hits(params, order, proposals.conditions, if_few=if_few), values)


def _max_recheck(query: SessionQuery) -> dict[str, int]:
    # Do not return the texts of all sessions at once.
    return {"most_doubted": 0 if query.limit is None else MAX_RECHECK_TEXT}


def _given_params(query: SessionQuery) -> tuple[GivenParams, dict[str, Any]]:
    params = [name for name in (*_SESSION_PARAMS, "after", "limit") if getattr(query, name, None) is not None]
    values: dict[str, Any] = {}
    if query.owner is not None:
        values["owner_is"] = identifier(query.owner, "owner")
    if query.state is not None:
        values["state_is"] = state_word(query.state)
        if query.state == "running":
            params[params.index("state")] = "running"
    if query.attributes is not None:
        values["attributes_have"] = dump_json(attribute_filter(query.attributes))
    if query.active_since is not None:
        values["since"] = aware_datetime(query.active_since, "active_since")
        values["since_minute"] = truncate_to_minute(values["since"])
    if query.active_before is not None:
        values["before"] = aware_datetime(query.active_before, "active_before")
        values["before_minute"] = truncate_to_minute(values["before"])
    if query.after is not None:
        values["after_activity"], values["after_key"] = _decode_session_cursor(query.after)
        values["after_minute"] = truncate_to_minute(values["after_activity"])
    if query.limit is not None:
        values["limit"] = optional_number(query.limit, "limit")
    return tuple(params), values


@lru_cache
def _keys(params: GivenParams) -> Select[Any]:
    return _page(select(SESSIONS.c.key), params)


@lru_cache
def _heads(params: GivenParams) -> Select[Any]:
    return _page(select(*METADATA), params)


@lru_cache
def _count(params: GivenParams) -> Select[Any]:
    return _filtered(select(func.count()).select_from(SESSIONS), params)


@lru_cache(maxsize=256)
def _newest_first(params: GivenParams, conditions: CandidateSql) -> Select[Any]:
    # Only of the page: to sort by seconds, SQLite would test the messages of every session of a minute.
    page = _page(select(*METADATA), params).subquery("page")
    tested = select(recheck_text(conditions.settled)).where(
        MESSAGES.c.session_key == page.c.key, MESSAGES.c.seq > page.c.last_seq - _NEWEST, conditions.tested
    )
    first = tested.limit(literal_column("1")).correlate(page).scalar_subquery()
    return select(*page.c, first.label("doubted")).order_by(page.c.last_activity.desc(), page.c.key.desc())


@lru_cache(maxsize=256)
def _index_first(params: GivenParams, conditions: CandidateSql, *, if_few: bool) -> Select[Any]:
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
def _count_matching(params: GivenParams, conditions: CandidateSql) -> Select[Any]:
    matches = _newest_candidate(conditions)
    settled = select(conditions.settled).where(
        MESSAGES.c.session_key == SESSIONS.c.key, MESSAGES.c.seq == matches.c.witness
    )
    is_settled = settled.correlate_except(MESSAGES).scalar_subquery()
    unsettled = case((is_settled, null()), else_=SESSIONS.c.key).label("unsettled")
    sessions = select(unsettled).join_from(SESSIONS, matches, matches.c.session_key == SESSIONS.c.key)
    each = _filtered(sessions, params).subquery("each")
    return select(each.c.unsettled, func.count()).group_by(each.c.unsettled)


@lru_cache(maxsize=256)
def _candidate_texts(conditions: CandidateSql) -> Select[Any]:
    return (
        select(MESSAGES.c.seq, conditions.settled, _SEARCHED)
        .where(ITS_MESSAGES, MESSAGES.c.seq > _number("after"), conditions.tested)
        .order_by(MESSAGES.c.seq)
        .limit(literal_column(str(_TEXT_BATCH_SIZE)))
    )


@lru_cache(maxsize=256)
def _hits(params: GivenParams, order: Order, conditions: CandidateSql, *, if_few: bool) -> Select[Any]:
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
        (MESSAGES.c.created_at, _time("after_time"))
        if order is Order.RECENCY
        else (rank, bindparam("after_rank", type_=Float(53)))
    )
    place = (first, MESSAGES.c.session_key, MESSAGES.c.seq)
    if "after" in params:
        matches = matches.where(tuple_(*place) < tuple_(behind, text_param("after_key"), _number("after_seq")))
    return matches.order_by(*(column.desc() for column in place)).limit(_LIMIT)


def _newest_candidate(conditions: CandidateSql) -> Subquery:
    """Select the newest candidate of each session."""
    each = [select(MESSAGES.c.session_key, MESSAGES.c.seq).where(some) for some in conditions.listed]
    matches = (each[0] if len(each) == 1 else union_all(*each)).subquery("listed")
    newest = func.max(matches.c.seq).label("witness")
    return select(matches.c.session_key, newest).group_by(matches.c.session_key).subquery("found")


def _joined(params: GivenParams, matches: Subquery, what: ColumnElement[Any]) -> Select[Any]:
    return _page(select(*METADATA, what).join(matches, matches.c.session_key == SESSIONS.c.key), params)


def _lookup(params: GivenParams, matches: Subquery) -> Select[Any]:
    """Select the page of sessions by looking up the row of each one found; PostgreSQL uses LATERAL."""
    this = select(*METADATA, SESSIONS.c.active_minute).where(SESSIONS.c.key == matches.c.session_key)
    # OFFSET makes PostgreSQL plan the subquery by itself.
    head = _filter_and_page(this, params).correlate(matches).offset(literal_column("0")).lateral("head")
    page = select(*(head.c[column.name] for column in METADATA), matches.c.doubted).select_from(
        matches.join(head, true())
    )
    return _ordered(page, params, [head.c[column.name] for column in _RECENCY])


def _page(sessions: Select[Any], params: GivenParams) -> Select[Any]:
    return _ordered(_filter_and_page(sessions, params), params, _RECENCY)


def _filter_and_page(sessions: Select[Any], params: GivenParams) -> Select[Any]:
    filtered = _filtered(sessions, params)
    return filtered.where(*_AFTER) if "after" in params else filtered


def _ordered(sessions: Select[Any], params: GivenParams, recency: Iterable[ColumnElement[Any]]) -> Select[Any]:
    page = sessions.order_by(*(column.desc() for column in recency))
    return page.limit(_LIMIT) if "limit" in params else page


def _filtered(sessions: Select[Any], params: GivenParams) -> Select[Any]:
    return sessions.where(*_conditions(params))


def _conditions(params: GivenParams) -> Sequence[ColumnElement[bool]]:
    return [condition for name in params for condition in _SESSION_PARAMS.get(name, ())]


def _decode_session_cursor(cursor: object) -> tuple[datetime, str]:
    def read(last_activity: str, key: str) -> tuple[datetime, str]:
        return aware_datetime(datetime.fromisoformat(last_activity), "after"), identifier(key, "after")

    return _decode(cursor, read, "the cursor of a SessionMetadata")


def _decode_hit_cursor(cursor: object) -> tuple[datetime, float, str, int]:
    def read(created_at: str, rank: float, key: str, seq: int) -> tuple[datetime, float, str, int]:
        time = aware_datetime(datetime.fromisoformat(created_at), "after")
        return time, float(rank), identifier(key, "after"), integer(seq, "after")

    return _decode(cursor, read, "the cursor of a MessageHit")


def _decode(cursor: object, read: Callable[..., Position], what: str) -> Position:
    problem = f"after must be {what}"
    if not isinstance(cursor, str) or len(cursor) > MAX_CURSOR_LENGTH:
        raise InvalidQuery(problem)
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return read(*json.loads(base64.b64decode(padded, altchars=b"-_", validate=True)))
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidQuery(problem) from error
