"""The SQL: one constant for each statement. Statements that depend on their arguments are in `search_statements`.

Every writing statement starts with INSERT, UPDATE or DELETE, so that sqlite3 begins the transaction with it and takes
the write lock at once. Every statement names the session by its key. An upsert is an INSERT from a SELECT with the
ON CONFLICT clause as a suffix: SQLAlchemy 2.0 compiles the form of the dialects again at every call. Text and JSON are
passed in their stored form; repositories escape and decode them.

No parameter of an UPDATE has the name of a column: SQLAlchemy would set that column to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    text,
    true,
    type_coerce,
    update,
)

from session_store.database.functions import as_json
from session_store.database.journal import journaled, journaled_batch
from session_store.database.parameters import int_param, text_param, time_param
from session_store.models.models import MESSAGES, SESSIONS, STATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import BindParameter, ColumnElement
    from sqlalchemy.sql.dml import ReturningInsert

    from session_store.database.access import AnySelect


KEY: Final = text_param("the_key")
THIS_SESSION: Final = SESSIONS.c.key == KEY
ITS_MESSAGES: Final = MESSAGES.c.session_key == KEY
ITS_STATES: Final = STATES.c.session_key == KEY
KEYS: Final = bindparam("keys", type_=Text(), expanding=True)

RUNNING: Final = and_(SESSIONS.c.state == literal_column("'running'"), SESSIONS.c.state != literal_column("'idle'"))
"""Literals: with a parameter, PostgreSQL's generic plan scanned the table instead of the partial index, and SQLite does
not infer that ``running`` is not ``idle``, the condition of that index."""

STORED_MESSAGE: Final = (
    MESSAGES.c.seq,
    MESSAGES.c.created_at,
    MESSAGES.c.turn_id,
    MESSAGES.c.role,
    type_coerce(MESSAGES.c.content, Text()).label("content"),
    cast(MESSAGES.c.payload, Text).label("payload"),
)
METADATA: Final = (
    SESSIONS.c.key,
    type_coerce(SESSIONS.c.name, Text()).label("name"),
    SESSIONS.c.owner,
    cast(SESSIONS.c.attributes, Text).label("attributes"),
    SESSIONS.c.created_at,
    SESSIONS.c.last_activity,
    SESSIONS.c.message_count,
    SESSIONS.c.last_seq,
    SESSIONS.c.state,
    SESSIONS.c.turn_id,
    SESSIONS.c.state_entered_at,
)


# Session rows. An upsert has the values of a new session, and the changes to an existing one.

_NEW_SESSION: Final[Mapping[str, ColumnElement[Any]]] = {
    "key": KEY,
    "created_at": time_param("created_at"),
    "last_activity": time_param("last_activity"),
    "active_minute": time_param("active_minute"),
}


_LOGGED_MESSAGE: Final = (
    SESSIONS.c.key.label("session_key"),
    SESSIONS.c.last_seq.label("seq"),
    SESSIONS.c.turn_id,
)


def _upsert(
    values: Mapping[str, ColumnElement[Any]],
    conflict: str,
    only_if: ColumnElement[bool] | None = None,
    returning: Sequence[ColumnElement[Any]] = _LOGGED_MESSAGE,
) -> ReturningInsert[*tuple[Any, ...]]:
    # Always with a WHERE: without one, SQLite reads the ON of ON CONFLICT as that of a join.
    values = {**_NEW_SESSION, **values}
    rows = select(*values.values()).where(true() if only_if is None else only_if)
    on_conflict = text(f"ON CONFLICT (key) DO {conflict}")
    return insert(SESSIONS).from_select(list(values), rows.suffix_with(on_conflict)).returning(*returning)


_INCREMENT: Final = """UPDATE SET
    message_count = session_store_sessions.message_count + excluded.message_count,
    last_seq = session_store_sessions.last_seq + excluded.last_seq,
    last_activity = CASE WHEN session_store_sessions.last_activity > excluded.last_activity
        THEN session_store_sessions.last_activity ELSE excluded.last_activity END,
    active_minute = CASE WHEN session_store_sessions.active_minute > excluded.active_minute
        THEN session_store_sessions.active_minute ELSE excluded.active_minute END"""
_COUNTED: Final = {"message_count": int_param("count"), "last_seq": int_param("count")}
_NEW_IDEMPOTENCY_KEY: Final = ~exists().where(ITS_MESSAGES, MESSAGES.c.idempotency_key == text_param("idempotency_key"))
_GIVEN: Final[Mapping[str, BindParameter[Any]]] = {
    "role": text_param("role"),
    "content": text_param("content"),
    "payload": text_param("payload"),
    "idempotency_key": text_param("idempotency_key"),
    "created_at": time_param("created_at"),
}
_MESSAGE: Final[Mapping[str, ColumnElement[Any]]] = {**_GIVEN, "payload": as_json(_GIVEN["payload"])}

ALLOCATE_SEQS: Final = _upsert(_COUNTED, _INCREMENT)
"""Allocate the next ``count`` seqs of a session, creating and locking its row; returns the last seq."""

APPEND: Final = journaled(ALLOCATE_SEQS, MESSAGES, _MESSAGE)
APPEND_ONCE: Final = journaled(_upsert(_COUNTED, _INCREMENT, _NEW_IDEMPOTENCY_KEY), MESSAGES, _MESSAGE)
"""Append unless the idempotency key exists; no row then."""
APPEND_MANY: Final = journaled_batch(
    ALLOCATE_SEQS, MESSAGES, {name: value.type for name, value in _GIVEN.items()}, "payload"
)

CREATE_SESSION: Final = _upsert(
    {"name": text_param("name"), "owner": text_param("owner"), "attributes": as_json(text_param("attributes"))},
    "NOTHING",
)
SET_NAME: Final = _upsert({"name": text_param("name")}, "UPDATE SET name = excluded.name")
SET_OWNER: Final = _upsert({"owner": text_param("owner")}, "UPDATE SET owner = excluded.owner")
LOCK_OR_CREATE: Final = _upsert({}, "UPDATE SET state_seq = session_store_sessions.state_seq")
"""Lock the row of a session, creating it."""

LOCK: Final = (
    update(SESSIONS).where(THIS_SESSION).values(state_seq=SESSIONS.c.state_seq).returning(SESSIONS.c.message_count)
)
"""Lock the row of a session; no row if it does not exist."""

GET_ATTRIBUTES: Final = select(cast(SESSIONS.c.attributes, Text)).where(THIS_SESSION)
SET_ATTRIBUTES: Final = update(SESSIONS).where(THIS_SESSION).values(attributes=as_json(text_param("merged")))
GET_NAME: Final = select(SESSIONS.c.name).where(THIS_SESSION)
GET_STATE: Final = select(SESSIONS.c.state, SESSIONS.c.turn_id, SESSIONS.c.state_entered_at).where(THIS_SESSION)
GET_METADATA: Final = select(*METADATA).where(THIS_SESSION)
SESSION_EXISTS: Final = select(SESSIONS.c.key).where(THIS_SESSION)

LIST_RUNNING: Final = select(*METADATA).where(RUNNING).order_by(SESSIONS.c.state_entered_at.desc(), SESSIONS.c.key)
LIST_STUCK: Final = (
    select(*METADATA)
    .where(RUNNING, SESSIONS.c.state_entered_at < time_param("cutoff"))
    .order_by(SESSIONS.c.state_entered_at, SESSIONS.c.key)
)


# Messages of one session.

LOAD: Final = (
    select(MESSAGES.c.role, MESSAGES.c.content, cast(MESSAGES.c.payload, Text))
    .where(ITS_MESSAGES)
    .order_by(MESSAGES.c.seq)
)
LOAD_LAST: Final = LOAD.order_by(None).order_by(MESSAGES.c.seq.desc()).limit(int_param("last"))
"""The newest messages, newest first."""

FIND_BY_IDEMPOTENCY_KEY: Final = select(MESSAGES.c.idempotency_key, *STORED_MESSAGE).where(
    ITS_MESSAGES, MESSAGES.c.idempotency_key.in_(KEYS)
)

_LAST_SEQ: Final = select(func.max(MESSAGES.c.seq)).where(ITS_MESSAGES).scalar_subquery()
_IS_LAST: Final = MESSAGES.c.seq == _LAST_SEQ
_IS_SEQ: Final = MESSAGES.c.seq == int_param("the_seq")

DECREMENT_COUNT: Final = (
    update(SESSIONS)
    .where(THIS_SESSION, SESSIONS.c.message_count > 0)
    .values(message_count=SESSIONS.c.message_count - 1)
    .returning(SESSIONS.c.message_count)
)
"""Decrement the count and lock the session row.

