"""CSV and Parquet: a row for each message, that others read as it was meant."""

import csv
import io
import json
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given

from session_store import ChatMessage, SessionStore, StoreError
from session_store.testing import Clock
from session_store.transfer import export_csv, export_parquet, parquet_export
from tests.conftest import examples
from tests.transfer.stories import Happening, emptied, exported, happen, imported, stories

pytestmark = pytest.mark.once

TYPES = {
    "session_key": "string",
    "seq": "int64",
    "created_at": "timestamp[us, tz=UTC]",
    "day": "date32[day]",
    "role": "string",
    "turn_id": "string",
    "content": "string",
    "characters": "int64",
    "tool_calls": "int64",
    "tool_names": "string",
    "tool_call_id": "string",
    "model": "string",
    "input_tokens": "int64",
    "output_tokens": "int64",
    "latency_ms": "double",
    "owner": "string",
    "payload": "string",
}


def in_utf8(text: str | None) -> str | None:
    """A text as a file can have it."""
    return None if text is None else "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)


def a_text(value: Any) -> str | None:
    """What is a text, or nothing."""
    return value if isinstance(value, str) else None


def a_number(*values: Any, whole: bool = True) -> float | None:
    """The first that is a number as large as a count may be."""
    for value in values:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and 0 <= value <= 2**53 and (not whole or value == int(value)):
            return int(value) if whole else float(value)
    return None


def expected(store: SessionStore) -> list[dict[str, Any]]:
    """The rows, from what the store itself says of each message."""
    rows = []
    for session in sorted(store.list_sessions_with_metadata(), key=lambda each: each.key):
        for seq, created_at, turn_id, (role, content, payload) in store.history(session.key):
            said = payload if isinstance(payload, dict) else {}
            calls = said.get("tool_calls") if isinstance(said.get("tool_calls"), list) else []
            names = [call["name"] for call in calls if isinstance(call, dict) and isinstance(call.get("name"), str)]
            usage = said.get("usage") if isinstance(said.get("usage"), dict) else {}
            rows.append(
                {
                    "session_key": session.key,
                    "seq": seq,
                    "created_at": created_at,
                    "day": created_at.date(),
                    "role": role,
                    "turn_id": turn_id,
                    "content": in_utf8(content),
                    "characters": len(content),
                    "tool_calls": len(names),
                    "tool_names": in_utf8(",".join(names)) if names else None,
                    "tool_call_id": in_utf8(a_text(said.get("tool_call_id"))),
                    "model": in_utf8(a_text(said.get("model"))),
                    "input_tokens": a_number(usage.get("input_tokens"), usage.get("prompt_tokens")),
                    "output_tokens": a_number(usage.get("output_tokens"), usage.get("completion_tokens")),
                    "latency_ms": a_number(said.get("latency_ms"), whole=False),
                    "owner": session.owner,
                    "payload": None if payload is None else replaced(payload),
                }
            )
    return rows


def replaced(value: Any) -> Any:
    """JSON with its texts as a file can have them."""
    return json.loads(in_utf8(json.dumps(value, ensure_ascii=False)) or "")


def from_csv(store: SessionStore) -> list[dict[str, Any]]:
    """The rows of a CSV file, read by the standard library; an empty field is None."""
    file = io.BytesIO()
    export_csv(store, file)
    read = {
        **dict.fromkeys(["seq", "characters", "tool_calls", "input_tokens", "output_tokens"], int),
        "created_at": datetime.fromisoformat,
        "day": date.fromisoformat,
        "latency_ms": float,
        "payload": json.loads,
    }
    rows = csv.DictReader(io.StringIO(file.getvalue().decode(), newline=""))
    return [{name: read.get(name, str)(text) if text else None for name, text in row.items()} for row in rows]


def from_parquet(store: SessionStore) -> list[dict[str, Any]]:
    """The rows of a Parquet file, read by pyarrow."""
    file = io.BytesIO()
    export_parquet(store, file)
    rows = pq.read_table(io.BytesIO(file.getvalue())).to_pylist()
    return [{**row, "payload": row["payload"] and json.loads(row["payload"])} for row in rows]


