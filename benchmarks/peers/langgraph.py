"""LangGraph: checkpoints of a graph's `MessagesState`, each with the whole conversation.

A message is appended with `update_state`, which is what a graph does with the message that a node returns; a turn of a
graph that runs makes two checkpoints or more.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"

from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

from benchmarks.contestants import Contestant
from benchmarks.peers.langchain import to_langchain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from langchain_core.messages import BaseMessage
    from sqlalchemy import URL

    from session_store import ChatMessage

_NODE: Final = "answer"
_REMARKS: Final = {
    "append": "writes the whole conversation again, and keeps every earlier state; no counts",
    "append_many": "writes the whole conversation again, and keeps every earlier state; no counts",
    "load_last": "has no limit",
    "newest": "lists checkpoints, each with its conversation, not conversations",
}


@contextmanager
def opened(url: URL) -> Iterator[Contestant]:
    """Open it on one connection of sqlite3 or psycopg, as its savers are."""
    on_sqlite = url.get_backend_name() == "sqlite"
    place = str(url.database) if on_sqlite else url.set(drivername="postgresql").render_as_string(hide_password=False)
    with (SqliteSaver if on_sqlite else PostgresSaver).from_conn_string(place) as saver:
        saver.setup()
        builder = StateGraph(MessagesState)
        builder.add_node(_NODE, lambda _state: {})
        builder.add_edge(START, _NODE)
        graph = builder.compile(checkpointer=saver)

        def append_many(key: str, messages: list[ChatMessage]) -> None:
            graph.update_state(_thread(key), {"messages": list(map(to_langchain, messages))}, as_node=_NODE)

        def append(key: str, message: ChatMessage) -> None:
            append_many(key, [message])

        def load(key: str) -> list[BaseMessage]:
            return graph.get_state(_thread(key)).values.get("messages", [])

        def fill(conversations: Mapping[str, list[ChatMessage]]) -> None:
            setting = "PRAGMA synchronous = {}" if on_sqlite else "SET synchronous_commit = {}"
            saver.conn.execute(setting.format("OFF"))
            for key, messages in conversations.items():
                append_many(key, messages)
            saver.conn.execute(setting.format("FULL" if on_sqlite else "ON"))

        calls = {"append": append, "append_many": append_many, "load": load}
        yield Contestant("LangGraph", calls, fill, remarks=_REMARKS)


def _thread(key: str) -> Any:
    return {"configurable": {"thread_id": key}}
