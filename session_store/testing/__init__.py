"""What to test with: a store in memory for a host's tests, and the suite that a backend runs against itself.

A host whose topmost conftest.py says ``pytest_plugins = ["session_store.testing"]`` has the fixtures `session_store`
and `async_session_store`. The suite is `session_store.testing.conformance`. Only here is pytest imported.

PYTEST_DONT_REWRITE: a conftest.py may also import a name from here, and so before pytest looks for plugins.
"""

import pytest

# Asked for here, where the suite is not imported yet: later it would have no effect.
pytest.register_assert_rewrite("session_store.testing.conformance")

from session_store.testing.clock import Clock  # noqa: E402
from session_store.testing.fixtures import async_session_store, session_store  # noqa: E402
from session_store.testing.sync_adapter import SyncAdapter  # noqa: E402

__all__ = ["Clock", "SyncAdapter", "async_session_store", "session_store"]
