"""Run the revisions of this checkout: the URL from ``-x url=``, else the environment, else ``alembic.ini``."""

import os

from alembic import context

from session_store import migrations
from session_store.database import engines, transactions
from session_store.database.revisions import VERSION_TABLE
from session_store.models.indexes import METADATA

OPTIONS = {
    "target_metadata": METADATA,
    "version_table": VERSION_TABLE,
    "compare_server_default": True,
    "transactional_ddl": True,
}

url = (
    context.get_x_argument(as_dictionary=True).get("url")
    or os.environ.get("SESSION_STORE_DATABASE_URL")
    or context.config.get_main_option("sqlalchemy.url")
)

if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, dialect_opts={"paramstyle": "named"}, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = engines.create_sync_engine(url, "full")
    with engine.connect() as connection:
        transactions.lock_for_migration(connection)
        included = migrations.include_in_check(connection.dialect.name)
        context.configure(connection=connection, include_object=included, **OPTIONS)
        context.run_migrations()
        connection.commit()
    engine.dispose()
