"""The operations on the states of sessions."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from session_store.database.access import Access, Step, Steps, read_only, single_statement
from session_store.interface.errors import InvalidQuery
from session_store.interface.values import ANY_TURN, IDLE, RUNNING, AnyTurn, SessionMetadata, SessionState
from session_store.models.validation import aware_datetime, cutoff, identifier, optional_identifier, state_word
from session_store.repositories import retention, statements
from session_store.repositories.batching import batch_limit, count_only, progress_callback
from session_store.repositories.row_mapping import fetch, metadata_from, new_session_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection


SECOND: Final = timedelta(seconds=1)


class StateRepository:
    """Sets, reads and deletes states: the current one is in the session row, all changes are in the log."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock

    @single_statement
    def set_session_state(
        self,
        db: Connection,
        key: str,
        state: str,
        turn_id: str | None = None,
        *,
        if_turn: str | AnyTurn | None = ANY_TURN,
    ) -> bool:
        """Set the state of a session, creating the session if needed, and return whether it has that state now."""
        now = self._clock()
        key = identifier(key, "key")
        state = state_word(state)
        turn_id = optional_identifier(turn_id, "turn_id") if state != IDLE else None
        values: dict[str, Any] = new_session_values(key, now) | {"state": state, "turn_id": turn_id}
        # A new session is idle already: setting that adds no entry to the log.
        values |= (
            {"first_seq": 0, "first_entered_at": None} if state == IDLE else {"first_seq": 1, "first_entered_at": now}
        )
        if isinstance(if_turn, AnyTurn):
            change = statements.SET_STATE
        elif if_turn is None:
            change = statements.START_TURN
        else:
            change = statements.COMPARE_AND_SET_STATE
            values = {
                "the_key": values["the_key"],
                "if_turn": identifier(if_turn, "if_turn"),
                "new_state": state,
                "new_turn": turn_id,
                "now": now,
            }
        if change.run(db, values) or change is statements.SET_STATE:
            return True
        # Nothing was written: another turn is current, or the state and turn were already set.
        current = db.execute(statements.GET_STATE, {"the_key": key}).one_or_none()
        return current is not None and (current.state, current.turn_id, current.turn_id) == (
            state,
            turn_id,
            if_turn,
        )

    @read_only
    def get_session_state(self, db: Connection, key: str) -> SessionState | None:
        """Return the state of a session: ``idle`` if none was ever set, None if the session does not exist."""
        row = db.execute(statements.GET_STATE, {"the_key": identifier(key, "key")}).one_or_none()
        if row is None:
            return None
        started_at = row.state_entered_at if row.state == RUNNING else None
        return SessionState(row.state, row.turn_id, started_at, row.state_entered_at)

    @read_only
    def list_running_sessions(self, db: Connection) -> list[SessionMetadata]:
        """Return the running sessions, newest turn first."""
        return metadata_from(db, statements.LIST_RUNNING)

    @read_only
    def list_stuck_sessions(self, db: Connection, threshold_secs: float) -> list[SessionMetadata]:
        """Return the sessions that have been running for longer than a threshold, oldest turn first."""
        return metadata_from(db, statements.LIST_STUCK, {"cutoff": self._cutoff(threshold_secs)})

    def recover_stuck(self, threshold_secs: float, *, to: str = "error") -> Steps[list[str]]:
        """Move the sessions that have been running for too long to another state, and return their keys."""
        to = state_word(to)
        if to == RUNNING:
            problem = "`to` must not be 'running': a recovered session is in another state"
            raise InvalidQuery(problem)
        cutoff = {"cutoff": self._cutoff(threshold_secs)}
        stuck: list[str] = yield Step(partial(_keys_of_stuck, cutoff), Access.READ)
        recovered = []
        for key in stuck:
            values = {**cutoff, "the_key": key, "new_state": to, "now": self._clock()}
            if (yield Step(partial(_recover, values), Access.SINGLE_STATEMENT, key)):
                recovered.append(key)
        return recovered

    def prune_states(
        self,
        before: datetime,
        *,
        batch_size: int = 500,
        dry_run: bool = False,
        on_batch: Callable[[int], object] | None = None,
    ) -> Steps[int]:
        """Delete finished states from the state log, and return the number of entries deleted."""
        values = {"before": aware_datetime(before, "before")}
        if dry_run:
            return (yield from count_only(retention.COUNT_FINISHED_STATES, values, batch_size, on_batch))
        limit = batch_limit(batch_size)
        tell = progress_callback(on_batch)
        removed = 0
        place: Sequence[Any] | None = ("", 0)
        while place is not None:
            page = {**values, "behind_key": place[0], "behind_seq": place[1], "limit": limit}
            ended: Sequence[Any] = yield Step(partial(_finished_states, page), Access.READ)
            if ended:
                deleted: int = yield Step(partial(_delete_ended, values | {"entries": ended}))
                removed += deleted
                tell(deleted)
            place = ended[-1] if len(ended) == limit else None
        return removed

    def _cutoff(self, threshold_secs: float) -> datetime:
        return cutoff(self._clock(), threshold_secs, "threshold_secs", SECOND)


def _finished_states(params: Mapping[str, Any], db: Connection) -> list[tuple[str, int]]:
    return [(key, seq) for key, seq in fetch(db, retention.FINISHED_STATES_PAGE, params)]


def _delete_ended(values: Mapping[str, Any], db: Connection) -> int:
    return db.execute(retention.DELETE_FINISHED_STATES, values).rowcount


def _keys_of_stuck(values: Mapping[str, Any], db: Connection) -> list[str]:
    return sorted(session.key for session in metadata_from(db, statements.LIST_STUCK, values))


def _recover(values: Mapping[str, Any], db: Connection) -> bool:
    return bool(statements.RECOVER.run(db, values))
