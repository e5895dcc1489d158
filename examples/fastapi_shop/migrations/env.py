"""One Alembic run for the shop's tables and those of session_store."""

import asyncio
from logging.config import fileConfig
from typing import Any

from alembic import context
from shop.database import engine
from shop.models import Base
from sqlalchemy import Connection

from session_store import migrations

if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

# A version_locations that Alembic misunderstands is no error to it: the branch would be missing, and nothing said.
migrations.require_branch(context.script)


def run(**target: Any) -> None:
    """Run the revisions on a connection, or print their SQL for the database at a URL."""
    context.configure(
        target_metadata=Base.metadata,
        # The tables of session_store are in the database and not in the shop's metadata: autogenerate would drop them.
        include_object=migrations.include_object,
        render_item=migrations.render_item,
        render_as_batch=True,
        **target,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_on(connection: Connection) -> None:
    """Run the revisions on a connection."""
    run(connection=connection)


async def run_online() -> None:
    """Run the revisions on the application's engine."""
    async with engine.connect() as connection:
        await connection.run_sync(run_on)
    await engine.dispose()


if context.is_offline_mode():
    run(url=engine.url, literal_binds=True)
else:
    asyncio.run(run_online())
