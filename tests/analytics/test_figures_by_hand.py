"""The reference against what was computed by hand; no database is asked."""

from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from tests.analytics import figures, select_figures
from tests.analytics.figures import Conversations, DailyRow, Entry, Message, TurnRow
from tests.analytics.samples import DAY, LATER, LATER_NOON, NOON, SHOP, at, head, said

pytestmark = pytest.mark.once

LISBON, NEW_YORK, APIA, KOLKATA = "Europe/Lisbon", "America/New_York", "Pacific/Apia", "Asia/Kolkata"


@pytest.mark.parametrize(
    ("hundredths", "values", "expected"),
    [
        (50, [], None),
        (95, [7.0], 7.0),
        (50, [1.0, 2.0], 1.5),
        (50, [9.0, 1.0, 2.0], 2.0),
        (95, [0.0, 10.0], 9.5),
        (95, [float(number) for number in range(101)], 95.0),
        (25, [0.0, 1.0, 10.0], 0.5),
    ],
)
def test_percentiles(hundredths: int, values: list[float], expected: float | None) -> None:
    """Between two values a share of the way."""
    assert figures.percentile(hundredths, values) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (None, (None, None)),
        ([{"usage": {"input_tokens": 1}}], (None, None)),
        ({"usage": [1]}, (None, None)),
        ({"usage": {"input_tokens": 1, "output_tokens": 2}}, (1, 2)),
        ({"usage": {"prompt_tokens": 1, "completion_tokens": 2}}, (1, 2)),
        ({"usage": {"input_tokens": 3, "prompt_tokens": 1}}, (3, None)),
        ({"usage": {"input_tokens": 12.0, "output_tokens": 12.5}}, (12, None)),
        ({"usage": {"input_tokens": True, "prompt_tokens": 0}}, (0, None)),
        ({"usage": {"input_tokens": -1, "prompt_tokens": "7"}}, (None, None)),
        ({"usage": {"input_tokens": 2**53, "output_tokens": 2**53 + 1, "completion_tokens": 4}}, (2**53, 4)),
        ({"usage": {"input_tokens": 10**400}}, (None, None)),
        ({"usage.input_tokens": 1, "input_tokens": 1}, (None, None)),
    ],
)
def test_tokens(payload: Any, expected: tuple[int | None, int | None]) -> None:
    """A whole number that can be counted, under its name or else its alias."""
    row = figures.message_row(Message("a", 1, NOON, "assistant", None, "", payload))

    assert (row.input_tokens, row.output_tokens) == expected


@pytest.mark.parametrize(
    ("payload", "count", "names"),
    [
        ({}, 0, None),
        ({"tool_calls": {"name": "x"}}, 0, None),
        ({"tool_calls": [{"name": "x"}, {"name": 1}, ["name"], "x", {"called": "x"}, {"name": ""}]}, 2, "x,"),
        ({"tool_calls": [{"name": ""}]}, 1, ""),
        ([{"tool_calls": [{"name": "x"}]}], 0, None),
    ],
)
def test_tool_calls(payload: Any, count: int, names: str | None) -> None:
    """Objects with a text for a name, and nothing else."""
    row = figures.message_row(Message("a", 1, NOON, "assistant", None, "", payload))

    assert (row.tool_calls, row.tool_names) == (count, names)


def test_a_call_has_its_place() -> None:
    """The place of a call is that in the list, where what is no call has one, too."""
    payload = {"tool_calls": [{"name": 1}, {"name": "x"}, "y", {"name": "x"}]}
    rows = figures.tool_call_rows(Conversations([], [Message("a", 1, NOON, "assistant", "t", "", payload)], []))

    assert [(row.position, row.name, row.turn_id) for row in rows] == [(2, "x", "t"), (4, "x", "t")]


def test_a_message() -> None:
    """Characters are those of Python; the day is that of UTC; what is of another kind is not there."""
    late = datetime.fromisoformat("2026-03-06T01:30+02:00")
    payload = {"model": 4, "tool_call_id": "c1", "latency_ms": 1.5}
    row = figures.message_row(Message("a", 1, late, "tool", None, "\0\ud83d\ude00\U0001f600\x1a", payload))

    assert (row.characters, row.day) == (5, date(2026, 3, 5))
    assert (row.model, row.tool_call_id, row.latency_ms) == (None, "c1", 1.5)


