"""Tickets.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The type of a session's key: a reference is looked up by an index only if both sides have one collation.
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "tickets",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("session_key", KEY, nullable=True),
        sa.Column("mail_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("is_waiting", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="tickets_pkey"),
        sa.UniqueConstraint("mail_id", name="tickets_mail_id_key"),
    )
    op.create_index("tickets_session_key_idx", "tickets", ["session_key"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("tickets")
