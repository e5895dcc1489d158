"""A process that upgrades a database, and says when it begins."""

from multiprocessing.connection import Connection

import alembic.migration
import alembic.operations
import alembic.script
from sqlalchemy import URL

from session_store import migrations

__all__ = ["alembic", "upgrade"]  # imported before it begins: that takes longer than the upgrade


def upgrade(url: URL, begins: Connection) -> None:
    """Be this process."""
    begins.send("begins")
    migrations.upgrade(url)
