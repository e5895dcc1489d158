"""Heads against their logs, and entries of logs that have no head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from session_store.interface.errors import truncate
from session_store.maintenance.doctor.findings import Finding, Severity, pluralize
from session_store.models.models import MESSAGES, STATES
from session_store.repositories import consistency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.maintenance.doctor.context import CheckContext

_MEANING: Final = {
    "message_count": (Severity.ERROR, "counts other messages than there are", "lists show a wrong number"),
    "last_seq": (Severity.ERROR, "has a last_seq below that of a message", "the next append to it is refused"),
    "last_activity": (Severity.WARNING, "has a last activity before its newest message", "lists are out of order"),
    "active_minute": (Severity.WARNING, "has the minute of another time", "lists are out of order, or miss it"),
    "state_seq": (
        Severity.ERROR,
        "has another state_seq than the newest entry in its log",
        "the next change of its state may be refused",
    ),
    "state": (
        Severity.WARNING,
        "says another state than the newest entry in its log",
        "a turn may look as if it ran, or as if it had ended",
    ),
}
_ORPHANS: Final = {
    MESSAGES: ("orphans.messages", "message", "nobody can load them, and one may be in the way of the next append"),
    STATES: ("orphans.states", "state", "one may be in the way of the next change of state"),
}


def check_session_rows(context: CheckContext) -> Iterator[Finding]:
    """Compare what each head says with its logs."""
    row = context.db.execute(consistency.COUNT_WRONG_HEADS).one()._mapping
    for name, (severity, what, meaning) in _MEANING.items():
        number = row[name]
        if number:
            message = (
                f"{pluralize(number, 'session')} whose head {what}, {truncate(row[f'{name}_of'])} for one: {meaning}"
            )
            yield Finding(f"heads.{name}", severity, message, number, "sessions", context.command("repair", "heads"))
    number = row["sessions"]
    message = f"{pluralize(number, 'session')} compared with what their logs say"
    yield Finding("heads.compared", Severity.INFO, message, number, "sessions")


def check_orphans(context: CheckContext) -> Iterator[Finding]:
    """Look for messages and states of sessions that are not there."""
    for log, (name, what, meaning) in _ORPHANS.items():
        number, sessions, key = context.db.execute(consistency.COUNT_ORPHANS[log]).one()
        if number:
            message = (
                f"{pluralize(number, what)} of {pluralize(sessions, 'session')} without a head, "
                f"{truncate(key)} for one: "
                f"{meaning}"
            )
            yield Finding(name, Severity.ERROR, message, number, f"{what}s", context.command("repair", "orphans"))
