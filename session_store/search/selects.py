"""Which sessions and which messages: filters, and what an engine proposes, to a Select.

Sessions are looked for in two ways. `walked` goes through the newest ones and tests their messages: right for a word
that many have. `grouped` begins with the messages that the index lists. Both say of each session whether a message
was found in it (NULL: none), and whether that needs no second look.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from sqlalchemy import (
    BigInteger,
    Float,
    Text,
    bindparam,
    case,
    func,
    literal,
    null,
    select,
    tuple_,
)

from session_store.dialects.sql import has_attributes
from session_store.errors import InvalidQuery
from session_store.search.proposals import CONTENT
from session_store.search.words import SEARCHED_CHARACTERS
from session_store.statements import ITS_MESSAGES, METADATA
from session_store.tables import MESSAGES, SESSIONS
from session_store.types import UtcDateTime, dump_json, minute_of
from session_store.validation import (
    MAX_WORD_BYTES,
    attribute_filter,
    identifier,
    moment,
    optional_number,
    state_word,
    whole_number,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import ColumnElement, Select

    from session_store.search.proposals import Proposals
    from session_store.values import SessionQuery

Place = TypeVar("Place")

_LONGEST_CURSOR: Final = 8192
"""A key of 512 control characters is 3,072 characters of JSON, and those are 4,096 of base64."""

_TEXTS_AT_ONCE: Final = 100
"""Messages read to have a second look at: a text may be of 200,000 characters."""

_SEARCHED: Final = func.substr(CONTENT, 1, SEARCHED_CHARACTERS).label("content")


class Order(Enum):
    """In which order messages are found."""

    RECENCY = "recency"
    RELEVANCE = "relevance"


class HitQuery(NamedTuple):
    """Which of the messages proposed."""

    key: str | None
    role: str | None
    since: datetime | None
    until: datetime | None
    limit: int
    after: str | None
    order: str


def keys(query: SessionQuery) -> Select[Any]:
    """Select the keys of the sessions asked for by anything but words, newest activity first."""
    return _page(select(SESSIONS.c.key), query)


def heads(query: SessionQuery) -> Select[Any]:
    """Select the metadata of the sessions asked for by anything but words, newest activity first."""
    return _page(select(*METADATA), query)


def how_many(query: SessionQuery) -> Select[Any]:
    """Count the sessions asked for by anything but words, on all pages together."""
    return select(func.count()).select_from(SESSIONS).where(*_filters(query))


def walked(query: SessionQuery, proposals: Proposals) -> Select[Any]:
    """Select a page of the sessions asked for by anything but words, and whether their messages are proposed."""
    settled = (
        select(proposals.settled)
        .select_from(MESSAGES)
        .where(MESSAGES.c.session_key == SESSIONS.c.key, proposals.tested)
        .limit(1)
        .correlate(SESSIONS)
        .scalar_subquery()
    )
    return _page(select(*METADATA, settled.label("settled")), query)


def grouped(query: SessionQuery, proposals: Proposals) -> Select[Any]:
    """Select the sessions asked for that have a message proposed."""
    found = _witnesses(proposals)
    sessions = select(*METADATA, found.c.witness).join(found, found.c.session_key == SESSIONS.c.key)
    page = _page(sessions, query).subquery("page")
    *metadata, witness = page.c
    return select(*metadata, _settled(proposals, page.c.key, witness)).order_by(
        page.c.last_activity.desc(), page.c.key.desc()
    )


def counted(query: SessionQuery, proposals: Proposals) -> Select[Any]:
    """Count the sessions asked for that have a message proposed, each one that needs a second look by itself."""
    found = _witnesses(proposals)
    settled = _settled(proposals, SESSIONS.c.key, found.c.witness)
    unsettled = case((settled, null()), else_=SESSIONS.c.key).label("unsettled")
    sessions = select(unsettled).join_from(SESSIONS, found, found.c.session_key == SESSIONS.c.key)
    each = sessions.where(*_filters(query)).subquery("each")
    return select(each.c.unsettled, func.count()).group_by(each.c.unsettled)


def proposed(proposals: Proposals) -> Select[Any]:
    """Select the messages of a session that are proposed, a page behind ``after``: seq, settled, text."""
    return (
        select(MESSAGES.c.seq, proposals.settled, _SEARCHED)
        .where(ITS_MESSAGES, MESSAGES.c.seq > bindparam("after", type_=BigInteger()), proposals.tested)
        .order_by(MESSAGES.c.seq)
        .limit(_TEXTS_AT_ONCE)
    )


def hits(query: HitQuery, proposals: Proposals) -> Select[Any]:
    """Select a page of the messages proposed.

    Raises:
        InvalidQuery: A part of the query is not of its kind or out of its range.
    """
    rank = proposals.rank.label("rank")
    of_its_order: dict[Order, ColumnElement[Any]] = {Order.RECENCY: MESSAGES.c.created_at, Order.RELEVANCE: rank}
    try:
        order = Order(query.order)
    except ValueError:
        problem = f"order must be one of {', '.join(order.value for order in Order)}: {query.order!r}"
        raise InvalidQuery(problem) from None
    columns = (MESSAGES.c.session_key, MESSAGES.c.seq, MESSAGES.c.role, MESSAGES.c.created_at, rank, _SEARCHED)
    found = proposals.hits.add_columns(*columns, proposals.settled.label("settled"))
    if query.key is not None:
        found = found.where(MESSAGES.c.session_key == identifier(query.key, "key"))
    if query.role is not None:
        found = found.where(MESSAGES.c.role == identifier(query.role, "role", MAX_WORD_BYTES))
    if query.since is not None:
        found = found.where(MESSAGES.c.created_at >= moment(query.since, "since"))
    if query.until is not None:
        found = found.where(MESSAGES.c.created_at < moment(query.until, "until"))
    first = of_its_order[order]
    place = (MESSAGES.c.session_key, MESSAGES.c.seq)
    if query.after is not None:
        created_at, last_rank, key, seq = _place_of_hit(query.after)
        behind = (
            literal(created_at, UtcDateTime()) if order is Order.RECENCY else literal(last_rank, Float(53)),
            literal(key, Text()),
            literal(seq, BigInteger()),
        )
        found = found.where(tuple_(proposals.rank if order is Order.RELEVANCE else first, *place) < tuple_(*behind))
    return found.order_by(*(column.desc() for column in (first, *place))).limit(whole_number(query.limit, "limit"))


def _witnesses(proposals: Proposals) -> Any:
    return (
        select(MESSAGES.c.session_key, func.max(MESSAGES.c.seq).label("witness"))
        .where(proposals.listed)
        .group_by(MESSAGES.c.session_key)
        .subquery("found")
    )


def _settled(proposals: Proposals, key: ColumnElement[str], witness: ColumnElement[int]) -> ColumnElement[bool]:
    return (
        select(proposals.settled)
        .select_from(MESSAGES)
        .where(MESSAGES.c.session_key == key, MESSAGES.c.seq == witness)
        .correlate_except(MESSAGES)
        .scalar_subquery()
        .label("settled")
    )


def _page(sessions: Select[Any], query: SessionQuery) -> Select[Any]:
    recency = (SESSIONS.c.active_minute, SESSIONS.c.last_activity, SESSIONS.c.key)
    sessions = sessions.where(*_filters(query)).order_by(*(column.desc() for column in recency))
    if query.after is not None:
        last_activity, key = _place(query.after)
        minute = literal(minute_of(last_activity), UtcDateTime())
        place = tuple_(minute, literal(last_activity, UtcDateTime()), literal(key, Text()))
        # The first condition is in the second; only the first lets the index start there.
        sessions = sessions.where(SESSIONS.c.active_minute <= minute, tuple_(*recency) < place)
    limit = optional_number(query.limit, "limit")
    return sessions if limit is None else sessions.limit(limit)


def _filters(query: SessionQuery) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    if query.owner is not None:
        filters.append(SESSIONS.c.owner == identifier(query.owner, "owner"))
    if query.state is not None:
        filters.append(SESSIONS.c.state == state_word(query.state))
    if query.attributes is not None:
        wanted = dump_json(attribute_filter(query.attributes))
        filters.append(has_attributes(SESSIONS.c.attributes, bindparam("wanted", wanted, Text())))
    if query.active_since is not None:
        since = moment(query.active_since, "active_since")
        filters += (SESSIONS.c.active_minute >= minute_of(since), SESSIONS.c.last_activity >= since)
    if query.active_before is not None:
        before = moment(query.active_before, "active_before")
        filters += (SESSIONS.c.active_minute <= minute_of(before), SESSIONS.c.last_activity < before)
    return filters


def _place(cursor: object) -> tuple[datetime, str]:
    def read(last_activity: str, key: str) -> tuple[datetime, str]:
        return moment(datetime.fromisoformat(last_activity), "after"), identifier(key, "after")

    return _decoded(cursor, read, "the cursor of a SessionMetadata")


def _place_of_hit(cursor: object) -> tuple[datetime, float, str, int]:
    def read(created_at: str, rank: float, key: str, seq: int) -> tuple[datetime, float, str, int]:
        time = moment(datetime.fromisoformat(created_at), "after")
        return time, float(rank), identifier(key, "after"), whole_number(seq, "after")

    return _decoded(cursor, read, "the cursor of a MessageHit")


def _decoded(cursor: object, read: Callable[..., Place], what: str) -> Place:
    problem = f"after must be {what}"
    if not isinstance(cursor, str) or len(cursor) > _LONGEST_CURSOR:
        raise InvalidQuery(problem)
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return read(*json.loads(base64.b64decode(padded, altchars=b"-_", validate=True)))
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise InvalidQuery(problem) from error
