"""Find and restore dropped indexes, views and foreign keys.

Tables are not restored: they would be empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect
from sqlalchemy.schema import AddConstraint

from session_store.database import introspection, revisions, schemas
from session_store.database.connections import connect, migration_lock
from session_store.interface.errors import StoreError
from session_store.migrations import views_v1
from session_store.migrations.compare import differences
from session_store.models.models import METADATA

if TYPE_CHECKING:
    from sqlalchemy import Connection, ForeignKeyConstraint, Index, Table

    from session_store.database.connections import Bind


def restore(bind: Bind, *, schema: str | None = None) -> list[str]:
    """Create the missing indexes, views, foreign keys and version table, and return their names.

    Writers are blocked while an index is built, about two seconds for a million messages. An index that PostgreSQL does
    not use because its build was interrupted is rebuilt. The search index is restored by `session_store.search.index`.

    Args:
        bind: A connection, whose open transaction is used, an engine, a URL or the path of a SQLite file.
        schema: The PostgreSQL schema of the tables; None: the first on the search path that has them.

    Raises:
        SchemaOutOfDate: The tables are missing, or older than this package needs: upgrade first.
        StoreError: There is no version table, and the tables do not match this version; or a foreign key is missing,
            and there are messages or states without a session.
        StoreUnavailable: The database cannot be reached, or was locked for too long.
    """
    with connect(bind, schema) as db, migration_lock(db), schemas.use_schema(db, schema or schemas.schema_of(db)):
        revisions.require(db)
        is_unrecorded = revisions.is_unrecorded(db)
        if is_unrecorded:
            _require_no_other_difference(db)
        used = introspection.indexes(db, METADATA.tables, None)
        created = missing_indexes(db, None)
        indexes = _indexes(db)
        views = views_v1.statements(db.dialect.name)
        for name in created:
            if name in used:
                db.exec_driver_sql(f"DROP INDEX {name}")
            if name in indexes:
                indexes[name].create(db)
            else:
                db.exec_driver_sql(views[name])
        for name in missing_views(db, None):
            db.exec_driver_sql(views[name])
            created.append(name)
        for reference in missing_references(db, None):
            _require_no_orphans(db, reference.table)
            db.execute(AddConstraint(reference))
            created.append(str(reference.name))
        if is_unrecorded:
            revisions.record(db)
            created.append(revisions.VERSION_TABLE)
        return created


def missing_indexes(db: Connection, schema: str | None) -> list[str]:
    """Return the names of the indexes that are missing or unusable."""
    used = introspection.indexes(db, METADATA.tables, schema)
    needed = [*_indexes(db)]
    if db.dialect.name == "postgresql":
        needed += [name for name, _, _ in views_v1.DAY_INDEXES]
    return [name for name in needed if not used.get(name)]


def missing_views(db: Connection, schema: str | None) -> list[str]:
    """Return the names of the missing views, in the order in which they depend on each other."""
    views = set(inspect(db).get_view_names(schema))
    return [name for name in views_v1.NAMES if name not in views]


def missing_references(db: Connection, schema: str | None) -> list[ForeignKeyConstraint]:
    """Return the missing foreign keys that can be created: SQLite creates one only with its table."""
    if db.dialect.name != "postgresql":
        return []
    look = inspect(db)
    referring = [table for table in METADATA.tables.values() if table.foreign_key_constraints]
    logs = [log for log in referring if look.has_table(log.name, schema)]
    there = {key["name"] for log in logs for key in look.get_foreign_keys(log.name, schema)}
    return [key for log in logs for key in log.foreign_key_constraints if key.name not in there]


def _require_no_orphans(db: Connection, log: Table) -> None:
    # Imported lazily: only repairs need these statements.
    from session_store.repositories.consistency import COUNT_ORPHANS  # noqa: PLC0415

    number = db.execute(COUNT_ORPHANS[log]).first()
    if number and number[0]:
        problem = f"{number[0]:,} rows of {log.name} have no session: repair the orphans before the foreign key"
        raise StoreError(problem)


def _require_no_other_difference(db: Connection) -> None:
    for difference in differences(db, include_others=False):
        if difference.kind not in {"index", "view", "fk"}:
            problem = (
                f"the revision of the tables is unknown, and they do not match this version: {difference.description}"
            )
            raise StoreError(problem)


def _indexes(db: Connection) -> dict[str, Index]:
    from session_store.models import indexes  # noqa: PLC0415 - an option of PostgreSQL's loads all its drivers

    elsewhere = set() if db.dialect.name == "postgresql" else {str(index.name) for index in indexes.POSTGRESQL_INDEXES}
    every = {str(index.name): index for table in indexes.METADATA.tables.values() for index in table.indexes}
    return {name: every[name] for name in sorted(every.keys() - elsewhere)}
