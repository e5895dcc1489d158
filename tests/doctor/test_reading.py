"""A look writes nothing, whatever it looks at; and where it cannot look that is told."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from session_store import (
    InvalidQuery,
    Severity,
    StoreUnavailable,
    doctor,
)
from tests.conftest import Database
from tests.doctor.faults import alarms, connection, fill
from tests.hosts import host_engine, statements_of
from tests.servers import memory

pytestmark = pytest.mark.once

only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def files_of(database: Database) -> dict[str, bytes]:
    """Every file beside a SQLite database and what it holds, but the one that all who use it write into."""
    folder = Path(str(database.url.database)).parent
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


@contextmanager
def at_rest(_database: Database) -> Iterator[None]:
    """Nobody has the file open."""
    yield


@contextmanager
def in_use(database: Database) -> Iterator[None]:
    """Somebody has, and what they wrote last is in the log."""
    with closing(sqlite3.connect(str(database.url.database))) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("UPDATE session_store_sessions SET name = 'in the log'")
        db.commit()
        yield


@contextmanager
def left_behind(database: Database) -> Iterator[None]:
    """Somebody had it open, and was killed: what they wrote last is in the log."""
    file = Path(str(database.url.database))
    with in_use(database):
        copies = {path: path.read_bytes() for path in (file, Path(f"{file}-wal"))}
    for path, content in copies.items():
        path.write_bytes(content)
    yield


@contextmanager
def without_wal(database: Database) -> Iterator[None]:
    """It is written as SQLite does by itself."""
    with closing(sqlite3.connect(str(database.url.database))) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    yield


@only_sqlite
@pytest.mark.parametrize("how", [at_rest, in_use, left_behind, without_wal])
def test_a_file_stays_as_it_is(database: Database, how: object) -> None:
    """Of a file that is named every byte stays, those of its log too; no file appears beside it."""
    fill(database)
    with how(database):  # type: ignore[operator]
        before = files_of(database)
        findings = doctor(database.url)
        after = files_of(database)

    assert after == before
    assert [finding.check for finding in alarms(findings)] == (["sqlite.journal_mode"] if how is without_wal else [])


LOOKS = """
import os, sys
from session_store import doctor, Severity
doctor(sys.argv[2])  # who is nobody may not be allowed to import anything
os.setgroups([])
os.setuid(65534)
findings = doctor(sys.argv[1])
print([it for it in findings if it.severity > Severity.INFO], "heads.compared" in [it.check for it in findings])
"""


@pytest.mark.long
@only_sqlite
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_file_that_nobody_may_write(database: Database) -> None:
    """A file in a directory where no log can be made is looked at all the same."""
    fill(database)
    # Not in the directory of the test, where nobody else may look.
    with tempfile.TemporaryDirectory(dir=memory()) as folder:
        file = Path(folder, "sessions.db")
        shutil.copyfile(str(database.url.database), file)
        file.chmod(0o444)
        Path(folder).chmod(0o555)
        command = [sys.executable, "-c", LOOKS, str(file), str(database.url.database)]
        said = subprocess.check_output(command, text=True)

    assert said == "[] True\n"


def test_only_questions_are_asked(database: Database) -> None:
    """Of a host's engine nothing is asked that could write: SELECT, PRAGMA, and what keeps one question apart."""
    fill(database)
    engine = host_engine(database)
    with statements_of(engine) as seen:
        doctor(engine)
    engine.dispose()

    assert {statement.split()[0] for statement in seen} <= {"SELECT", "PRAGMA", "SAVEPOINT", "RELEASE", "SHOW"}
    assert not any("=" in statement for statement in seen if statement.startswith("PRAGMA"))


# Who cannot be looked at.


def test_nothing_is_there(empty_database: Database) -> None:
    """A database without tables is told to be one, with what makes them; a file that is not there is not made."""
    path = Path(str(empty_database.url.database))
    if empty_database.name == "sqlite":
        with pytest.raises(StoreUnavailable, match="there is no file"):
            doctor(empty_database.url)
        assert not path.exists()
        sqlite3.connect(path).close()
        path.touch()
    (finding,) = doctor(empty_database.url)

    assert (finding.check, finding.severity, finding.command) == (
        "schema.tables",
        Severity.ERROR,
        "session-store upgrade",
    )


@pytest.mark.parametrize("secs", [-1, float("nan"), float("inf"), "1h", True, None])
def test_a_threshold_that_is_none(secs: object) -> None:
    """An age that is no number is refused before anything is looked at."""
    with pytest.raises(InvalidQuery, match="stuck_secs"):
        doctor("none.db", stuck_secs=secs)  # type: ignore[arg-type]


def test_who_cannot_be_reached(tmp_path: Path) -> None:
    """A server that is not there and a file that is no database are told as unavailable."""
    (tmp_path / "notes.db").write_text("dear diary, " * 1000)
    for bind in ("postgresql://localhost:1/none", tmp_path / "notes.db", tmp_path):
        with pytest.raises(StoreUnavailable):
            doctor(bind)


def test_tables_that_are_half_gone(database: Database) -> None:
    """With one of the tables gone that is told, and what does not need it is looked at."""
    fill(database)
    with connection(database) as db:
        db.exec_driver_sql("DROP TABLE session_store_states" + (" CASCADE" if database.name == "postgresql" else ""))
    findings = {finding.check: finding for finding in alarms(doctor(database.url))}

    assert findings["schema.difference"].message.startswith("table session_store_states is missing: ")
    assert findings["heads"].severity == Severity.WARNING
    assert "search.rows" not in findings


def test_heads_that_are_gone(database: Database) -> None:
    """An upgrade would not bring them back, so it is not what the doctor names."""
    fill(database)
    with connection(database) as db:
        db.exec_driver_sql("DROP TABLE session_store_sessions" + (" CASCADE" if database.name == "postgresql" else ""))
    (finding,) = doctor(database.url)

    assert (finding.check, finding.severity, finding.command) == ("schema.tables", Severity.ERROR, None)
    assert "restore it from a backup" in finding.message
