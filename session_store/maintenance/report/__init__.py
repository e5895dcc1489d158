"""Create a report on the conversations as one HTML page: key figures, charts, and a table for each chart.

The page has no scripts and loads nothing. Jinja2 and vl-convert, which renders the charts as SVG, come with the extra
``report`` and are imported when a page is created.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

from session_store.analytics.filters import period_start
from session_store.analytics.views import MESSAGES_V1
from session_store.database.connections import read_snapshot
from session_store.interface.errors import InvalidQuery, StoreError
from session_store.maintenance.report import data, rendering
from session_store.models.validation import aware_datetime, identifier, type_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from session_store.analytics import Price
    from session_store.database.connections import Bind

__all__ = ["page"]


def page(  # noqa: PLR0913 - no other names than these
    bind: Bind,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    tz: str = "UTC",
    title: str = "Conversations",
    schema: str | None = None,
    owner: str | None = None,
    prices: Mapping[str, Price] | None = None,
    made_at: datetime | None = None,
) -> str:
    """Return the HTML page about the messages of a time range, or of all time.

    Reads one snapshot, unless ``bind`` is a connection; a read-only database or file is enough. The same data and
    arguments produce the same page. It contains the keys, names and owners of the busiest sessions.

    Args:
        bind: A connection, an engine, a URL or the path of a SQLite file.
        since: Start of the range, included; timezone-aware. None: the first message.
        until: End of the range, excluded; timezone-aware. None: the last message.
        tz: The time zone of the hours, days, weeks and months, such as ``"Europe/Lisbon"``.
        title: The heading.
        schema: The PostgreSQL schema of the tables; None: the first on the search path that has them.
        owner: Only sessions of this owner.
        prices: The price of a million tokens, by the name of the model; None: no costs.
        made_at: The time of the report, timezone-aware; None: now.

    Raises:
        InvalidKey: The owner is not a valid identifier.
        InvalidQuery: An argument has the wrong type, or the range ends before it starts.
        SchemaOutOfDate: The tables are missing or at another revision.
        StoreError: Jinja2 or vl-convert is not installed.
        StoreUnavailable: The database cannot be reached.
    """
    if not isinstance(title, str):
        raise InvalidQuery(type_error(title, "title", "a str"))
    period_start(MESSAGES_V1.c.created_at, None, tz)
    options = data.ReportOptions(
        since=None if since is None else aware_datetime(since, "since"),
        until=None if until is None else aware_datetime(until, "until"),
        tz=tz,
        owner=None if owner is None else identifier(owner, "owner"),
        prices=prices,
    )
    if options.since is not None and options.until is not None and options.since >= options.until:
        problem = f"since must be before until: {options.since.isoformat()} is not before {options.until.isoformat()}"
        raise InvalidQuery(problem)
    made = datetime.now(UTC) if made_at is None else aware_datetime(made_at, "made_at")
    _require("jinja2", "Jinja2")
    _require("vl_convert", "vl-convert-python")
    with read_snapshot(bind, schema) as db:
        found = data.read(db, options)
    return rendering.render(found, options, title, made)


def _require(module: str, library: str) -> None:
    try:
        import_module(module)
    except ImportError as error:
        problem = f"a report needs {library}, which comes with the extra `report`: pip install 'session-store[report]'"
        raise StoreError(problem) from error
