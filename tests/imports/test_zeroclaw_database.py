"""Sessions out of zeroclaw's database: each is taken, or it is told why not."""

import os
import pwd
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store import ChatMessage, SessionMetadata, SessionState, SessionStore, StoreError
from session_store.transfer.results import ImportResult
from session_store.transfer.sources import sqlite_file
from session_store.transfer.sources.zeroclaw import import_zeroclaw
from tests.conftest import examples
from tests.imports.ann import (
    ABOUT,
    BARE,
    CHANGED,
    CONTENTS,
    FIRST,
    KEY,
    LATER,
    NUMBERS,
    ROLES,
    SAID,
    SECOND,
    at,
    can_be_said,
    everything,
    only_sqlite,
)
from tests.imports.conftest import Told
from tests.imports.sources import METADATA, writing, zeroclaw

pytestmark = pytest.mark.once


# A database.


def test_every_column_is_taken(target: SessionStore, tmp_path: Path) -> None:
    """Messages keep their order and times; what zeroclaw knows of a session becomes name, owner, labels and state."""
    place = zeroclaw(tmp_path / "zeroclaw.db", SAID, [ABOUT])

    assert import_zeroclaw(target, place) == ImportResult(lines=2, added=2, already_there=0, broken=0, sessions=1)
    assert target.get_session_metadata(KEY) == SessionMetadata(
        KEY,
        "Ann",
        "ann",
        {"agent": "helper", "channel": "telegram.main", "room": "-100"},
        created_at=at("2026-03-05T09:12:00+00:00"),
        last_activity=at("2026-03-05T09:12:05.123456+00:00"),
        message_count=2,
        last_seq=2,
        state="running",
        turn_id="turn-1",
        state_entered_at=at("2026-03-05T09:12:04.123456+00:00"),
    )
    assert [(stored.seq, stored.created_at, stored.message) for stored in target.history(KEY)] == [
        (1, at("2026-03-05T09:12:03.123456+00:00"), ChatMessage.user("Hello")),
        (2, at("2026-03-05T09:12:04.123456+00:00"), ChatMessage.assistant("Hi, Ann")),
    ]
    assert len(everything(target)[2]) == 1


@only_sqlite
@pytest.mark.parametrize("column", list(METADATA))
def test_an_older_file_lacks_a_column(target: SessionStore, column: str, tmp_path: Path) -> None:
    """What is not there is as if nobody had said it; without ``session_key`` there is no such table."""
    import_zeroclaw(target, zeroclaw(tmp_path / "zeroclaw.db", SAID, [ABOUT], without=column))

    found = target.get_session_metadata(KEY)
    assert found is not None
    whole = SessionMetadata(
        KEY,
        "Ann",
        "ann",
        {"agent": "helper", "channel": "telegram.main", "room": "-100"},
        created_at=at("2026-03-05T09:12:00+00:00"),
        last_activity=at("2026-03-05T09:12:05.123456+00:00"),
        message_count=2,
        last_seq=2,
        state="running",
        turn_id="turn-1",
        state_entered_at=at("2026-03-05T09:12:04.123456+00:00"),
    )
    expected = {
        "session_key": BARE,
        "created_at": whole._replace(created_at=BARE.created_at),
        "last_activity": whole._replace(last_activity=BARE.last_activity),
        "message_count": whole,
        "name": whole._replace(name=None),
        "state": whole._replace(state="idle", turn_id=None, state_entered_at=None),
        "turn_id": whole._replace(turn_id=None),
        "turn_started_at": whole._replace(state_entered_at=whole.last_activity),
        "agent_alias": whole._replace(attributes={"channel": "telegram.main", "room": "-100"}),
        "channel_id": whole._replace(attributes={"agent": "helper", "room": "-100"}),
        "room_id": whole._replace(attributes={"agent": "helper", "channel": "telegram.main"}),
        "sender_id": whole._replace(owner=None),
    }
    assert found == expected[column]
    assert len(target.load(KEY)) == 2


@only_sqlite
@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"state": "idle", "turn_id": "turn-1"}, SessionState("idle", None, None, None)),
        ({"state": "error", "turn_id": "turn-1"}, SessionState("error", "turn-1", None, at(LATER))),
        ({"state": "error"}, SessionState("error", None, None, at(LATER))),
        ({"state": "running", "turn_started_at": FIRST}, SessionState("running", None, at(FIRST), at(FIRST))),
    ],
)
def test_states(target: SessionStore, said: dict[str, str], state: SessionState, tmp_path: Path) -> None:
    """An idle session has no log of states; zeroclaw does not keep when another state than running began."""
    about = {"session_key": KEY, "created_at": FIRST, "last_activity": LATER, **said}
    import_zeroclaw(target, zeroclaw(tmp_path / "zeroclaw.db", SAID, [about]))

    assert target.get_session_state(KEY) == state
    assert len(everything(target)[2]) == (state.state != "idle")


