"""Every command of the command line: on both databases, in both forms, with whatever others wrote."""

import io
import json
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import URL, create_engine, text

from session_store import ChatMessage, SessionStore, maintenance, migrations
from session_store.cli.app import app, run
from session_store.transfer import export_jsonl
from tests.command_line import MAIN, ROOT, Command, chats, fill, on_a_terminal, process, running_in
from tests.conftest import POSTGRESQL_VERSION, Database
from tests.servers import start_postgresql, start_standby

pytestmark = pytest.mark.once

HOSTILE = "[red]a[/red] \x1b[31m \x9b \x07 \u202e <b>'\"`$(x) \u2028"
KEY = f"web {HOSTILE}"
OWNER = f"ann {HOSTILE}"
SQLITE_FILES = ("sessions.db", "sessions.db-wal", "sessions.db-shm")
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028]")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

READ: dict[str, list[object]] = {
    "list": ["--owner", OWNER, "--active-before", "1h", "--attribute", "n=1"],
    "show": [KEY],
    "tail": [KEY, "-n", "2"],
    "search": ["umbrella"],
    "search --messages": ["umbrella", "--role", "user", "--since", "9999d"],
    "running": [],
    "stuck": ["--longer-than", "5m"],
    "state": [KEY],
    "stats": [],
    "doctor": ["--stuck-after", "99999d"],
    "report": ["--out", "/dev/null", "--force", "--price", "a=b=0.15/0.6"],
    "index status": [],
    "export": [],
}
"""What only looks."""

NOT_OF_A_SESSION = {"export", "tail", "search --messages", "stats", "index status", "doctor", "report"}
"""What says nothing of a session's head."""

CHANGE: dict[str, list[object]] = {
    "state --turn": [HOSTILE, KEY, HOSTILE],
    "rename": [KEY, HOSTILE * 2],
    "owner": [KEY, HOSTILE],
    "label": [KEY, f"{HOSTILE}={HOSTILE}", "n="],
    "upgrade": [],
    "vacuum": [],
    "vacuum --full": [],
    "repair heads": [],
    "repair schema": [],
    "index create": [],
    "index create --analytics": [],
    "index rebuild": [],
    "index drop --analytics": [],
    "index drop": [],
}
"""What changes something and does not ask."""

REMOVE: dict[str, tuple[list[object], dict[str, int]]] = {
    "delete": ([KEY, "old_1"], {"sessions": 2}),
    "erase": (["--owner", OWNER], {"sessions": 1}),
    "cleanup": (["--older-than", "30d"], {"sessions": 12}),
    "cleanup --include-running": (["--older-than", "30d"], {"sessions": 13}),
    "prune": (["--older-than", "30d"], {"states": 2}),
    "trim": ([KEY, "--keep-last", "1"], {"messages": 3}),
    "compact": ([KEY], {"messages": 1, "heads": 0}),
    "repair orphans": ([], {"messages": 1, "states": 1}),
    "stuck --recover": (["--longer-than", "5m"], {"sessions": 1}),
}
"""What asks first, and of how much."""

