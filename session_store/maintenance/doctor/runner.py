"""Run the checks in the order of their findings, and handle those that fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from session_store.database import revisions, schemas
from session_store.database.connections import connect, rollback_on_exit
from session_store.database.driver_errors import is_permission_denied
from session_store.database.functions import is_autocommit
from session_store.database.transactions import set_lock_timeout
from session_store.interface.errors import StoreError, truncate
from session_store.maintenance.doctor import (
    consistency,
    postgresql,
    schema_drift,
    search,
    sessions,
    sizes,
    sqlite,
)
from session_store.maintenance.doctor.context import CheckContext
from session_store.maintenance.doctor.findings import Finding, Severity, escape_ascii
from session_store.models.validation import cutoff

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from session_store.database.connections import Bind

Check = Callable[[CheckContext], Iterable[Finding]]

_TIMEOUT_SECS: Final = 2.0
"""How long to wait for a locked table, in a transaction of our own."""

_CHECKS: Final[Mapping[str, Check]] = {
    "schema": schema_drift.check_schema,
    "search": search.check_index,
    "sessions": sessions.check_sessions,
    "clock": sessions.check_clock,
    "sqlite": sqlite.check_file,
    "server": postgresql.check_server,
    "transactions": postgresql.check_transactions,
    "dead_rows": postgresql.check_dead_rows,
    "sizes": sizes.check_sizes,
}
_FULL_SCANS: Final[Mapping[str, Check]] = {
    "heads": consistency.check_session_rows,
    "orphans": consistency.check_orphans,
}


def examine(bind: Bind, *, schema: str | None, stuck_secs: float, quick: bool) -> list[Finding]:
    """Run the checks; with ``quick``, skip those that read every row."""
    now = datetime.now(UTC)
    cutoff(now, stuck_secs, "stuck_secs", timedelta(seconds=1))
    is_hosts = isinstance(bind, Connection | Engine)
    with connect(bind, schema, read_only=True) as db, rollback_on_exit(db), schemas.schema_translate(db, schema):
        asked = CheckContext(db, schemas.schema_of(db), now, float(stuck_secs), quick, is_hosts)
        if not isinstance(bind, Connection):
            set_lock_timeout(db, _TIMEOUT_SECS)
        # A failure here means that the database cannot be reached; a later one is that of a check.
        if not revisions.exists(db):
            return [schema_drift.no_tables(asked)]
        checks = _CHECKS if quick else {**_CHECKS, **_FULL_SCANS}
        return [
            _escape_finding(finding) for name, check in checks.items() for finding in _run_check(name, check, asked)
        ]


def _run_check(name: str, check: Check, context: CheckContext) -> list[Finding]:
    found: list[Finding] = []
    try:
        with _savepoint(context.db):
            found.extend(check(context))  # keeps the findings before an error
    except (SQLAlchemyError, StoreError) as error:
        if context.db.invalidated:
            raise
        cause = error.orig if isinstance(error, DBAPIError) else error
        problem = truncate((str(cause).splitlines() or [""])[0])
        if isinstance(error, StoreError) or is_permission_denied(error):
            message = f"this role or connection may not run the check: {problem}"
            found.append(Finding(name, Severity.INFO, message))
        else:
            found.append(Finding(name, Severity.WARNING, f"the check failed: {problem}"))
    return found


def _escape_finding(finding: Finding) -> Finding:
    # Messages contain names of the application, and are read on a terminal.
    value = finding.value
    return finding._replace(
        message=escape_ascii(finding.message), value=escape_ascii(value) if isinstance(value, str) else value
    )


def _savepoint(db: Connection) -> AbstractContextManager[object]:
    # PostgreSQL rejects every statement after a failed one in a transaction. SQLite does not, and there a savepoint on
    # a tuned engine would take the write lock.
    return nullcontext() if db.dialect.name == "sqlite" or is_autocommit(db) else db.begin_nested()
