"""The tables: of which revision, who knows that, and what is missing beside them."""

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
    "missing": (Severity.ERROR, ": calls that need it fail, and only a backup has it"),
    "changed": (Severity.WARNING, ": what is written may be refused"),
    "not ours": (Severity.INFO, ""),
    # Of SQLite, which makes it with the table only.
    "fk": (Severity.WARNING, ": what SQL deletes leaves its entries behind; an import into a new file has it"),
}
"""What a difference means that no command mends."""


def no_tables(context: CheckContext) -> Finding:
    """Say that there is nothing to look at, or only a part of it."""
    where = "" if context.schema is None else f" in the schema {context.schema!a}"
    left = [name for name in METADATA.tables if inspect(context.db).has_table(name, context.schema)]
    if left:
        # Not one for `upgrade`, which would find nothing to do.
        message = f"{' and '.join(left)} are there{where} without {SESSIONS.name}: calls fail, and only a backup has it"
        return Finding("schema.tables", Severity.ERROR, message)
    message = f"there are no tables of session_store{where}"
    return Finding("schema.tables", Severity.ERROR, message, command=context.command("upgrade"))


def check_schema(context: CheckContext) -> Iterator[Finding]:
    """Compare the tables with those this package needs."""
    revision = revisions.current(context.db)
    yield _describe_revision(context, revision)
    if revision is not None and revision != revisions.HEAD:
        # What an older one does not have, and a newer one has otherwise, is not missing.
        return
    repair = context.command("repair", "schema")
    restorable = set()
    references = [str(reference.name) for reference in missing_objects.missing_references(context.db, context.schema)]
    for kind, names, meaning in (
        ("index", missing_objects.missing_indexes(context.db, context.schema), "what it served reads the whole table"),
        ("view", missing_objects.missing_views(context.db, context.schema), "queries and reports that read it fail"),
        ("reference", references, "a session that SQL deletes leaves its entries behind"),
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
                "no version table says which revision the tables have: the next upgrade cannot tell what to do",
                command=context.command("repair", "schema"),
            )
        return Finding(
            "schema.revision",
            Severity.INFO,
            f"no version table that can be read names a revision of ours, as in a host's own Alembic run; {needed}",
        )
    if revision < revisions.HEAD:
        message = f"the revision is {revision}, {needed}: some calls fail"
        return Finding("schema.revision", Severity.ERROR, message, revision, command=context.command("upgrade"))
    if revision > revisions.HEAD:
        return Finding(
            "schema.revision",
            Severity.WARNING,
            f"the revision is {revision}, {needed}: a newer version of it has been here",
            revision,
            command="pip install --upgrade session-store",
        )
    table = revisions.version_table(context.db)
    return Finding("schema.revision", Severity.INFO, f"the revision is {revision}, by {table!a}", revision)
