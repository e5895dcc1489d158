"""SELECTs that answer common questions about conversations, over views with stable columns.

Every function returns a SQLAlchemy SELECT, to execute on any connection or to extend with ``.where()``, ``.limit()`` or
``.subquery()``. The same SELECT returns the same figures on SQLite and PostgreSQL.
"""

from session_store.analytics.activity import activity, owners, span
from session_store.analytics.filters import Filters
from session_store.analytics.indexes import create as create_indexes
from session_store.analytics.indexes import drop as drop_indexes
from session_store.analytics.sessions import busiest_sessions, session_lengths, storage
from session_store.analytics.turns import response_times, turns
from session_store.analytics.usage import Price, tokens, tools
from session_store.analytics.views import DAILY_V1, MESSAGES_V1, SESSIONS_V1, TOOL_CALLS_V1, TURNS_V1

__all__ = [
    "DAILY_V1",
    "MESSAGES_V1",
    "SESSIONS_V1",
    "TOOL_CALLS_V1",
    "TURNS_V1",
    "Filters",
    "Price",
    "activity",
    "busiest_sessions",
    "create_indexes",
    "drop_indexes",
    "owners",
    "response_times",
    "session_lengths",
    "span",
    "storage",
    "tokens",
    "tools",
    "turns",
]
