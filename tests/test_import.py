"""JSON Lines into a store: what is added, what is broken, and what a second time changes."""

import gzip
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from session_store import ChatMessage, Conflict, SchemaOutOfDate, SessionStore, StoreError
from session_store.store.operations import Operations
from session_store.testing import Clock
from session_store.transfer import BrokenLine, ImportResult, bulk_load, import_jsonl
from session_store.transfer import line_reader as lines_
from tests.conftest import Database

pytestmark = pytest.mark.once

LINE: dict[str, Any] = {"session_key": "telegram_ann", "role": "user", "content": "hello"}


@pytest.fixture
def store(database: Database, clock: Clock) -> Iterator[SessionStore]:
    """An empty store, for code that blocks."""
    with SessionStore(database.url, clock=clock) as store:
        yield store


def lines(*entries: dict[str, Any] | bytes | str) -> bytes:
    """Return a file of these lines."""
    return b"".join(
        (
            entry
            if isinstance(entry, bytes)
            else entry.encode()
            if isinstance(entry, str)
            else json.dumps(entry).encode()
        )
        + b"\n"
        for entry in entries
    )


def run(store: SessionStore, *contents: bytes) -> tuple[ImportResult, list[BrokenLine]]:
    """Import files with these contents."""
    broken: list[BrokenLine] = []
    return import_jsonl(store, map(io.BytesIO, contents), on_broken=broken.append), broken


def message(number: int, **fields: Any) -> dict[str, Any]:
    """Return a line that no other number gives."""
    return {**LINE, "content": f"message {number}", **fields}


def test_every_field_arrives(store: SessionStore, clock: Clock) -> None:
    """The time is the line's, or else the store's; the payload is any JSON; other fields are passed over."""
    payload = {"tool_calls": [{"name": "weather"}], "n": 1e16}
    run(store, lines({**LINE, "created_at": "2026-01-01T01:00:00+02:00", "payload": payload, "other": 1}, LINE))

    first, second = store.history("telegram_ann")
    assert first.message == ChatMessage("user", "hello", {"tool_calls": [{"name": "weather"}], "n": 10**16})
    assert first.created_at == datetime(2025, 12, 31, 23, 0, tzinfo=UTC)
    assert (second.message, second.created_at) == (ChatMessage.user("hello"), clock.now)


def test_again_adds_nothing(store: SessionStore) -> None:
    """The same file again finds every message there, and equal lines are as many messages as they were."""
    content = lines(LINE, message(1), LINE, LINE, {**LINE, "session_key": "web_bo"})

    first, _ = run(store, content)
    again, _ = run(store, content)

    assert first == ImportResult(lines=5, added=5, already_there=0, broken=0, sessions=2)
    assert again == ImportResult(lines=5, added=0, already_there=5, broken=0, sessions=2)
    assert [entry.content for entry in store.load("telegram_ann")] == ["hello", "message 1", "hello", "hello"]


def test_a_file_that_has_grown_adds_what_is_new(store: SessionStore) -> None:
    """Lines before the new ones are found, one of them having been written in another spelling."""
    when = {"created_at": "2026-01-01T00:00:00Z", "payload": {"a": 1, "b": [1.0]}}
    same = {"payload": {"b": [1.0], "a": 1}, "created_at": "2026-01-01T02:00:00+02:00"}
    run(store, lines(message(1, **when)))

    grown, _ = run(store, lines(message(1, **same), message(2)))

    assert (grown.added, grown.already_there) == (1, 1)


@pytest.mark.parametrize(
    "change",
    [{"role": "tool"}, {"content": "hello "}, {"created_at": "2026-01-01T00:00:00Z"}, {"payload": {}}, {"payload": 0}],
    ids=str,
)
def test_lines_that_differ_anywhere_are_two_messages(store: SessionStore, change: dict[str, Any]) -> None:
    """Each field counts in what makes two lines equal."""
    run(store, lines(LINE))

    assert run(store, lines(LINE | change))[0].added == 1


