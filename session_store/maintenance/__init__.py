"""Repair, vacuum, backups and statistics, for the operator; the doctor and the report are beside them."""

from session_store.maintenance.backups import backup, pg_dump
from session_store.maintenance.repair import (
    Orphans,
    Vacuumed,
    adopt_orphans,
    delete_orphans,
    mend_heads,
    mend_pragmas,
    vacuum,
)
from session_store.maintenance.statistics import Stats, stats

__all__ = [
    "Orphans",
    "Stats",
    "Vacuumed",
    "adopt_orphans",
    "backup",
    "delete_orphans",
    "mend_heads",
    "mend_pragmas",
    "pg_dump",
    "stats",
    "vacuum",
]
