"""Every call of a store once, where it can be read and not written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from session_store import ChatMessage, SessionStore, StoreUnavailable
from session_store.store.operations import Operations
from tests.conftest import Database
from tests.test_errors import HELLO, KEY, READS, WRITES

OWNER = "ann"
STALE = "telegram_bob"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LATER = datetime(2020, 1, 2, tzinfo=UTC)


def append_in_begin(store: SessionStore) -> None:
    """A transaction of several calls."""
    with store.begin() as transaction:
        transaction.append(KEY, HELLO)


READING: dict[str, Callable[[Any], Any]] = READS | {
    "iter_history": lambda store: list(store.iter_history(KEY)),
    "search_messages": lambda store: store.search_messages("hello"),
}
WRITING: dict[str, Callable[[Any], Any]] = WRITES | {
    "begin": append_in_begin,
    "delete_sessions": lambda store: store.delete_sessions(owner=OWNER),
    "prune_states": lambda store: store.prune_states(LATER),
    "remove_last": lambda store: store.remove_last(KEY),
    "trim": lambda store: store.trim(KEY, keep_last=1),
}


@contextmanager
def work_for_all(database: Database) -> Iterator[None]:
    """Sessions in which each of the calls would find something to do, for as long as this lasts."""
    with SessionStore(database.url, clock=lambda: LONG_AGO) as store:
        for key in (KEY, STALE):
            store.append_many(key, [HELLO, HELLO, ChatMessage.assistant("Good bye")])
        store.set_session_state(KEY, "thinking")
        store.set_session_state(KEY, "running", "turn-0")
        store.set_session_owner(KEY, OWNER)
    yield
    with SessionStore(database.url) as store:
        for key in (KEY, STALE):
            store.delete_session(key)


def refused_by(store: SessionStore) -> int:
    """How many calls that write are refused, which is all there are; those that read all answer."""
    assert {name for name in vars(Operations) if not name.startswith("_")} <= READING.keys() | WRITING.keys()
    for name, call in WRITING.items():
        with pytest.raises(StoreUnavailable) as told:
            call(store)
        assert told.value.__cause__ is not None, name
    for call in READING.values():
        call(store)
    assert len(store.load(KEY)) == len(store.load(STALE)) == 3
    return len(WRITING)
