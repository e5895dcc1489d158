"""Ours: the store for code that blocks, joined to a host's session, and on an event loop with each driver."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import orm

from benchmarks.contestants import Contestant
from benchmarks.measuring import on_loop
from session_store import AsyncSessionStore, NewMessage, SessionQuery, SessionStore
from session_store.search import index as search_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import URL

    from session_store import ChatMessage
    from session_store.database.engines import Durability

START = datetime(2026, 1, 1, tzinfo=UTC)


def fill(url: URL, conversations: Mapping[str, list[ChatMessage]]) -> None:
    """Put conversations into a database that has our tables, each a minute later than the one before."""
    indexed = search_index.status(url).size is not None
    search_index.drop(url)
    with SessionStore(url) as store, store.begin() as tx:
        for number, (key, messages) in enumerate(conversations.items()):
            time = START + timedelta(minutes=number)
            tx.append_many(key, [NewMessage(message, time) for message in messages])
    if indexed:
        search_index.create(url)


def filled(url: URL) -> Callable[[Mapping[str, list[ChatMessage]]], None]:
    """Return what fills a database, for a contestant on our tables."""
    return partial(fill, url)


@contextmanager
def blocking(url: URL, durability: Durability = "full") -> Iterator[Contestant]:
    """The store, each call a transaction of its own."""
    with SessionStore(url, durability=durability) as store:
        yield Contestant("SessionStore", _calls(store), filled(url))


@contextmanager
def joined(url: URL, durability: Durability = "full") -> Iterator[Contestant]:
    """The store in a host's session: one that is open where it reads, a new one for each write, with its commit."""
    with SessionStore(url, durability=durability) as store, orm.Session(store.engine) as open_session:

        def in_a_new_session(name: str) -> Callable[..., Any]:
            def call(*args: Any) -> Any:
                with orm.Session(store.engine) as db, db.begin():
                    return _calls_by_name[name](store.joined_to(db))(*args)

            return call

        reads = _calls(store.joined_to(open_session))
        writes = {name: in_a_new_session(name) for name in _calls_by_name}
        yield Contestant("joined", reads | writes, filled(url))


@contextmanager
def awaited(url: URL, driver: str, durability: Durability = "full") -> Iterator[Contestant]:
    """The store on an event loop."""
    store = AsyncSessionStore(url.set(drivername=f"{url.get_backend_name()}+{driver}"), durability=durability)
    try:
        yield Contestant(f"AsyncSessionStore, {driver}", _calls(store), filled(url), is_awaited=True)
    finally:
        on_loop(store.close())


_calls_by_name: Mapping[str, Callable[[Any], Callable[..., Any]]] = {
    "append": lambda store: store.append,
    "append_many": lambda store: store.append_many,
    "update_last": lambda store: store.update_last,
    "set_state": lambda store: store.set_session_state,
}


def _calls(store: Any) -> dict[str, Callable[..., Any]]:
    return {name: of(store) for name, of in _calls_by_name.items()} | {
        "load": store.load,
        "load_last": lambda key, number: store.load(key, last=number),
        "page": lambda key, before_seq, limit: store.history(key, before_seq=before_seq, limit=limit),
        "metadata": store.get_session_metadata,
        "newest": lambda number: store.list_sessions_with_metadata(SessionQuery(limit=number)),
        "search": lambda word, number: store.search(SessionQuery(keyword=word, limit=number)),
    }
