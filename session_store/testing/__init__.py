"""pytest fixtures with a store in memory, and a clock that a test moves.

An application whose topmost conftest.py has ``pytest_plugins = ["session_store.testing"]`` gets the fixtures
`session_store` and `async_session_store`. No other module of the package imports pytest.

PYTEST_DONT_REWRITE: a conftest.py may import this module before pytest looks for plugins.
"""

from session_store.testing.clock import Clock
from session_store.testing.fixtures import async_session_store, session_store

__all__ = ["Clock", "async_session_store", "session_store"]
