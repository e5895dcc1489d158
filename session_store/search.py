"""Which sessions: filters and words to a Select.

The engine that finds words is chosen in `has_keyword`, and nowhere else. There is one so far: every word of the
keyword, split at white space, must occur somewhere in one message, with A to Z the same as a to z. It reads
every message of every session it has to look at.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Text, bindparam, exists, func, literal, select, tuple_

from session_store.dialects.sql import has_attributes, has_word
from session_store.errors import InvalidQuery
from session_store.statements import METADATA
from session_store.tables import MESSAGES, SESSIONS
from session_store.types import ESCAPE_DIGITS, UtcDateTime, dump_json, escape, minute_of
from session_store.validation import attribute_filter, identifier, moment, optional_number, state_word
from session_store.values import SessionQuery

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select

ENGINE: Final = "like"
"""What serves a keyword, as `Health` names it."""

_LONGEST_CURSOR: Final = 8192
"""A key of 512 control characters is 3,072 characters of JSON, and those are 4,096 of base64."""

MAX_WORDS: Final = 300
"""SQLite reads an expression of up to 1,000 levels, and a word takes two."""

_BETWEEN_WORDS: Final = re.compile(rf"[\s{ESCAPE_DIGITS}]+")
"""White space, and the control characters that stand for others in a stored text: they say nothing there."""

_TO_ASCII_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def keys(query: SessionQuery | None) -> Select[Any]:
    """Select the keys of the sessions asked for, newest activity first."""
    return _page(select(SESSIONS.c.key), query or SessionQuery())


def heads(query: SessionQuery | None) -> Select[Any]:
    """Select the metadata of the sessions asked for, newest activity first."""
    return _page(select(*METADATA), query or SessionQuery())


def how_many(query: SessionQuery | None) -> Select[Any]:
    """Count the sessions asked for, on all pages together."""
    return select(func.count()).select_from(SESSIONS).where(*_filters(query or SessionQuery()))


def has_keyword(keyword: object) -> ColumnElement[bool] | None:
    """Return the condition on a session that a keyword puts; None where it has no word."""
    if not isinstance(keyword, str):
        message = f"keyword must be a str, not {type(keyword).__name__}"
        raise InvalidQuery(message)
    words = sorted({escape(word).translate(_TO_ASCII_LOWER) for word in _BETWEEN_WORDS.split(keyword) if word})
    if len(words) > MAX_WORDS:
        message = f"keyword has {len(words)} words, at most {MAX_WORDS} are allowed"
        raise InvalidQuery(message)
    if not words:
        return None
    found = (has_word(MESSAGES.c.content, literal(word, Text())) for word in words)
    return exists().where(MESSAGES.c.session_key == SESSIONS.c.key, *found)


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
    if query.keyword is not None:
        found = has_keyword(query.keyword)
        if found is not None:
            filters.append(found)
    return filters


def _place(cursor: object) -> tuple[datetime, str]:
    problem = "after must be the cursor of a SessionMetadata"
    if not isinstance(cursor, str) or len(cursor) > _LONGEST_CURSOR:
        raise InvalidQuery(problem)
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        last_activity, key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        return moment(datetime.fromisoformat(last_activity), "after"), identifier(key, "after")
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise InvalidQuery(problem) from error