The DELETE is a second statement: in a single one, callers that waited for the lock still saw the message that the
caller before them had deleted, and 8 threads deleted 36 to 52 of 200.
"""
INCREMENT_COUNT: Final = update(SESSIONS).where(THIS_SESSION).values(message_count=SESSIONS.c.message_count + 1)
DELETE_LAST: Final = delete(MESSAGES).where(ITS_MESSAGES, _IS_LAST).returning(*STORED_MESSAGE)
DELETE_LAST_IF: Final = delete(MESSAGES).where(ITS_MESSAGES, _IS_LAST, _IS_SEQ).returning(*STORED_MESSAGE)

_NOW: Final = time_param("now")
_TOUCHED: Final = {
    "last_activity": case((SESSIONS.c.last_activity > _NOW, SESSIONS.c.last_activity), else_=_NOW),
    "active_minute": case(
        (SESSIONS.c.active_minute > time_param("minute"), SESSIONS.c.active_minute), else_=time_param("minute")
    ),
}
_NEW_TEXT: Final = {
    "role": text_param("new_role"),
    "content": text_param("new_content"),
    "payload": as_json(text_param("new_payload")),
}
_MOVE_ACTIVITY: Final = update(SESSIONS).where(THIS_SESSION).values(_TOUCHED).returning(SESSIONS.c.last_seq)
TOUCH: Final = _MOVE_ACTIVITY.where(exists().where(ITS_MESSAGES))
TOUCH_IF: Final = _MOVE_ACTIVITY.where(int_param("the_seq") == _LAST_SEQ)
REPLACE_LAST: Final = update(MESSAGES).where(ITS_MESSAGES, _IS_LAST).values(_NEW_TEXT).returning(MESSAGES.c.seq)
REPLACE_LAST_IF: Final = REPLACE_LAST.where(_IS_SEQ)

CLEAR_COUNT: Final = update(SESSIONS).where(THIS_SESSION).values(message_count=0).returning(SESSIONS.c.message_count)
CLEAR_MESSAGES: Final = delete(MESSAGES).where(ITS_MESSAGES)


# States. A log entry has the values of the session row after the change.

_LOGGED_STATE: Final = (
    SESSIONS.c.key.label("session_key"),
    SESSIONS.c.state_seq.label("seq"),
    SESSIONS.c.state,
    SESSIONS.c.turn_id,
    SESSIONS.c.state_entered_at.label("entered_at"),
)
_PROPOSED_STATE: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": text_param("state"),
    "turn_id": text_param("turn_id"),
    "state_seq": int_param("first_seq"),
    "state_entered_at": time_param("first_entered_at"),
}
_CHANGE_STATE: Final = """UPDATE SET
    state = excluded.state,
    turn_id = excluded.turn_id,
    state_seq = session_store_sessions.state_seq + 1,
    state_entered_at = CASE WHEN session_store_sessions.state_entered_at > excluded.last_activity
        THEN session_store_sessions.state_entered_at ELSE excluded.last_activity END
    WHERE (session_store_sessions.state <> excluded.state
        OR coalesce(session_store_sessions.turn_id, '') <> coalesce(excluded.turn_id, ''))"""
_ENTERED: Final = {
    "state_seq": SESSIONS.c.state_seq + 1,
    "state_entered_at": case((SESSIONS.c.state_entered_at > _NOW, SESSIONS.c.state_entered_at), else_=_NOW),
}

SET_STATE: Final = journaled(_upsert(_PROPOSED_STATE, _CHANGE_STATE, returning=_LOGGED_STATE), STATES, {})
START_TURN: Final = journaled(
    _upsert(
        _PROPOSED_STATE,
        f"{_CHANGE_STATE} AND session_store_sessions.turn_id IS NULL",
        returning=_LOGGED_STATE,
    ),
    STATES,
    {},
)
"""Set the state of a session without a current turn."""

COMPARE_AND_SET_STATE: Final = journaled(
    update(SESSIONS)
    .where(
        THIS_SESSION,
        SESSIONS.c.turn_id == text_param("if_turn"),
        or_(
            SESSIONS.c.state != text_param("new_state"),
            SESSIONS.c.turn_id != func.coalesce(text_param("new_turn"), ""),
        ),
    )
    .values(state=text_param("new_state"), turn_id=text_param("new_turn"), **_ENTERED)
    .returning(*_LOGGED_STATE),
    STATES,
    {},
)
"""Set the state while a given turn is current."""

RECOVER: Final = journaled(
    update(SESSIONS)
    .where(THIS_SESSION, RUNNING, SESSIONS.c.state_entered_at < time_param("cutoff"))
    .values(
        state=text_param("new_state"),
        turn_id=case((text_param("new_state") == literal_column("'idle'"), null()), else_=SESSIONS.c.turn_id),
        **_ENTERED,
    )
    .returning(*_LOGGED_STATE),
    STATES,
    {},
)
"""Set the state of a stuck session; the conditions are checked again under the lock, in case the turn has ended."""


# Repairs.

DELETE_SEQS: Final = delete(MESSAGES).where(
    ITS_MESSAGES, MESSAGES.c.seq.in_(bindparam("seqs", type_=BigInteger(), expanding=True))
)

LOG_PAGE: Final = (
    select(MESSAGES.c.idempotency_key, *STORED_MESSAGE)
    .where(ITS_MESSAGES, MESSAGES.c.seq > int_param("after"))
    .order_by(MESSAGES.c.seq)
    .limit(int_param("limit"))
)
COUNTED_HEAD: Final = select(
    SESSIONS.c.last_activity,
    SESSIONS.c.active_minute,
    SESSIONS.c.message_count,
    SESSIONS.c.last_seq,
    SESSIONS.c.state_seq,
    SESSIONS.c.state,
    SESSIONS.c.turn_id,
    SESSIONS.c.state_entered_at,
).where(THIS_SESSION)
COUNT_LOG: Final = select(func.count(), func.max(MESSAGES.c.seq), func.max(MESSAGES.c.created_at)).where(ITS_MESSAGES)
LAST_STATE: Final = (
    select(STATES.c.seq, STATES.c.state, STATES.c.turn_id, STATES.c.entered_at)
    .where(ITS_STATES)
    .order_by(STATES.c.seq.desc())
    .limit(1)
)
REPAIR_HEAD: Final = update(SESSIONS).where(THIS_SESSION)
PING: Final[AnySelect] = select(SESSIONS.c.key).limit(1)


def history(*, after: bool, before: bool, limit: bool) -> AnySelect:
    """Select a page of a session's messages; with ``before`` the page before it, newest first."""
    page = select(*STORED_MESSAGE).where(ITS_MESSAGES)
    if after:
        page = page.where(MESSAGES.c.seq > int_param("after_seq"))
    if before:
        page = page.where(MESSAGES.c.seq < int_param("before_seq"))
    page = page.order_by(MESSAGES.c.seq.desc() if before else MESSAGES.c.seq)
    return page.limit(int_param("limit")) if limit else page
