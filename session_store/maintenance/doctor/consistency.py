"""Check session rows against their messages and states, and find rows without a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from session_store.interface.errors import truncate
from session_store.maintenance.doctor.findings import Finding, Severity
from session_store.maintenance.formatting import pluralize
from session_store.models.models import MESSAGES, STATES
from session_store.repositories import consistency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.maintenance.doctor.context import CheckContext

_MEANING: Final = {
    "message_count": (Severity.ERROR, "has a wrong message_count", "lists show a wrong number"),
    "last_seq": (Severity.ERROR, "has a last_seq below the seq of a message", "the next append to the session fails"),
    "last_activity": (Severity.WARNING, "has a last_activity before its newest message", "lists are out of order"),
    "active_minute": (
        Severity.WARNING,
        "has the active_minute of another time",
        "lists are out of order, or miss the session",
    ),
    "state_seq": (
        Severity.ERROR,
        "has another state_seq than its newest state",
        "the next change of its state may fail",
    ),
    "state": (
        Severity.WARNING,
        "has another state than its newest entry in the state log",
        "a turn may seem to run, or to have ended",
    ),
}
_ORPHANS: Final = {
    MESSAGES: ("orphans.messages", "message", "they cannot be loaded, and may make the next append fail"),
    STATES: ("orphans.states", "state", "they may make the next change of state fail"),
}


def check_session_rows(context: CheckContext) -> Iterator[Finding]:
    """Compare each session row with its messages and states."""
    row = context.db.execute(consistency.COUNT_WRONG_HEADS).one()._mapping
    for name, (severity, what, meaning) in _MEANING.items():
        number = row[name]
        if number:
            message = (
                f"{pluralize(number, 'session')} whose row {what}, for example {truncate(row[f'{name}_of'])}: {meaning}"
            )
            yield Finding(f"heads.{name}", severity, message, number, "sessions", context.command("repair", "heads"))
    number = row["sessions"]
    message = f"{pluralize(number, 'session')} compared with their messages and states"
    yield Finding("heads.compared", Severity.INFO, message, number, "sessions")


def check_orphans(context: CheckContext) -> Iterator[Finding]:
    """Look for messages and states without a session."""
    for log, (name, what, meaning) in _ORPHANS.items():
        number, sessions, key = context.db.execute(consistency.COUNT_ORPHANS[log]).one()
        if number:
            message = (
                f"{pluralize(number, what)} of {pluralize(sessions, 'session')} without a session row, "
                f"for example {truncate(key)}: "
                f"{meaning}"
            )
            yield Finding(name, Severity.ERROR, message, number, f"{what}s", context.command("repair", "orphans"))
