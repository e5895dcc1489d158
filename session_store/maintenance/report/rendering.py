"""The parts of the page in the template: whatever is put in is text, and stays text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from session_store.database import time_functions
from session_store.maintenance.report import formatting, sections

if TYPE_CHECKING:
    from datetime import datetime

    from session_store.maintenance.report.data import About, Figures


def rendered(found: Figures | None, about: About, title: str, made_at: datetime) -> str:
    """Return the page; without figures one that says so."""
    import jinja2  # noqa: PLC0415 - an extra

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("session_store.maintenance.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    zone = time_functions.zone(about.tz)
    made = formatting.local(made_at, zone)
    parts: dict[str, Any] = {"left_out": None} if found is None else sections.of(found, about)
    asked = formatting.asked(about.since, about.until, zone)
    chosen = asked is not None or about.owner is not None
    return environment.get_template("page.html.jinja").render(
        title=formatting.legible(title),
        asked=asked,
        nothing="There is no message of this time and owner." if chosen else "There is no message in the store yet.",
        owner=None if about.owner is None else formatting.legible(about.owner),
        tz=about.tz,
        made=formatting.time(made),
        made_at=made_at.isoformat(),
        found=found,
        **parts,
    )
