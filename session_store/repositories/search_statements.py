"""Which sessions and which messages: filters, and what an engine proposes, to a Select.

Sessions are looked for in two ways. `walked` goes through the newest ones and tests their messages: right for a word
that many have. `grouped` begins with the messages that the index lists. Both say of each session whether a message
was found in it (NULL: none), and give a question mark and the beginning of that message if it needs a second look, else
an empty text.
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
from session_store.models.types import UtcDateTime, dump_json, minute_of
from session_store.models.validation import (
    MAX_WORD_BYTES,
    attribute_filter,
    identifier,
    moment,
    not_a,
    optional_number,
    state_word,
    whole_number,
)
from session_store.repositories.statements import ITS_MESSAGES, METADATA, RUNNING
from session_store.search.candidates import CONTENT, doubted_text, text
from session_store.search.tokens import SEARCHED_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import BindParameter, ColumnElement, Executable, Select, Subquery

    from session_store.interface.values import SessionQuery
    from session_store.search.candidates import Conditions, Proposals

Place = TypeVar("Place")

_LONGEST_CURSOR: Final = 8192
"""A key of 512 control characters is 3,072 characters of JSON, and those are 4,096 of base64."""

MOST_DOUBTED: Final = 4_000
"""Characters of a message that come with its session."""

_TEXTS_AT_ONCE: Final = 100
"""Messages read to have a second look at: a text may be of 200,000 characters."""

NEWEST: Final = 400
"""Of each session that is walked by its newest messages up to so many are tested: one long session among the newest
would else take longer than all others together."""
_NEWEST: Final[ColumnElement[int]] = literal_column(str(NEWEST))

_SEARCHED: Final = func.substr(CONTENT, 1, SEARCHED_CHARACTERS).label("content")


def _time(name: str) -> BindParameter[datetime]:
    return bindparam(name, type_=UtcDateTime())


def _number(name: str) -> BindParameter[int]:
    return bindparam(name, type_=BigInteger())


_RECENCY: Final = (SESSIONS.c.active_minute, SESSIONS.c.last_activity, SESSIONS.c.key)
_OF_SESSIONS: Final[Mapping[str, tuple[ColumnElement[bool], ...]]] = {
    "owner": (SESSIONS.c.owner == text("owner_is"),),
    "state": (SESSIONS.c.state == text("state_is"),),
    # Of one value there is an index; of another, which most sessions may have, a list by recency ends sooner.
    "running": (RUNNING,),
    "attributes": (has_attributes(SESSIONS.c.attributes, text("attributes_have")),),
    # The index holds the minute only; the second condition is exact.
    "active_since": (SESSIONS.c.active_minute >= _time("since_minute"), SESSIONS.c.last_activity >= _time("since")),
    "active_before": (SESSIONS.c.active_minute <= _time("before_minute"), SESSIONS.c.last_activity < _time("before")),
}
_BEHIND: Final = (
    # The first condition is in the second; only the first lets the index start there.
    SESSIONS.c.active_minute <= _time("after_minute"),
    tuple_(*_RECENCY) < tuple_(_time("after_minute"), _time("after_activity"), text("after_key")),
)
_OF_HITS: Final[Mapping[str, ColumnElement[bool]]] = {
    "key": MESSAGES.c.session_key == text("key_is"),
    "role": MESSAGES.c.role == text("role_is"),
    "since": MESSAGES.c.created_at >= _time("since"),
    "until": MESSAGES.c.created_at < _time("until"),
}
_LIMIT: Final = _number("limit")

Given = tuple[str, ...]
"""The fields of a query that are not None: they decide what a statement is, and their values are its parameters."""


class Bound(NamedTuple):
    """A statement and the values of its parameters."""

    statement: Executable
    values: Mapping[str, Any]


class Order(StrEnum):
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


def keys(query: SessionQuery) -> Bound:
    """Select the keys of the sessions asked for by anything but words, newest activity first."""
    given, values = _given(query)
    return Bound(_keys(given), values)


def heads(query: SessionQuery) -> Bound:
    """Select the metadata of the sessions asked for by anything but words, newest activity first."""
    given, values = _given(query)
    return Bound(_heads(given), values)


def how_many(query: SessionQuery) -> Bound:
    """Count the sessions asked for by anything but words, on all pages together."""
    given, values = _given(query)
    return Bound(_how_many(given), values)


def conditions(query: SessionQuery) -> tuple[Sequence[ColumnElement[bool]], Mapping[str, Any]]:
    """Return what holds of the sessions asked for by anything but words, and the values of its parameters."""
    given, values = _given(query)
    return _conditions(given), values


def walked(query: SessionQuery, proposals: Proposals) -> Bound:
    """Select a page of the sessions asked for by anything but words, and whether their newest messages are proposed."""
    given, values = _given(query)
    return Bound(_walked(given, proposals.conditions), {**values, **proposals.values, **_most_doubted(query)})


def grouped(query: SessionQuery, proposals: Proposals, *, if_few: bool = False) -> Bound:
    """Select the sessions asked for that have a message proposed, perhaps only if few messages are."""
    given, values = _given(query)
    statement = _grouped(given, proposals.conditions, if_few=if_few)
    return Bound(statement, {**values, **proposals.values, **_most_doubted(query)})


def counted(query: SessionQuery, proposals: Proposals) -> Bound:
    """Count the sessions asked for that have a message proposed, each one that needs a second look by itself."""
    given, values = _given(query)
    return Bound(_counted(given, proposals.conditions), {**values, **proposals.values})


def proposed(proposals: Proposals, key: str, after_seq: int) -> Bound:
    """Select the messages of a session that are proposed, a page of them: seq, settled, text."""
    return Bound(_proposed(proposals.conditions), {**proposals.values, "the_key": key, "after": after_seq})


def hits(query: HitQuery, proposals: Proposals, *, if_few: bool = False) -> Bound:
    """Select a page of the messages proposed, perhaps only if they are few.

    Raises:
        InvalidQuery: A part of the query is not of its kind or out of its range.
        InvalidKey: The key or the role cannot be one.
    """
    if not isinstance(query.order, str) or query.order not in set(Order):
        raise InvalidQuery(not_a(query.order, "order", " or ".join(Order)))
    order = Order(query.order)
    values: dict[str, Any] = {**proposals.values, "limit": whole_number(query.limit, "limit"), "most_doubted": 0}
    if query.key is not None:
        values["key_is"] = identifier(query.key, "key")
    if query.role is not None:
        values["role_is"] = identifier(query.role, "role", MAX_WORD_BYTES)
    if query.since is not None:
        values["since"] = moment(query.since, "since")
    if query.until is not None:
        values["until"] = moment(query.until, "until")
    if query.after is not None:
        values |= zip(("after_time", "after_rank", "after_key", "after_seq"), _place_of_hit(query.after), strict=True)
    given = tuple(name for name in (*_OF_HITS, "after") if getattr(query, name) is not None)
    return Bound(_hits(given, order, proposals.conditions, if_few=if_few), values)


def _most_doubted(query: SessionQuery) -> dict[str, int]:
    # All sessions at once are not to bring all their texts along.
    return {"most_doubted": 0 if query.limit is None else MOST_DOUBTED}


def _given(query: SessionQuery) -> tuple[Given, dict[str, Any]]:
    given = [name for name in (*_OF_SESSIONS, "after", "limit") if getattr(query, name, None) is not None]
    values: dict[str, Any] = {}
    if query.owner is not None:
        values["owner_is"] = identifier(query.owner, "owner")
    if query.state is not None:
        values["state_is"] = state_word(query.state)
        if query.state == "running":
            given[given.index("state")] = "running"
    if query.attributes is not None:
        values["attributes_have"] = dump_json(attribute_filter(query.attributes))
    if query.active_since is not None:
        values["since"] = moment(query.active_since, "active_since")
        values["since_minute"] = minute_of(values["since"])
    if query.active_before is not None:
        values["before"] = moment(query.active_before, "active_before")
        values["before_minute"] = minute_of(values["before"])
    if query.after is not None:
        values["after_activity"], values["after_key"] = _place(query.after)
        values["after_minute"] = minute_of(values["after_activity"])
    if query.limit is not None:
        values["limit"] = optional_number(query.limit, "limit")
    return tuple(given), values


@lru_cache
def _keys(given: Given) -> Select[Any]:
    return _page(select(SESSIONS.c.key), given)


@lru_cache
def _heads(given: Given) -> Select[Any]:
    return _page(select(*METADATA), given)


@lru_cache
def _how_many(given: Given) -> Select[Any]:
    return _filtered(select(func.count()).select_from(SESSIONS), given)


@lru_cache(maxsize=256)
def _walked(given: Given, conditions: Conditions) -> Select[Any]:
    # Of the page only: SQLite would test the messages of every session of a minute, to sort them by their seconds.
    page = _page(select(*METADATA), given).subquery("page")
    tested = select(doubted_text(conditions.settled)).where(
        MESSAGES.c.session_key == page.c.key, MESSAGES.c.seq > page.c.last_seq - _NEWEST, conditions.tested
    )
    first = tested.limit(literal_column("1")).correlate(page).scalar_subquery()
    return select(*page.c, first.label("doubted")).order_by(page.c.last_activity.desc(), page.c.key.desc())


@lru_cache(maxsize=256)
def _grouped(given: Given, conditions: Conditions, *, if_few: bool) -> Select[Any]:
    if if_few and conditions.if_few is not None:
        each = conditions.if_few.subquery("listed")
        # The least text is the empty one: of a session with a message that needs no second look.
        doubted = func.min(each.c.doubted).label("doubted")
        found = select(each.c.session_key, doubted).group_by(each.c.session_key).subquery("found")
        return _looked_up(given, found) if conditions.one_by_one else _joined(given, found, found.c.doubted)
    found = _witnesses(conditions)
    page = _joined(given, found, found.c.witness).subquery("page")
    *metadata, witness = page.c
    of_witness = select(doubted_text(conditions.settled)).select_from(MESSAGES).correlate(page)
    its = of_witness.where(MESSAGES.c.session_key == page.c.key, MESSAGES.c.seq == witness).scalar_subquery()
    return select(*metadata, its.label("doubted")).order_by(page.c.last_activity.desc(), page.c.key.desc())


@lru_cache(maxsize=256)
def _counted(given: Given, conditions: Conditions) -> Select[Any]:
    found = _witnesses(conditions)
    settled = select(conditions.settled).where(
        MESSAGES.c.session_key == SESSIONS.c.key, MESSAGES.c.seq == found.c.witness
    )
    is_settled = settled.correlate_except(MESSAGES).scalar_subquery()
    unsettled = case((is_settled, null()), else_=SESSIONS.c.key).label("unsettled")
    sessions = select(unsettled).join_from(SESSIONS, found, found.c.session_key == SESSIONS.c.key)
    each = _filtered(sessions, given).subquery("each")
    return select(each.c.unsettled, func.count()).group_by(each.c.unsettled)


@lru_cache(maxsize=256)
def _proposed(conditions: Conditions) -> Select[Any]:
    return (
        select(MESSAGES.c.seq, conditions.settled, _SEARCHED)
        .where(ITS_MESSAGES, MESSAGES.c.seq > _number("after"), conditions.tested)
        .order_by(MESSAGES.c.seq)
        .limit(literal_column(str(_TEXTS_AT_ONCE)))
    )


@lru_cache(maxsize=256)
def _hits(given: Given, order: Order, conditions: Conditions, *, if_few: bool) -> Select[Any]:
    rank = conditions.rank
    hits = conditions.hits
    if if_few and conditions.if_few is not None:
        listed = conditions.if_few.subquery("listed")
        few = select(listed.c.session_key, listed.c.seq).distinct().subquery("few")
        each = and_(MESSAGES.c.session_key == few.c.session_key, MESSAGES.c.seq == few.c.seq)
        hits = select().select_from(few.join(MESSAGES, each))
    columns = (MESSAGES.c.session_key, MESSAGES.c.seq, MESSAGES.c.role, MESSAGES.c.created_at, rank.label("rank"))
    found = hits.add_columns(*columns, _SEARCHED, conditions.settled.label("settled"))
    found = found.where(*(_OF_HITS[name] for name in given if name in _OF_HITS))
    first, behind = (
        (MESSAGES.c.created_at, _time("after_time"))
        if order is Order.RECENCY
        else (rank, bindparam("after_rank", type_=Float(53)))
    )
    place = (first, MESSAGES.c.session_key, MESSAGES.c.seq)
    if "after" in given:
        found = found.where(tuple_(*place) < tuple_(behind, text("after_key"), _number("after_seq")))
    return found.order_by(*(column.desc() for column in place)).limit(_LIMIT)


def _witnesses(conditions: Conditions) -> Subquery:
    """Select of each session with messages proposed the newest one of them."""
    each = [select(MESSAGES.c.session_key, MESSAGES.c.seq).where(some) for some in conditions.listed]
    found = (each[0] if len(each) == 1 else union_all(*each)).subquery("listed")
    newest = func.max(found.c.seq).label("witness")
    return select(found.c.session_key, newest).group_by(found.c.session_key).subquery("found")


def _joined(given: Given, found: Subquery, what: ColumnElement[Any]) -> Select[Any]:
    return _page(select(*METADATA, what).join(found, found.c.session_key == SESSIONS.c.key), given)


def _looked_up(given: Given, found: Subquery) -> Select[Any]:
    """Select the page of sessions by looking up the head of each one found, for which PostgreSQL has LATERAL."""
    this = select(*METADATA, SESSIONS.c.active_minute).where(SESSIONS.c.key == found.c.session_key)
    # What is behind an OFFSET is planned by itself.
    head = _asked_for(this, given).correlate(found).offset(literal_column("0")).lateral("head")
    page = select(*(head.c[column.name] for column in METADATA), found.c.doubted).select_from(found.join(head, true()))
    return _ordered(page, given, [head.c[column.name] for column in _RECENCY])


def _page(sessions: Select[Any], given: Given) -> Select[Any]:
    return _ordered(_asked_for(sessions, given), given, _RECENCY)


def _asked_for(sessions: Select[Any], given: Given) -> Select[Any]:
    filtered = _filtered(sessions, given)
    return filtered.where(*_BEHIND) if "after" in given else filtered


def _ordered(sessions: Select[Any], given: Given, recency: Iterable[ColumnElement[Any]]) -> Select[Any]:
    page = sessions.order_by(*(column.desc() for column in recency))
    return page.limit(_LIMIT) if "limit" in given else page


def _filtered(sessions: Select[Any], given: Given) -> Select[Any]:
    return sessions.where(*_conditions(given))


def _conditions(given: Given) -> Sequence[ColumnElement[bool]]:
    return [condition for name in given for condition in _OF_SESSIONS.get(name, ())]


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
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidQuery(problem) from error
