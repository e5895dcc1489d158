"""Report the disk space of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from session_store.database import storage
from session_store.maintenance.doctor.findings import Finding, Severity
from session_store.maintenance.formatting import format_size
from session_store.models.models import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.maintenance.doctor.context import CheckContext


def check_sizes(context: CheckContext) -> Iterator[Finding]:
    """Report the total size, and that of each table where it is known."""
    total = storage.total_size(context.db, METADATA.tables, context.schema)
    of_what = "the file and its WAL take" if context.on_sqlite else "the three tables and their indexes take"
    yield Finding("sizes.total", Severity.INFO, f"{of_what} {format_size(total)}", total, "bytes")
    if context.quick and context.on_sqlite:
        return
    for table, size in storage.table_sizes(context.db, METADATA.tables, context.schema).items():
        message = f"{table} takes {format_size(size)} with its indexes"
        yield Finding(f"sizes.{table.removeprefix('session_store_')}", Severity.INFO, message, size, "bytes")
