"""The SELECTs of lists of sessions: filters, cursors and order, without a keyword."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from sqlalchemy import func, select, tuple_

from session_store.database.functions import has_attributes
from session_store.database.parameters import int_param, text_param, time_param
from session_store.interface.errors import InvalidQuery
from session_store.models.models import SESSIONS
from session_store.models.types import dump_json, truncate_to_minute
from session_store.models.validation import attribute_filter, aware_datetime, identifier, optional_number, state_word
from session_store.repositories.statements import METADATA, RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Executable

    from session_store.database.access import AnySelect
    from session_store.interface.values import SessionQuery

Position = TypeVar("Position")

MAX_CURSOR_LENGTH: Final = 8192
"""A key of 512 control characters takes 3,072 characters of JSON, which are 4,096 of base64."""

RECENCY: Final = (SESSIONS.c.active_minute, SESSIONS.c.last_activity, SESSIONS.c.key)
_SESSION_PARAMS: Final[Mapping[str, tuple[ColumnElement[bool], ...]]] = {
    "owner": (SESSIONS.c.owner == text_param("owner_is"),),
    "state": (SESSIONS.c.state == text_param("state_is"),),
    # Other states have a partial index; ``idle``, which most sessions may have, is found sooner in the recency index.
    "running": (RUNNING,),
    "attributes": (has_attributes(SESSIONS.c.attributes, text_param("attributes_have")),),
    # The index has only the minute; the second condition is exact.
    "active_since": (
        SESSIONS.c.active_minute >= time_param("since_minute"),
        SESSIONS.c.last_activity >= time_param("since"),
    ),
    "active_before": (
        SESSIONS.c.active_minute <= time_param("before_minute"),
        SESSIONS.c.last_activity < time_param("before"),
    ),
}
_AFTER: Final = (
    # The second condition implies the first; only the first lets the index start there.
    SESSIONS.c.active_minute <= time_param("after_minute"),
    tuple_(*RECENCY) < tuple_(time_param("after_minute"), time_param("after_activity"), text_param("after_key")),
)
LIMIT: Final = int_param("limit")

GivenParams = tuple[str, ...]
"""The fields of a query that are not None: their names determine the statement, their values are its parameters."""


class BoundStatement(NamedTuple):
    """A statement and its parameters."""

    statement: Executable
    values: Mapping[str, Any]


def select_keys(query: SessionQuery) -> BoundStatement:
    """Select the keys of the sessions that match the filters (not the keyword), newest activity first."""
    params, values = given_params(query)
    return BoundStatement(_keys(params), values)


def select_heads(query: SessionQuery) -> BoundStatement:
    """Select the sessions that match the filters (not the keyword), newest activity first."""
    params, values = given_params(query)
    return BoundStatement(_heads(params), values)


def count(query: SessionQuery) -> BoundStatement:
    """Count the sessions that match the filters (not the keyword), on all pages."""
    params, values = given_params(query)
    return BoundStatement(_count(params), values)


def conditions(query: SessionQuery) -> tuple[Sequence[ColumnElement[bool]], Mapping[str, Any]]:
    """Return the conditions of the filters (not the keyword), and their parameters."""
    params, values = given_params(query)
    return _conditions(params), values


def given_params(query: SessionQuery) -> tuple[GivenParams, dict[str, Any]]:
    """Return the fields of a query that are set, and their parameters."""
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
def _keys(params: GivenParams) -> AnySelect:
    return page_of(select(SESSIONS.c.key), params)


@lru_cache
def _heads(params: GivenParams) -> AnySelect:
    return page_of(select(*METADATA), params)


@lru_cache
def _count(params: GivenParams) -> AnySelect:
    return filtered(select(func.count()).select_from(SESSIONS), params)


def page_of(sessions: AnySelect, params: GivenParams) -> AnySelect:
    """Add filters, order and limit to a SELECT of sessions."""
    return ordered(filter_and_page(sessions, params), params, RECENCY)


def filter_and_page(sessions: AnySelect, params: GivenParams) -> AnySelect:
    """Add filters and the position of the page to a SELECT of sessions."""
    matching = filtered(sessions, params)
    return matching.where(*_AFTER) if "after" in params else matching


def ordered(sessions: AnySelect, params: GivenParams, recency: Iterable[ColumnElement[Any]]) -> AnySelect:
    """Add order and limit to a SELECT of sessions."""
    page = sessions.order_by(*(column.desc() for column in recency))
    return page.limit(LIMIT) if "limit" in params else page


def filtered(sessions: AnySelect, params: GivenParams) -> AnySelect:
    """Add filters to a SELECT of sessions."""
    return sessions.where(*_conditions(params))


def _conditions(params: GivenParams) -> Sequence[ColumnElement[bool]]:
    return [condition for name in params for condition in _SESSION_PARAMS.get(name, ())]


def _decode_session_cursor(cursor: object) -> tuple[datetime, str]:
    def read(last_activity: str, key: str) -> tuple[datetime, str]:
        return aware_datetime(datetime.fromisoformat(last_activity), "after"), identifier(key, "after")

    return decode_cursor(cursor, read, "the cursor of a SessionMetadata")


def decode_cursor(cursor: object, read: Callable[..., Position], what: str) -> Position:
    """Return what ``read`` makes of the fields of a cursor.

    Raises:
        InvalidQuery: The cursor is not one that the store returned.
    """
    problem = f"after must be {what}"
    if not isinstance(cursor, str) or len(cursor) > MAX_CURSOR_LENGTH:
        raise InvalidQuery(problem)
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return read(*json.loads(base64.b64decode(padded, altchars=b"-_", validate=True)))
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidQuery(problem) from error