def test_two_files_that_overlap_are_not_doubled(store: SessionStore) -> None:
    """Occurrences are counted in each file by itself, so it makes no difference whether they come together."""
    both, _ = run(store, lines(LINE, LINE), lines(LINE, message(1)))

    assert (both.added, both.already_there) == (3, 1)


def test_seqs_follow_the_lines(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all batches, in every session."""
    monkeypatch.setattr(bulk_load, "LINE_BATCH_SIZE", 7)
    keys = ["a", "b", "c"]
    run(store, lines(*(message(number, session_key=keys[number % 3]) for number in range(60))))

    for index, key in enumerate(keys):
        expected = [f"message {number}" for number in range(index, 60, 3)]
        assert [entry.content for entry in store.load(key)] == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nope", "is not JSON at character 1: Expecting value"),
        ('{"session_key": "a"', "is not JSON at character 20: Expecting ',' delimiter"),
        ("[1]", "must be a JSON object, got list"),
        ('"text"', "must be a JSON object, got str"),
        ({}, "has no session_key, role, content"),
        ({"session_key": "a", "content": "x"}, "has no role"),
        (b'{"content": "\xff"}', "is not UTF-8: byte 0xff at 14"),
        (b'{"content": "\xed\xa0\x80"}', "is not UTF-8: byte 0xed at 14"),
        ("[" * 200_000, "is nested too deeply"),
        ('{"payload": NaN}', "is not JSON: NaN"),
        ('{"payload": ' + "9" * 5_000 + "}", "has an integer of more than 4,300 digits"),
        (LINE | {"session_key": 7}, "session_key must be a str, got int"),
        (LINE | {"session_key": None}, "session_key must be a str, got NoneType"),
        (LINE | {"session_key": ""}, "session_key must be 1 to 512 bytes of UTF-8, got 0"),
        (LINE | {"session_key": "é" * 257}, "session_key must be 1 to 512 bytes of UTF-8, got 514"),
        (LINE | {"session_key": "a\0"}, "session_key holds a NUL character"),
        (LINE | {"session_key": "\ud800"}, "session_key holds a lone surrogate"),
        (LINE | {"role": "r" * 65}, "role must be 1 to 64 bytes of UTF-8, got 65"),
        (LINE | {"role": ["user"]}, "role must be a str, got list"),
        (LINE | {"content": None}, "content must be a str, got NoneType"),
        (LINE | {"content": {"text": "x"}}, "content must be a str, got dict"),
        (LINE | {"created_at": 1767225600}, "created_at must be a str, got int"),
        (LINE | {"created_at": "soon\x1b"}, "created_at is not a time in ISO 8601: 'soon\\x1b'"),
        (LINE | {"created_at": "\ud800"}, "created_at is not a time in ISO 8601: '\\ud800'"),
        (LINE | {"created_at": "2026-01-01T00:00:00"}, "created_at must have a time zone: 2026-01-01T00:00:00"),
        (LINE | {"created_at": "2026-01-01"}, "created_at must have a time zone"),
        (LINE | {"created_at": "0001-01-01T00:00:00+01:00"}, "created_at must be between 0001-01-02"),
        (json.dumps(LINE)[:-1] + ', "payload": 1e999}', "payload holds inf, which is not JSON"),
        (json.dumps(LINE)[:-1] + f', "payload": {"[" * 101 + "]" * 101}}}', "payload is nested deeper than 100 levels"),
    ],
    ids=lambda value: ascii(value)[-40:],
)
def test_a_broken_line_is_told_and_the_others_are_kept(
    store: SessionStore, line: dict[str, Any] | bytes | str, reason: str
) -> None:
    """With its number and what is wrong with it."""
    result, (broken,) = run(store, lines(message(1), line, message(2)))

    assert result == ImportResult(lines=3, added=2, already_there=0, broken=1, sessions=1)
    assert (broken.file, broken.line) == ("<bytes>", 2)
    assert broken.reason.startswith(reason)


@pytest.mark.parametrize("content", ["\0", "\ud800", "\x1a\x01", "\x1b[31m", "[red]", "%s", "\u2028", "", "😀" * 9000])
def test_any_text_arrives(store: SessionStore, content: str) -> None:
    """Whatever JSON can say is stored as it is, in the content and in the payload."""
    run(store, lines({**LINE, "content": content, "payload": {content: content}}))

    assert store.load("telegram_ann") == [ChatMessage.user(content, {content: content})]


def test_blank_lines_and_what_windows_adds_are_no_lines(store: SessionStore) -> None:
    """A byte order mark, carriage returns, empty lines, no line feed at the end."""
    content = b"\xef\xbb\xbf" + json.dumps(LINE).encode() + b"\r\n\r\n  \n" + json.dumps(message(1)).encode()

    assert run(store, content)[0] == ImportResult(lines=2, added=2, already_there=0, broken=0, sessions=1)


def test_gzip_is_known_by_its_first_bytes(store: SessionStore, tmp_path: Path) -> None:
    """Whatever the name; of several members each is read; bytes read are those of the file as it is."""
    path = tmp_path / "chats.txt"
    path.write_bytes(gzip.compress(lines(message(1))) + gzip.compress(lines(message(2))))
    sizes: list[int] = []

    result = import_jsonl(store, [path, str(path)], on_read=sizes.append)

    assert (result.added, result.already_there) == (2, 2)
    assert sum(sizes) == 2 * path.stat().st_size


def test_a_damaged_file_is_read_as_far_as_it_goes(store: SessionStore) -> None:
    """What stands before the damage is kept, the first line missing is told, and the next file is read."""
    whole = gzip.compress(lines(*map(message, range(2000))))
    cut, (broken,) = run(store, whole[: len(whole) // 2], lines(LINE))

    assert 1 < cut.added == broken.line
    assert broken.reason.startswith("cannot be read from here on: ")
    assert store.load("telegram_ann")[-1] == ChatMessage.user("hello")

    trailing, (broken,) = run(store, whole + b"rubbish")
    assert (trailing.lines, trailing.added + trailing.already_there, broken.line) == (2001, 2000, 2001)


def test_a_line_too_long_is_passed_by(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not held in memory, and the next one is read."""
    monkeypatch.setattr(lines_, "MAX_LINE_BYTES", 1000)
    result, (broken,) = run(store, lines(message(1), message(2, payload="x" * 5000), message(3)))

    assert (result.lines, result.added, broken) == (3, 2, BrokenLine("<bytes>", 2, "longer than 1,000 bytes"))


def test_a_batch_has_an_end_in_bytes_too(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long lines are committed before there are many."""
    monkeypatch.setattr(bulk_load, "BATCH_MAX_BYTES", 1000)
    begun: list[None] = []
    begin = store.begin
    monkeypatch.setattr(store, "begin", lambda: (begun.append(None), begin())[1])
    run(store, lines(*(message(number, payload="x" * 600) for number in range(4))))

    assert len(begun) == 2


def test_a_message_that_is_refused_leaves_the_others(store: SessionStore) -> None:
    """A message changed in the store since it was imported is told when its line comes again; new ones are added."""
    run(store, lines(message(1), message(2)))
    store.update_last("telegram_ann", ChatMessage.user("changed"))

    result, (broken,) = run(store, lines(*map(message, range(1, 40)), *(message(n, session_key="b") for n in range(9))))

    assert result == ImportResult(lines=48, added=46, already_there=1, broken=1, sessions=2)
    assert broken.line == 2
    assert broken.reason.startswith("session 'telegram_ann' holds another message")
    assert [entry.content for entry in store.load("telegram_ann")][:4] == [
        "message 1",
        "changed",
        "message 3",
        "message 4",
    ]


def failing(monkeypatch: pytest.MonkeyPatch, errors: Iterator[StoreError | None]) -> None:
    """Let the next calls of ``append_many`` fail, by turns."""
    append_many = Operations.append_many

    def call(self: Operations, *args: Any) -> Any:
        error = next(errors, None)
        if error is not None:
            raise error
        return append_many(self, *args)

    monkeypatch.setattr(Operations, "append_many", call)


def test_a_batch_that_had_to_give_way_is_tried_again(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its start, and what it counts is counted once."""
    monkeypatch.setattr(bulk_load, "_MAX_PAUSE_SECS", 0)
    failing(monkeypatch, iter([None, Conflict("deadlock"), Conflict("deadlock")]))

    result, _ = run(store, lines(LINE, {**LINE, "session_key": "b"}))

    assert result == ImportResult(lines=2, added=2, already_there=0, broken=0, sessions=2)


def test_a_database_that_gives_way_every_time_ends_the_import(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some tries, not forever."""
    monkeypatch.setattr(bulk_load, "_MAX_PAUSE_SECS", 0)
    failing(monkeypatch, iter([Conflict("deadlock")] * 5))

    with pytest.raises(Conflict):
        run(store, lines(LINE))


def test_an_error_that_is_not_the_lines_ends_the_import(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written, not every line of the file is told to be broken."""
    failing(monkeypatch, iter([StoreError("permission denied")] * 10_000))
    broken: list[BrokenLine] = []

    with pytest.raises(StoreError, match="permission denied"):
        import_jsonl(store, [io.BytesIO(lines(*map(message, range(1000))))], on_broken=broken.append)
    assert len(broken) == 20


def test_a_crash_leaves_whole_batches_and_again_completes(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun and not committed is not there; in the end everything is, once."""
    monkeypatch.setattr(bulk_load, "LINE_BATCH_SIZE", 10)
    content = lines(*map(message, range(35)))
    failing(monkeypatch, iter([None, None, RuntimeError("crash")]))
    with pytest.raises(RuntimeError, match="crash"):
        run(store, content)

    assert len(store.load("telegram_ann")) == 20
    assert import_jsonl(store, [io.BytesIO(b"broken")]).broken == 1
    assert run(store, content)[0] == ImportResult(lines=35, added=15, already_there=20, broken=0, sessions=1)
    assert [entry.content for entry in store.load("telegram_ann")] == [f"message {number}" for number in range(35)]


def test_a_database_without_tables_is_told(empty_database: Database) -> None:
    """The import does not migrate by itself: ``SessionStore.open`` does."""
    with SessionStore(empty_database.url) as store, pytest.raises(SchemaOutOfDate):
        import_jsonl(store, [io.BytesIO(lines(LINE))])


def test_a_file_that_is_not_there_is_an_os_error(store: SessionStore, tmp_path: Path) -> None:
    """As everywhere in Python."""
    with pytest.raises(FileNotFoundError):
        import_jsonl(store, [tmp_path / "none.jsonl"])


def test_the_head_agrees_with_the_log(store: SessionStore) -> None:
    """Counts, times and numbers are those of the messages."""
    run(store, lines(*(message(n, created_at=f"2026-01-01T00:0{n}:00Z") for n in (3, 1, 2))))

    head = store.get_session_metadata("telegram_ann")
    assert head is not None
    assert (head.message_count, head.last_seq) == (3, 3)
    assert head.last_activity == datetime(2026, 1, 1, 0, 3, tzinfo=UTC)
    assert store.compact("telegram_ann", dry_run=True).head_repaired is False
    with store.engine.connect() as db:
        keys = db.scalars(text("SELECT idempotency_key FROM session_store_messages")).all()
    assert {len(key) for key in keys} == {len("jsonl:") + 32 + len(":1")}
