"""``session-store export`` and ``session-store import`` of what it wrote."""

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from session_store import ChatMessage, SessionStore, transfer
from tests.command_line import Command, chats, fill, on_a_terminal, process, running_in
from tests.conftest import Database
from tests.transfer.stories import everything

pytestmark = pytest.mark.once

SAID = "3 sessions, 3 messages exported\n"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command, in a directory of its own."""
    return running_in(tmp_path, capsys, monkeypatch)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A SQLite file with three sessions."""
    path = tmp_path / "filled.db"
    with SessionStore.open(path) as store:
        for number, owner in enumerate(["ann", "ann", "bo"]):
            store.create_session(f"web_{number}", owner=owner, attributes={"n": number, "word": str(number)})
            store.append(f"web_{number}", ChatMessage.user(f"hello {number}"))
        store.set_session_state("web_2", "running", "t")
    return path


def keys_of(text: str) -> list[str]:
    """The sessions whose messages are in a file."""
    return [line["session_key"] for line in map(json.loads, text.splitlines()) if line["kind"] == "message"]


def test_there_and_back(database: Database, command: Command, tmp_path: Path) -> None:
    """What was exported and imported is all there, and the figures say so; a second time nothing is added."""
    fill(database)
    there = command("export", "--db", database, "--out", "all.jsonl")
    trial = command("import", "--db", "copy.db", "--dry-run", "all.jsonl")
    assert not (tmp_path / "copy.db").exists()
    back = command("import", "--db", "copy.db", "all.jsonl")
    again = command("import", "--db", "copy.db", "all.jsonl")

    assert there == (0, SAID, "")
    assert back == (0, "6 lines: 3 messages added, 0 already there, 0 broken; 3 sessions\n", "")
    assert trial == (0, f"{back.out.rstrip()}; dry run: nothing was written\n", "")
    assert again.out == "6 lines: 0 messages added, 3 already there, 0 broken; 3 sessions\n"
    with SessionStore(database.url) as one, SessionStore(tmp_path / "copy.db") as other:
        assert everything(one) == everything(other)


def test_a_trial_says_what_would_be_wrong(filled: Path, command: Command, tmp_path: Path) -> None:
    """The same reasons and the same exit code as the import's, and nothing is written."""
    command("export", "--db", filled, "--out", "all.jsonl")
    with SessionStore(filled) as store:
        store.update_last("web_1", ChatMessage.user("changed"))
        before = everything(store)
    with (tmp_path / "all.jsonl").open("a") as file:
        file.write('broken\n{"session_key": "new", "role": "user", "content": "hello"}\n')

    trial, done = (command("import", "--db", filled, *option, "all.jsonl") for option in (["--dry-run"], []))
    assert trial.err == done.err
    assert sorted(done.err.splitlines()) == [
        "all.jsonl:8: is not JSON at character 1: Expecting value",
        "session web_1: message 1 differs from the stored one",
    ]
    assert (trial.code, done.code) == (1, 1)
    figures = "9 lines: 1 messages added, 2 already there, 1 broken; 3 sessions, 1 skipped"
    assert (trial.out, done.out) == (f"{figures}; dry run: nothing was written\n", f"{figures}\n")
    with SessionStore(filled) as store:
        assert len(everything(store)) == len(before) + 2


def test_a_trial_makes_no_tables(empty_database: Database, command: Command, tmp_path: Path) -> None:
    """Where there are none, an empty store stands in; old ones are told."""
    file = chats(tmp_path / "chats.jsonl", "a", "b")
    trial = command("import", "--db", empty_database, "--dry-run", file)

    assert trial.out.startswith("2 lines: 2 messages added")
    assert command("list", "--db", empty_database).code == 1


def test_a_trial_on_an_older_schema_says_what_to_run(filled: Path, command: Command, tmp_path: Path) -> None:
    """It is not migrated for a trial."""
    with sqlite3.connect(filled) as db:
        db.execute("UPDATE session_store_alembic_version SET version_num = 'ss_0002'")
    db.close()
    trial = command("import", "--db", filled, "--dry-run", chats(tmp_path / "chats.jsonl", "a"))

    assert trial.code == 1
    assert "is at ss_0002" in trial.err


def test_into_a_pipe(filled: Path) -> None:
    """The standard output has the file and nothing else; what is said about it goes elsewhere."""
    done = process("export", "--db", filled)

    assert (done.returncode, done.stderr.decode()) == (0, SAID)
    assert keys_of(done.stdout.decode()) == ["web_0", "web_1", "web_2"]


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (["--owner", "ann"], [0, 1]),
        (["--state", "running"], [2]),
        (["--attribute", "n=1"], [1]),
        (["--attribute", "word=1"], []),
        (["--attribute", 'word="1"', "--attribute", "n=1"], [1]),
        (["--attribute", "word=one"], []),
        (["--active-since", "2000-01-01T00:00:00Z"], [0, 1, 2]),
        (["--active-before", "2000-01-01T00:00:00+01:00"], []),
        (["--after", "web_0"], [1, 2]),
    ],
    ids=str,
)
def test_those_that_are_asked_for(filled: Path, command: Command, options: list[str], keys: list[int]) -> None:
    """All that is asked must hold."""
    done = command("export", "--db", filled, "--out", "some.jsonl", *options)

    assert (done.code, done.err) == (0, "")
    assert keys_of(Path("some.jsonl").read_text()) == [f"web_{number}" for number in keys]


