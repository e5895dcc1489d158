"""The support desk's revisions, a single line of them; before they run, session_store sees to its own tables."""

from logging.config import fileConfig

from alembic import context
from flask import current_app
from support.models import db

from session_store import migrations

if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)
if context.is_offline_mode():
    problem = "the SQL of session_store's tables is printed by `python -m session_store.migrations sql`"
    raise NotImplementedError(problem)

with current_app.app_context(), db.engine.connect() as connection:
    # Before the support desk's own revisions, which refer to these tables; it does nothing where they are there.
    migrations.upgrade(connection)
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        # The tables of session_store are in the database and not in this metadata: autogenerate would drop them.
        include_object=migrations.include_object,
        render_item=migrations.render_item,
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()
