"""Check for stuck sessions, and for clocks that differ."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from session_store.database.parameters import time_param
from session_store.interface.errors import truncate
from session_store.maintenance.doctor.findings import Finding, Severity, format_age
from session_store.maintenance.formatting import format_duration, pluralize
from session_store.models.models import SESSIONS
from session_store.models.types import as_utc, truncate_to_minute
from session_store.models.validation import cutoff
from session_store.repositories.row_mapping import metadata_from
from session_store.repositories.statements import LIST_STUCK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.maintenance.doctor.context import CheckContext

_SECOND: Final = timedelta(seconds=1)
_MAX_CLOCK_SKEW_SECS: Final = 10.0
"""Tolerated clock skew; ages and turn durations are accurate to about a minute."""
_IN_FUTURE: Final = timedelta(minutes=1)
_KEEP_TIME: Final = "timedatectl set-ntp true"

_FROM_THE_FUTURE: Final = select(func.count(), func.max(SESSIONS.c.last_activity), func.min(SESSIONS.c.key)).where(
    SESSIONS.c.active_minute >= time_param("minute"), SESSIONS.c.last_activity > time_param("latest")
)
_CLOCK: Final = select(func.clock_timestamp())


def check_sessions(context: CheckContext) -> Iterator[Finding]:
    """Look for sessions that have been running for too long."""
    earliest = cutoff(context.now, context.stuck_secs, "stuck_secs", _SECOND)
    stuck = metadata_from(context.db, LIST_STUCK, {"cutoff": earliest})
    if stuck:
        age = format_age(context.stuck_secs)
        oldest = stuck[0]
        running = format_duration((context.now - (oldest.state_entered_at or context.now)).total_seconds())
        yield Finding(
            "sessions.stuck",
            Severity.WARNING,
            f"{pluralize(len(stuck), 'session')} running for longer than {age}, {truncate(oldest.key)} for {running}: "
            "the agent may have crashed",
            len(stuck),
            "sessions",
            context.command("stuck", "--longer-than", age, "--recover"),
        )


def check_clock(context: CheckContext) -> Iterator[Finding]:
    """Compare the clocks of the database, of this machine, and of the writers."""
    if not context.on_sqlite:
        yield _difference(context)
    latest = context.now + _IN_FUTURE
    number, newest, key = context.db.execute(
        _FROM_THE_FUTURE, {"latest": latest, "minute": truncate_to_minute(latest)}
    ).one()
    if number:
        ahead = (newest - context.now).total_seconds()
        yield Finding(
            "clock.future",
            Severity.WARNING,
            f"{pluralize(number, 'session')} with messages from the future, by up to {format_duration(ahead)}, "
            f"for example {truncate(key)}: the clock of a writer was ahead; lists show them first",
            round(ahead, 3),
            "seconds",
            _KEEP_TIME,
        )


def _difference(context: CheckContext) -> Finding:
    before = datetime.now(UTC)
    database_time = as_utc(context.db.execute(_CLOCK).scalar_one())
    after = datetime.now(UTC)
    # Any time between the query and its result is right.
    ahead = max((database_time - after).total_seconds(), 0.0) - max((before - database_time).total_seconds(), 0.0)
    where = "ahead of" if ahead > 0 else "behind"
    message = f"the database's clock is {format_duration(abs(ahead))} {where} the clock of this machine"
    if abs(ahead) <= _MAX_CLOCK_SKEW_SECS:
        return Finding("clock.difference", Severity.INFO, message, round(ahead, 3), "seconds")
    message += ": one of them is wrong, and its messages are in the wrong order"
    return Finding("clock.difference", Severity.WARNING, message, round(ahead, 3), "seconds", _KEEP_TIME)
