"""What every backend must do: tests of the interface, for a backend to run against itself.

They come into one test module of the backend's, beside the fixture that makes it, empty and on the ``clock`` given::

    import pytest

    from session_store.testing.conformance import *


    @pytest.fixture
    def store(clock):
        return MyBackend(clock=clock)

An asynchronous backend is called through `session_store.testing.SyncAdapter`.
"""

import pytest

from session_store.testing.clock import Clock
from session_store.testing.conformance import appending, lists, messages, search, sessions, states, upkeep

_TOPICS = (appending, lists, messages, search, sessions, states, upkeep)
_TESTS = {name: test for topic in _TOPICS for name, test in vars(topic).items() if name.startswith("test_")}


@pytest.fixture
def clock() -> Clock:
    """The time in the backend: it stands still until a test moves it."""
    return Clock()


__all__ = ["clock"]

# The tests alone, without what the topics import and help themselves with: all of it would be a backend's own names.
globals().update(_TESTS)
__all__ += list(_TESTS)
