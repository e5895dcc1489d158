"""Render the page with the template; all values are escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from session_store.database import time_functions
from session_store.maintenance import formatting
from session_store.maintenance.report import sections

if TYPE_CHECKING:
    from datetime import datetime

    from session_store.maintenance.report.data import ReportData, ReportOptions


def render(data: ReportData | None, options: ReportOptions, title: str, made_at: datetime) -> str:
    """Return the page; without data, a page that says so."""
    import jinja2  # noqa: PLC0415 - an extra

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("session_store.maintenance.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    zone = time_functions.zone_info(options.tz)
    made = formatting.local(made_at, zone)
    parts: dict[str, Any] = {"left_out": None} if data is None else sections.all_sections(data, options)
    asked = formatting.format_window(options.since, options.until, zone)
    chosen = asked is not None or options.owner is not None
    return environment.get_template("page.html.jinja").render(
        title=formatting.label(title),
        asked=asked,
        nothing="No message matches this time range and owner." if chosen else "The store has no messages yet.",
        owner=None if options.owner is None else formatting.label(options.owner),
        tz=options.tz,
        made=formatting.format_time(made),
        made_at=made_at.isoformat(),
        found=data,
        **parts,
    )
