"""OpenAI Agents SDK: `SQLiteSession` on sqlite3 and `SQLAlchemySession` on an async engine.

Both keep a row for each item, its JSON as text, and an object for each conversation; the objects are kept here,
which spares them being made for each call.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import TIMESTAMP, column, table
from sqlalchemy.dialects import sqlite

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"

from agents import SQLiteSession
from agents.extensions.memory import SQLAlchemySession

from benchmarks.contestants import Contestant
from benchmarks.measuring import on_loop
from benchmarks.peers.opening import async_engine_opened, filling, insert_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import URL

    from session_store import ChatMessage

_KEPT: Final = 200
_SESSIONS: Final = table("agent_sessions", column("session_id"))
_TIME: Final = TIMESTAMP().with_variant(sqlite.DATETIME(truncate_microseconds=True), "sqlite")
_MESSAGES: Final = table("agent_messages", column("session_id"), column("message_data"), column("created_at", _TIME))
_REMARKS: Final = {
    "append": "no counts, no numbers: an item and the time of the session",
    "append_many": "no counts, no numbers",
    "load": "an item is a dict",
    "load_last": "an item is a dict",
    "newest": "has no list of sessions",
}


@contextmanager
def opened_on_sqlite3(url: URL) -> Iterator[Contestant]:
    """Open `SQLiteSession`: a connection for each conversation and thread, each call on a worker thread."""
    if url.get_backend_name() != "sqlite":
        problem = "SQLiteSession is for SQLite"
        raise ValueError(problem)
    sessions: dict[str, SQLiteSession] = {}

    def session_of(key: str) -> SQLiteSession:
        if key not in sessions:
            if len(sessions) == _KEPT:  # each holds files open
                sessions.pop(next(iter(sessions))).close()
            sessions[key] = SQLiteSession(key, str(url.database))
        return sessions[key]

    SQLiteSession("", str(url.database)).close()  # makes the tables
    try:
        yield _contestant("OpenAI Agents SQLiteSession", session_of, lambda given: _fill(url, given, json.dumps))
    finally:
        for session in sessions.values():
            session.close()


@contextmanager
def opened(url: URL) -> Iterator[Contestant]:
    """Open `SQLAlchemySession`, all conversations on one engine."""
    with async_engine_opened(url) as engine:
        on_loop(SQLAlchemySession("", engine=engine, create_tables=True).get_items())
        sessions: dict[str, SQLAlchemySession] = {}

        def session_of(key: str) -> SQLAlchemySession:
            if key not in sessions:
                sessions[key] = SQLAlchemySession(key, engine=engine)
            return sessions[key]

        compact = json.JSONEncoder(separators=(",", ":")).encode
        yield _contestant("OpenAI Agents SQLAlchemySession", session_of, lambda given: _fill(url, given, compact))


def _contestant(name: str, session_of: Callable[[str], Any], fill: Callable[[Any], object]) -> Contestant:
    async def append(key: str, message: ChatMessage) -> None:
        await session_of(key).add_items([_item(message)])

    async def append_many(key: str, messages: list[ChatMessage]) -> None:
        await session_of(key).add_items([_item(message) for message in messages])

    async def load(key: str) -> list[Any]:
        return await session_of(key).get_items()

    async def load_last(key: str, number: int) -> list[Any]:
        return await session_of(key).get_items(limit=number)

    calls = {"append": append, "append_many": append_many, "load": load, "load_last": load_last}
    return Contestant(name, calls, fill, is_awaited=True, remarks=_REMARKS)


def _item(message: ChatMessage) -> dict[str, Any]:
    item = {"role": message.role, "content": message.content}
    return item if message.payload is None else {**item, "payload": message.payload}


def _fill(url: URL, conversations: Mapping[str, list[ChatMessage]], encode: Callable[[Any], str]) -> None:
    # A second apart: where all have one time, SQLAlchemySession sorts them all to find the last. In the past, wherever
    # the server's clock is.
    begun = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=10)
    pairs = ((key, message) for key, messages in conversations.items() for message in messages)
    rows = [
        {"session_id": key, "message_data": encode(_item(message)), "created_at": begun + timedelta(seconds=number)}
        for number, (key, message) in enumerate(pairs)
    ]
    with filling(url) as connection:
        insert_all(connection, _SESSIONS, [{"session_id": key} for key in conversations])
        insert_all(connection, _MESSAGES, rows)
