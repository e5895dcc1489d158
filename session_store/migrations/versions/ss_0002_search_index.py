"""The search index, which is optional.

It has no data of its own. This revision creates it with the code of `session_store.search.index`, which can also
create, rebuild and drop it later.

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
    """Create the index, if it is enabled, possible and fast."""
    context = op.get_context()
    reason = search_index.skip_reason(None if context.as_sql else op.get_bind())
    if reason is not None:
        search_index.log_skipped(reason)
        return
    for statement in search_index.statements(context.dialect.name):
        op.execute(statement)


def downgrade() -> None:
    """Drop the index, also an incomplete one."""
    for statement in search_index.statements_without(op.get_context().dialect.name):
        op.execute(statement)