def test_turns() -> None:
    """Each interval with the messages of its turn; those of a turn that ran again go by their time."""
    first, second, third, without = figures.turn_rows(SHOP)

    day = date(2026, 3, 5)
    assert first == TurnRow("a", 1, "t1", at(0), day, at(5), 5.0, "idle", 2, 10, 2)
    assert second == TurnRow("a", 3, "t2", at(10), day, at(12), 2.0, "error", 3, 5, 0)
    assert third == TurnRow("a", 5, "t2", at(20), day, None, None, None, 0, 0, 0)
    assert without[:9] == ("b", 1, None, at(86_400 * 4), date(2026, 3, 9), None, None, None, 1)


def test_a_turn_that_ran_again() -> None:
    """A message counts in the last interval begun by then; one from before in the first."""
    entries = [
        Entry("a", number, state, "t", at(when))
        for number, (state, when) in enumerate(
            [("running", 10), ("waiting", 20), ("running", 30), ("idle", 40), ("running", 40)]
        )
    ]
    times = [0, 10, 15, 25, 29.999999, 30, 39, 40, 99]
    messages = [said("a", number, "user", when, "t") for number, when in enumerate(times)]
    rows = figures.turn_rows(Conversations([head("a")], messages, entries))

    assert [row.messages for row in rows] == [5, 2, 2]
    assert [row.outcome for row in rows] == ["waiting", "idle", None]


def test_a_turn_without_a_name() -> None:
    """It has the messages without a turn from its beginning until just before its end."""
    entries = [Entry("a", 1, "running", None, at(10)), Entry("a", 2, "running", None, at(20))]
    messages = [said("a", number, "user", when) for number, when in enumerate([9, 10, 19, 20, 21])]
    messages.append(said("a", 9, "user", 15, "t"))
    rows = figures.turn_rows(Conversations([head("a")], messages, entries))

    assert [(row.messages, row.outcome) for row in rows] == [(2, "running"), (2, None)]


def test_days() -> None:
    """A day with anything on it has a row."""
    assert figures.daily_rows(SHOP) == [
        DailyRow(date(2026, 3, 4), 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, None, None),
        DailyRow(date(2026, 3, 5), 1, 2, 5, 3, 2, 0, 0, 0, 3, 1, 3.5, pytest.approx(4.85)),
        DailyRow(date(2026, 3, 9), 1, 0, 1, 0, 0, 0, 0, 1, 1, 0, None, None),
    ]


@pytest.mark.parametrize(
    ("time", "by", "tz", "expected"),
    [
        ("2026-03-05T23:30+00:00", "day", "UTC", date(2026, 3, 5)),
        ("2026-03-05T23:30+00:00", "day", KOLKATA, date(2026, 3, 6)),
        ("2026-03-05T18:29:59.999999+00:00", "day", KOLKATA, date(2026, 3, 5)),
        ("2026-03-05T18:45+00:00", "hour", KOLKATA, datetime(2026, 3, 6)),  # noqa: DTZ001 - of a zone it is told
        ("2026-03-29T00:59+00:00", "hour", LISBON, datetime(2026, 3, 29, 0)),  # noqa: DTZ001
        ("2026-03-29T01:00+00:00", "hour", LISBON, datetime(2026, 3, 29, 2)),  # noqa: DTZ001
        ("2026-10-25T00:30+00:00", "hour", LISBON, datetime(2026, 10, 25, 1)),  # noqa: DTZ001
        ("2026-10-25T01:30+00:00", "hour", LISBON, datetime(2026, 10, 25, 1)),  # noqa: DTZ001
        ("2026-03-08T06:59+00:00", "hour", NEW_YORK, datetime(2026, 3, 8, 1)),  # noqa: DTZ001
        ("2026-03-08T07:00+00:00", "hour", NEW_YORK, datetime(2026, 3, 8, 3)),  # noqa: DTZ001
        ("2011-12-30T09:59:59+00:00", "day", APIA, date(2011, 12, 29)),
        ("2011-12-30T10:00:00+00:00", "day", APIA, date(2011, 12, 31)),
        ("2011-12-30T10:00:00+00:00", "week", APIA, date(2011, 12, 26)),
        ("2026-02-28T18:29:59+00:00", "month", KOLKATA, date(2026, 2, 1)),
        ("2026-02-28T18:30+00:00", "month", KOLKATA, date(2026, 3, 1)),
        ("2026-01-01T00:00+00:00", "week", "UTC", date(2025, 12, 29)),
        ("2026-01-05T00:00+00:00", "week", "UTC", date(2026, 1, 5)),
        ("2026-01-05T00:00+00:00", "week", NEW_YORK, date(2025, 12, 29)),
        ("2026-01-04T23:59:59+00:00", "week", "UTC", date(2025, 12, 29)),
    ],
)
def test_periods(time: str, by: str, tz: str, expected: date) -> None:
    """An hour, a day, or the Monday of a week, as clocks there say."""
    found = select_figures.period(datetime.fromisoformat(time), by, tz)

    assert (found, type(found)) == (expected, type(expected))


