"""The operations on sessions as a whole."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from session_store.database import revisions
from session_store.database.access import Steps, read_only, single_statement
from session_store.interface.errors import InvalidQuery, SessionInUse
from session_store.interface.values import Compaction, Health, SessionMetadata, SessionQuery
from session_store.models.types import dump_json, escape, load_json, truncate_to_minute, unescape
from session_store.models.validation import (
    cutoff,
    identifier,
    optional_identifier,
    session_attributes,
    session_name,
    type_error,
)
from session_store.repositories import retention, session_filters, statements
from session_store.repositories.batching import BEFORE_FIRST, count_only, delete_batch, delete_locked, run_batches
from session_store.repositories.row_mapping import (
    fetch,
    metadata_from,
    new_session_values,
    same_message,
    stored_message,
)
from session_store.repositories.search import count_sessions, find_sessions
from session_store.search import backends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Connection

_SECS_PER_HOUR: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)
_PAGE: Final = 1_000


class SessionRepository:
    """Creates, lists, searches, changes and deletes sessions."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock

    @single_statement
    def create_session(
        self,
        db: Connection,
        key: str,
        *,
        name: str | None = None,
        owner: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> bool:
        """Create a session without messages, and return True; return False and change nothing if the session exists."""
        given = {} if attributes is None else session_attributes(attributes)
        values = new_session_values(identifier(key, "key"), self._clock()) | {
            "name": _stored_name(name),
            "owner": optional_identifier(owner, "owner"),
            "attributes": dump_json(_drop_none(given)),
        }
        return db.execute(statements.CREATE_SESSION, values).one_or_none() is not None

    @read_only
    def session_exists(self, db: Connection, key: str) -> bool:
        """Return whether the session exists."""
        return bool(fetch(db, statements.SESSION_EXISTS, {"the_key": identifier(key, "key")}))

    @read_only
    def get_session_metadata(self, db: Connection, key: str) -> SessionMetadata | None:
        """Return a session without its messages, or None if the session does not exist."""
        found = metadata_from(db, statements.GET_METADATA, {"the_key": identifier(key, "key")})
        return found[0] if found else None

    @read_only
    def list_sessions(self, db: Connection, query: SessionQuery | None = None) -> list[str]:
        """Return the keys of the matching sessions, newest activity first."""
        query = _checked_query(query)
        if query.keyword is not None:
            return [session.key for session in find_sessions(db, query)]
        return [key for (key,) in fetch(db, *session_filters.select_keys(query))]

    @read_only
    def list_sessions_with_metadata(self, db: Connection, query: SessionQuery | None = None) -> list[SessionMetadata]:
        """Return the matching sessions without their messages, newest activity first."""
        return find_sessions(db, _checked_query(query))

    @read_only
    def count_sessions(self, db: Connection, query: SessionQuery | None = None) -> int:
        """Return the number of matching sessions on all pages; ``limit`` and ``after`` are ignored."""
        return count_sessions(db, _checked_query(query))

    @read_only
    def search(self, db: Connection, query: SessionQuery) -> list[SessionMetadata]:
        """Return the sessions in which one message matches the keyword, newest activity first."""
        if query is None:
            raise InvalidQuery(type_error(query, "query", "a SessionQuery"))
        return find_sessions(db, _checked_query(query))

    @single_statement
    def set_session_name(self, db: Connection, key: str, name: str) -> None:
        """Set the name of a session, creating the session if needed; ``""`` removes the name."""
        values = new_session_values(identifier(key, "key"), self._clock())
        db.execute(statements.SET_NAME, values | {"name": _stored_name(session_name(name))})

    @read_only
    def get_session_name(self, db: Connection, key: str) -> str | None:
        """Return the name of a session, or None if it has no name or does not exist."""
        rows = fetch(db, statements.GET_NAME, {"the_key": identifier(key, "key")})
        name = rows[0][0] if rows else None
        return None if name is None else unescape(name)

    @single_statement
    def set_session_owner(self, db: Connection, key: str, owner: str | None) -> None:
        """Set the owner of a session, creating the session if needed; None removes the owner."""
        values = new_session_values(identifier(key, "key"), self._clock()) | {
            "owner": optional_identifier(owner, "owner")
        }
        db.execute(statements.SET_OWNER, values)

    def set_session_attributes(self, db: Connection, key: str, attributes: Mapping[str, Any]) -> None:
        """Merge attributes into those of a session, creating the session if needed."""
        key = identifier(key, "key")
        changes = session_attributes(attributes)
        db.execute(statements.LOCK_OR_CREATE, new_session_values(key, self._clock()))
        ((stored,),) = fetch(db, statements.GET_ATTRIBUTES, {"the_key": key})
        merged = dump_json(_drop_none(load_json(stored) | changes))
        db.execute(statements.SET_ATTRIBUTES, {"the_key": key, "merged": merged})

    def delete_session(self, db: Connection, key: str) -> bool:
        """Delete a session with its messages and states, and return whether it existed."""
        key = identifier(key, "key")
        if db.execute(statements.LOCK, {"the_key": key}).one_or_none() is None:
            return False
        if not delete_locked(db, [key]):
            raise SessionInUse(key)
        return True

    def delete_sessions(
        self,
        *,
        owner: str,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> Steps[int]:
        """Delete all sessions of an owner, and return the number of sessions deleted."""
        values = {"owner_is": identifier(owner, "owner")}
        if dry_run:
            return (yield from count_only(retention.count_heads(retention.OWNED_BY), values, batch_size, on_batch))
        delete = partial(delete_batch, lock=retention.LOCK_OWNED, values=values)
        return (yield from run_batches(delete, batch_size, on_batch, after=BEFORE_FIRST))

    def cleanup_stale(
        self,
        ttl_hours: float,
        *,
        batch_size: int = 500,
        dry_run: bool = False,
        include_running: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> Steps[int]:
        """Delete the sessions that were not used for a time, and return the number of sessions deleted."""
        oldest = cutoff(self._clock(), ttl_hours, "ttl_hours", _SECS_PER_HOUR)
        values = {"cutoff": oldest, "minute": truncate_to_minute(oldest)}
        if dry_run:
            stale = retention.STALE if include_running else retention.STALE_NOT_RUNNING
            return (yield from count_only(retention.count_heads(stale), values, batch_size, on_batch))
        lock = retention.LOCK_STALE if include_running else retention.LOCK_STALE_NOT_RUNNING
        delete = partial(delete_batch, lock=lock, values=values)
        return (yield from run_batches(delete, batch_size, on_batch, after=BEFORE_FIRST))

    def compact(self, db: Connection, key: str, *, within_secs: float = 2.0, dry_run: bool = False) -> Compaction:
        """Delete duplicate messages of a session, and recompute the session row from its messages and states."""
        epoch = self._clock()
        within = epoch - cutoff(epoch, within_secs, "within_secs", _SECOND)
        key = identifier(key, "key")
        values = {"the_key": key}
        if not (self.session_exists(db, key) if dry_run else db.execute(statements.LOCK, values).all()):
            return Compaction(0, head_repaired=False)
        duplicates = list(_duplicate_seqs(db, key, within))
        mended = repair_head(db, key)
        if mended and not dry_run:
            # Before anything is deleted: the seq of a duplicate at the end must not be used again.
            db.execute(statements.REPAIR_HEAD.values(mended), values)
        if duplicates and not dry_run:
            for start in range(0, len(duplicates), _PAGE):
                db.execute(statements.DELETE_SEQS, values | {"seqs": duplicates[start : start + _PAGE]})
            db.execute(statements.REPAIR_HEAD.values(repair_head(db, key)), values)
        return Compaction(len(duplicates), head_repaired=bool(mended))

    @read_only
    def health(self, db: Connection) -> Health:
        """Return the revision, the search backend and the latency of the store, for a health endpoint."""
        revision = revisions.require(db)
        asked = time.perf_counter()
        db.execute(statements.PING).close()
        latency = time.perf_counter() - asked
        return Health(revision, backends.active_backend(db, refresh=True).name, latency)


def _checked_query(query: object) -> SessionQuery:
    if query is None:
        return SessionQuery()
    if isinstance(query, SessionQuery):
        return query
    raise InvalidQuery(type_error(query, "query", "a SessionQuery"))


def _stored_name(name: str | None) -> str | None:
    return escape(session_name(name)) or None if name is not None else None


def _drop_none(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _duplicate_seqs(db: Connection, key: str, within: timedelta) -> Iterator[int]:
    kept = None
    after = 0
    while rows := fetch(db, statements.LOG_PAGE, {"the_key": key, "after": after, "limit": _PAGE}):
        for idempotency_key, *row in rows:
            message = stored_message(row)
            if (
                kept is not None
                and idempotency_key is None
                and message.turn_id == kept.turn_id
                and same_message(message.message, kept.message)
                and timedelta(0) <= message.created_at - kept.created_at <= within
            ):
                yield message.seq
            else:
                kept = message
            after = message.seq


def repair_head(db: Connection, key: str) -> dict[str, Any]:
    """Return the columns of a session row that do not match its messages and states, with the right values."""
    values = {"the_key": key}
    head = db.execute(statements.COUNTED_HEAD, values).one()._mapping
    count, last_seq, newest = db.execute(statements.COUNT_LOG, values).one()
    last_activity = max(head["last_activity"], newest or head["last_activity"])
    told = {
        "message_count": count,
        "last_seq": max(head["last_seq"], last_seq or 0),
        "last_activity": last_activity,
        "active_minute": truncate_to_minute(last_activity),
    }
    last_state = db.execute(statements.LAST_STATE, values).one_or_none()
    if last_state is not None:
        told |= {
            "state_seq": last_state.seq,
            "state": last_state.state,
            "turn_id": last_state.turn_id,
            "state_entered_at": last_state.entered_at,
        }
    return {name: value for name, value in told.items() if head[name] != value}
