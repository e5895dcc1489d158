"""Sessions out of zeroclaw's files, beside its database and in any place: taken once, or it is told why not."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store import ChatMessage, InvalidQuery, SessionStore, StoreError
from session_store.transfer.results import ImportResult
from session_store.transfer.sources.zeroclaw import import_zeroclaw, is_zeroclaw
from tests.conftest import examples
from tests.imports.ann import (
    BARE,
    CHANGED,
    FIRST,
    HELLO,
    HI,
    KEY,
    NUMBERS,
    ROLES,
    SAID,
    can_be_said,
    file_of,
    folder,
    only_sqlite,
)
from tests.imports.conftest import Told
from tests.imports.sources import jsonl, writing, zeroclaw

pytestmark = pytest.mark.once


# Files.


def test_a_file_is_a_session(target: SessionStore, told: Told, tmp_path: Path) -> None:
    """Its name is the key, its lines are the messages, and it was last changed at the time of them all."""
    file_of(tmp_path, HELLO, b"", HI | {"more": 1}, key="slack_C1_ann")
    changed = datetime.fromtimestamp(CHANGED, UTC)

    assert told.by(import_zeroclaw)(target, tmp_path / "workspace") == ImportResult(2, 2, 0, 0, 1)
    assert told == Told()
    assert [(stored.seq, stored.created_at, stored.message) for stored in target.history("slack_C1_ann")] == [
        (1, changed, ChatMessage.user("Hello")),
        (2, changed, ChatMessage.assistant("Hi, Ann")),
    ]
    assert target.get_session_metadata("slack_C1_ann") == BARE._replace(
        key="slack_C1_ann", created_at=changed, last_activity=changed
    )


BROKEN = [
    (b'{"role": "user", "content"', "is not JSON at character 27"),
    (b'{"role": "user", "content": "\xff"}', "is not UTF-8: byte 0xff at 30"),
    (b'{"role": "user"}', "content is missing"),
    (b'{"role": 7, "content": "Hello"}', "role must be text, got int"),
    (b'{"role": "user", "content": ["Hello"]}', "content must be text, got list"),
    (b'{"role": "", "content": "Hello"}', "role must be 1 to 64 bytes"),
    (b'["user", "Hello"]', "must be a JSON object"),
    (b'{"role": "user", "content": NaN}', "is not JSON: NaN"),
    (b"[" * 100_000, "nested too deep"),
]


@only_sqlite
@pytest.mark.parametrize(("line", "reason"), BROKEN, ids=[reason for _, reason in BROKEN])
def test_a_broken_line_is_told_and_passed_by(
    target: SessionStore, told: Told, line: bytes, reason: str, tmp_path: Path
) -> None:
    """It has no number of its own: zeroclaw drops it when it next writes the file."""
    file = file_of(tmp_path, HELLO, line, HI)

    assert told.by(import_zeroclaw)(target, file) == ImportResult(3, 2, 0, 1, 1)
    assert [(broken.file, broken.line) for broken in told.broken] == [(str(file), 2)]
    assert reason in told.broken[0].reason
    assert [stored.seq for stored in target.history(KEY)] == [1, 2]

    file.unlink()
    file_of(tmp_path, HELLO, HI, HELLO)
    assert import_zeroclaw(target, file) == ImportResult(3, 1, 2, 0, 1)


@only_sqlite
def test_a_half_written_line_is_taken_when_it_is_whole(target: SessionStore, tmp_path: Path) -> None:
    """The file of a running zeroclaw may end anywhere."""
    whole = json.dumps(HI).encode()
    file = file_of(tmp_path, HELLO, whole[:20])

    assert import_zeroclaw(target, file) == ImportResult(2, 1, 0, 1, 1)

    file.write_bytes(file.read_bytes()[:-1] + whole[20:])
    assert import_zeroclaw(target, file) == ImportResult(2, 1, 1, 0, 1)
    assert len(target.load(KEY)) == 2


@only_sqlite
def test_an_empty_file_is_a_session_without_messages(target: SessionStore, tmp_path: Path) -> None:
    """Which is what zeroclaw leaves of a session that was cleared."""
    assert import_zeroclaw(target, file_of(tmp_path)) == ImportResult(0, 0, 0, 0, 1)
    assert target.session_exists(KEY)


@only_sqlite
def test_the_time_of_a_file_may_be_any(target: SessionStore, tmp_path: Path) -> None:
    """One that Python cannot say loses no message."""
    file = file_of(tmp_path, HELLO)
    os.utime(file, (2**40, 2**40))

    assert import_zeroclaw(target, file).added == 1


@only_sqlite
def test_a_file_that_cannot_be_opened_costs_only_itself(target: SessionStore, told: Told, tmp_path: Path) -> None:
    """It is told as skipped, and so is one whose name cannot be a key."""
    zeroclaw(folder(tmp_path) / "sessions.db")
    (folder(tmp_path) / "a.jsonl").mkdir()
    file_of(tmp_path, HELLO, key="")
    file_of(tmp_path, HELLO, key=os.fsdecode(b"\xff"))
    file_of(tmp_path, HELLO)

    assert told.by(import_zeroclaw)(target, folder(tmp_path)) == ImportResult(1, 1, 0, 0, 1, 3)
    assert {skipped.session_key for skipped in told.skipped} == {"a", "", "\udcff"}


# Both.


@only_sqlite
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.importing"])
@pytest.mark.parametrize("lines", [[HELLO], [HELLO, HI, b"{", HELLO]], ids=["less", "more"])
def test_the_database_wins(
    target: SessionStore, told: Told, suffix: str, lines: Sequence[object], tmp_path: Path
) -> None:
    """A file of a session that the database has is told as skipped, with both counts if it has more messages."""
    place = zeroclaw(folder(tmp_path) / "sessions.db", SAID, without="session_key")
    file_of(tmp_path, *lines, suffix=suffix)
    file_of(tmp_path, HELLO, key="web_bo", suffix=suffix)

    assert told.by(import_zeroclaw)(target, place.parent) == ImportResult(3, 3, 0, 0, 2, 1)
    assert told.skipped[0].session_key == KEY
    assert ("with 2 messages and not the 3" in told.skipped[0].reason) is (len(lines) > 2)
    assert len(target.load(KEY)) == 2
    assert not told.broken


@only_sqlite
def test_the_file_named_by_itself_completes_what_the_database_had(target: SessionStore, tmp_path: Path) -> None:
    """As the report says: its messages beyond those of the database are added."""
    zeroclaw(folder(tmp_path) / "sessions.db", SAID)
    file = file_of(tmp_path, HELLO, HI, HELLO)
    import_zeroclaw(target, tmp_path / "workspace")

    assert import_zeroclaw(target, file) == ImportResult(3, 1, 2, 0, 1)


@only_sqlite
def test_a_session_of_which_the_database_knows_no_message_is_there(
    target: SessionStore, told: Told, tmp_path: Path
) -> None:
    """A row of metadata is a session too."""
    place = zeroclaw(folder(tmp_path) / "sessions.db", metadata=[{"session_key": KEY, "name": "Ann"}])
    file_of(tmp_path, HELLO)

    assert told.by(import_zeroclaw)(target, place.parent) == ImportResult(0, 0, 0, 0, 1, 1)
    assert "with 0 messages and not the 1" in told.skipped[0].reason


@only_sqlite
def test_what_zeroclaw_has_moved_is_not_taken_twice(target: SessionStore, told: Told, tmp_path: Path) -> None:
    """It keeps a file that it has moved to its database under another name; that is passed by without a word."""
    place = zeroclaw(folder(tmp_path) / "sessions.db", SAID)
    file_of(tmp_path, HELLO, HI, HELLO, suffix=".jsonl.migrated")
    file_of(tmp_path, HELLO, key="deleted_since", suffix=".jsonl.migrated")

    assert told.by(import_zeroclaw)(target, place.parent) == ImportResult(2, 2, 0, 0, 1)
    assert told == Told()


@only_sqlite
def test_a_file_that_is_there_twice_is_taken_once(target: SessionStore, told: Told, tmp_path: Path) -> None:
    """The file that zeroclaw writes to wins, and the other one, on which it refuses to start, is told."""
    file_of(tmp_path, HELLO, suffix=".jsonl.importing")
    file = file_of(tmp_path, HELLO, HI)

    assert told.by(import_zeroclaw)(target, file.parent) == ImportResult(2, 2, 0, 0, 1, 1)
    assert told.skipped[0].session_key == KEY
    assert "telegram_main_ann.jsonl.importing is skipped" in told.skipped[0].reason


@only_sqlite
def test_a_moved_file_without_the_database_is_told(target: SessionStore, told: Told, tmp_path: Path) -> None:
    """It may be all that is left; named by itself it is taken."""
    file = file_of(tmp_path, HELLO, suffix=".jsonl.migrated")

    assert told.by(import_zeroclaw)(target, file.parent) == ImportResult(0, 0, 0, 0, 0, 1)
    assert told.skipped[0].session_key == KEY
    assert import_zeroclaw(target, file).added == 1
    assert target.list_sessions() == [KEY]


# Places.


@only_sqlite
def test_any_place_does(target: SessionStore, tmp_path: Path) -> None:
    """A workspace, its folder, or a file; a file of another name if it is a database."""
    place = zeroclaw(folder(tmp_path) / "sessions.db", SAID)
    file_of(tmp_path, HELLO, key="web_bo")
    copy = place.rename(tmp_path / "old?#%.db")

    assert import_zeroclaw(target, tmp_path / "workspace").sessions == 1
    assert import_zeroclaw(target, str(place.parent)).sessions == 1
    assert import_zeroclaw(target, place.parent / "web_bo.jsonl").sessions == 1
    assert import_zeroclaw(target, copy).sessions == 1
    assert {tuple(target.list_sessions())} <= {(KEY, "web_bo"), ("web_bo", KEY)}


@only_sqlite
def test_what_is_not_zeroclaw_s_is_refused(target: SessionStore, tmp_path: Path) -> None:
    """With its name and what is wrong; nothing is written."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("Hello")
    with writing(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE sessions (id INTEGER, session_key TEXT, role TEXT)")
    with writing(tmp_path / "none.db") as db:
        db.execute("CREATE TABLE other (id INTEGER)")
    (tmp_path / "bad" / "sessions").mkdir(parents=True)
    (tmp_path / "bad" / "sessions" / "sessions.db").write_text("Hello")
    reasons = {
        "empty": "empty' has no sessions of zeroclaw",
        "notes.txt": "notes.txt' is not a file of zeroclaw",
        "other.db": "other.db' has no column content in its table 'sessions'",
        "none.db": "none.db' has no table 'sessions'",
        "bad": "sessions.db' is not a SQLite database",
    }

    for name, reason in reasons.items():
        with pytest.raises(InvalidQuery, match=reason):
            import_zeroclaw(target, tmp_path / name)
    with pytest.raises(FileNotFoundError, match="gone"):
        import_zeroclaw(target, tmp_path / "gone")
    assert target.list_sessions() == []


@only_sqlite
def test_a_damaged_file_is_told_and_what_was_read_before_is_kept(target: SessionStore, tmp_path: Path) -> None:
    """The sessions before the damage are there, of the one that has it nothing."""
    place = tmp_path / "zeroclaw.db"
    zeroclaw(place, [(f"key{n:03}", "user", "x" * 3000, FIRST) for n in range(40)], without="session_key")
    with writing(place) as db:
        db.execute("CREATE INDEX by_key ON sessions (session_key, id)")
        # The page that has the last messages.
        (page,) = db.execute("SELECT max(pageno) FROM dbstat WHERE name = 'sessions'").fetchone()
    with place.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(StoreError, match=r"zeroclaw.db' cannot be read: .*malformed"):
        import_zeroclaw(target, place)
    assert 30 < target.count_sessions() < 40
    assert {len(target.load(key)) for key in target.list_sessions()} == {1}


def test_zeroclaw_is_recognised(tmp_path: Path) -> None:
    """A workspace, its folder, its database, and a file in the folder whose lines do not name a session."""
    file = file_of(tmp_path, b"{", HELLO)
    (tmp_path / "empty").mkdir()

    assert all(map(is_zeroclaw, [file, file.parent, tmp_path / "workspace", file_of(tmp_path, key="empty")]))

    exported = file_of(tmp_path, HELLO | {"session_key": "a"}, key="exported")
    jsonl(tmp_path / "exports" / "a.jsonl", HELLO | {"session_key": "a"})
    with writing(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE sessions (id INTEGER)")
    others = [
        tmp_path / "empty",
        tmp_path / "exports",
        tmp_path / "other.db",
        exported,
        file_of(tmp_path, {"role": "user"}, key="half"),
        jsonl(tmp_path / "a.jsonl", HELLO),
        jsonl(folder(tmp_path) / "a.json", HELLO),
    ]
    assert [place for place in others if is_zeroclaw(place)] == []

    place = zeroclaw(folder(tmp_path) / "sessions.db")
    assert all(map(is_zeroclaw, [place, place.parent, tmp_path / "workspace"]))


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)


@only_sqlite
@examples(40)
@given(
    said=st.lists(st.tuples(ROLES.filter(lambda role: not isinstance(role, bytes)) | ANY_TEXT, ANY_TEXT), max_size=8)
)
def test_whatever_a_file_says_is_loaded_or_told(
    target: SessionStore, said: list[tuple[Any, Any]], tmp_path: Path
) -> None:
    """The same of lines, which can hold more kinds of text."""
    key, told = f"session{next(NUMBERS)}", Told()
    file = jsonl(tmp_path / f"{key}.jsonl", *({"role": role, "content": content} for role, content in said))
    told.by(import_zeroclaw)(target, file)

    assert target.load(key) == [ChatMessage(*pair) for pair in said if can_be_said(*pair)]
    assert [broken.line for broken in told.broken] == [
        number for number, pair in enumerate(said, 1) if not can_be_said(*pair)
    ]
