"""Sessions that are stuck, and clocks that differ: the database's from ours, and those of who wrote from both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from session_store.interface.errors import clipped
from session_store.maintenance.doctor.findings import Finding, Severity, about_in_words, age_in_words, counted
from session_store.models.models import SESSIONS
from session_store.models.types import as_utc, minute_of
from session_store.models.validation import ago
from session_store.repositories.row_mapping import metadata_from
from session_store.repositories.statements import LIST_STUCK, a_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.maintenance.doctor.context import Examination

_SECOND: Final = timedelta(seconds=1)
_MOST_SECONDS: Final = 10.0
"""By which clocks may differ: what is told of an age or a turn is meant by the minute."""
_IN_FUTURE: Final = timedelta(minutes=1)
_KEEP_TIME: Final = "timedatectl set-ntp true"

_FROM_THE_FUTURE: Final = select(func.count(), func.max(SESSIONS.c.last_activity), func.min(SESSIONS.c.key)).where(
    SESSIONS.c.active_minute >= a_time("minute"), SESSIONS.c.last_activity > a_time("latest")
)
_CLOCK: Final = select(func.clock_timestamp())


def check_sessions(asked: Examination) -> Iterator[Finding]:
    """Look for sessions that have been running for too long."""
    cutoff = ago(asked.now, asked.stuck_secs, "stuck_secs", _SECOND)
    stuck = metadata_from(asked.db, LIST_STUCK, {"cutoff": cutoff})
    if stuck:
        age = age_in_words(asked.stuck_secs)
        oldest = stuck[0]
        running = about_in_words((asked.now - (oldest.state_entered_at or asked.now)).total_seconds())
        yield Finding(
            "sessions.stuck",
            Severity.WARNING,
            f"{counted(len(stuck), 'session')} running for longer than {age}, {clipped(oldest.key)} for {running}: "
            "the agent may have ended without saying so",
            len(stuck),
            "sessions",
            asked.command("stuck", "--longer-than", age, "--recover"),
        )


def check_clock(asked: Examination) -> Iterator[Finding]:
    """Compare the clocks of the database, of this machine, and of who wrote."""
    if not asked.on_sqlite:
        yield _difference(asked)
    latest = asked.now + _IN_FUTURE
    number, newest, key = asked.db.execute(_FROM_THE_FUTURE, {"latest": latest, "minute": minute_of(latest)}).one()
    if number:
        ahead = (newest - asked.now).total_seconds()
        yield Finding(
            "clock.future",
            Severity.WARNING,
            f"{counted(number, 'session')} with messages from the future, by up to {about_in_words(ahead)}, "
            f"{clipped(key)} for one: a clock was ahead where they were written; lists show them first",
            round(ahead, 3),
            "seconds",
            _KEEP_TIME,
        )


def _difference(asked: Examination) -> Finding:
    before = datetime.now(UTC)
    theirs = as_utc(asked.db.execute(_CLOCK).scalar_one())
    after = datetime.now(UTC)
    # Between the question and the answer any time would be right.
    ahead = max((theirs - after).total_seconds(), 0.0) - max((before - theirs).total_seconds(), 0.0)
    where = "ahead of" if ahead > 0 else "behind"
    message = f"the database's clock is {about_in_words(abs(ahead))} {where} this machine's"
    if abs(ahead) <= _MOST_SECONDS:
        return Finding("clock.difference", Severity.INFO, message, round(ahead, 3), "seconds")
    message += ": one of them is wrong, and what was written by it is in the wrong order"
    return Finding("clock.difference", Severity.WARNING, message, round(ahead, 3), "seconds", _KEEP_TIME)