ELSEWHERE = {
    "import": "tests/imports",
    "backup": "tests/test_backups.py",
    "repair pragmas": "tests/test_doctor_command.py",
}
"""What is run in other tests, and where."""


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command, in a directory of its own."""
    return running_in(tmp_path, capsys, monkeypatch)


@pytest.fixture
def hostile(database: Database) -> Database:
    """A database with all that a stranger could write."""
    fill_with_hostile(database)
    return database


def fill_with_hostile(database: Database) -> None:
    """A running session with whatever text there is, and twelve that nobody used for years."""
    times = iter(LONG_AGO + timedelta(minutes=minute) for minute in range(1_000))
    with SessionStore(database.url, clock=lambda: next(times)) as store:
        store.create_session(KEY, name=HOSTILE, owner=OWNER, attributes={HOSTILE: HOSTILE, "n": 1})
        for state in ("error", HOSTILE, "running"):
            store.set_session_state(KEY, state, HOSTILE)
        store.append_many(
            KEY, [ChatMessage("user", f"umbrella {HOSTILE}"), ChatMessage(HOSTILE, HOSTILE, {HOSTILE: HOSTILE})]
        )
        store.append_many(KEY, [ChatMessage.user("twice"), ChatMessage.user("twice")])
        for number in range(12):
            store.append(f"old_{number}", ChatMessage.user("old"))


def leave_orphans(database: Database) -> None:
    """A message and a state whose session is gone, as a host leaves them whose engine keeps no foreign keys."""
    with SessionStore(database.url) as store:
        store.append("orphan", ChatMessage.user(HOSTILE))
        store.set_session_state("orphan", "error")
    engine = create_engine(database.url.set(drivername=DRIVERS[database.name]))
    with engine.begin() as db:
        if database.name == "postgresql":
            db.execute(text("SET LOCAL session_replication_role = replica"))
        db.execute(text("DELETE FROM session_store_sessions WHERE key = 'orphan'"))
    engine.dispose()


def everything(database: Database) -> tuple[bytes, maintenance.OrphanCounts]:
    """All that a store has, and how much in it belongs to no session."""
    out = io.BytesIO()
    with SessionStore(database.url) as store:
        export_jsonl(store, out)
    return out.getvalue(), maintenance.delete_orphans(database.url, dry_run=True)


def objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects that stand in lines."""
    found = [json.loads(line) for line in text.splitlines()]

    assert all(isinstance(each, dict) for each in found)
    assert text.isascii()
    return found


def names(typer_app: typer.Typer, before: str = "") -> Iterator[str]:
    """All commands, as they are typed."""
    for group in typer_app.registered_groups:
        assert group.typer_instance is not None
        yield from names(group.typer_instance, f"{before}{group.name} ")
    for registered in typer_app.registered_commands:
        yield f"{before}{registered.name}"


ALL = sorted(names(app))


def test_every_command_is_run_here() -> None:
    """A command that comes later has a row in a table above."""
    assert set(ALL) == {name.partition(" --")[0] for name in [*READ, *CHANGE, *REMOVE, *ELSEWHERE]}


