"""That all who keep the store's promises keep the same: what differs is not worth comparing."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from benchmarks.measuring import Texts, result_of
from session_store import ChatMessage, SessionStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import URL

    from benchmarks.contestants import Contestant

KEY = "checked"
FUTURE = datetime(2100, 1, 1, 0, 0, 30, tzinfo=UTC)
_HEAD = text("""SELECT message_count, last_seq, state_seq, state, turn_id, last_activity, active_minute
    FROM session_store_sessions WHERE key = 'checked'""")
_STATES = text("SELECT seq, state, turn_id FROM session_store_states WHERE session_key = 'checked' ORDER BY seq")


def prepare(url: URL) -> None:
    """Make a session that is in a turn, and whose last activity is yet to come."""
    with SessionStore(url) as store:
        store.append(KEY, ChatMessage.user("first"), created_at=FUTURE)
        store.set_session_state(KEY, "running", "turn_1")


def kept(url: URL, contestant: Contestant) -> Any:
    """Write to that session by every call and return all that the tables then say of it, but the times of now."""
    texts = Texts(6)

    def done(operation: str, *args: Any) -> Any:
        return result_of(contestant.calls[operation], KEY, *args)

    appended = [done("append", texts.message()), *done("append_many", texts.messages(10))]
    replaced = done("update_last", texts.message())
    done("set_state", "running", "turn_2")
    done("set_state", "running", "turn_2")
    appended.append(done("append", texts.message()))
    with SessionStore(url) as store, store.engine.connect() as db:
        head, states = db.execute(_HEAD).one(), db.execute(_STATES).all()
        log = [(stored.seq, stored.turn_id, stored.message) for stored in store.history(KEY)]
    told = [(seq, turn_id, tuple(message)) for seq, _, turn_id, message in appended]
    return tuple(head), list(map(tuple, states)), log, told, replaced


def check_results(results: Mapping[str, Any]) -> None:
    """Refuse to go on where two return different things; times of now may differ."""
    (first, expected), *others = results.items()
    for name, result in others:
        if _without_now(result) != _without_now(expected):
            sys.exit(f"{name} returns other things than {first}:\n{result!r:.2000}\n{expected!r:.2000}")


def check_lengths(expected: list[Any], results: Mapping[str, list[Any]]) -> None:
    """Refuse to go on where a peer, whose values are of its own kinds, finds less than there is."""
    for name, result in results.items():
        if len(result) < len(expected):
            sys.exit(f"{name} finds {len(result)} of {len(expected)}")


def _without_now(result: Any) -> Any:
    if isinstance(result, datetime):
        return None if datetime.now(UTC) - result < timedelta(hours=1) else result
    return [_without_now(item) for item in result] if isinstance(result, list | tuple) else result
