"""The tables are born from the revisions in ``versions/``, and from nothing else.

`upgrade` runs them from Python, in a transaction of its own or in the caller's, under a lock, and can be called
within a host's Alembic run: it leaves alone what Alembic keeps in global names. ``python -m session_store.migrations``
does the same, and ``alembic upgrade head`` in a checkout of this project. A host may also carry the revisions as a
branch in its own run; `include_object`, `render_item` and `require_branch` are for its ``env.py``.
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
    """Bring the tables to the revision this package needs; do nothing where they are.

    Any number of processes may do it at once: one does, the others wait for as long as it takes. The revision is read
    and written where it is kept already: in ``session_store_alembic_version``, or in the version table of a host that
    carries our branch in its own run.

    In a host's ``env.py`` call it before ``context.configure``, and not from a revision: what that makes would depend
    on the version installed when it runs. On an event loop: ``await connection.run_sync(upgrade)``.

    Args:
        bind: A connection, an engine, or a URL or the path of a SQLite file. If the connection is in a transaction,
            all happens in it, to a savepoint, and its owner commits; if not, in one of its own, as with Alembic itself.
        schema: The PostgreSQL schema to hold the tables and their version table, made if it is not there. None:
            the one of the search path in which they are, or else the first of it.

    Raises:
        Conflict: The connection's own transaction met another one; run it again from its start.
        InvalidQuery: The bind is nothing to connect with, the schema cannot have that name, or the database has none.
        StoreError: The tables are there and not as they should be, and no version table beside them knows their
            revision; or there is no transaction to do it in.
        StoreUnavailable: The database cannot be reached, or was locked for too long.
    """
    with connect(bind, schema, create=True) as db:
        # Who finds all as it should be waits for nobody, and needs no right but to read.
        with rollback_on_exit(db), schemas.schema_translate(db, schema):
            revision = revisions.current(db)
        # A newer one is another process's, of a newer version of this package that is being rolled out.
        if revision is not None and revision >= revisions.HEAD:
            return
        with migration_lock(db):
            _upgrade(db, schema or schemas.schema_of(db))


def current(bind: Bind, *, schema: str | None = None) -> str | None:
    """Return the revision the tables are at; None if there are none, or nobody can tell."""
    with connect(bind, schema) as db, rollback_on_exit(db), schemas.use_schema(db, schema or schemas.schema_of(db)):
        return _current(db)


def check(bind: Bind, *, schema: str | None = None) -> list[str]:
    """Return in words what differs from the tables this package needs; nothing if all is well.

    Alembic compares columns, indexes and references; it does not see primary keys, conditions of indexes and
    collations.
    """
    with connect(bind, schema) as db, rollback_on_exit(db), schemas.use_schema(db, schema or schemas.schema_of(db)):
        revision = revisions.current(db)
        if not revisions.exists(db):
            return ["there are no tables of session_store"]
        found = [difference.description for difference in differences(db)]
    if (revision or revisions.HEAD) < revisions.HEAD:
        found.insert(0, f"the revision is {revision}, this package needs {revisions.HEAD}")
    return found


def sql(dialect: str, *, schema: str | None = None) -> str:
    """Return the SQL that makes the tables in an empty database, for somebody else to run.

    Args:
        dialect: ``"sqlite"`` or ``"postgresql"``.
        schema: The PostgreSQL schema that is to hold them, made if it is not there.

    Raises:
        InvalidQuery: There is no such dialect, or the schema cannot have that name.
    """
    from alembic.migration import MigrationContext  # noqa: PLC0415

    if not isinstance(dialect, str) or dialect not in engines.DIALECTS:
        raise InvalidQuery(type_error(dialect, "dialect", " or ".join(engines.DIALECTS)))
    script = io.StringIO()
    options = {"as_sql": True, "output_buffer": script, **_options(revisions.VERSION_TABLE)}
    # Without it a percent sign is doubled, as the drivers want it and nobody else.
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
        # Again, under the lock: somebody else may have done it meanwhile.
        revision = _current(db)
        if revision is not None and revision >= revisions.HEAD:
            return
        if revision is None and revisions.exists(db):
            problem = (
                "the tables of session_store are there and not as this version needs them, but no version table beside "
                "them knows their revision: a host's Alembic run keeps them (`alembic upgrade heads`), or they were "
                "copied without it"
            )
            raise StoreError(problem)

        # Alembic takes a third of a second to import, and a store whose tables are there does not need it.
        from alembic.migration import MigrationContext  # noqa: PLC0415

        _run(MigrationContext.configure(db, opts=_options(revisions.version_table(db))))


def _current(db: Connection) -> str | None:
    revision = revisions.current(db)
    # Alembic keeps no row for ours if a revision of the host's depends on it; then the tables themselves tell.
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
        except (NameError, AttributeError):  # nobody has named one yet, or it was taken away again
            hosts = None
        try:
            with Operations.context(context):
                context.run_migrations()
        finally:
            # It does not give the name back to a host in whose revision this happens, and takes it away only if
            # nothing was raised.
            if hosts is not None:
                Operations.context(hosts).__enter__()
            else:
                with Operations.context(context):
                    pass
