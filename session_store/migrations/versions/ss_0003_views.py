"""The stable views for analytics, whose SQL is in `session_store.migrations.views_v1`.

Revision ID: ss_0003
Revises: ss_0002
"""

from alembic import op

from session_store.migrations import views_v1

revision = "ss_0003"
down_revision = "ss_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the views."""
    for statement in views_v1.create(op.get_context().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    """Drop the views."""
    for statement in views_v1.drop(op.get_context().dialect.name):
        op.execute(statement)
