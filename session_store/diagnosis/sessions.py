"""Sessions that are stuck, and those that a wrong clock has put into the future."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from session_store.diagnosis.findings import Finding, Severity, about_in_words, age_in_words, counted
from session_store.errors import clipped
from session_store.repositories.rows import metadata_from
from session_store.statements import LIST_STUCK
from session_store.validation import ago

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.diagnosis.examination import Examination


def check_sessions(asked: Examination) -> Iterator[Finding]:
    """Look for sessions that have been running for too long."""
    cutoff = ago(asked.now, asked.stuck_secs, "stuck_secs", timedelta(seconds=1))
    stuck = metadata_from(asked.db, LIST_STUCK, {"cutoff": cutoff})
    if stuck:
        age = age_in_words(asked.stuck_secs)
        oldest = stuck[0]
        running = about_in_words((asked.now - (oldest.state_entered_at or asked.now)).total_seconds())
        yield Finding(
            "sessions.stuck",
            Severity.WARNING,
            f"{counted(len(stuck), 'session')} running for longer than {age}, {clipped(oldest.key)} for {running}: "
            "its agent may have ended without saying so",
            len(stuck),
            "sessions",
            asked.command("stuck", "--longer-than", age, "--recover"),
        )