@only_sqlite
def test_a_session_without_messages_is_a_session(target: SessionStore, tmp_path: Path) -> None:
    """It has a name, say; and of one whose messages are all broken that much is known too."""
    place = zeroclaw(
        tmp_path / "zeroclaw.db", [("b", None, "Hello", FIRST)], [ABOUT | {"session_key": key} for key in "abc"]
    )

    assert import_zeroclaw(target, place) == ImportResult(1, 0, 0, 1, 3)
    assert [session.name for session in target.list_sessions_with_metadata()] == ["Ann"] * 3


def test_done_again_it_adds_what_is_new(target: SessionStore, tmp_path: Path) -> None:
    """A second run finds all there and changes nothing; a source that has grown adds the rest."""
    place = zeroclaw(tmp_path / "zeroclaw.db", SAID, [ABOUT])
    import_zeroclaw(target, place)
    before = everything(target)

    assert import_zeroclaw(target, place) == ImportResult(lines=2, added=0, already_there=2, broken=0, sessions=1)
    assert everything(target) == before

    zeroclaw(place, [(KEY, "user", "More", LATER), ("web_bo", "user", "Hello", LATER)])
    assert import_zeroclaw(target, place) == ImportResult(lines=4, added=2, already_there=2, broken=0, sessions=2)
    assert [message.content for message in target.load(KEY)] == ["Hello", "Hi, Ann", "More"]
    assert len(everything(target)[1]) == 4


def test_a_dry_run_says_the_same_and_writes_nothing(target: SessionStore, told: Told, tmp_path: Path) -> None:
    """Its figures and what it tells are those of the run that follows."""
    place = zeroclaw(tmp_path / "zeroclaw.db", [*SAID, (KEY, "", "Hello", FIRST), ("b" * 513, "user", "", FIRST)])
    empty = everything(target)
    dry, real = Told(), told
    tried = dry.by(import_zeroclaw)(target, place, dry_run=True)

    assert everything(target) == empty
    assert real.by(import_zeroclaw)(target, place) == tried == ImportResult(3, 2, 0, 1, 1, 1)
    assert real == dry


@only_sqlite
def test_what_the_session_became_in_the_store_stays(target: SessionStore, told: Told, tmp_path: Path) -> None:
    """Who went on with a session here gets nothing into the middle of it: it is told as skipped."""
    place = zeroclaw(tmp_path / "zeroclaw.db", SAID)
    import_zeroclaw(target, place)
    target.append(KEY, ChatMessage.user("Here"))
    zeroclaw(place, [(KEY, "user", "There", LATER)])

    assert told.by(import_zeroclaw)(target, place).skipped == 1
    assert [skipped.session_key for skipped in told.skipped] == [KEY]
    assert [message.content for message in target.load(KEY)] == ["Hello", "Hi, Ann", "Here"]


@only_sqlite
def test_the_file_is_as_it_was(target: SessionStore, tmp_path: Path) -> None:
    """Nothing is written to it, nor to its log."""
    place = zeroclaw(tmp_path / "zeroclaw.db", SAID)
    before = place.read_bytes()
    import_zeroclaw(target, place)

    assert place.read_bytes() == before
    assert [path.stat().st_size for path in tmp_path.glob("zeroclaw.db-wal")] == [0]


