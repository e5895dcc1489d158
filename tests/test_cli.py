"""The command line: what it does, and what its exit codes say."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from session_store import ChatMessage, SessionStore
from session_store.cli import main
from session_store.cli.app import run
from session_store.database import revisions
from tests.command_line import MAIN, ROOT, WHEN, Command, chats, fill, running_in
from tests.conftest import Database

pytestmark = pytest.mark.once


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command, in a directory of its own."""
    return running_in(tmp_path, capsys, monkeypatch)


def test_import_makes_the_database_and_again_adds_nothing(
    empty_database: Database, command: Command, tmp_path: Path
) -> None:
    """The tables are made, the lines counted, and the second time all of them are there."""
    file = chats(tmp_path / "chats.jsonl", "a", "b", "a")

    first, again = command("import", file, "--db", empty_database), command("import", file, "--db", empty_database)

    assert first == (0, "3 lines: 3 messages added, 0 already there, 0 broken; 1 sessions\n", "")
    assert again == (0, "3 lines: 0 messages added, 3 already there, 0 broken; 1 sessions\n", "")


def test_import_tells_broken_lines_and_says_so_by_its_exit_code(command: Command, tmp_path: Path) -> None:
    """File, line and reason, on stderr, with nothing in them that steers a terminal."""
    file = chats(tmp_path / "chats\x1b.jsonl", "a")
    file.write_text(file.read_text() + "[bold]\n" + file.read_text())

    done = command("import", file)

    assert (done.code, done.out) == (1, "3 lines: 2 messages added, 0 already there, 1 broken; 1 sessions\n")
    assert done.err == f"{tmp_path}/chats\\x1b.jsonl:2: is not JSON at character 2: Expecting value\n"
    assert (tmp_path / "session_store.db").exists()


