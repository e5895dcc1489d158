"""The sections on conversations: activity, owners, lengths, busiest sessions and storage."""

from __future__ import annotations

from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from session_store.database import time_functions
from session_store.maintenance import formatting
from session_store.maintenance.report import agents, axes, charts
from session_store.maintenance.report.charts import Bar, Series
from session_store.maintenance.report.key_figures import key_figures
from session_store.maintenance.report.timeline import Timeline
from session_store.maintenance.report.view_models import (
    Chart,
    Section,
    Table,
    count,
    name,
    ranking,
    size,
    stored_text,
    time,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from sqlalchemy import Row

    from session_store.maintenance.report.data import ReportData, ReportOptions


def all_sections(data: ReportData, options: ReportOptions) -> dict[str, Any]:
    """Return all sections and key figures for the template."""
    timeline, zone = Timeline.build(data), time_functions.zone_info(options.tz)
    sections = list(_sections(data, options, timeline))
    left_out = timeline.left_out and f"{formatting.pluralize(timeline.left_out, data.unit)} at the start are not drawn."
    return {
        "span": formatting.format_span(formatting.local(data.first_at, zone), formatting.local(data.last_at, zone)),
        "left_out": left_out,
        "keys": key_figures(data, options),
        "sections": [section for section in sections if section.charts],
        "missing": [section for section in sections if not section.charts],
    }


def _sections(found: ReportData, about: ReportOptions, timeline: Timeline) -> Iterator[Section]:
    yield activity_section(found, timeline)
    if about.owner is None:
        yield owners_section(found, timeline)
    yield lengths_section(found)
    yield agents.turns_section(found, timeline)
    yield agents.responses_section(found, timeline)
    yield agents.errors_section(found, timeline)
    yield agents.tokens_section(found, timeline, about.prices)
    yield agents.tools_section(found)
    yield busiest_section(found, time_functions.zone_info(about.tz))
    yield storage_section(found, timeline)


def activity_section(found: ReportData, timeline: Timeline) -> Section:
    """Return the section on activity."""
    rows = found.activity
    messages = timeline.bars(
        "Messages",
        [
            Series("users", "series-1", timeline.values(rows, attrgetter("user_messages"))),
            Series("assistants", "series-2", timeline.values(rows, attrgetter("assistant_messages"))),
            Series("others", "series-other", timeline.values(rows, _by_others)),
        ],
        axes.count_scale,
        timeline.table(
            rows,
            {
                "messages": lambda row: count(row.messages),
                "by users": lambda row: count(row.user_messages),
                "by assistants": lambda row: count(row.assistant_messages),
                "by others": lambda row: count(_by_others(row)),
            },
        ),
    )
    sessions = timeline.bars(
        "Sessions with a message",
        [Series("sessions", "series-4", timeline.values(rows, attrgetter("sessions")))],
        axes.count_scale,
        timeline.table(
            rows, {"sessions": lambda row: count(row.sessions), "their owners": lambda row: count(row.owners)}
        ),
    )
    return Section("activity", "Activity", "Messages, and sessions with a message.", [messages, sessions])


def owners_section(found: ReportData, timeline: Timeline) -> Section:
    """Return the section on new and returning owners."""
    rows = found.owners
    if not rows:
        return Section("owners", "Owners", "No session has an owner.", [])
    chart = timeline.bars(
        "Owners with a message",
        [
            Series("been there before", "series-1", timeline.values(rows, attrgetter("returning_owners"))),
            Series("new", "series-2", timeline.values(rows, attrgetter("new_owners"))),
        ],
        axes.count_scale,
        timeline.table(
            rows,
            {
                "owners": lambda row: count(row.active_owners),
                "new": lambda row: count(row.new_owners),
                "been there before": lambda row: count(row.returning_owners),
            },
        ),
    )
    return Section("owners", "Owners", "New owners, and owners who came back.", [chart])


def lengths_section(found: ReportData) -> Section:
    """Return the section on the length of sessions."""
    rows = found.lengths
    if not rows:
        return Section("lengths", "Length of sessions", "No session started in this time.", [])
    table = Table(
        ["length", "sessions", "messages"],
        [[name(_step(row.at_least)), count(row.sessions), count(row.messages)] for row in rows],
    )
    steps = [Bar(_step(row.at_least), row.sessions, formatting.format_count(row.sessions), "series-4") for row in rows]
    chart = Chart("Sessions by their current number of messages", charts.ranking(steps), [], table)
    return Section("lengths", "Length of sessions", "Sessions that started in this time.", [chart])


def busiest_section(found: ReportData, zone: tzinfo) -> Section:
    """Return the section on the busiest sessions."""
    rows = found.busiest
    table = Table(
        ["session", "name", "owner", "messages", "first", "last"],
        [
            [
                *map(stored_text, (row.session_key, row.name, row.owner)),
                count(row.messages),
                *(time(when, zone) for when in (row.first_at, row.last_at)),
            ]
            for row in rows
        ],
    )
    drawn = [
        (formatting.label(row.name or row.session_key), row.messages, formatting.format_count(row.messages))
        for row in rows
    ]
    chart = ranking("Messages by session", drawn, "series-1", table)
    return Section("busiest", "Busiest sessions", "The sessions with the most messages in this time.", [chart])


def storage_section(found: ReportData, timeline: Timeline) -> Section:
    """Return the section on storage."""
    rows, place = found.storage, timeline.periods.place
    written = timeline.bars(
        "Bytes of text and payloads",
        [
            Series("text", "series-1", timeline.values(rows, attrgetter("content_bytes"))),
            Series("payloads", "series-3", timeline.values(rows, attrgetter("payload_bytes"))),
        ],
        axes.size_scale,
        timeline.table(
            rows,
            {
                "messages": lambda row: count(row.messages),
                "text": lambda row: size(row.content_bytes),
                "payloads": lambda row: size(row.payload_bytes),
            },
        ),
    )
    sums = dict(zip([place(row.period) for row in rows], accumulate(map(_bytes_of, rows)), strict=True))
    before = max((amount for where, amount in sums.items() if where < 0), default=0)
    _, *grown = accumulate(range(timeline.periods.number), lambda last, where: sums.get(where, last), initial=before)
    added_up = Chart(
        "Running total",
        charts.lines(
            [Series("bytes", "series-1", dict(enumerate(grown)))], timeline.periods, axes.size_scale(grown[-1])
        ),
        [],
        timeline.table(rows, {"added up": lambda row: size(grown[place(row.period)])}),
    )
    says = f"The database takes {formatting.format_size(found.size)} on disk, with its indexes."
    return Section("storage", "Storage", says, [written, added_up])


def _step(at_least: int) -> str:
    if at_least < 2:  # noqa: PLR2004 - steps of one length each
        return formatting.pluralize(at_least, "message")
    return f"{formatting.format_count(at_least)} {formatting.NONE} {formatting.format_count(2 * at_least - 1)}"


def _by_others(row: Row[Any]) -> int:
    return int(row.messages - row.user_messages - row.assistant_messages)


def _bytes_of(row: Row[Any]) -> int:
    return int(row.content_bytes + row.payload_bytes)
