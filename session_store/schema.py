"""Which revision of the tables a database has, and which one this package needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, MetaData, String, Table, inspect, select

from session_store.errors import SchemaOutOfDate
from session_store.tables import SESSIONS

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD: Final = "ss_0001"
"""The revision this package needs; what stands in ``migrations/versions`` agrees (tested)."""

VERSION_TABLE: Final = "session_store_alembic_version"
"""Where all ways of our own keep the revision."""

_HOST_VERSION_TABLE: Final = "alembic_version"
_OURS: Final = "ss_"


def current(db: Connection) -> str | None:
    """Return the revision a database is at; None if it has none, or a host keeps it in a table of another name."""
    return _kept(db)[1]


def version_table(db: Connection) -> str:
    """Return the name of the table in which a database keeps our revision, or will."""
    return _kept(db)[0]


def require(db: Connection) -> str | None:
    """Return the revision a database is at.

    Raises:
        SchemaOutOfDate: It is older than the one this package needs, or the tables are missing.
    """
    revision = current(db)
    missing = revision is None and not inspect(db).has_table(SESSIONS.name)
    if missing or (revision is not None and revision < HEAD):
        raise SchemaOutOfDate(revision, HEAD)
    return revision


def _kept(db: Connection) -> tuple[str, str | None]:
    inspector = inspect(db)
    for name in (VERSION_TABLE, _HOST_VERSION_TABLE):
        if inspector.has_table(name):
            version = Table(name, MetaData(), Column("version_num", String(32))).c.version_num
            ours = [revision for revision in db.scalars(select(version)) if revision.startswith(_OURS)]
            if ours:
                return name, max(ours)
    return VERSION_TABLE, None