def test_import_reads_what_is_piped_in(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name of ``-``."""
    piped = io.TextIOWrapper(io.BytesIO(chats(tmp_path / "chats.jsonl", "a").read_bytes()))
    monkeypatch.setattr(sys, "stdin", piped)

    assert command("import", "-").out.startswith("1 lines: 1 messages added")


def test_import_wants_files_that_are_there(command: Command, tmp_path: Path) -> None:
    """A wrong name is told before anything is imported."""
    file = chats(tmp_path / "chats.jsonl", "a")

    missing, directory = command("import", file, "none.jsonl"), command("import", file, tmp_path)

    assert (missing.code, missing.out) == (2, "")
    assert missing.err.startswith("error: Invalid value for FILE: file 'none.jsonl' does not exist")
    assert (directory.code, "is a directory" in directory.err) == (2, True)
    assert not (tmp_path / "session_store.db").exists()


def test_a_file_that_cannot_be_read_is_one_line(command: Command, tmp_path: Path) -> None:
    """An error of the file system is no traceback."""
    socket = tmp_path / "socket"
    os.mknod(socket, 0o140600)

    done = command("import", socket)

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")


def test_list_shows_the_newest_first(database: Database, command: Command) -> None:
    """Not on a terminal: a line a session, fields parted by tabs, nothing cut off."""
    fill(database)

    done = command("list", "--db", database)

    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "web_2\t\t\tidle\t1\t2026-01-05T12:02:00+00:00",
        "web_1\t\t\tidle\t1\t2026-01-05T12:01:00+00:00",
        "web_0\t\t\tidle\t1\t2026-01-05T12:00:00+00:00",
    ]


def test_list_goes_on_where_the_page_ended(database: Database, command: Command) -> None:
    """A full page names the place to go on from."""
    fill(database)
    page = command("list", "--limit", 2, "--db", database)
    cursor = page.err.removeprefix("the next page: --after ").strip()

    assert page.out.count("\n") == 2
    assert command("list", "--after", cursor, "--db", database).out.startswith("web_0\t")


def test_list_is_fifty_unless_asked(database: Database, command: Command) -> None:
    """The newest fifty."""
    fill(database, 51)

    assert command("list", "--db", database).out.count("\n") == 50


def test_list_by_owner_and_state(database: Database, command: Command) -> None:
    """Both filters hold together; nothing found is said, and is no error."""
    fill(database)
    with SessionStore(database.url) as store:
        store.set_session_owner("web_0", "bo")
        store.set_session_owner("web_1", "bo")
        store.set_session_state("web_1", "running", "turn_1")

    found = command("list", "--owner", "bo", "--state", "running", "--db", database)
    assert found.out.startswith("web_1\t\tbo\trunning\t1\t")
    assert command("list", "--owner", "nobody", "--db", database) == (0, "", "no session\n")


def test_search_finds_sessions_with_all_the_words(database: Database, command: Command) -> None:
    """Each word is an argument; one that begins with a dash comes after ``--``."""
    fill(database)

    assert command("search", "HELLO", "1", "--db", database).out.startswith("web_1\t")
    assert command("search", "--db", database, "--", "-1") == (0, "", "no session\n")


def test_show_prints_the_head_and_every_message(database: Database, command: Command) -> None:
    """Text and payload as they are; the head says what the session has beside them."""
    with SessionStore(database.url) as store:
        store.create_session("web_bo", name="Bo's shop", owner="bo", attributes={"channel": "web"})
        store.set_session_state("web_bo", "running", "turn_1")
        store.append("web_bo", ChatMessage.user("two\n\tlines"), created_at=WHEN)
        store.append("web_bo", ChatMessage.tool("", {"n": [1, "é"]}), created_at=WHEN)

    done = command("show", "web_bo", "--db", database)

    head, first, second = done.out.split("\n\n")
    assert done.code == 0
    assert [line.split()[0] for line in head.splitlines()] == [
        "session",
        "name",
        "owner",
        "attributes",
        "state",
        "messages",
    ]
    assert "running, turn turn_1, since 20" in head
    assert first == "   1  user  2026-01-05 12:00:00  turn turn_1\ntwo\n\tlines"
    assert second == '   2  tool  2026-01-05 12:00:00  turn turn_1\n{"n": [1, "é"]}\n'


def seqs(shown: str) -> list[int]:
    """Return the numbers of the messages shown."""
    return [int(line.split()[0]) for line in shown.splitlines() if "  user  " in line]


def test_show_some_messages(database: Database, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest so many, those behind a number, or both; counted by message, not by number, over several pages."""
    monkeypatch.setattr("session_store.cli.read_commands._PAGE", 3)
    with SessionStore(database.url) as store:
        store.append_many("web_bo", map(ChatMessage.user, "abcdefgh"))
        store.pop_last("web_bo")
        store.pop_last("web_bo")
        store.append_many("web_bo", map(ChatMessage.user, "ij"))

    def shown(*options: object) -> list[int]:
        return seqs(command("show", "web_bo", *options, "--db", database).out)

    assert shown() == [1, 2, 3, 4, 5, 6, 9, 10]
    assert shown("--last", 4) == [5, 6, 9, 10]
    assert shown("--last", 99) == [1, 2, 3, 4, 5, 6, 9, 10]
    assert shown("--after-seq", 6) == [9, 10]
    assert shown("--after-seq", 6, "--last", 1) == [10]
    assert shown("--after-seq", 9, "--last", 3) == [10]
    assert shown("--after-seq", 10) == []


def test_show_an_unknown_session(database: Database, command: Command) -> None:
    """One line, exit code 1."""
    assert command("show", "no\x1bbody", "--db", database) == (
        1,
        "",
        "error: session 'no\\x1bbody' does not exist\n",
    )


def test_upgrade_makes_the_tables(empty_database: Database, command: Command) -> None:
    """And says where they are now; before that every other command says what to run."""
    if empty_database.name == "sqlite":
        Path(str(empty_database.url.database)).touch()
    before = command("list", "--db", empty_database)

    assert before.code == 1
    assert "migrations upgrade --db URL" in before.err
    assert before.err.count("\n") == 1
    assert command("upgrade", "--db", empty_database) == (0, f"the tables are at revision {revisions.HEAD}\n", "")
    assert command("list", "--db", empty_database) == (0, "", "no session\n")


@pytest.mark.parametrize("name", ["list", "search", "show"])
def test_reading_makes_no_database(command: Command, tmp_path: Path, name: str) -> None:
    """A file that is not there is told, not made."""
    done = command(name, *(["x"] if name != "list" else []), "--db", "sqlite:///none.db")

    assert (done.code, done.out, done.err.startswith("error: file 'none.db' does not exist")) == (1, "", True)
    assert list(tmp_path.iterdir()) == []


def test_a_database_is_named_by_option_then_environment_then_here(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path will do for a URL; a driver for event loops is passed over."""
    command("upgrade")
    monkeypatch.setenv("SESSION_STORE_DATABASE_URL", "sqlite+aiosqlite:///environment.db")
    command("upgrade")
    command("upgrade", "--db", "option.db")

    assert {path.name for path in tmp_path.iterdir()} == {"session_store.db", "environment.db", "option.db"}
    assert "in-memory" not in command("list", "--db", ":memory:").err
    assert command("list", "--db", "sqlite://").code == 1
    assert command("list", "--db", "sqlite:///file:option.db?uri=true").code == 0


def test_a_file_that_is_no_database_is_one_line(command: Command, tmp_path: Path) -> None:
    """And is left as it is."""
    (tmp_path / "notes.txt").write_text("not a database, but long enough to be looked at" * 30)
    done = command("list", "--db", "notes.txt")

    assert (done.code, done.out, done.err) == (1, "", "error: DatabaseError: file is not a database\n")


@pytest.mark.parametrize(
    "arguments", [["nosuch"], ["show"], ["search"], ["import"], ["list", "--limit", "0"], ["list", "x"]], ids=" ".join
)
def test_what_is_not_understood_exits_with_2(command: Command, arguments: list[str]) -> None:
    """In one line."""
    done = command(*arguments)

    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)


def test_no_arguments_are_a_question(command: Command) -> None:
    """What can be done, then."""
    done = command()

    assert done.code == 0
    assert all(name in done.out for name in ("import", "list", "show", "search", "upgrade"))


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_which(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, no traceback."""
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("session_store.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)

    assert main() == 1
    assert f"needs {missing}, which comes with the extra `cli`" in capsys.readouterr().err


def test_another_module_that_is_missing_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not for the extra to bring."""
    monkeypatch.delitem(sys.modules, "session_store.cli.app")
    monkeypatch.delitem(sys.modules, "session_store.cli.import_command")
    monkeypatch.setitem(sys.modules, "session_store.transfer", None)

    with pytest.raises(ModuleNotFoundError, match="transfer"):
        main()


def test_main_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It reads the arguments of the process."""
    monkeypatch.setattr(sys, "argv", ["session-store", "--help"])

    assert main() == 0
    assert "Usage: session-store" in capsys.readouterr().out


def test_what_is_printed_can_go_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Into a stream that has no encoding, too."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())

    assert run(["--help"]) == 0


def test_an_interrupt_is_no_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130, as of every program that was interrupted."""

    def interrupt(*_: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("session_store.migrations.upgrade", interrupt)

    assert command("upgrade").code == 130


@pytest.mark.long
def test_memory_stays_low(tmp_path: Path) -> None:
    """A hundred thousand lines and more need less than 200 MB, all of Python included."""
    file = tmp_path / "chats.jsonl"
    with file.open("w") as lines:
        for number in range(100_000):
            entry = {"session_key": f"web_{number % 500}", "role": "user", "content": f"message {number}"}
            lines.write(json.dumps(entry) + "\n")
    # Not by getrusage: a process that was forked begins with what the one before it had.
    measured = f"{MAIN.replace('sys.exit(main())', 'main()')}; status = open('/proc/self/status').read(); "
    measured += "print(status.split('VmHWM:')[1].split()[0])"
    done = subprocess.run(
        [sys.executable, "-c", measured, "import", file, "--db", tmp_path / "chats.db"],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    summary, kilobytes = done.stdout.splitlines()

    assert summary.startswith("100,000 lines: 100,000 messages added")
    assert int(kilobytes) < 200 * 1024
