"""Google ADK: `DatabaseSessionService`, a row for each event, the whole event as JSON.

An event is appended to a session object, which the service checks against its row. The objects are kept here, as a
runner keeps one through a turn; a host that fetches the session for each event pays for a read more.
"""

from __future__ import annotations

import itertools
import os
import time
import uuid
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

os.environ["OTEL_SDK_DISABLED"] = "true"

from google.adk.events import Event
from google.adk.sessions import DatabaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.schemas.shared import timestamp_to_utc_datetime
from google.adk.sessions.schemas.v1 import StorageAppState, StorageEvent, StorageSession, StorageUserState
from google.genai import types
from sqlalchemy import orm

from benchmarks.contestants import Contestant
from benchmarks.measuring import on_loop
from benchmarks.peers.opening import awaitable, engine_opened, insert_all, use_wal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import URL

    from session_store import ChatMessage

_APP: Final = "benchmark"
_USER: Final = "user"
_NO_EVENTS: Final = GetSessionConfig(num_recent_events=0)
_REMARKS: Final = {
    "append": "the session object is kept, not fetched for each event; no counts, no numbers",
    "load": "with the session and its state; an event is a pydantic model",
    "load_last": "with the session and its state; an event is a pydantic model",
    "newest": "all sessions of the user, oldest first, it has no limit; with state, without counts",
    "append_many": "has no bulk call",
}


@contextmanager
def opened(url: URL) -> Iterator[Contestant]:
    """Open it on aiosqlite or asyncpg."""
    use_wal(url)
    service = DatabaseSessionService(awaitable(url).render_as_string(hide_password=False))
    on_loop(service.prepare_tables())
    sessions: dict[str, Session] = {}

    async def session_of(key: str) -> Session:
        found = await service.get_session(app_name=_APP, user_id=_USER, session_id=key, config=_NO_EVENTS)
        return found or await service.create_session(app_name=_APP, user_id=_USER, session_id=key)

    async def append(key: str, message: ChatMessage) -> None:
        if key not in sessions:
            sessions[key] = await session_of(key)
        await service.append_event(sessions[key], _event(message))

    async def load(key: str) -> list[Event]:
        session = await service.get_session(app_name=_APP, user_id=_USER, session_id=key)
        return session.events if session else []

    async def load_last(key: str, number: int) -> list[Event]:
        config = GetSessionConfig(num_recent_events=number)
        session = await service.get_session(app_name=_APP, user_id=_USER, session_id=key, config=config)
        return session.events if session else []

    async def newest(number: int) -> list[Session]:
        response = await service.list_sessions(app_name=_APP, user_id=_USER)
        return response.sessions[: -number - 1 : -1]

    calls = {"append": append, "load": load, "load_last": load_last, "newest": newest}
    try:
        yield Contestant("Google ADK", calls, lambda given: _fill(url, given), is_awaited=True, remarks=_REMARKS)
    finally:
        on_loop(service.close())


def _event(message: ChatMessage) -> Event:
    role = "user" if message.role == "user" else "model"
    content = types.Content(role=role, parts=[types.Part(text=message.content)])
    return Event(author=message.role, content=content, custom_metadata=message.payload)


def _fill(url: URL, conversations: Mapping[str, list[ChatMessage]]) -> None:
    # Events come ordered by their time, and by a random id where it is the same.
    times = (time.time() - 1e6 + number / 1000 for number in itertools.count())
    events = [[_row(key, message, next(times)) for message in messages] for key, messages in conversations.items()]
    sessions = [
        {
            "app_name": _APP,
            "user_id": _USER,
            "id": rows[0]["session_id"],
            "state": {},
            "create_time": rows[0]["timestamp"],
            "update_time": rows[-1]["timestamp"],
        }
        for rows in events
    ]
    with engine_opened(url) as engine, orm.Session(engine) as db:
        db.merge(StorageAppState(app_name=_APP, state={}))
        db.merge(StorageUserState(app_name=_APP, user_id=_USER, state={}))
        insert_all(db, StorageSession, sessions)
        insert_all(db, StorageEvent, list(itertools.chain.from_iterable(events)))
        db.commit()


def _row(key: str, message: ChatMessage, timestamp: float) -> dict[str, Any]:
    # Making 100,000 events as the service does would take most of a minute: what is the same in all is made once.
    identifier = str(uuid.uuid4())
    role = "user" if message.role == "user" else "model"
    data = _example() | {
        "content": {"parts": [{"text": message.content}], "role": role},
        "author": message.role,
        "id": identifier,
        "timestamp": timestamp,
    }
    if message.payload is not None:
        data["custom_metadata"] = message.payload
    return {
        "id": identifier,
        "app_name": _APP,
        "user_id": _USER,
        "session_id": key,
        "invocation_id": "",
        "timestamp": timestamp_to_utc_datetime(timestamp),
        "event_data": data,
    }


@cache
def _example() -> dict[str, Any]:
    return Event(author="user", content=types.Content()).model_dump(exclude_none=True, mode="json")
