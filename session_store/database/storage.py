"""The disk space of the tables, and how to free that of deleted rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from session_store.database import schemas
from session_store.interface.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

_PAGE_BATCH_SIZE: Final = 500
_SIZE_OF_TABLE: Final = text("SELECT pg_total_relation_size(to_regclass(:name))")
_OWNER: Final = """
    SELECT pg_has_role(made.relowner, 'USAGE')
        OR pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE') {more}
    FROM pg_class AS made WHERE made.oid = to_regclass(:name)
"""
_OWNS: Final = text(_OWNER.format(more=""))
_MAY_MAINTAIN: Final = text(_OWNER.format(more="OR has_table_privilege(made.oid, 'MAINTAIN')"))
_WITH_MAINTAIN: Final = (17,)
_SIZES_IN_FILE: Final = text("""
    SELECT made.tbl_name, sum(taken.pgsize) FROM dbstat AS taken JOIN sqlite_master AS made ON made.name = taken.name
    WHERE taken.aggregate = 1 GROUP BY made.tbl_name
""")


def total_size(db: Connection, tables: Iterable[str], schema: str | None) -> int:
    """Return the size in bytes: of the tables with their indexes, on SQLite of the file and its WAL."""
    if db.dialect.name == "postgresql":
        names = [schemas.qualified_name(table, schema) for table in tables]
        return sum(db.scalar(_SIZE_OF_TABLE, {"name": name}) or 0 for name in names)
    file = database_file(db)
    if file is None:
        return read_pragma(db, "page_count") * read_pragma(db, "page_size")
    return sum(path.stat().st_size for path in (Path(file), Path(f"{file}-wal")) if path.exists())


def table_sizes(db: Connection, tables: Iterable[str], schema: str | None) -> dict[str, int]:
    """Return the size in bytes of each table with its indexes; empty if SQLite was built without ``dbstat``.

    SQLite reads every page for this.
    """
    if db.dialect.name == "postgresql":
        return {table: total_size(db, [table], schema) for table in tables}
    if not db.exec_driver_sql("SELECT 1 FROM pragma_module_list WHERE name = 'dbstat'").all():
        return {}
    found = {row[0]: int(row[1]) for row in db.execute(_SIZES_IN_FILE)}
    return {table: found.get(table, 0) for table in tables}


def database_file(db: Connection) -> str | None:
    """Return the path of a SQLite database; None for one in memory."""
    return next((row[2] for row in db.exec_driver_sql("PRAGMA database_list") if row[1] == "main"), "") or None


def vacuum(db: Connection, tables: Iterable[str], schema: str | None, *, full: bool) -> bool:
    """Free the space of deleted rows, and return whether all of it was freed.

    Args:
        db: A connection in autocommit mode.
        tables: The tables on PostgreSQL; SQLite frees its file as a whole.
        schema: The PostgreSQL schema of the tables.
        full: Rewrite everything.
    """
    if db.dialect.name == "postgresql":
        tables = list(tables)
        _require_right(db, [schemas.qualified_name(table, schema) for table in tables])
        for table in tables:
            options = "FULL, ANALYZE" if full else "ANALYZE"
            db.exec_driver_sql(f"VACUUM ({options}) {schemas.qualified_name(table, schema)}")
        return True
    if full:
        # From now on the file tracks its free pages, and later ones can be truncated without a full vacuum.
        db.exec_driver_sql("PRAGMA auto_vacuum = INCREMENTAL")
        db.exec_driver_sql("VACUUM")
    elif read_pragma(db, "auto_vacuum"):
        _truncate_free_pages(db)
    busy, *_ = db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    return not busy


def _require_right(db: Connection, names: Iterable[str]) -> None:
    # PostgreSQL skips a table of another owner with only a warning.
    may = _MAY_MAINTAIN if (db.dialect.server_version_info or ()) >= _WITH_MAINTAIN else _OWNS
    for name in names:
        if not db.scalar(may, {"name": name}):
            problem = f"this role may not vacuum {name}: connect as the owner of the table"
            raise StoreError(problem)


def uses_wal(db: Connection) -> bool:
    """Return whether SQLite uses a WAL; also True for a database in memory."""
    return db.exec_driver_sql("PRAGMA journal_mode").scalar_one() in {"wal", "memory"}


def _truncate_free_pages(db: Connection) -> None:
    before, free = None, read_pragma(db, "freelist_count")
    while free and free != before:
        # In chunks, because this holds the write lock; a page per statement, because some drivers step the pragma once.
        db.exec_driver_sql("BEGIN IMMEDIATE")
        for _ in range(min(free, _PAGE_BATCH_SIZE)):
            db.exec_driver_sql("PRAGMA incremental_vacuum(1)").close()
        db.exec_driver_sql("COMMIT")
        before, free = free, read_pragma(db, "freelist_count")


def read_pragma(db: Connection, name: str) -> int:
    """Return the value of a numeric pragma of SQLite."""
    return int(db.exec_driver_sql(f"PRAGMA {name}").scalar_one())
