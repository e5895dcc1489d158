"""LlamaIndex: `SQLAlchemyChatStore` of llama-index-core, a row for each message, the whole message as JSON."""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from llama_index.core.llms import ChatMessage as LlamaMessage
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore
from sqlalchemy import MetaData, Table

from benchmarks.contestants import Contestant
from benchmarks.measuring import on_loop
from benchmarks.peers.opening import async_engine_opened, filling, insert_all, use_wal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import URL

    from session_store import ChatMessage

_TABLE: Final = "messages"
_REMARKS: Final = {
    "append": "no sessions: no counts, no numbers",
    "append_many": "no sessions: no counts, no numbers",
    "load_last": "its limit counts from the oldest: an offset from its count, which reads every row's id",
    "newest": "the keys of all sessions, in no order and with nothing else",
}


@contextmanager
def opened(url: URL) -> Iterator[Contestant]:
    """Open it on aiosqlite or asyncpg."""
    use_wal(url)
    with async_engine_opened(url) as engine:
        store = SQLAlchemyChatStore(_TABLE, async_engine=engine)
        on_loop(store.get_keys())  # makes the table

        async def append(key: str, message: ChatMessage) -> None:
            await store.add_message(key, _message(message))

        async def append_many(key: str, messages: list[ChatMessage]) -> None:
            await store.add_messages(key, [_message(message) for message in messages])

        async def load(key: str) -> list[LlamaMessage]:
            return await store.get_messages(key)

        async def load_last(key: str, number: int) -> list[LlamaMessage]:
            count = await store.count_messages(key)
            return await store.get_messages(key, limit=number, offset=max(0, count - number))

        async def newest(_number: int) -> list[str]:
            return await store.get_keys()

        calls = {
            "append": append,
            "append_many": append_many,
            "load": load,
            "load_last": load_last,
            "newest": newest,
        }
        yield Contestant("LlamaIndex", calls, lambda given: _fill(url, given), is_awaited=True, remarks=_REMARKS)


def _message(message: ChatMessage) -> LlamaMessage:
    return LlamaMessage(role=message.role, content=message.content, additional_kwargs=message.payload or {})


def _fill(url: URL, conversations: Mapping[str, list[ChatMessage]]) -> None:
    times = itertools.count(time.time_ns())
    rows = [
        {
            "key": key,
            "timestamp": next(times),
            "role": message.role,
            "status": "active",
            "data": _message(message).model_dump(mode="json"),
        }
        for key, messages in conversations.items()
        for message in messages
    ]
    with filling(url) as connection:
        insert_all(connection, Table(_TABLE, MetaData(), autoload_with=connection), rows)