@only_sqlite
def test_what_is_in_the_log_is_read(target: SessionStore, tmp_path: Path) -> None:
    """While zeroclaw runs, and after it was killed, the last messages are in the file's write-ahead log only."""
    place = zeroclaw(tmp_path / "zeroclaw.db")
    with closing(sqlite3.connect(place, isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.executemany("INSERT INTO sessions (session_key, role, content, created_at) VALUES (?, ?, ?, ?)", SAID)
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO sessions (session_key, role, content, created_at) VALUES ('c', 'user', '', '')")
        import_zeroclaw(target, place)
        db.execute("COMMIT")

    assert target.list_sessions() == [KEY]
    assert len(target.load(KEY)) == 2


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, who may write everywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """The file is read as it lies there; if a log needs an index that cannot be made, the error says what to do."""
    whole, cut = zeroclaw(tmp_path / "whole.db", SAID), zeroclaw(tmp_path / "cut.db")
    with closing(sqlite3.connect(cut)) as db:
        db.executemany("INSERT INTO sessions (session_key, role, content, created_at) VALUES (?, ?, ?, ?)", SAID)
        db.commit()
        files = {path.name: path.read_bytes() for path in (whole, cut, tmp_path / "cut.db-wal")}
    with tempfile.TemporaryDirectory() as place:
        for name, data in files.items():
            Path(place, name).write_bytes(data)
        Path(place).chmod(0o555)
        with as_nobody(), sqlite_file.open_readonly(Path(place, "whole.db")) as db:
            assert db.execute("SELECT count(*) FROM sessions").fetchone()[0] == 2
        with as_nobody(), pytest.raises(StoreError, match=r"cut.db' cannot be read: .*copy it"):
            sqlite_file.open_readonly(Path(place, "cut.db")).__enter__()

        assert {path.name for path in Path(place).iterdir()} == set(files)


# What is broken in a database.


@only_sqlite
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ((None, "Hello"), "role is missing"),
        (("user", None), "content is missing"),
        ((b"user", "Hello"), "role must be text, got bytes"),
        (("user", b"Hello"), "content must be text, got bytes"),
        (("", "Hello"), "role must be 1 to 64 bytes"),
        (("a\0b", "Hello"), "role holds a NUL character"),
    ],
)
def test_a_broken_message_is_told_and_passed_by(
    target: SessionStore, told: Told, said: tuple[object, object], reason: str, tmp_path: Path
) -> None:
    """By its ``id`` and why; the others are numbered as if it were not there."""
    place = zeroclaw(tmp_path / "zeroclaw.db", [SAID[0], (KEY, *said, FIRST), SAID[1]])

    assert told.by(import_zeroclaw)(target, place) == ImportResult(3, 2, 0, 1, 1)
    assert [(broken.file, broken.line) for broken in told.broken] == [(str(place), 2)]
    assert reason in told.broken[0].reason
    assert [stored.seq for stored in target.history(KEY)] == [1, 2]


@only_sqlite
def test_text_that_is_not_utf8_is_told(target: SessionStore, told: Told, tmp_path: Path) -> None:
    """In a message, a name and a key."""
    place = zeroclaw(tmp_path / "zeroclaw.db", [*SAID, *SAID], [ABOUT, ABOUT | {"session_key": "web_bo"}])
    with writing(place) as db:
        db.execute("UPDATE sessions SET content = CAST(x'41ff' AS TEXT) WHERE id = 1")
        db.execute("UPDATE sessions SET session_key = CAST(x'ff' AS TEXT) WHERE id > 2")
        db.execute("UPDATE session_metadata SET name = CAST(x'ff' AS TEXT)")
        db.execute("UPDATE session_metadata SET session_key = CAST(x'ff' AS TEXT) WHERE session_key = 'web_bo'")

    assert told.by(import_zeroclaw)(target, place) == ImportResult(2, 1, 0, 1, 1, 1, 1)
    assert told.broken[0].reason == "content is not UTF-8: byte 0xff at 2"
    assert told.skipped[0].reason == "its key is not UTF-8: byte 0xff at 1"
    assert "name is not UTF-8" in told.mended[0].reason


@only_sqlite
@pytest.mark.parametrize("key", [None, b"web_bo", "", "x" * 513, "a\0b"])
def test_a_session_whose_key_is_none_is_skipped(target: SessionStore, told: Told, key: object, tmp_path: Path) -> None:
    """And told; the others are taken."""
    place = zeroclaw(tmp_path / "zeroclaw.db", [*SAID, (key, "user", "Hello", FIRST)])

    assert told.by(import_zeroclaw)(target, place)[4:6] == (1, 1)
    assert len(told.skipped) == 1


