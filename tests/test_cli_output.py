"""The command line: how it shows what others wrote, and what it never prints."""

import subprocess
import sys
from pathlib import Path

import pytest

from session_store import ChatMessage, SessionStore
from session_store.cli.app import run
from session_store.cli.terminal_output import escape_line, escape_text, mask_password
from tests.command_line import MAIN, ROOT, Command, chats, fill, on_a_terminal, process, running_in
from tests.conftest import Database

pytestmark = pytest.mark.once

HOSTILE = "[red]a[/red] \x1b[31m \x9b \x07 \u202e :smile: \0 \ud800 \u2028"
SHOWN = r"[red]a[/red] \x1b[31m \x9b \x07 \u202e :smile: \x00 \ud800 \u2028"
SECRET = "s3cr3t"  # noqa: S105 - of nobody


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command, in a directory of its own."""
    return running_in(tmp_path, capsys, monkeypatch)


def test_stored_text_is_shown_as_text(database: Database, command: Command) -> None:
    """Markup is not read and control characters are written out, in every field, on a pipe and on a terminal."""
    key = "[red]k[/red] \x1b[31m\t\n"
    with SessionStore(database.url) as store:
        store.create_session(key, name=HOSTILE, owner="[b]\x07", attributes={HOSTILE: HOSTILE})
        store.set_session_state(key, "[i]\x1b", "\x1bturn")
        store.append(key, ChatMessage("[u]\x1b", HOSTILE, {HOSTILE: HOSTILE}))

    listed, shown = command("list", "--db", database).out, command("show", key, "--db", database).out
    _, table = on_a_terminal("list", "--db", database)
    _, paged = on_a_terminal("show", key, "--db", database, PAGER="")

    assert listed.startswith(f"[red]k[/red] \\x1b[31m\\t\\n\t{SHOWN}\t[b]\\x07\t[i]\\x1b\t1\t")
    assert (SHOWN in table, SHOWN in paged) == (True, True)
    assert f"\n{SHOWN}\n" in shown
    assert "[u]\\x1b" in shown
    for text in (listed, shown, table, paged):
        assert "\x1b[31m" not in text
        assert not set(text) & {"\x9b", "\x07", "\u202e", "\0", "\u2028"}


def test_what_a_terminal_cannot_show_is_written_out(database: Database) -> None:
    """On a terminal of another encoding no character ends in a traceback."""
    with SessionStore(database.url) as store:
        store.append("web_bo", ChatMessage.user("你好 é \ud800"))

    done = process("show", "web_bo", "--db", database, PYTHONIOENCODING="ascii")

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"\n\\u4f60\\u597d \\xe9 \\ud800\n")


def test_a_table_on_a_terminal(database: Database) -> None:
    """Columns with headings; the place to go on is told."""
    fill(database)
    code, seen = on_a_terminal("list", "--limit", "2", "--db", database)

    assert code == 0
    assert "last activity (UTC)" in seen
    assert "2026-01-05 12:02:00" in seen
    assert "the next page: --after " in seen


def test_the_pager_is_the_user_s(database: Database, tmp_path: Path) -> None:
    """What is shown goes through it, leaving it early is no error, and without it all is simply printed."""
    with SessionStore(database.url) as store:
        store.append_many("web_bo", (ChatMessage.user(f"message {number} " + "x" * 500) for number in range(2000)))
    page = tmp_path / "page"

    through, nothing = on_a_terminal("show", "web_bo", "--db", database, PAGER=f"tee {page}")
    early, _ = on_a_terminal("show", "web_bo", "--db", database, PAGER="head -n 2")
    none, whole = on_a_terminal("show", "web_bo", "--db", database, "--last", 2, PAGER="no-such-pager")

    assert (through, nothing, page.read_text().count("message ")) == (0, "", 2000)
    assert "\x1b[1;32muser" in page.read_text()
    assert early == 0
    assert (none, "message 1999" in whole) == (0, True)


def test_on_a_pipe_there_is_no_pager(database: Database) -> None:
    """A process of its own, with a pager that would fail."""
    fill(database)

    assert process("show", "web_0", "--db", database, PAGER="false").stdout.endswith(b"\nhello 0\n")


def test_an_early_end_closes_quietly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left in the buffer is not tried again at the exit."""

    def write() -> None:
        raise BrokenPipeError

    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr("session_store.cli.app.app", lambda *_, **__: write())

        assert run(["list"]) == 1