def test_a_file_that_is_there_is_kept(filled: Path, command: Command) -> None:
    """Unless it is to be replaced, or gone on with."""
    for kind, hint in [("jsonl", ", --resume continues it"), ("csv", ""), ("parquet", "")]:
        Path(kind).write_text("kept")
        refused = command("export", "--db", filled, "--out", kind, "--format", kind)

        assert refused.code == 2
        assert f"'{kind}' exists: --force replaces it{hint} (" in refused.err
        assert Path(kind).read_text() == "kept"
        assert command("export", "--db", filled, "--out", kind, "--format", kind, "--force") == (0, SAID, "")
    assert pq.read_table("parquet").num_rows == 3
    assert Path("csv").read_text().count("hello") == 3


def test_going_on(filled: Path, command: Command) -> None:
    """With --resume what is missing is written; where there is no file, all of it."""
    options = "export", "--db", filled, "--out", "file", "--resume"
    whole = command(*options)
    content = Path("file").read_bytes()
    Path("file").write_bytes(content[: len(content) * 2 // 3])
    part = command(*options)

    assert (whole, part.code) == ((0, SAID, ""), 0)
    assert Path("file").read_bytes() == content
    Path("file").write_bytes(b"something else\n")
    assert command(*options).code == 1
    assert Path("file").read_bytes() == b"something else\n"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--format", "csv", "--out", "x", "--resume"], "export to a new file with --after KEY"),
        (["--out", "x", "--resume", "--force"], "--resume needs a file, and does not go with --force"),
        (["--resume"], "--resume needs a file, and does not go with --force"),
        (["--attribute", "n"], "'n' is not NAME=VALUE"),
        (["--active-since", "soon"], "'soon' is neither a time in ISO 8601 nor an age"),
        (["--format", "xml"], "--format"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_understood(filled: Path, command: Command, options: list[str], problem: str) -> None:
    """Exit code 2, and no file."""
    done = command("export", "--db", filled, *options)

    assert (done.code, done.out) == (2, "")
    assert problem in done.err
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--after", ""], "after must be 1 to 512 bytes"),
        (["--attribute", "n=1e400"], "attributes holds inf"),
        (["--db", "none.db"], "file 'none.db' does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done(filled: Path, command: Command, options: list[str], problem: str) -> None:
    """Exit code 1, and no file."""
    done = command("export", "--db", filled, "--out", "x", *options)

    assert done.code == 1
    assert problem in done.err
    assert not Path("x").exists()


def test_without_pyarrow(filled: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what brings it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = command("export", "--db", filled, "--format", "parquet", "--out", "x")

    assert (done.code, Path("x").exists()) == (1, False)
    assert "comes with the extra `parquet`" in done.err


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_an_interrupt_leaves_what_can_be_gone_on_with(
    filled: Path, command: Command, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so; of Parquet nothing is left."""
    export = getattr(transfer, f"export_{kind}")

    def interrupt(*args: Any, **named: Any) -> Any:
        def told(session: Any) -> None:
            if session.key == "web_1":
                raise KeyboardInterrupt

        return export(*args, **{**named, "on_session": told})

    options = "export", "--db", filled, "--format", kind, "--out", "file"
    whole = command(*options[:-1], "whole")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules["session_store.cli.export_command"]._WRITE, kind, interrupt)
        done = command(*options)

    assert (whole.code, done.code) == (0, 130)
    assert done.err == ("interrupted; --resume continues the file\n" if kind == "jsonl" else "")
    assert Path("file").exists() == (kind != "parquet")
    if kind == "jsonl":
        assert command(*options, "--resume").code == 0
        assert Path("file").read_bytes() == Path("whole").read_bytes()


def test_on_a_terminal_it_shows_how_far_it_is(filled: Path, tmp_path: Path) -> None:
    """And Parquet is not written to it."""
    code, seen = on_a_terminal("export", "--db", filled, "--out", tmp_path / "file")
    assert (code, "exporting" in seen, "3/3" in seen) == (0, True, True)
    code, seen = on_a_terminal("export", "--db", filled, "--format", "parquet")
    assert code == 2
    assert "Parquet is binary" in seen


def test_what_kind_a_file_is(command: Command, tmp_path: Path) -> None:
    """It is asked for, or known by a look at it; what cannot be that is refused."""
    file = chats(tmp_path / "chats.jsonl", "a")
    assert command("import", "--from", "jsonl", file).code == 0
    for source in ("zeroclaw", "openai-agents"):
        refused = command("import", "--from", source, "-")
        assert (refused.code, f"{source} needs a file" in refused.err) == (2, True)
    refused = command("import", "--from", "openai-agents", tmp_path)
    assert (refused.code, "is a directory" in refused.err) == (2, True)
    refused = command("import", "--from", "jsonl", tmp_path)
    assert (refused.code, "is a directory" in refused.err) == (2, True)


def test_several_kinds_at_once(filled: Path, command: Command, tmp_path: Path) -> None:
    """Each is read as what it is, in their order, and the figures are those of all."""
    command("export", "--db", filled, "--out", "all.jsonl")
    with sqlite3.connect(tmp_path / "agents.db") as db:
        db.execute("CREATE TABLE agent_sessions (session_id TEXT, created_at TIMESTAMP, updated_at TIMESTAMP)")
        db.execute("CREATE TABLE agent_messages (id INTEGER, session_id TEXT, message_data TEXT, created_at TIMESTAMP)")
        db.execute("INSERT INTO agent_sessions VALUES ('agent', '2026-01-05 12:00:00', '2026-01-05 12:00:00')")
        said = json.dumps({"role": "user", "content": "hello"})
        db.execute("INSERT INTO agent_messages VALUES (1, 'agent', ?, '2026-01-05 12:00:00')", [said])
    db.close()
    done = command("import", "--db", "new.db", "all.jsonl", "agents.db", chats(tmp_path / "chats.jsonl", "a", "b"))

    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(": 6 messages added, 0 already there, 0 broken; 5 sessions\n")
