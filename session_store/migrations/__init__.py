"""Create and upgrade the tables with the revisions in ``versions/``, the only source of the tables.

`upgrade` runs them from Python, under a lock, in the caller's transaction or one of its own; it can be called inside an
application's Alembic run. ``python -m session_store.migrations`` does the same on the command line, and
``alembic upgrade head`` in a checkout of this project. An application may also run the revisions as a branch of its own
Alembic; `include_object`, `render_item` and `require_branch` are for its ``env.py``.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from session_store.database import engines, locks, revisions, schemas
from session_store.database.connections import connect, migration_lock, rollback_on_exit
from session_store.interface.errors import InvalidQuery, StoreError
from session_store.migrations.alembic_hooks import LOCATION, include_object, render_item, require_branch
from session_store.migrations.compare import IGNORED_OBJECTS, differences, include_in_check
from session_store.migrations.missing_objects import restore
from session_store.models.validation import type_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection

    from session_store.database.connections import Bind

__all__ = [
    "IGNORED_OBJECTS",
    "LOCATION",
    "check",
    "current",
    "include_in_check",
    "include_object",
    "render_item",
    "require_branch",
    "restore",
    "sql",
    "upgrade",
]

HERE: Final = Path(__file__).parent


def upgrade(bind: Bind, *, schema: str | None = None) -> None:
    """Upgrade the tables to the revision that this package needs; do nothing if they are there already.

    Several processes may upgrade at once: one of them does, the others wait. The revision is recorded where it is
    already: in ``session_store_alembic_version``, or in the version table of an application that runs our branch.

    In an application's ``env.py``, call it before ``context.configure``. Do not call it from a revision: the result
    would depend on the installed version. On an event loop: ``await connection.run_sync(upgrade)``.

    Args:
        bind: A connection, an engine, a URL or the path of a SQLite file. An open transaction of a connection is used,
            with a savepoint, and its owner commits; otherwise the upgrade has a transaction of its own.
        schema: The PostgreSQL schema of the tables and their version table, created if it does not exist. None: the
            schema on the search path that has the tables, or else the first one.

    Raises:
        Conflict: The transaction of the connection was rolled back because of another one; run it again.
        InvalidQuery: The bind or the schema is invalid, or the database has no schemas.
        StoreError: The tables exist but do not match, and no version table records their revision; or the connection is
            in autocommit mode.
        StoreUnavailable: The database cannot be reached, or was locked for too long.
    """
    with connect(bind, schema, create=True) as db:
        # An up-to-date database takes no lock and needs only SELECT.
        with rollback_on_exit(db), schemas.schema_translate(db, schema):
            revision = revisions.current(db)
        # A newer revision comes from a newer version of this package, which is being rolled out.
        if revision is not None and revision >= revisions.HEAD:
            return
        with migration_lock(db):
            _upgrade(db, schema or schemas.schema_of(db))


def current(bind: Bind, *, schema: str | None = None) -> str | None:
    """Return the revision of the tables; None if they do not exist or the revision is unknown."""
    with connect(bind, schema) as db, rollback_on_exit(db), schemas.use_schema(db, schema or schemas.schema_of(db)):
        return _current(db)


def check(bind: Bind, *, schema: str | None = None) -> list[str]:
    """Return a description of each difference from the tables that this package needs.

    Alembic compares columns, indexes and foreign keys, but not primary keys, conditions of indexes and collations.
    """
    with connect(bind, schema) as db, rollback_on_exit(db), schemas.use_schema(db, schema or schemas.schema_of(db)):
        revision = revisions.current(db)
        if not revisions.exists(db):
            return ["the tables of session_store do not exist"]
        found = [difference.description for difference in differences(db)]
    if (revision or revisions.HEAD) < revisions.HEAD:
        found.insert(0, f"the revision is {revision}, this package needs {revisions.HEAD}")
    return found


def sql(dialect: str, *, schema: str | None = None) -> str:
    """Return the SQL script that creates the tables in an empty database.

    Args:
        dialect: ``"sqlite"`` or ``"postgresql"``.
        schema: The PostgreSQL schema of the tables, created if it does not exist.

    Raises:
        InvalidQuery: The dialect or the name of the schema is invalid.
    """
    from alembic.migration import MigrationContext  # noqa: PLC0415

    if not isinstance(dialect, str) or dialect not in engines.DIALECTS:
        raise InvalidQuery(type_error(dialect, "dialect", " or ".join(engines.DIALECTS)))
    script = io.StringIO()
    options = {"as_sql": True, "output_buffer": script, **_options(revisions.VERSION_TABLE)}
    # Without it percent signs are doubled, which only drivers need.
    plain = {"paramstyle": "named"}
    context = MigrationContext.configure(dialect_name=dialect, dialect_opts=plain, opts=options)
    with context.begin_transaction():
        for statement in schemas.schema_statements(dialect, schema):
            context.impl.execute(statement)
        _run(context)
    return script.getvalue()


def scripts() -> ScriptDirectory:
    """Return the revisions of this package."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    return ScriptDirectory(str(HERE), version_locations=[str(HERE / "versions")])


def _upgrade(db: Connection, schema: str | None) -> None:
    schemas.create_schema(db, schema)
    with schemas.use_schema(db, schema):
        # Check again under the lock: another process may have upgraded.
        revision = _current(db)
        if revision is not None and revision >= revisions.HEAD:
            return
        if revision is None and revisions.exists(db):
            problem = (
                "the tables of session_store exist and do not match this version, and no version table next to "
                "them has their revision: run the application's `alembic upgrade heads`, or copy its version table, too"
            )
            raise StoreError(problem)

        # Alembic takes a third of a second to import, and a store whose tables are there does not need it.
        from alembic.migration import MigrationContext  # noqa: PLC0415

        _run(MigrationContext.configure(db, opts=_options(revisions.version_table(db))))


def _current(db: Connection) -> str | None:
    revision = revisions.current(db)
    # Alembic has no row for ours if a revision of the application depends on it; then compare the tables.
    if revision is None and revisions.exists(db) and not differences(db, include_others=False):
        return revisions.HEAD
    return revision


def _options(version_table: str) -> dict[str, Any]:
    chain = scripts()
    ours = {script.revision for script in chain.walk_revisions()}

    def steps(heads: tuple[str, ...], _context: MigrationContext) -> Iterable[Any]:
        # A host's version table holds its own heads too, which these revisions know nothing of.
        # What `alembic.command.upgrade` calls; the command itself would take the names of the host's own run.
        return chain._upgrade_revs("heads", tuple(head for head in heads if head in ours))  # type: ignore[arg-type]  # noqa: SLF001

    return {"version_table": version_table, "transactional_ddl": True, "fn": steps, "script": chain}


def _run(context: MigrationContext) -> None:
    from alembic import op  # noqa: PLC0415
    from alembic.operations import Operations  # noqa: PLC0415

    # Alembic has one name for the operations of all revisions: of two databases migrated at once, one would get the
    # tables of both.
    with locks.migration_lock():
        try:
            hosts: MigrationContext | None = op.get_context()
        except (NameError, AttributeError):  # no context was installed yet, or it was removed
            hosts = None
        try:
            with Operations.context(context):
                context.run_migrations()
        finally:
            # Alembic does not restore the context of an application's revision, and removes its own only without an
            # error.
            if hosts is not None:
                Operations.context(hosts).__enter__()
            else:
                with Operations.context(context):
                    pass
