"""Sessions, messages and states.

Revision ID: ss_0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "ss_0001"
down_revision = None
branch_labels = ("session_store",)
depends_on = None

IDENTIFIER = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")
# Not JSON on SQLite: that declaration has numeric affinity, which rounds a long number.
JSON = postgresql.JSONB().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Create the three tables and their indexes."""
    on_sqlite = op.get_context().dialect.name == "sqlite"

    op.create_table(
        "session_store_sessions",
        sa.Column("key", IDENTIFIER, nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("owner", sa.Text()),
        sa.Column("attributes", JSON, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_activity", TIME, nullable=False),
        sa.Column("active_minute", TIME, nullable=False),
        sa.Column("message_count", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("last_seq", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("state_seq", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("state", sa.Text(), nullable=False, server_default=sa.text("'idle'")),
        sa.Column("turn_id", sa.Text()),
        sa.Column("state_entered_at", TIME),
        sa.PrimaryKeyConstraint("key", name="session_store_sessions_pkey"),
    )
    op.create_index(
        "session_store_sessions_recency", "session_store_sessions", [sa.column("active_minute").desc(), "key"]
    )
    op.create_index(
        "session_store_sessions_owner_recency",
        "session_store_sessions",
        ["owner", sa.column("active_minute").desc(), "key"],
        postgresql_where=sa.text("owner IS NOT NULL"),
        sqlite_where=sa.text("owner IS NOT NULL"),
    )
    op.create_index(
        "session_store_sessions_state",
        "session_store_sessions",
        ["state", "state_entered_at"],
        postgresql_where=sa.text("state <> 'idle'"),
        sqlite_where=sa.text("state <> 'idle'"),
    )

    # An index of the text by row number must survive a rebuild of the table, and on SQLite only an INTEGER
    # PRIMARY KEY keeps its rows' numbers.
    if on_sqlite:
        numbered = [sa.Column("id", sa.Integer(), primary_key=True)]
        unique: sa.Constraint = sa.UniqueConstraint(
            "session_key", "seq", name="session_store_messages_session_key_seq_key"
        )
    else:
        numbered = []
        unique = sa.PrimaryKeyConstraint("session_key", "seq", name="session_store_messages_pkey")
    op.create_table(
        "session_store_messages",
        *numbered,
        sa.Column("session_key", IDENTIFIER, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("turn_id", sa.Text()),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("payload", JSON),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("created_at", TIME, nullable=False),
        unique,
        sa.ForeignKeyConstraint(
            ["session_key"],
            ["session_store_sessions.key"],
            name="session_store_messages_session_key_fkey",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "session_store_messages_idempotency",
        "session_store_messages",
        ["session_key", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
    )

    op.create_table(
        "session_store_states",
        sa.Column("session_key", IDENTIFIER, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("turn_id", sa.Text()),
        sa.Column("entered_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("session_key", "seq", name="session_store_states_pkey"),
        sa.ForeignKeyConstraint(
            ["session_key"],
            ["session_store_sessions.key"],
            name="session_store_states_session_key_fkey",
            ondelete="CASCADE",
        ),
    )

    if not on_sqlite:
        _postgresql_only()


def _postgresql_only() -> None:
    # Appends rewrite the head: room in its page keeps the new version beside the old one, and the vacuum must
    # come by the number of versions, not by a fifth of the table.
    op.execute("ALTER TABLE session_store_sessions SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.01)")
    op.create_index(
        "session_store_sessions_attributes",
        "session_store_sessions",
        ["attributes"],
        postgresql_using="gin",
        postgresql_ops={"attributes": "jsonb_path_ops"},
    )
    op.create_index(
        "session_store_messages_created_at", "session_store_messages", ["created_at"], postgresql_using="brin"
    )
    op.create_index("session_store_states_entered_at", "session_store_states", ["entered_at"], postgresql_using="brin")


def downgrade() -> None:
    """Drop the three tables and everything in them."""
    op.drop_table("session_store_states")
    op.drop_table("session_store_messages")
    op.drop_table("session_store_sessions")
