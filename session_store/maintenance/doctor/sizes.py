"""What everything takes on the disk, by table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from session_store.database import storage
from session_store.maintenance.doctor.findings import Finding, Severity, size_in_words
from session_store.models.models import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.maintenance.doctor.context import Examination


def check_sizes(asked: Examination) -> Iterator[Finding]:
    """Say what all of it takes, and where that can be told each table with its indexes."""
    total = storage.size(asked.db, METADATA.tables, asked.schema)
    of_what = "the file and its log take" if asked.on_sqlite else "the three tables and their indexes take"
    yield Finding("sizes.total", Severity.INFO, f"{of_what} {size_in_words(total)}", total, "bytes")
    if asked.quick and asked.on_sqlite:
        return
    for table, size in storage.sizes(asked.db, METADATA.tables, asked.schema).items():
        message = f"{table} takes {size_in_words(size)} with its indexes"
        yield Finding(f"sizes.{table.removeprefix('session_store_')}", Severity.INFO, message, size, "bytes")