@pytest.mark.parametrize("name", [*READ, *CHANGE])
def test_in_both_forms(hostile: Database, command: Command, name: str) -> None:
    """For people nothing steers their terminal; for programs each line is an object.

    The doctor has something to say of the tests' server, which waits for no disk.
    """
    line = [*name.split(), *{**READ, **CHANGE}[name], "--db", hostile]

    people = command(*line)
    programs = command(*line, "--json")
    code, seen = on_a_terminal(*line, PAGER="")

    assert people.code == programs.code == code == (name == "doctor" and hostile.name == "postgresql")
    assert not STEERING.search(people.out + people.err)
    # What rich and the terminal's driver put there themselves is taken away first.
    assert not STEERING.search(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", seen))
    if name == "export":
        assert KEY in {line["session_key"] for line in objects(people.out)}
        assert objects(programs.err)[-1]["sessions"] == 14 - 1
        return
    first, *_ = objects(programs.out)
    if "session_key" in first:
        assert (first["session_key"], bool(people.out)) == (KEY, True)


@pytest.mark.parametrize("name", [name for name in READ if name not in NOT_OF_A_SESSION])
def test_programs_get_what_was_written(hostile: Database, command: Command, name: str) -> None:
    """A session in JSON is that of the store, name, owner, attributes, state and all."""
    first, *_ = objects(command(*name.split(), *READ[name], "--db", hostile, "--json").out)
    with SessionStore(hostile.url) as store:
        session = store.get_session_metadata(KEY)

    assert session is not None
    for field in ("name", "owner", "attributes", "state", "turn_id", "message_count"):
        assert first[field] == getattr(session, field)


@pytest.mark.parametrize("name", REMOVE)
def test_nothing_is_removed_unasked(hostile: Database, command: Command, name: str) -> None:
    """Where nobody can be asked, where the user says no, and in a dry run, all stays as it is."""
    arguments, figures = REMOVE[name]
    line = [*name.split(), *arguments, "--db", hostile]
    if name == "repair orphans":
        leave_orphans(hostile)
    before = everything(hostile)

    unasked = command(*line)
    code, seen = on_a_terminal(*line, answer="n\n")
    people = command(*line, "--dry-run")
    programs = command(*line, "--dry-run", "--json")

    assert everything(hostile) == before
    assert (unasked.code, unasked.out, "use --yes" in unasked.err) == (1, "", True)
    assert (code, "nothing was done" in seen, "? [y/N]" in seen) == (1, True, True)
    assert (people.code, "would be" in people.out) == (0, True)
    assert objects(programs.out) == [{**figures, "dry_run": True}]
    assert not STEERING.search(people.out + people.err + unasked.err)


@pytest.mark.parametrize("name", REMOVE)
@pytest.mark.parametrize("how", ["yes", pytest.param("answer", marks=pytest.mark.long), "json"])
def test_what_was_agreed_to_is_done(hostile: Database, command: Command, name: str, how: str) -> None:
    """As many as the dry run said; a second time there is nothing left to do."""
    arguments, figures = REMOVE[name]
    line = [*name.split(), *arguments, "--db", hostile]
    if name == "repair orphans":
        leave_orphans(hostile)
    before = everything(hostile)

    if how == "yes":
        done = command(*line, "--yes")
        assert (done.code, "would be" in done.out) == (0, False)
    elif how == "answer":
        code, seen = on_a_terminal(*line, answer="y\n")
        assert (code, "? [y/N]" in seen) == (0, True)
    else:
        assert objects(command(*line, "--yes", "--json").out) == [{**figures, "dry_run": False}]

    again = command(*line, "--dry-run", "--json")
    assert everything(hostile) != before
    assert (
        again.code == 1 if name == "delete" else objects(again.out) == [dict.fromkeys(figures, 0) | {"dry_run": True}]
    )


def test_an_answer_that_comes_late_does_no_more(
    database: Database, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """What comes of age between the question and the answer is left alone: it was not asked about."""
    with SessionStore(database.url) as store:
        store.append("old", ChatMessage.user("old"))
        time.sleep(0.5)

        def answer(*_: object, **__: object) -> bool:
            store.append("new", ChatMessage.user("new"))
            time.sleep(1)
            return True

        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr("typer.confirm", answer)
        done = command("cleanup", "--older-than", "400ms", "--db", database)

        assert (done.code, done.out) == (0, "1 session deleted\n")
        assert store.list_sessions() == ["new"]


@pytest.mark.parametrize("name", ALL)
def test_help_has_an_example(command: Command, name: str, tmp_path: Path) -> None:
    """It is a line of this command that is understood: it ends for another reason, or well."""
    shown = command(*name.split(), "--help")
    words = " ".join(shown.out.split()).partition("Example: session-store ")[2]
    chats(tmp_path / "chats.jsonl.gz")

    assert shown.code == 0
    assert words.startswith(name)
    if name != "tail":
        assert command(*shlex.split(words), "--db", "sqlite:///none.db").code in {0, 1}


def test_a_report_is_whole_or_not_there(hostile: Database, command: Command, tmp_path: Path) -> None:
    """A file that is there is replaced by all of the new one, a device is not replaced, and - goes into the pipe."""
    Path("report.html").write_text("the old one")
    refused = command("report", "--out", "report.html", "--db", hostile)
    failed = command("report", "--out", "report.html", "--force", "--tz", "Nowhere/At_All", "--db", hostile)
    before = Path("report.html").read_text()
    done = command("report", "--out", "report.html", "--force", "--db", hostile)
    device = command("report", "--out", "/dev/null", "--force", "--db", hostile)

    assert (refused.code, failed.code, before) == (2, 1, "the old one")
    assert (done.code, Path("report.html").read_text().rstrip()[-7:]) == (0, "</html>")
    assert (device.code, Path("/dev/null").is_file()) == (0, False)
    assert process("report", "--out", "-", "--db", hostile).stdout.rstrip().endswith(b"</html>")
    assert {path.name for path in tmp_path.iterdir()} <= {"report.html", *SQLITE_FILES}


@pytest.mark.parametrize("said", ["2026-01-05T12:02:00", "2026-01-05 12:02", "2026-01-05T13:02:00+01:00"])
def test_a_time_without_a_zone_is_utc(database: Database, command: Command, said: str) -> None:
    """As the tables show it."""
    fill(database)

    assert [
        line["session_key"] for line in objects(command("list", "--active-since", said, "--json", "--db", database).out)
    ] == ["web_2"]


@pytest.mark.parametrize(
    "line",
    [
        ["cleanup", "--older-than", "30"],
        ["cleanup", "--older-than", "soon"],
        ["cleanup", "--older-than", "6M"],
        ["cleanup", "--older-than=-5m"],
        ["cleanup"],
        ["erase"],
        ["list", "--active-since", "yesterday"],
        ["report", "--out", "x", "--price", "small"],
        ["report", "--out", "x", "--price", "small=1"],
        ["stuck", "--longer-than", "5m", "--yes"],
        ["stuck", "--longer-than", "5m", "--to", "idle"],
        ["owner", KEY],
        ["owner", KEY, "ann", "--none"],
        ["label", KEY, "channel"],
        ["state", KEY, "--turn", "x"],
        ["search", "a", "--role", "user"],
        ["search", "a", "--messages", "--owner", "ann"],
    ],
    ids=" ".join,
)
def test_what_is_not_understood_changes_nothing(hostile: Database, command: Command, line: list[str]) -> None:
    """Exit code 2, one line that says what is wrong."""
    before = everything(hostile)
    done = command(*line, "--db", hostile)

    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert everything(hostile) == before


@pytest.mark.parametrize("name", ["show", "tail", "state", "rename", "owner", "label", "delete", "trim", "compact"])
def test_a_name_mistyped_makes_no_session(hostile: Database, command: Command, name: str) -> None:
    """It is told, and nothing is written."""
    rest = {"rename": ["x"], "owner": ["x"], "label": ["a=b"], "trim": ["--keep-last", "1"], "state": ["idle"]}
    before = everything(hostile)
    done = command(name, "wbe", *rest.get(name, []), "--db", hostile)

    assert (done.code, done.err) == (1, "error: session 'wbe' does not exist\n")
    assert everything(hostile) == before


@pytest.mark.parametrize("name", ["prune", f"trim {KEY}", "cleanup"])
def test_nothing_is_older_than_all_times(hostile: Database, command: Command, name: str) -> None:
    """An age that no calendar has is one that nothing reaches."""
    what, *key = name.split(" ", 1)
    done = command(what, *key, "--older-than", "999999d", "--yes", "--db", hostile)

    assert (done.code, done.out[:2], done.err) == (0, "0 ", "")


def test_no_time_at_all_is_a_time(hostile: Database, command: Command) -> None:
    """It is not taken for one that was left out: no double is removed, and a turn that has just begun is stuck."""
    with SessionStore(hostile.url) as store:
        for word in ("again", "again"):
            store.append("old_1", ChatMessage.user(word))
        store.set_session_state("old_1", "running")
    doubles = command("compact", "old_1", "--within", "0s", "--dry-run", "--json", "--db", hostile)
    stuck = command("doctor", "--quick", "--stuck-after", "0s", "--json", "--db", hostile)

    assert json.loads(doubles.out)["messages"] == 0
    assert [found["value"] for found in objects(stuck.out) if found["check"] == "sessions.stuck"] == [2]


def test_a_state_is_set_only_in_its_turn(hostile: Database, command: Command) -> None:
    """Else the exit code is 1, and it stays."""
    before = everything(hostile)
    done = command("state", KEY, "idle", "--if-turn", "another", "--db", hostile)

    assert (done.code, "its state was not changed" in done.err) == (1, True)
    assert everything(hostile) == before


def follow(database: Database, *options: str) -> "subprocess.Popen[bytes]":
    """Begin to follow a session in a process of its own."""
    line = ["tail", "-f", "web_bo", "--interval", "50ms", "--db", str(database), *options]
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *line],
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_tail_follows(database: Database) -> None:
    """What comes is printed as it comes, until Ctrl-C; then the exit code is 130 and nothing is said."""
    with SessionStore(database.url) as store:
        store.append_many("web_bo", map(ChatMessage.user, "abc"))
        with follow(database, "--last", "1", "--json") as process:
            assert process.stdout is not None
            seen = [json.loads(process.stdout.readline())["content"]]
            for said in ("d", "e"):
                store.append("web_bo", ChatMessage.user(said))
                seen.append(json.loads(process.stdout.readline())["content"])
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)

    assert seen == ["c", "d", "e"]
    assert (process.returncode, err) == (130, b"")