def test_a_reader_who_has_enough_is_no_traceback(database: Database) -> None:
    """A pipe that closes early ends the command quietly."""
    fill(database)
    with SessionStore(database.url) as store:
        store.append("web_0", ChatMessage.user("x" * 1_000_000))
    running = subprocess.Popen(
        [sys.executable, "-c", MAIN, "show", "web_0", "--db", str(database)],
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout is not None
    running.stdout.read(1)
    running.stdout.close()
    assert running.stderr is not None
    told = running.stderr.read()
    running.stderr.close()

    assert (running.wait(), told) == (1, b"")


def test_progress_is_shown_on_a_terminal(tmp_path: Path) -> None:
    """While it lasts; broken lines and the summary stay."""
    file = chats(tmp_path / "chats.jsonl", *"abc")
    file.write_text(file.read_text() + "broken\n")
    code, seen = on_a_terminal("import", file, "--db", tmp_path / "chats.db")

    assert (code, "importing" in seen, ":4: " in seen, "3 messages added" in seen) == (1, True, True, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--db", f"postgresql://u:{SECRET}@127.0.0.1:1/x"],
        ["list", "--db", f"postgresql://u:{SECRET}/more@127.0.0.1:1/x"],
        ["list", "--db", f"postgresql://u@127.0.0.1:1/x?password={SECRET}"],
        ["list", "--db", f"postgresql://u:{SECRET}@h:port/x"],
        ["list", "--db", f"://u:{SECRET}@h/x"],
        ["list", "--db", f"nosuchthing://u:{SECRET}@h/x"],
        ["list", "--db", f"postgresql+nosuchdriver://u:{SECRET}@h/x"],
        ["list", "--db", f"mysql+pymysql://u:{SECRET}@h/x"],
        ["list", "--db", f"postgresql://u:{SECRET}@h/x?nosuchoption=1"],
        ["list", f"postgresql://u:{SECRET}@h/x"],
        ["list", "--bd", f"postgresql://u:{SECRET}@h/x"],
        ["list", f"--bd=postgresql://u:{SECRET}@h/x"],
        ["list", "--db", f"postgresql:/u:{SECRET}@h/x"],
        ["upgrade", "--db", f"postgresql+psycopg:u:{SECRET}@h"],
        ["import", f"postgresql://u:{SECRET}@h/x"],
        ["backup", f"postgresql://u:{SECRET}@h/x", "--db", "DATABASE"],
        ["report", "--out", f"postgresql://u:{SECRET}@h/x", "--db", "DATABASE"],
        ["show", f"postgresql://u:{SECRET}@h/x", "--db", "DATABASE"],
        [f"postgresql://u:{SECRET}@h/x"],
        ["list", "--limit", f"postgresql://u:{SECRET}@h/x"],
        ["list", "--after", f"postgresql://u:{SECRET}@h/x", "--db", "DATABASE"],
    ],
    ids=" ".join,
)
def test_a_password_is_never_printed(command: Command, arguments: list[str]) -> None:
    """Wherever the URL stands, and whatever is wrong with it."""
    command("upgrade", "--db", "made.db")
    given = [argument.replace("DATABASE", "made.db") for argument in arguments]

    done = command(*given)
    ran = process(*given, SESSION_STORE_DATABASE_URL="")

    assert (done.code in {1, 2}, done.out) == (True, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert SECRET not in done.err
    assert SECRET.encode() not in ran.stderr + ran.stdout
    assert b"Traceback" not in ran.stderr


def test_help_does_not_print_the_environment(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default shown is the one without it."""
    monkeypatch.setenv("SESSION_STORE_DATABASE_URL", f"postgresql://u:{SECRET}@h/x")
    done = command("list", "--help")

    assert done.code == 0
    assert SECRET not in done.out
    assert "session_store.db" in done.out


def test_passwords_of_urls_are_found() -> None:
    """Whatever stands between ``://`` and the last ``@``, and a parameter of that name."""
    for text in ("postgresql://u:p@ss w/rd@h/d", "x://u:p@h, y://u:p@i"):
        assert ":p@" not in mask_password(text)
    assert mask_password("postgresql://h/d?password=p&x=1") == "postgresql://h/d?password=***&x=1"
    assert mask_password("no session 'bo@home'") == "no session 'bo@home'"


def test_control_characters_are_written_out() -> None:
    """In a line all of them, in a block all but line feeds and tabs."""
    assert escape_line("a\tb\nc\rd\x7f") == "a\\tb\\nc\\rd\\x7f"
    assert escape_text("a\tb\nc\rd\x85") == "a\tb\nc\\rd\\x85"
    assert escape_line("é 你 👩‍👩‍👧 \u00a0") == "é 你 👩‍👩‍👧 \u00a0"
