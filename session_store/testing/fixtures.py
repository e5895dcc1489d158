"""The fixtures of `session_store.testing`: a migrated store in memory for each test."""

import asyncio
from collections.abc import Iterator

import pytest

from session_store.store.aio import AsyncSessionStore
from session_store.store.sync import SessionStore

IN_MEMORY = "sqlite://"


@pytest.fixture
def session_store() -> Iterator[SessionStore]:
    """An empty store in memory, closed when the test ends."""
    with SessionStore.open(IN_MEMORY) as store:
        yield store


@pytest.fixture
def async_session_store() -> Iterator[AsyncSessionStore]:
    """An empty store in memory for an event loop, closed when the test ends.

    It is ready before the test's loop runs and belongs to no loop, so the test may be run by ``asyncio.run``, by
    pytest-asyncio or by AnyIO on asyncio.
    """
    # With a factory the runner leaves alone which loop is the thread's current one: that may be a plugin's.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        store = runner.run(_opened())
    yield store
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(store.close())


async def _opened() -> AsyncSessionStore:
    return await AsyncSessionStore.open(IN_MEMORY)
