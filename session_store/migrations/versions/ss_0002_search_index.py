"""The search index, unless it is left out.

It holds nothing that the messages do not, and is made and removed in one place, as it has to be today: what
`session_store.search.index` does by hand, this revision does when the tables are made.

Revision ID: ss_0002
Revises: ss_0001
"""

from alembic import op

from session_store.search import index as search_index

revision = "ss_0002"
down_revision = "ss_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index, if that is wanted, possible, and done in a moment."""
    context = op.get_context()
    reason = search_index.skip_reason(None if context.as_sql else op.get_bind())
    if reason is not None:
        search_index.log_skipped(reason)
        return
    for statement in search_index.statements(context.dialect.name):
        op.execute(statement)


def downgrade() -> None:
    """Remove the index, or what is there of it."""
    for statement in search_index.statements_without(op.get_context().dialect.name):
        op.execute(statement)