PRICES = {"m": SimpleNamespace(input=3.0, output=15.0)}


@pytest.mark.parametrize(
    ("select", "arguments", "expected"),
    [
        ("activity", {}, [(DAY, 5, 3, 2, 1, 1), (LATER, 1, 0, 0, 1, 1)]),
        ("activity", {"owner": "bo"}, [(LATER, 1, 0, 0, 1, 1)]),
        ("activity", {"attributes": {"channel": "web"}, "since": at(9), "until": at(11)}, [(DAY, 2, 1, 1, 1, 1)]),
        ("owners", {}, [(date(2026, 3, 2), 1, 1, 0), (LATER, 1, 0, 1)]),
        ("owners", {"by": "day", "since": at(1)}, [(DAY, 1, 1, 0), (LATER, 1, 0, 1)]),
        ("session_lengths", {}, [(0, 1, 0), (1, 1, 1), (4, 1, 5)]),
        ("session_lengths", {"since": at(0)}, [(0, 1, 0), (4, 1, 5)]),
        ("response_times", {}, [(3, 0.0, pytest.approx(3.6))]),
        ("response_times", {"until": at(9)}, [(1, 4.0, 4.0)]),
        ("response_times", {"owner": "bo"}, [(0, None, None)]),
        ("response_times", {"by": "day", "owner": "bo"}, []),
        ("turns", {}, [(4, 2, 1, 0.5, 3.5, pytest.approx(4.85))]),
        (
            "turns",
            {"by": "day", "since": at(20)},
            [(DAY, 1, 0, 0, None, None, None), (LATER, 1, 0, 0, None, None, None)],
        ),
        ("turns", {"owner": "nobody"}, [(0, 0, 0, None, None, None)]),
        ("tools", {}, [("x", 2, 1), ("y", 1, 1)]),
        ("tools", {"by": "week"}, [(date(2026, 3, 2), "x", 2, 1), (date(2026, 3, 2), "y", 1, 1)]),
        ("tokens", {}, [(None, 1, 5, 0), ("m", 1, 10, 2)]),
        ("tokens", {"prices": PRICES}, [(None, 1, 5, 0, None), ("m", 1, 10, 2, pytest.approx(0.00006))]),
        (
            "busiest_sessions",
            {},
            [("a", None, "ann", 5, at(0), at(11)), ("b", None, "bo", 1, LATER_NOON, LATER_NOON)],
        ),
        ("busiest_sessions", {"limit": 1}, [("a", None, "ann", 5, at(0), at(11))]),
    ],
)
def test_selects(select: str, arguments: dict[str, Any], expected: list[Any]) -> None:
    """Each of them on the conversations above."""
    assert select_figures.SELECTS[select](SHOP, **arguments) == expected


@pytest.mark.parametrize(
    ("payload", "compact", "jsonb"),
    [
        ({"a": [1, 2.5], "b": None}, '{"a":[1,2.5],"b":null}', '{"a": [1, 2.5], "b": null}'),
        ([], "[]", "[]"),
        ({}, "{}", "{}"),
        (1e-7, "1e-07", "0.0000001"),
        ("é\n\x7f", '"é\\n\x7f"', '"é\\n\x7f"'),
        (["\0"], '["\\u001a\\u0001\\u0001\\u0001"]', '["\\u001a\\u0001\\u0001\\u0001"]'),
    ],
)
def test_storage(payload: Any, compact: str, jsonb: str) -> None:
    """Four bytes for what cannot be stored, two for an accent, and JSON as each database writes it."""
    one = Conversations([head("a")], [Message("a", 1, NOON, "user", None, "é\0\ud800", payload)], [])

    for json_text, text in ((select_figures.compact_json, compact), (select_figures.jsonb_text, jsonb)):
        assert json_text(payload) == text
        assert select_figures.storage(one, json_text=json_text) == [(1, 10, len(text.encode()))]
