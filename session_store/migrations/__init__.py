"""The tables are born from the revisions in ``versions/``, and from nothing else.

`upgrade` runs them from Python, in a transaction of its own or in the caller's, under a lock, and can be called
within a host's Alembic run: it leaves alone what Alembic keeps in global names. ``alembic upgrade head`` does the
same from a checkout of this project.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Connection, Engine

from session_store import schema
from session_store.dialects import engines
from session_store.dialects.failures import driver_errors
from session_store.tables import POSTGRESQL_INDEXES
from session_store.transactions import told

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from alembic.script import ScriptDirectory
    from sqlalchemy.schema import SchemaItem

HERE: Final = Path(__file__).parent

NOT_IN_THE_MODELS: Final = {
    # SQLite's row number, which nothing shows, and the key that is the primary one elsewhere.
    ("column", "id"),
    ("unique_constraint", "session_store_messages_session_key_seq_key"),
}
"""What the database has and the tables of `session_store.tables` do not, by kind and exact name."""

NOT_ON_SQLITE: Final = {("index", index.name) for index in POSTGRESQL_INDEXES}
"""What the tables have and a SQLite database does not."""


def upgrade(bind: Engine | Connection | URL | str | os.PathLike[str]) -> None:
    """Bring the tables to the revision this package needs; do nothing where they are.

    Any number of processes may do it at once. The revision is read and written where it is kept already: in
    ``session_store_alembic_version``, or in the version table of a host that carries our branch in its own run.

    Args:
        bind: A connection, in whose transaction it happens and which its owner commits; an engine; or a URL or
            the path of a SQLite file.

    Raises:
        StoreUnavailable: The database cannot be reached, or was locked for too long.
    """
    try:
        if isinstance(bind, Connection):
            _upgrade(bind)
        elif isinstance(bind, Engine):
            with engines.transactional(bind).connect() as db:
                _upgrade(db)
                engines.commit(db)
        else:
            engine = engines.blocking_engine(bind, "full")
            try:
                upgrade(engine)
            finally:
                engine.dispose()
    except driver_errors() as error:
        raise told(error, ours=not isinstance(bind, Connection)) from getattr(error, "orig", error)


def _upgrade(db: Connection) -> None:
    # Alembic takes a third of a second to import, and a store whose tables are there does not need it.
    engines.lock_for_migration(db)
    # A newer one is another process's, of a newer version of this package that is being rolled out.
    if (schema.current(db) or "") >= schema.HEAD:
        return

    from alembic.migration import MigrationContext  # noqa: PLC0415
    from alembic.operations import Operations  # noqa: PLC0415

    revisions = scripts()
    ours = {script.revision for script in revisions.walk_revisions()}

    def steps(heads: tuple[str, ...], _context: MigrationContext) -> Iterable[Any]:
        # A host's version table holds its own heads too, which these revisions know nothing of.
        # What `alembic.command.upgrade` calls; the command itself would take the names of the host's own run.
        return revisions._upgrade_revs("heads", tuple(head for head in heads if head in ours))  # type: ignore[arg-type]  # noqa: SLF001

    options = {
        "version_table": schema.version_table(db),
        "transactional_ddl": True,
        "fn": steps,
        "script": revisions,
    }
    context = MigrationContext.configure(db, opts=options)
    with Operations.context(context):
        context.run_migrations()


def scripts() -> ScriptDirectory:
    """Return the revisions of this package."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    return ScriptDirectory(str(HERE), version_locations=[str(HERE / "versions")])


def include_in_check(
    item: SchemaItem,  # noqa: ARG001 - the parameters are Alembic's
    name: str | None,
    kind: str,
    reflected: bool,  # noqa: FBT001
    compare_to: SchemaItem | None,  # noqa: ARG001
) -> bool:
    """Say whether ``alembic check`` looks at this; pass it as ``include_object``."""
    return (kind, name) not in (NOT_IN_THE_MODELS if reflected else NOT_ON_SQLITE)
