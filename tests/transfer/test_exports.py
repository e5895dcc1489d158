"""What an export writes, of which sessions, and what it holds of the database meanwhile."""

import io
import itertools
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store import (
    ChatMessage,
    InvalidKey,
    InvalidQuery,
    SchemaOutOfDate,
    SessionMetadata,
    SessionQuery,
    SessionStore,
)
from session_store.repositories import bulk_copy
from session_store.testing import Clock
from session_store.transfer import ExportResult, export_csv, export_jsonl, export_parquet
from tests.conftest import Database, examples
from tests.transfer.stories import Happening, emptied, exported, happen, lines_of, stories

pytestmark = pytest.mark.once

EXPORTS = [export_jsonl, export_csv, export_parquet]
each_kind = pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.__name__)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what happens before a database is asked, or after it has answered."""


def keys_of(data: bytes) -> list[str]:
    """The sessions in a file."""
    return [line["session_key"] for line in lines_of(data) if line["kind"] == "session"]


def fill(store: SessionStore, clock: Clock) -> None:
    """Sessions that differ in all that can be asked for."""
    for number, (owner, state, label) in enumerate(itertools.product([None, "ann"], ["idle", "running"], [1, "1"])):
        clock.advance(3600)
        store.create_session(f"s{number}", owner=owner, attributes={"n": label})
        store.append(f"s{number}", ChatMessage.user("hello"))
        store.set_session_state(f"s{number}", state, "t")


@pytest.mark.parametrize(
    "which",
    [
        {},
        {"owner": "ann"},
        {"state": "running"},
        {"state": "idle", "owner": "ann"},
        {"attributes": {"n": 1}},
        {"attributes": {"n": "1"}, "state": "running"},
        {"active_since": datetime(2026, 1, 5, 16, 0, tzinfo=UTC)},
        {"active_before": datetime(2026, 1, 5, 16, 0, tzinfo=UTC), "owner": None},
        {"owner": "nobody"},
    ],
    ids=str,
)
def test_those_that_are_asked_for(store: SessionStore, clock: Clock, which: dict[str, Any]) -> None:
    """The sessions that a list with the same conditions has, by their keys."""
    fill(store, clock)
    expected = sorted(store.list_sessions(SessionQuery(**which)))

    assert keys_of(exported(store, **which)) == expected
    assert keys_of(exported(store, **which, after="s3")) == [key for key in expected if key > "s3"]


def test_keys_are_in_the_order_of_their_bytes(store: SessionStore) -> None:
    """Upper case first, and the last plane last, on both databases."""
    keys = ["a", "B", "é", "z", "~", "\uffff", "\U0001f600", "\x01", "a\n"]
    for key in keys:
        store.create_session(key)

    assert keys_of(exported(store)) == sorted(keys, key=str.encode)


@each_kind
def test_what_was_exported_is_told(store: SessionStore, clock: Clock, export: Any) -> None:
    """How much, each session when it has been written, and where another export goes on."""
    fill(store, clock)
    told: list[SessionMetadata] = []

    assert export(store, io.BytesIO(), on_session=told.append) == ExportResult(8, 8, "s7")
    assert told == [store.get_session_metadata(f"s{number}") for number in range(8)]
    assert export(store, io.BytesIO(), after="s5", state="running") == ExportResult(2, 2, "s7")
    assert export(store, io.BytesIO(), after="s7") == ExportResult(0, 0, None)


def test_it_is_the_same_by_any_pages(store: SessionStore, clock: Clock) -> None:
    """However many rows are read at once, sessions are neither parted nor passed by."""

    @examples(8)
    @given(stories, st.integers(1, 4))
    def example(story: list[Happening], page: int) -> None:
        emptied(store)
        happen(story, store, clock)
        expected = exported(store)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bulk_copy, "PAGE", page)
            patch.setattr("session_store.transfer.session_reader.PAGE", page)
            assert exported(store) == expected

    example()


def test_what_comes_meanwhile_waits(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each session is as its head said when that was read: what is appended then is left to the next export."""
    monkeypatch.setattr(bulk_copy, "PAGE", 2)
    for key in "ab":
        store.append_many(key, [ChatMessage.user("x")] * 5)
    store.set_session_state("b", "running", "t")
    before = exported(store)

    def meanwhile(session: SessionMetadata) -> None:
        if session.key == "a":
            store.append("b", ChatMessage.user("meanwhile"))
            store.set_session_state("b", "idle")

    file = io.BytesIO()
    export_jsonl(store, file, on_session=meanwhile)

    assert file.getvalue() == before


