"""Read the catalog of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Text, bindparam, text

from session_store.database import schemas

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

_ASK_INDEXES: Final = {
    "sqlite": text("SELECT name, 1 FROM sqlite_master WHERE type = 'index' AND tbl_name = :table").bindparams(
        bindparam("table", type_=Text())
    ),
    "postgresql": text("""
        SELECT made.relname, its.indisvalid AND its.indisready FROM pg_index AS its
        JOIN pg_class AS made ON made.oid = its.indexrelid WHERE its.indrelid = to_regclass(:table)
    """).bindparams(bindparam("table", type_=Text())),
}


def indexes(db: Connection, tables: Iterable[str], schema: str | None) -> dict[str, bool]:
    """Return the indexes of some tables by name, and whether each is usable (PostgreSQL may have unfinished ones)."""
    found: dict[str, bool] = {}
    for table in tables:
        name = schemas.qualified_name(table, schema) if db.dialect.name == "postgresql" else table
        found |= {
            index: bool(is_valid) for index, is_valid in db.execute(_ASK_INDEXES[db.dialect.name], {"table": name})
        }
    return found
