"""A backup is the whole database as it was at one moment, and nothing less has its name."""

import io
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.schema import CreateSchema

from session_store import (
    ChatMessage,
    InvalidQuery,
    SchemaOutOfDate,
    SessionStore,
    StoreError,
    StoreUnavailable,
    doctor,
    migrations,
)
from session_store.maintenance import backup, pg_dump_command
from session_store.transfer import export_jsonl
from tests.command_line import ROOT, Command, running_in
from tests.conftest import Database
from tests.servers import OwnServer, Server

pytestmark = pytest.mark.once


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command, in a directory of its own."""
    return running_in(tmp_path, capsys, monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store in a file, with some megabytes in it."""
    path = tmp_path / "home" / "sessions.db"
    path.parent.mkdir()
    with SessionStore.open(path) as store:
        store.append_many("web_bo", (ChatMessage.user("word " * 400) for _ in range(2_000)))
    return path


def exported(database: Path | URL) -> bytes:
    """All that a store has."""
    out = io.BytesIO()
    with SessionStore(database) as store:
        export_jsonl(store, out)
    return out.getvalue()


def test_a_backup_is_an_equal_store(file: Path, tmp_path: Path) -> None:
    """With its index and its revision, at rest in one file; it tells how far it is, and how large the copy."""
    told: list[tuple[int, int]] = []
    size = backup(file, tmp_path / "copy.db", on_progress=lambda pages, every: told.append((pages, every)))

    assert exported(tmp_path / "copy.db") == exported(file)
    assert {finding.severity.name for finding in doctor(tmp_path / "copy.db")} == {"INFO"}
    assert size == (tmp_path / "copy.db").stat().st_size > 2_000_000
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > len(told) > 1


def test_what_is_copied_stays_as_it_is(file: Path, tmp_path: Path) -> None:
    """Byte by byte, and not switched to WAL; rights to read it are enough."""
    with closing(sqlite3.connect(file)) as plain:
        plain.execute("PRAGMA journal_mode = DELETE")
    before = file.read_bytes()
    backup(file, tmp_path / "copy.db")
    backup(f"sqlite:///file:{file}?mode=ro&uri=true", tmp_path / "another.db")

    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert exported(tmp_path / "another.db") == exported(tmp_path / "copy.db") == exported(file)


def test_beside_writers_it_is_of_one_moment(file: Path, tmp_path: Path) -> None:
    """A pair that is written together is in it or not; it ends although they never rest."""
    done = threading.Event()

    def write() -> None:
        with SessionStore(file) as store:
            while not done.is_set():
                with store.begin() as tx:
                    tx.append("left", ChatMessage.user("x" * 5_000))
                    tx.append("right", ChatMessage.user("x" * 5_000))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            backup(file, tmp_path / f"{number}.db")
    finally:
        done.set()
        writer.join()

    for number in range(5):
        with SessionStore(tmp_path / f"{number}.db") as copy:
            assert len(copy.load("left")) == len(copy.load("right"))
            assert len(copy.load("web_bo")) == 2_000


