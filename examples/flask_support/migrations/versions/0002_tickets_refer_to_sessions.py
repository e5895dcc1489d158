"""A ticket refers to its conversation.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TICKETS = sa.table("tickets", sa.column("session_key"))
SESSIONS = sa.table("session_store_sessions", sa.column("key"))


def upgrade() -> None:
    """Add the foreign key; a ticket whose conversation is gone is kept without it."""
    known = sa.exists().where(SESSIONS.c.key == TICKETS.c.session_key)
    op.execute(TICKETS.update().where(TICKETS.c.session_key.is_not(None), ~known).values(session_key=None))
    # SQLite adds a constraint by copying the table: so it may be done to the host's tables, never to session_store's.
    with op.batch_alter_table("tickets") as tickets:
        tickets.create_foreign_key("tickets_session_key_fkey", "session_store_sessions", ["session_key"], ["key"])


def downgrade() -> None:
    """Take the foreign key away; the tickets keep the keys of their conversations."""
    with op.batch_alter_table("tickets") as tickets:
        tickets.drop_constraint("tickets_session_key_fkey", type_="foreignkey")
