"""Check a database: what is wrong, and the command that repairs it.

Each check is a function that reads the database and yields findings. Nothing here writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from session_store.maintenance.doctor.findings import Finding, Severity

if TYPE_CHECKING:
    from session_store.database.connections import Bind

__all__ = ["Finding", "Severity", "doctor"]


def doctor(bind: Bind, *, schema: str | None = None, stuck_secs: float = 3600.0, quick: bool = False) -> list[Finding]:
    """Check a database and return findings: problems with the command that fixes each, and informational facts.

    Nothing is written: it works on a read-only replica or file, and does not block writers. It waits up to two seconds
    for a locked table, unless ``bind`` is a connection. A check that fails is a finding, too.

    Args:
        bind: A connection, an engine, a URL or the path of a SQLite file. A path or URL is opened read-only; the
            settings of connections are checked only for an engine or a connection.
        schema: The PostgreSQL schema of the tables; None: the first on the search path that has them.
        stuck_secs: A session that has been running for longer is stuck. A transaction that is older than this, or than
            ten minutes, has been open for too long.
        quick: Skip the checks that read every row.

    Raises:
        InvalidQuery: An argument has the wrong type or is out of range.
        StoreUnavailable: The database cannot be reached.
    """
    # Imported lazily: the store does not need the doctor.
    from session_store.maintenance.doctor.runner import examine  # noqa: PLC0415

    return examine(bind, schema=schema, stuck_secs=stuck_secs, quick=quick)
