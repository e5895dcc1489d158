"""A look at a database as an operator takes it: what is wrong, how much of it, and the command that mends it.

Every check is a function of its own that reads and says what it found; the order they stand in is that of the answer.
Nothing here writes, not even to a SQLite file that could be made better by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from session_store.maintenance.doctor.findings import Finding, Severity

if TYPE_CHECKING:
    from session_store.database.connections import Bind

__all__ = ["Finding", "Severity", "doctor"]


def doctor(bind: Bind, *, schema: str | None = None, stuck_secs: float = 3600.0, quick: bool = False) -> list[Finding]:
    """Look at a database and say what is wrong with it, and what mends that; facts that are well are told too.

    Nothing is written: it runs on a read-only replica and on a read-only file, and beside whoever writes. For a table
    that somebody has locked it waits two seconds, unless it is given a connection. What cannot be looked at is a
    finding as well.

    Args:
        bind: A connection, an engine, or a URL or the path of a SQLite file. A file named so is opened to be read only;
            an engine's own settings are looked at only if it is given.
        schema: The PostgreSQL schema that holds the tables; None: where the server's search path finds them.
        stuck_secs: A session that has been running for longer is stuck. A transaction of somebody else's that is
            older than this, or than ten minutes, has been open for too long.
        quick: Leave out what reads every row.

    Raises:
        InvalidQuery: An argument is not of its kind or out of its range.
        StoreUnavailable: The database cannot be reached.
    """
    # What it takes to look is of no use to who imports the package for its store.
    from session_store.maintenance.doctor.runner import examine  # noqa: PLC0415

    return examine(bind, schema=schema, stuck_secs=stuck_secs, quick=quick)
