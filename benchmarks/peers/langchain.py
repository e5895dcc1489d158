"""LangChain: `SQLChatMessageHistory` of langchain-community, a row for each message, its JSON as text.

There is an object for each conversation, and making one asks whether its table exists; they are kept here, which
spares that at each call.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"

from langchain_community.chat_message_histories import SQLChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage, message_to_dict

from benchmarks.contestants import Contestant
from benchmarks.peers.opening import engine_opened, insert_all, use_wal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import URL

    from session_store import ChatMessage

_REMARKS: Final = {
    "append": "no sessions: no counts, no numbers, no time",
    "append_many": "no sessions: no counts, no numbers, no time",
    "load_last": "has no limit",
    "newest": "has no list of sessions",
}


@contextmanager
def opened(url: URL) -> Iterator[Contestant]:
    """Open it on sqlite3 or psycopg, all conversations on one engine."""
    use_wal(url)
    with engine_opened(url) as engine:
        first = SQLChatMessageHistory(session_id="", connection=engine)  # makes the table
        histories: dict[str, SQLChatMessageHistory] = {}

        def history_of(key: str) -> SQLChatMessageHistory:
            if key not in histories:
                histories[key] = SQLChatMessageHistory(session_id=key, connection=engine)
            return histories[key]

        def append(key: str, message: ChatMessage) -> None:
            history_of(key).add_message(to_langchain(message))

        def append_many(key: str, messages: list[ChatMessage]) -> None:
            history_of(key).add_messages([to_langchain(message) for message in messages])

        def load(key: str) -> list[BaseMessage]:
            return history_of(key).messages

        def fill(conversations: Mapping[str, list[ChatMessage]]) -> None:
            rows = [
                {"session_id": key, "message": json.dumps(message_to_dict(to_langchain(message)))}
                for key, messages in conversations.items()
                for message in messages
            ]
            with engine.begin() as connection:
                insert_all(connection, first.sql_model_class, rows)

        calls = {"append": append, "append_many": append_many, "load": load}
        yield Contestant("LangChain", calls, fill, remarks=_REMARKS)


def to_langchain(message: ChatMessage) -> BaseMessage:
    """Return a message as LangChain has them, its payload among what came with the answer."""
    given: dict[str, Any] = {"content": message.content, "response_metadata": message.payload or {}}
    match message.role:
        case "user":
            return HumanMessage(**given)
        case "assistant":
            return AIMessage(**given)
        case "tool":
            return ToolMessage(tool_call_id=given["response_metadata"].get("tool_call_id", ""), **given)
        case _:
            return SystemMessage(**given)
