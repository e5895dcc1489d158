"""The revision of the tables: where it is recorded, and which one this package needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table, insert, inspect, select

from session_store.database import schemas
from session_store.database.functions import has_other_version_table, version_table_names
from session_store.interface.errors import SchemaOutOfDate
from session_store.models.models import SESSIONS

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD: Final = "ss_0003"
"""The revision that this package needs, the newest in ``migrations/versions`` (tested)."""

VERSION_TABLE: Final = "session_store_alembic_version"
"""The version table of every way to migrate but an application's own Alembic run."""

_OURS: Final = re.compile(r"ss_\d{4}")


def is_known(revision: str) -> bool:
    """Return whether a revision is one of this package, by its name."""
    return _OURS.fullmatch(revision) is not None


def current(db: Connection) -> str | None:
    """Return the revision of a database; None if no version table next to our tables has one of ours."""
    return _recorded(db)[1]


def version_table(db: Connection) -> str:
    """Return the name of the version table that has our revision, or will have it."""
    return _recorded(db)[0]


def is_unrecorded(db: Connection) -> bool:
    """Return whether the revision is not recorded, and cannot be in an application's version table either."""
    place = schemas.schema_of(db)
    if has_other_version_table(db, VERSION_TABLE):
        return False
    if VERSION_TABLE in version_table_names(db, place):
        return not db.scalars(select(_version(VERSION_TABLE)).limit(1)).all()
    # There may be one that this role may not read.
    return not inspect(db).has_table(VERSION_TABLE, schema=place)


def record(db: Connection) -> None:
    """Record the revision that this package needs, as Alembic would."""
    version = _version(VERSION_TABLE)
    version.table.append_constraint(PrimaryKeyConstraint(version, name=f"{VERSION_TABLE}_pkc"))
    version.table.create(db, checkfirst=True)
    db.execute(insert(version.table).values(version_num=HEAD))


def exists(db: Connection) -> bool:
    """Return whether our tables exist, at any revision."""
    return inspect(db).has_table(SESSIONS.name, schema=schemas.schema_of(db))


def require_tables(db: Connection) -> None:
    """Check that our tables exist, at any revision.

    Raises:
        SchemaOutOfDate: They do not exist.
    """
    if not exists(db):
        raise SchemaOutOfDate(current(db), HEAD, schemas.schema_of(db))


def require(db: Connection) -> str | None:
    """Return the revision of a database; None if our tables exist but the revision is unknown.

    Raises:
        SchemaOutOfDate: The revision is older than this package needs, or the tables are missing.
    """
    revision = current(db)
    if (revision is None and not exists(db)) or (revision is not None and revision < HEAD):
        raise SchemaOutOfDate(revision, HEAD, schemas.schema_of(db))
    return revision


def _recorded(db: Connection) -> tuple[str, str | None]:
    # An application that runs our branch in its own Alembic may have a version table of any name.
    names = version_table_names(db, schemas.schema_of(db))
    for name in sorted(names, key=lambda name: (name != VERSION_TABLE, name)):
        version = _version(name)
        ours = [revision for revision in db.scalars(select(version)) if is_known(revision)]
        if ours:
            return name, max(ours)
    return VERSION_TABLE, None


def _version(table: str) -> Column[str]:
    made = Table(table, MetaData(), Column("version_num", String(32), nullable=False))
    return made.c.version_num
