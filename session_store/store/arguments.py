"""The arguments of both stores, checked and converted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sqlalchemy import Connection

from session_store.interface.errors import InvalidQuery, describe
from session_store.models.validation import aware_datetime
from session_store.repositories import MessageRepository, SessionRepository, StateRepository

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine, orm
    from sqlalchemy.ext.asyncio import AsyncEngine

    from session_store.database.engines import Durability
    from session_store.store.operations import Repositories

AnyEngine = TypeVar("AnyEngine", "Engine", "AsyncEngine")


def utc_now() -> datetime:
    """Return the current time of the machine."""
    return datetime.now(UTC)


def require_default_durability(engine: AnyEngine, durability: Durability) -> AnyEngine:
    """Return the application's engine; raise if a durability was passed, which needs a URL."""
    if durability != "full":
        problem = f"durability={describe(durability)} goes with a URL: an application's engine is left as it is"
        raise InvalidQuery(problem)
    return engine


def repositories_for(clock: Callable[[], datetime]) -> Repositories:
    """Return an instance of each repository, with a clock that checks its times."""

    def checked_clock() -> datetime:
        return aware_datetime(clock(), "the clock's time")

    now = clock if clock is utc_now else checked_clock
    return {repository: repository(now) for repository in (SessionRepository, MessageRepository, StateRepository)}


def sync_connection(db: Any) -> orm.Session | Connection:
    """Return the blocking session or connection behind what was passed to ``joined_to``."""
    # Calling a scoped_session returns the session of this thread or task.
    host = db() if hasattr(db, "registry") else db
    side = getattr(host, "sync_session", None) or getattr(host, "sync_connection", None) or host
    if not isinstance(side, Connection) and not hasattr(side, "flush"):
        problem = f"joined_to takes an open session or connection, not {type(db).__name__}"
        raise InvalidQuery(problem)
    return cast("orm.Session | Connection", side)