def test_a_file_that_is_there_stays(file: Path, tmp_path: Path) -> None:
    """Unless it is to be replaced."""
    (tmp_path / "copy.db").write_text("precious")

    with pytest.raises(StoreError, match="exists already"):
        backup(file, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"
    assert backup(file, tmp_path / "copy.db", overwrite=True) > 2_000_000


def test_a_file_made_meanwhile_stays(file: Path, tmp_path: Path) -> None:
    """Of two backups to one place at once the slower one fails, and leaves nothing of itself."""
    place = tmp_path / "copy.db"

    def another(_pages: int, _all: int) -> None:
        place.write_text("precious")

    with pytest.raises(StoreError, match="exists already"):
        backup(file, place, on_progress=another)

    assert place.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["copy.db"]


@pytest.mark.parametrize("name", ["sessions.db", "link.db"])
def test_a_database_is_not_its_own_backup(file: Path, name: str) -> None:
    """Without a log beside it neither, under whatever name: who has it open would go on writing into nothing."""
    (file.parent / "link.db").symlink_to(file)
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        number = file.stat().st_ino
        with pytest.raises(StoreError, match=r"would be copied|in use"):
            backup(file, file.with_name(name), overwrite=True)

        assert file.stat().st_ino == number


def test_a_database_in_use_is_never_replaced(file: Path, tmp_path: Path) -> None:
    """Not even the one that is copied: who has it open would go on writing into nothing."""
    other = migrated_file(tmp_path)
    with SessionStore(file) as store, SessionStore(other) as theirs:
        store.append("web_bo", ChatMessage.user("still here"))
        theirs.append("web_bo", ChatMessage.user("still here"))
        for target in (file, other):
            with pytest.raises(StoreError, match=r"would be copied|in use"):
                backup(file, target, overwrite=True)

        assert [message.content for message in theirs.load("web_bo")] == ["still here"]
    assert exported(file).count(b"still here") == 1


def migrated_file(folder: Path) -> Path:
    """A file with our tables."""
    path = folder / "migrated.db"
    migrations.upgrade(path)
    return path


def test_what_cannot_be_copied(empty_database: Database, file: Path, tmp_path: Path) -> None:
    """Each is an error of its own, and no file is left behind."""
    (tmp_path / "notes.db").write_text("no database, but long enough to be looked at" * 30)
    folder = tmp_path / "copies"
    folder.mkdir()
    if empty_database.name == "sqlite":
        Path(str(empty_database.url.database)).touch()

    with pytest.raises(SchemaOutOfDate if empty_database.name == "sqlite" else InvalidQuery):
        backup(empty_database.url, folder / "copy.db")
    with pytest.raises(StoreError, match="not a database"):
        backup(tmp_path / "notes.db", folder / "copy.db")
    with pytest.raises(StoreUnavailable, match="there is no file"):
        backup(tmp_path / "none.db", folder / "copy.db")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        backup(file, tmp_path / "nowhere" / "copy.db")
    with pytest.raises(StoreError, match="exists and is not a file"):
        backup(file, "/dev/null", overwrite=True)
    for target in ("", "a\0b", 3):
        with pytest.raises(InvalidQuery, match="target must be the path of a file"):
            backup(file, target)  # type: ignore[arg-type]
    with pytest.raises(InvalidQuery, match="PostgreSQL"):
        pg_dump_command(make_url("sqlite://"), folder / "x")
    assert list(folder.iterdir()) == []


def test_damage_is_told_and_not_copied(file: Path, tmp_path: Path) -> None:
    """A file whose pages contradict each other makes no backup that looks sound."""
    with closing(sqlite3.connect(file)) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = plain.execute("SELECT rootpage FROM sqlite_master WHERE name = 'session_store_messages'").fetchone()
        (page,) = plain.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as pages:
        pages.seek((root - 1) * page + 12)
        pages.write(os.urandom(200))

    with pytest.raises((StoreError, StoreUnavailable)):
        backup(file, tmp_path / "copy.db")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_an_interrupted_backup_leaves_nothing(file: Path, tmp_path: Path) -> None:
    """Ctrl-C: exit code 130, and the folder is as it was."""
    slowly = tmp_path / "slowly.py"
    slowly.write_text(
        "import sys, time\n"
        "from session_store.maintenance import backups\n"
        "from session_store.cli import main\n"
        "whole = backups.backup\n"
        "def tell(*_):\n"
        "    print('copying', flush=True)\n"
        "    time.sleep(0.5)\n"
        "backups.backup = lambda *given, **options: whole(*given, **{**options, 'on_progress': tell})\n"
        "sys.exit(main())\n"
    )
    target = tmp_path / "target"
    target.mkdir()
    with subprocess.Popen(
        [sys.executable, slowly, "backup", target / "copy.db", "--db", file],
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)

    assert (process.returncode, err) == (130, b"")
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("schema", [None, 'we"ird Größe'])
def test_the_command_for_postgresql_makes_an_equal_store(
    postgresql_server: Server, tmp_path: Path, command: Command, schema: str | None
) -> None:
    """As it is printed, by a shell; and `pg_restore` into a database with nothing but the schema is the store again."""
    if not isinstance(postgresql_server, OwnServer):
        pytest.skip("PostgreSQL's programs come with the server of the wheel")
    with (
        postgresql_server.clone(postgresql_server.template_dbname) as home,
        postgresql_server.clone(postgresql_server.template_dbname) as copy,
    ):
        migrations.upgrade(home, schema=schema)
        with SessionStore(home, schema=schema) as store:
            store.append("web_bo", ChatMessage.user("Hello \0 \ud800"))
            store.set_session_state("web_bo", "running", "turn_1")
            before = list(store.iter_history("web_bo"))
        done = command(
            *("backup", "my copy.dump", "--db", home.render_as_string(hide_password=False)),
            *(("--schema", schema) if schema else ()),
        )
        path = {"PATH": f"{postgresql_server.control.bin_path}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run(done.out, shell=True, check=True, cwd=tmp_path, env=path)  # noqa: S602 - it is for a shell
        if schema is not None:
            engine = create_engine(copy)
            with engine.begin() as db:
                db.execute(CreateSchema(schema))
            engine.dispose()
        restore = ["pg_restore", "-d", conninfo(copy), str(tmp_path / "my copy.dump")]
        subprocess.run(restore, check=True, env=path)

        with SessionStore(copy, schema=schema) as store:
            assert list(store.iter_history("web_bo")) == before
            assert store.health().schema is not None
            state = store.get_session_state("web_bo")
    assert (done.code, state is not None and state.state) == (1, "running")
    assert ("create the schema" in done.err) == (schema is not None)


def test_the_command_for_postgresql_says_no_password() -> None:
    """Nor how to find one, nor what only our driver knows."""
    url = make_url(
        "postgresql+psycopg://ann:s3cr3t@db:5433/chats?prepare_threshold=none&passfile=secret&sslmode=require"
    )
    words = shlex.split(pg_dump_command(url, "chats.dump"))

    assert words[:4] == ["pg_dump", "--format=custom", "--file=chats.dump", "--table=session_store_*"]
    assert "s3cr3t" not in str(words)
    assert set(words[4].removeprefix("--dbname=").split()) == {
        "host=db",
        "port=5433",
        "user=ann",
        "dbname=chats",
        "sslmode=require",
    }


def conninfo(url: URL) -> str:
    """Where a database is, as PostgreSQL's programs read it."""
    return str(url.set(drivername="postgresql").render_as_string(hide_password=False))


def test_by_the_command_line(file: Path, tmp_path: Path, command: Command) -> None:
    """The file is named, and how large it is; one that is there is not replaced unasked."""
    first = command("backup", "copy.db", "--db", file)
    again = command("backup", "copy.db", "--db", file)
    forced = command("backup", "copy.db", "--force", "--json", "--db", file)

    assert (first.code, first.out.startswith("copy.db: ")) == (0, True)
    assert (again.code, "exists already" in again.err) == (1, True)
    assert (forced.code, '"bytes"' in forced.out) == (0, True)
    assert exported(tmp_path / "copy.db") == exported(file)