HARD_PAYLOADS: list[Any] = [
    {"tool_calls": [{"name": "a"}, {"name": 7}, "b", {"name": "c\0\ud800"}], "tool_call_id": "id", "model": "m\udc00"},
    {"tool_calls": {"name": "a"}, "model": 7, "usage": {"input_tokens": 12.0, "completion_tokens": 3}},
    {"usage": {"input_tokens": True, "prompt_tokens": 2**53, "output_tokens": 2**53 + 2}, "latency_ms": 0.25},
    {"usage": [1], "latency_ms": -1, "\ud800": ["\0", 10**30, 1e-7]},
    [1, "é"],
    "text",
    0,
    False,
]


def test_the_rows_are_those_of_the_messages(store: SessionStore, other: SessionStore, clock: Clock) -> None:
    """Whatever was said, as plain Python works them out, and the same from both databases."""

    @examples(8)
    @given(stories)
    def example(story: list[Happening]) -> None:
        emptied(store, other)
        happen(story, store, clock)
        for payload in HARD_PAYLOADS:
            store.append("hard", ChatMessage.tool("done", payload))
        imported(other, exported(store))
        rows = expected(store)

        assert from_parquet(store) == from_parquet(other) == rows
        empty = [{name: None if value == "" else value for name, value in row.items()} for row in rows]
        assert from_csv(store) == from_csv(other) == empty

    example()


def test_a_parquet_file_says_of_what_type_its_columns_are(store: SessionStore) -> None:
    """Also where there is no row."""
    for _ in range(2):
        file = io.BytesIO()
        export_parquet(store, file)
        schema = pq.read_schema(io.BytesIO(file.getvalue()))
        assert {each.name: str(each.type) for each in schema} == TYPES
        store.append("a", ChatMessage.user("hello"))


def test_a_csv_file_is_in_utf8_with_a_header(store: SessionStore) -> None:
    """Its lines end as RFC 4180 has it, and what has a comma, a quote or a line feed is in quotes."""
    store.append("a", ChatMessage.user('é, "\n"', {"n": "é"}))
    file, rest = io.BytesIO(), io.BytesIO()
    export_csv(store, file)
    export_csv(store, rest, header=False)
    header, row = file.getvalue().split(b"\r\n", 1)

    assert header.decode() == ",".join(TYPES)
    assert row == rest.getvalue()
    assert '"é, ""\n""",6,0,,,,,,,,"{""n"":""é""}"\r\n'.encode() in row


def test_groups_of_rows_are_written_as_they_come(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their number or by their size, and none is lost."""
    monkeypatch.setattr(parquet_export, "ROW_GROUP_SIZE", 3)
    monkeypatch.setattr(parquet_export, "ROW_GROUP_MAX_CHARS", 1000)
    store.append_many("a", [ChatMessage.user("x" * (2000 if n == 4 else n)) for n in range(9)])
    file = io.BytesIO()
    export_parquet(store, file)
    read = pq.ParquetFile(io.BytesIO(file.getvalue()))

    sizes = [read.metadata.row_group(n).num_rows for n in range(read.num_row_groups)]
    assert sizes == [3, 2, 3, 1]
    assert from_parquet(store) == expected(store)


def test_a_parquet_file_has_its_name_when_it_is_complete(store: SessionStore, tmp_path: Path) -> None:
    """Until then there is another beside it, and one that was there stays."""
    store.append("a", ChatMessage.user("hello"))
    path = tmp_path / "folder" / "messages.parquet"
    path.parent.mkdir()
    path.write_text("before")

    def fail(_: object) -> None:
        assert [each.name for each in path.parent.iterdir() if each != path] == ["messages.parquet.part"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_parquet(store, path, on_session=fail)
    assert (path.read_text(), list(path.parent.iterdir())) == ("before", [path])
    export_parquet(store, path)
    assert pq.read_table(path).num_rows == 1
    assert list(path.parent.iterdir()) == [path]


def test_without_pyarrow_it_says_what_brings_it(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where Parquet is asked for."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(StoreError, match=r"comes with the extra `parquet`: pip install 'session-store\[parquet\]'"):
        export_parquet(store, io.BytesIO())
    export_csv(store, io.BytesIO())
