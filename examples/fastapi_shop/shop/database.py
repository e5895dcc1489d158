"""The shop's engine, its ORM sessions, and the store of conversations on the same engine."""

from typing import Final

from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from session_store import AsyncSessionStore, configure_sqlite
from shop.settings import DATABASE_URL

DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}

url = make_url(DATABASE_URL)
engine = create_async_engine(url.set(drivername=DRIVERS.get(url.drivername, url.drivername)))
if engine.dialect.name == "sqlite":
    # Write-ahead log, foreign keys, writers that wait for each other: the store leaves an engine as it is unless asked.
    configure_sqlite(engine)

# What is loaded stays loaded after a commit: an expired attribute would be read again, behind no await.
sessions = async_sessionmaker(engine, expire_on_commit=False)
store = AsyncSessionStore(engine)
