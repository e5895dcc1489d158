"""The checks, in the order in which their findings are told, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from session_store.database import revisions
from session_store.database import schemas
from session_store.database.connections import connected, rolled_back
from session_store.database.driver_errors import is_forbidden
from session_store.database.functions import commits_itself
from session_store.database.transactions import wait_at_most
from session_store.interface.errors import StoreError, clipped
from session_store.maintenance.doctor import (
    consistency,
    postgresql,
    schema_drift,
    search,
    sessions,
    sizes,
    sqlite,
)
from session_store.maintenance.doctor.context import Examination
from session_store.maintenance.doctor.findings import Finding, Severity, in_ascii
from session_store.models.validation import ago

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from session_store.database.connections import Bind

Check = Callable[[Examination], Iterable[Finding]]

_PATIENCE_SECS: Final = 2.0
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
_OF_EVERY_ROW: Final[Mapping[str, Check]] = {
    "heads": consistency.check_heads,
    "orphans": consistency.check_orphans,
}


def examine(bind: Bind, *, schema: str | None, stuck_secs: float, quick: bool) -> list[Finding]:
    """Run the checks; without those of every row if it has to be quick."""
    now = datetime.now(UTC)
    ago(now, stuck_secs, "stuck_secs", timedelta(seconds=1))
    is_hosts = isinstance(bind, Connection | Engine)
    with connected(bind, schema, only_read=True) as db, rolled_back(db), schemas.translated(db, schema):
        asked = Examination(db, schemas.of(db), now, float(stuck_secs), quick, is_hosts)
        if not isinstance(bind, Connection):
            wait_at_most(db, _PATIENCE_SECS)
        # Whoever cannot answer this cannot be reached; any later failure is that of one check.
        if not revisions.exists(db):
            return [schema_drift.no_tables(asked)]
        checks = _CHECKS if quick else {**_CHECKS, **_OF_EVERY_ROW}
        return [_in_a_line(finding) for name, check in checks.items() for finding in _found_by(name, check, asked)]


def _found_by(name: str, check: Check, asked: Examination) -> list[Finding]:
    found: list[Finding] = []
    try:
        with _apart(asked.db):
            found.extend(check(asked))  # as far as it comes
    except (SQLAlchemyError, StoreError) as error:
        if asked.db.invalidated:
            raise
        cause = error.orig if isinstance(error, DBAPIError) else error
        said = clipped((str(cause).splitlines() or [""])[0])
        if isinstance(error, StoreError) or is_forbidden(error):
            message = f"this could not be looked at by this role or connection: {said}"
            found.append(Finding(name, Severity.INFO, message))
        else:
            found.append(Finding(name, Severity.WARNING, f"this could not be looked at: {said}"))
    return found


def _in_a_line(finding: Finding) -> Finding:
    # Names of a host's get there, and somebody reads it on a terminal.
    figure = finding.figure
    return finding._replace(
        message=in_ascii(finding.message), figure=in_ascii(figure) if isinstance(figure, str) else figure
    )


def _apart(db: Connection) -> AbstractContextManager[object]:
    # PostgreSQL answers nothing more in a transaction in which a statement has failed. On SQLite it would, and a
    # savepoint of an engine that we tuned takes the lock of the one writer.
    return nullcontext() if db.dialect.name == "sqlite" or commits_itself(db) else db.begin_nested()