def test_an_interrupted_cleanup_leaves_whole_sessions(database: Database, tmp_path: Path) -> None:
    """Ctrl-C ends it between two batches: exit code 130, a session is there with all it had or gone; again goes on."""
    times = iter(LONG_AGO + timedelta(seconds=second) for second in range(100_000))
    with SessionStore(database.url, clock=lambda: next(times)) as store:
        for number in range(1_500):
            store.append_many(f"old_{number}", [ChatMessage.user("x"), ChatMessage.user("y")])
    slowly = tmp_path / "slowly.py"
    slowly.write_text(
        "import sys, time\n"
        "from session_store.cli import main\n"
        "from session_store.repositories import batching\n"
        "delete = batching.delete_batch\n"
        "import session_store.repositories.sessions as sessions\n"
        "def delete_slowly(*arguments, **options):\n"
        "    done = delete(*arguments, **options)\n"
        "    print('deleted', flush=True)\n"
        "    time.sleep(0.3)\n"
        "    return done\n"
        "sessions.delete_batch = delete_slowly\n"
        "sys.exit(main())\n"
    )
    line = ["cleanup", "--older-than", "30d", "--yes", "--db", str(database)]
    with subprocess.Popen(
        [sys.executable, slowly, *line], env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)

    with SessionStore(database.url) as store:
        left = store.list_sessions_with_metadata()
        whole = [session for session in left if len(store.load(session.key)) == 2 == session.message_count]

    assert (process.returncode, err) == (130, b"")
    assert 0 < len(left) < 1_500
    assert len(whole) == len(left)
    assert run([*line]) == 0
    with SessionStore(database.url) as store:
        assert store.count_sessions() == 0


