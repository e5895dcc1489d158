"""The checks, in the order in which their findings are told, and what becomes of one that fails."""

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
"""How long to wait for a table that somebody has locked, in a transaction of our own."""

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
    """Run the checks; without those of every row if it has to be quick."""
    now = datetime.now(UTC)
    cutoff(now, stuck_secs, "stuck_secs", timedelta(seconds=1))
    is_hosts = isinstance(bind, Connection | Engine)
    with connect(bind, schema, read_only=True) as db, rollback_on_exit(db), schemas.schema_translate(db, schema):
        asked = CheckContext(db, schemas.schema_of(db), now, float(stuck_secs), quick, is_hosts)
        if not isinstance(bind, Connection):
            set_lock_timeout(db, _TIMEOUT_SECS)
        # Whoever cannot answer this cannot be reached; any later failure is that of one check.
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
            found.extend(check(context))  # as far as it comes
    except (SQLAlchemyError, StoreError) as error:
        if context.db.invalidated:
            raise
        cause = error.orig if isinstance(error, DBAPIError) else error
        said = truncate((str(cause).splitlines() or [""])[0])
        if isinstance(error, StoreError) or is_permission_denied(error):
            message = f"this could not be looked at by this role or connection: {said}"
            found.append(Finding(name, Severity.INFO, message))
        else:
            found.append(Finding(name, Severity.WARNING, f"this could not be looked at: {said}"))
    return found


def _escape_finding(finding: Finding) -> Finding:
    # Names of a host's get there, and somebody reads it on a terminal.
    value = finding.value
    return finding._replace(
        message=escape_ascii(finding.message), value=escape_ascii(value) if isinstance(value, str) else value
    )


def _savepoint(db: Connection) -> AbstractContextManager[object]:
    # PostgreSQL answers nothing more in a transaction in which a statement has failed. On SQLite it would, and a
    # savepoint of an engine that we tuned takes the lock of the one writer.
    return nullcontext() if db.dialect.name == "sqlite" or is_autocommit(db) else db.begin_nested()
