"""Which revision the tables of a database have, where that is written, and which one this package needs."""

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
"""The revision this package needs; what stands in ``migrations/versions`` agrees (tested)."""

VERSION_TABLE: Final = "session_store_alembic_version"
"""Where all ways of our own keep the revision."""

_OURS: Final = re.compile(r"ss_\d{4}")


def is_known(revision: str) -> bool:
    """Whether a revision is one of this package, by its name."""
    return _OURS.fullmatch(revision) is not None


def current(db: Connection) -> str | None:
    """Return the revision a database is at; None if no version table beside our tables names one of ours."""
    return _recorded(db)[1]


def version_table(db: Connection) -> str:
    """Return the name of the table in which a database keeps our revision, or will."""
    return _recorded(db)[0]


def is_unrecorded(db: Connection) -> bool:
    """Whether nothing says which revision the tables have, nor can a host's own version table be what says it."""
    place = schemas.schema_of(db)
    if has_other_version_table(db, VERSION_TABLE):
        return False
    if VERSION_TABLE in version_table_names(db, place):
        return not db.scalars(select(_version(VERSION_TABLE)).limit(1)).all()
    # There may be one that this role has no right to read.
    return not inspect(db).has_table(VERSION_TABLE, schema=place)


def record(db: Connection) -> None:
    """Write that the tables are of the revision this package needs, as Alembic would."""
    version = _version(VERSION_TABLE)
    version.table.append_constraint(PrimaryKeyConstraint(version, name=f"{VERSION_TABLE}_pkc"))
    version.table.create(db, checkfirst=True)
    db.execute(insert(version.table).values(version_num=HEAD))


def exists(db: Connection) -> bool:
    """Whether our tables are there, of whatever revision."""
    return inspect(db).has_table(SESSIONS.name, schema=schemas.schema_of(db))


def require_tables(db: Connection) -> None:
    """Make sure that our tables are there, of whatever revision.

    Raises:
        SchemaOutOfDate: They are not.
    """
    if not exists(db):
        raise SchemaOutOfDate(current(db), HEAD, schemas.schema_of(db))


def require(db: Connection) -> str | None:
    """Return the revision a database is at, None if our tables are there and it is not known.

    Raises:
        SchemaOutOfDate: It is older than the one this package needs, or the tables are missing.
    """
    revision = current(db)
    if (revision is None and not exists(db)) or (revision is not None and revision < HEAD):
        raise SchemaOutOfDate(revision, HEAD, schemas.schema_of(db))
    return revision


def _recorded(db: Connection) -> tuple[str, str | None]:
    # A host that carries our branch in its own run may call its version table anything.
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