class Watching(io.BytesIO):
    """A file that notes how many connections are out whenever it is written."""

    def __init__(self, connections: set[object]) -> None:
        super().__init__()
        self._connections = connections
        self.noted: set[int] = set()

    def write(self, data: Any) -> int:
        """Write on."""
        self.noted.add(len(self._connections))
        return super().write(data)


@each_kind
def test_no_connection_is_held_while_a_file_is_written(
    store: SessionStore, clock: Clock, connections: set[object], export: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be written slowly."""
    monkeypatch.setattr(bulk_copy, "PAGE", 2)
    fill(store, clock)
    file = Watching(connections)
    export(store, file)

    assert file.noted == {0}


@on_sqlite
@each_kind
@pytest.mark.parametrize(
    ("which", "error"),
    [
        ({"owner": ""}, InvalidKey),
        ({"state": 7}, InvalidKey),
        ({"attributes": {"n": [1]}}, InvalidQuery),
        ({"active_since": datetime(2026, 1, 5)}, InvalidQuery),  # noqa: DTZ001
        ({"active_before": "soon"}, InvalidQuery),
        ({"after": ""}, InvalidKey),
        ({"after": 7}, InvalidKey),
        ({"keyword": "hello"}, TypeError),
        ({"limit": 1}, TypeError),
    ],
    ids=str,
)
def test_what_is_not_understood_makes_no_file(
    store: SessionStore, tmp_path: Path, export: Any, which: dict[str, Any], error: type[Exception]
) -> None:
    """It is told by its type, and a file that is there stays as it is."""
    there = tmp_path / "folder" / "there"
    there.parent.mkdir()
    there.write_text("kept")

    for path in (there, there.with_name("new")):
        with pytest.raises(error):
            export(store, path, **which)
    assert list(there.parent.iterdir()) == [there]
    assert there.read_text() == "kept"


@on_sqlite
@each_kind
@pytest.mark.parametrize("out", [None, 7, io.StringIO()], ids=["None", "7", "text"])
def test_what_is_no_place_to_write_to_is_told(store: SessionStore, export: Any, out: Any) -> None:
    """A path, or a file open for writing bytes."""
    with pytest.raises(InvalidQuery, match="out must be a path, or a file open for writing bytes"):
        export(store, out)


@each_kind
def test_a_database_without_tables_makes_no_file(empty_database: Database, tmp_path: Path, export: Any) -> None:
    """It is told, and what to run."""
    with SessionStore(empty_database.url) as store, pytest.raises(SchemaOutOfDate):
        export(store, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@on_sqlite
@each_kind
def test_a_path_may_be_of_any_kind(store: SessionStore, clock: Clock, tmp_path: Path, export: Any) -> None:
    """Text or `Path`; a file that is there is replaced."""
    fill(store, clock)
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    contents = set()
    for out in (path, str(path)):
        assert export(store, out) == ExportResult(8, 8, "s7")
        contents.add(path.read_bytes())

    assert len(contents) == 1
    assert list(path.parent.iterdir()) == [path]


def test_memory_does_not_grow_with_what_there_is(
    store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither many sessions nor a long one are held: a few pages are, a small part of what is written."""
    monkeypatch.setattr(bulk_copy, "PAGE", 20)
    monkeypatch.setattr("session_store.transfer.session_reader.PAGE", 20)
    store.append_many("a", [ChatMessage.user(f"{number} " + "x" * 4000) for number in range(600)])
    for number in range(300):
        store.create_session(f"b{number}", attributes={"x": "x" * 8000})
    file = tmp_path / "file"
    export_jsonl(store, file)
    tracemalloc.start()
    try:
        export_jsonl(store, file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < file.stat().st_size / 3
