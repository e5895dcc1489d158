"""Repair, vacuum, backups and statistics, for the operator; the doctor and the report are beside them."""

from session_store.maintenance.backups import backup, pg_dump_command
from session_store.maintenance.repair import (
    OrphanCounts,
    VacuumResult,
    adopt_orphans,
    delete_orphans,
    enable_wal,
    repair_heads,
    vacuum,
)
from session_store.maintenance.statistics import Stats, stats

__all__ = [
    "OrphanCounts",
    "Stats",
    "VacuumResult",
    "adopt_orphans",
    "backup",
    "delete_orphans",
    "enable_wal",
    "pg_dump_command",
    "repair_heads",
    "stats",
    "vacuum",
]
