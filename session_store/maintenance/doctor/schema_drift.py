"""Check the revision of the tables, where it is recorded, and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect

from session_store.database import revisions, schemas
from session_store.maintenance.doctor.findings import Finding, Severity
from session_store.migrations import missing_objects
from session_store.migrations.compare import differences
from session_store.models.models import METADATA, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.maintenance.doctor.context import CheckContext

_DIFFERS: Final = {
    "missing": (Severity.ERROR, ": calls that need it fail; restore it from a backup"),
    "changed": (Severity.WARNING, ": writes may fail"),
    "not ours": (Severity.INFO, ""),
    # On SQLite, which creates a foreign key only with its table.
    "fk": (Severity.WARNING, ": a session deleted with SQL leaves its rows behind; export and import into a new file"),
}
"""The meaning of a difference that no command repairs."""


def no_tables(context: CheckContext) -> Finding:
    """Return a finding for missing tables."""
    where = "" if context.schema is None else f" in the schema {context.schema!a}"
    left = [name for name in METADATA.tables if inspect(context.db).has_table(name, context.schema)]
    if left:
        # Without a command: `upgrade` would find nothing to do.
        message = f"{' and '.join(left)} exist{where} without {SESSIONS.name}: calls fail; restore it from a backup"
        return Finding("schema.tables", Severity.ERROR, message)
    message = f"the tables of session_store do not exist{where}"
    return Finding("schema.tables", Severity.ERROR, message, command=context.command("upgrade"))


def check_schema(context: CheckContext) -> Iterator[Finding]:
    """Compare the tables with those that this package needs."""
    revision = revisions.current(context.db)
    yield _describe_revision(context, revision)
    if revision is not None and revision != revisions.HEAD:
        # Objects of another revision are not missing.
        return
    repair = context.command("repair", "schema")
    restorable = set()
    references = [str(reference.name) for reference in missing_objects.missing_references(context.db, context.schema)]
    for kind, names, meaning in (
        ("index", missing_objects.missing_indexes(context.db, context.schema), "queries read the whole table"),
        ("view", missing_objects.missing_views(context.db, context.schema), "queries and reports that read it fail"),
        ("reference", references, "a session deleted with SQL leaves its rows behind"),
    ):
        for name in names:
            restorable.add(name)
            yield Finding(
                f"schema.{kind}", Severity.WARNING, f"{kind} {name} is missing: {meaning}", name, kind, repair
            )
    with schemas.use_schema(context.db, context.schema):
        others = differences(context.db)
    for difference in others:
        if difference.name not in restorable:
            severity, meaning = _DIFFERS["fk" if difference.kind == "fk" else difference.change]
            message = f"{difference.description}{meaning}"
            yield Finding("schema.difference", severity, message, difference.name, difference.kind)


def _describe_revision(context: CheckContext, revision: str | None) -> Finding:
    needed = f"this package needs {revisions.HEAD}"
    if revision is None:
        if revisions.is_unrecorded(context.db):
            return Finding(
                "schema.version_table",
                Severity.ERROR,
                "no version table records the revision of the tables: the next upgrade will fail",
                command=context.command("repair", "schema"),
            )
        return Finding(
            "schema.revision",
            Severity.INFO,
            f"no readable version table has our revision, as in an application's own Alembic run; {needed}",
        )
    if revision < revisions.HEAD:
        message = f"the revision is {revision}, {needed}: some calls fail"
        return Finding("schema.revision", Severity.ERROR, message, revision, command=context.command("upgrade"))
    if revision > revisions.HEAD:
        return Finding(
            "schema.revision",
            Severity.WARNING,
            f"the revision is {revision}, {needed}: a newer version has upgraded the tables",
            revision,
            command="pip install --upgrade session-store",
        )
    table = revisions.version_table(context.db)
    return Finding("schema.revision", Severity.INFO, f"the revision is {revision}, by {table!a}", revision)
