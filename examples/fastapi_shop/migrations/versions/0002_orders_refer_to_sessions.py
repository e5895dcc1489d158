"""An order refers to the conversation it was placed in.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
# The table referred to is made by session_store's branch. Its first revision, not its newest: that is what is needed.
depends_on = "ss_0001"

ORDERS = sa.table("orders", sa.column("session_key"))
SESSIONS = sa.table("session_store_sessions", sa.column("key"))


def upgrade() -> None:
    """Add the foreign key; an order whose conversation is gone is kept without it."""
    known = sa.exists().where(SESSIONS.c.key == ORDERS.c.session_key)
    op.execute(ORDERS.update().where(ORDERS.c.session_key.is_not(None), ~known).values(session_key=None))
    # SQLite adds a constraint by copying the table: so it may be done to the shop's tables, never to session_store's.
    with op.batch_alter_table("orders") as orders:
        orders.create_foreign_key("orders_session_key_fkey", "session_store_sessions", ["session_key"], ["key"])


def downgrade() -> None:
    """Take the foreign key away; the orders keep the keys of their conversations."""
    with op.batch_alter_table("orders") as orders:
        orders.drop_constraint("orders_session_key_fkey", type_="foreignkey")