def test_a_shell_completes_commands_and_keys(
    hostile: Database,
) -> None:
    """Commands by their names, sessions by the beginning of their keys; without a database there is nothing.

    The shell types a key as it is, so one that would do something there is not offered.
    """
    with SessionStore(hostile.url) as store:
        store.create_session("--yes")

    def completed(typed: str) -> list[str]:
        asked = {"_SESSION_STORE_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
        done = process(**asked, SESSION_STORE_DATABASE_URL=str(hostile))

        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode().split()

    assert set(completed("session-store sta")) == {"state", "stats"}
    assert sorted(completed("session-store show old_1")) == ["old_1", "old_10", "old_11"]
    assert completed("session-store show --db none.db old_") == []
    assert completed("session-store show web") == []
    assert {key[:4] for key in completed("session-store delete ")} == {"old_"}


@pytest.fixture(scope="module")
def standby() -> Iterator[tuple[Database, Database]]:
    """A PostgreSQL with something in it, and one that follows it and takes no writes."""
    with start_postgresql(POSTGRESQL_VERSION) as primary:
        home = Database("postgresql", primary.url)
        migrations.upgrade(home.url)
        fill_with_hostile(home)
        with start_standby(primary) as follower:
            yield home, Database("postgresql", follower.url)


@pytest.mark.parametrize("name", READ)
def test_reading_needs_only_a_standby(standby: tuple[Database, Database], command: Command, name: str) -> None:
    """On a PostgreSQL that follows another one every reading command says the same as there."""
    home, follower = (command(*name.split(), *READ[name], "--db", each, "--json") for each in standby)

    if name == "doctor":
        assert (follower.code, "a read-only standby" in follower.out, follower.err) == (1, True, "")
    else:
        assert home.code == 0
        assert follower == home


@pytest.mark.parametrize("name", [*READ, *REMOVE])
def test_reading_writes_nothing(tmp_path: Path, sqlite_template: Path, command: Command, name: str) -> None:
    """A SQLite file stays as it is, byte by byte, also one that was never switched to WAL; a dry run only reads."""
    file = tmp_path / "copied.db"
    shutil.copyfile(sqlite_template, file)
    fill_with_hostile(Database("sqlite", URL.create("sqlite", database=str(file))))
    with closing(sqlite3.connect(file)) as plain:
        plain.execute("PRAGMA journal_mode = DELETE")
    before = file.read_bytes()

    rest = READ[name] if name in READ else [*REMOVE[name][0], "--dry-run"]
    done = command(*name.split(), *rest, "--db", file)

    assert done.code == (name == "doctor")
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["copied.db"]
