"""Agno: `SqliteDb` and `PostgresDb`, a row for each session and one for each run, the run's messages as JSON.

A message is appended as a run of its own, in the two calls with which an agent ends a run: one for the session's row,
one for the run's. The number of the next run is kept here, where an agent counts the runs of a session it has read.
"""

from __future__ import annotations

import itertools
import os
import time
import uuid
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

os.environ["AGNO_TELEMETRY"] = "false"

from agno.db.base import SessionType
from agno.db.postgres import PostgresDb
from agno.db.postgres.engine import create_postgres_engine
from agno.db.sqlite import SqliteDb
from agno.db.utils import build_single_run_row
from agno.models.message import Message
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.session import AgentSession

from benchmarks.contestants import Contestant
from benchmarks.peers.opening import blocking, insert_all, use_wal
from session_store import ChatMessage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import URL

_AGENT: Final = "benchmark"
_REMARKS: Final = {
    "append": "a run of one message: two transactions; no counts",
    "append_many": "a run of all messages, one row; no counts",
    "load": "runs read before, by the same process, and not changed since come out of its cache",
    "load_last": "of this number of runs; each has one message or more",
    "newest": "counts the sessions of the table, not the messages; sorts by a column without an index",
}


@contextmanager
def opened(url: URL) -> Iterator[Contestant]:
    """Open it on sqlite3 or psycopg."""
    db = _open_db(url)
    counters: dict[str, itertools.count[int]] = {}

    def next_run(key: str) -> int:
        if key not in counters:
            _, total = db.get_runs(key, limit=1, deserialize=False)
            counters.setdefault(key, itertools.count(total))
        return next(counters[key])

    def append_many(key: str, messages: list[ChatMessage]) -> None:
        index = next_run(key)
        db.upsert_session(_session(key))
        db.upsert_run(_run(key, messages), key, run_index=index)

    def append(key: str, message: ChatMessage) -> None:
        append_many(key, [message])

    def load(key: str) -> list[Message]:
        session = db.get_session(key, SessionType.AGENT)
        return session.get_messages() if session else []

    def load_last(key: str, number: int) -> list[Message]:
        session = db.get_session(key, SessionType.AGENT, runs_limit=number)
        return session.get_messages()[-number:] if session else []

    def newest(number: int) -> list[AgentSession]:
        return db.get_sessions(
            SessionType.AGENT, limit=number, sort_by="updated_at", sort_order="desc", include_runs=False
        )

    calls = {"append": append, "append_many": append_many, "load": load, "load_last": load_last, "newest": newest}
    try:
        yield Contestant("Agno", calls, lambda given: _fill(db, given), remarks=_REMARKS)
    finally:
        db.close()


def _open_db(url: URL) -> SqliteDb | PostgresDb:
    use_wal(url)
    on_sqlite = url.get_backend_name() == "sqlite"
    db = SqliteDb(str(url.database)) if on_sqlite else PostgresDb(db_engine=create_postgres_engine(blocking(url)))
    db.upsert_session(_session("first"))  # makes the tables
    db.upsert_run(_run("first", []), "first", run_index=0)
    db.delete_session("first")
    return db


def _session(key: str) -> AgentSession:
    return AgentSession(key, agent_id=_AGENT, session_data={}, created_at=int(time.time()))


def _run(key: str, messages: list[ChatMessage]) -> RunOutput:
    return RunOutput(
        run_id=str(uuid.uuid4()),
        agent_id=_AGENT,
        session_id=key,
        messages=[Message(role=given.role, content=given.content, provider_data=given.payload) for given in messages],
        status=RunStatus.completed,
    )


def _fill(db: SqliteDb | PostgresDb, conversations: Mapping[str, list[ChatMessage]]) -> None:
    # In the order given by time of the session's last run, which is in whole seconds.
    start = int(time.time()) - len(conversations)
    sessions = [_session(key) for key in conversations]
    for number, session in enumerate(sessions, start):
        session.updated_at = number
    db.upsert_sessions(sessions, preserve_updated_at=True)
    rows = [
        _row(key, index, message) for key, messages in conversations.items() for index, message in enumerate(messages)
    ]
    with db.db_engine.begin() as connection:
        insert_all(connection, db.runs_table, rows)


def _row(key: str, index: int, message: ChatMessage) -> dict[str, Any]:
    # Making 100,000 runs as an agent does would take most of a minute: what is the same in all is made once.
    row = _example()
    identifier = str(uuid.uuid4())
    (made,) = row["run_data"]["messages"]
    made = made | {"id": str(uuid.uuid4()), "content": message.content, "role": message.role}
    if message.payload is not None:
        made["provider_data"] = message.payload
    data = row["run_data"] | {"run_id": identifier, "session_id": key, "messages": [made]}
    return row | {"run_id": identifier, "session_id": key, "run_index": index, "run_data": data}


@cache
def _example() -> dict[str, Any]:
    return build_single_run_row(_run("", [ChatMessage.user("")]), "")