@only_sqlite
@pytest.mark.parametrize(
    "wrong", [None, "", "soon", "2026-02-30T00:00:00+00:00", "2026-03-05T09:12:60Z", "1772701923", "0001-01-01T00:00Z"]
)
def test_no_message_is_lost_for_its_time(target: SessionStore, told: Told, wrong: str | None, tmp_path: Path) -> None:
    """It gets that of the one before it, the first one that of the session, and it is told."""
    place = zeroclaw(
        tmp_path / "zeroclaw.db",
        [(KEY, "user", "1", wrong), (KEY, "user", "2", SECOND), (KEY, "user", "3", wrong)],
        [{"session_key": KEY, "created_at": FIRST, "last_activity": wrong}],
    )

    said = told.by(import_zeroclaw)(target, place)
    assert [stored.created_at for stored in target.history(KEY)] == [at(FIRST), at(SECOND), at(SECOND)]
    assert (said.added, said.broken, said.adjusted) == (3, 0, len(told.mended))
    assert [mended.line for mended in told.mended] == [*([0] if wrong else []), 1, 3]


@only_sqlite
@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2026-03-05T09:12:03Z", "2026-03-05T09:12:03+00:00"),
        ("2026-03-05t09:12:03.1z", "2026-03-05T09:12:03.1+00:00"),
        ("2026-03-05 10:12:03+01:00", "2026-03-05T09:12:03+00:00"),
        ("2026-03-05 09:12:03", "2026-03-05T09:12:03+00:00"),
    ],
)
def test_times(target: SessionStore, told: Told, said: str, meant: str, tmp_path: Path) -> None:
    """As RFC 3339 writes them, to the microsecond; without a zone they are UTC."""
    told.by(import_zeroclaw)(target, zeroclaw(tmp_path / "zeroclaw.db", [(KEY, "user", "Hello", said)]))

    assert target.history(KEY)[0].created_at == at(meant)
    assert told == Told()


@only_sqlite
def test_a_file_without_any_time_has_its_own(target: SessionStore, tmp_path: Path) -> None:
    """Where neither a message nor the session says when, the file's last change does."""
    place = zeroclaw(tmp_path / "zeroclaw.db", [(KEY, "user", "Hello", None)], without="session_key")
    os.utime(place, (CHANGED, CHANGED))

    assert import_zeroclaw(target, place).adjusted == 1
    assert target.history(KEY)[0].created_at == datetime.fromtimestamp(CHANGED, UTC)


@only_sqlite
@pytest.mark.parametrize(
    ("wrong", "left"),
    [
        ({"name": "x" * 1025}, {"name": None}),
        ({"name": b"Ann"}, {"name": None}),
        ({"name": ""}, {"name": None}),
        ({"state": "x" * 65}, {"state": "idle", "turn_id": None, "state_entered_at": None}),
        ({"turn_id": "x" * 513}, {"turn_id": None}),
        ({"turn_started_at": "soon"}, {"state_entered_at": at(LATER)}),
        ({"agent_alias": b"helper"}, {"attributes": {"channel": "telegram.main", "room": "-100"}}),
        (
            {"sender_id": "x" * 513},
            {
                "owner": None,
                "attributes": {"agent": "helper", "channel": "telegram.main", "room": "-100", "sender": "x" * 513},
            },
        ),
    ],
    ids=["long name", "blob", "empty", "long state", "long turn", "no time", "blob label", "long sender"],
)
def test_no_session_is_lost_for_what_is_said_of_it(
    target: SessionStore, told: Told, wrong: dict[str, object], left: dict[str, Any], tmp_path: Path
) -> None:
    """What cannot be kept is left out and told; a sender that cannot be an owner is a label."""
    import_zeroclaw(target, zeroclaw(tmp_path / "right.db", SAID, [ABOUT]))
    right = target.get_session_metadata(KEY)
    target.delete_session(KEY)
    said = told.by(import_zeroclaw)(target, zeroclaw(tmp_path / "wrong.db", SAID, [ABOUT | wrong]))

    assert right is not None
    assert target.get_session_metadata(KEY) == right._replace(**left)
    assert said.adjusted == len(told.mended) == (wrong != {"name": ""})


@only_sqlite
@examples(40)
@given(said=st.lists(st.tuples(ROLES, CONTENTS), max_size=8))
def test_whatever_a_database_says_is_loaded_or_told(
    target: SessionStore, said: list[tuple[Any, Any]], tmp_path: Path
) -> None:
    """Each message comes out of `load` as it went in, or its ``id`` is told."""
    key, told = f"session{next(NUMBERS)}", Told()
    place = zeroclaw(tmp_path / f"{key}.db", [(key, role, content, FIRST) for role, content in said])
    told.by(import_zeroclaw)(target, place)

    assert target.load(key) == [ChatMessage(*pair) for pair in said if can_be_said(*pair)]
    assert [broken.line for broken in told.broken] == [
        number for number, pair in enumerate(said, 1) if not can_be_said(*pair)
    ]
