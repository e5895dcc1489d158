"""``python -m session_store.migrations``: what it prints, and how it ends."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text

from session_store import InvalidQuery, SessionStore, migrations
from session_store.database import revisions
from tests.conftest import Database
from tests.hosts import host_engine
from tests.migrations.steps import HELLO, KEY, ROOT

pytestmark = pytest.mark.once


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m session_store.migrations``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SESSION_STORE_")}
    program = [sys.executable, "-m", "session_store.migrations", *arguments]
    return subprocess.run(program, cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=False)


def test_the_command_needs_only_the_package(empty_database: Database, empty: Engine) -> None:
    """``current``, ``upgrade``, ``check``: what they print, and their exit codes."""
    url = str(empty_database)
    if empty_database.name == "postgresql":
        assert run("current", "--db", url).stdout == "no revision\n"
        assert run("check", "--db", url).returncode == 1
    for _ in range(2):
        upgraded = run("upgrade", SESSION_STORE_DATABASE_URL=url)
        assert (upgraded.stdout, upgraded.returncode) == ("ss_0003 (head)\n", 0), upgraded.stderr
    assert run("current", "--db", url).stdout == "ss_0003 (head)\n"
    checked = run("check", "--db", url)
    assert (checked.stdout, checked.returncode) == ("nothing differs\n", 0)
    with empty.begin() as db:
        db.execute(text("DROP INDEX session_store_sessions_recency"))
    checked = run("check", "--db", url)
    assert (checked.stdout, checked.returncode) == (
        "index session_store_sessions.session_store_sessions_recency is missing\n",
        1,
    )


@pytest.mark.parametrize("name", [None, 'a "quoted" one: %s :x'])
def test_the_sql_it_prints_makes_the_tables(database: Database, empty_database: Database, name: str | None) -> None:
    """Run by somebody else, the script makes what ``upgrade`` makes, its version table included."""
    if database.name != empty_database.name or (name and database.name == "sqlite"):
        return
    arguments = [] if name is None else ["--schema", name]
    printed = run("sql", "--dialect", empty_database.name, *arguments)
    assert (printed.returncode, printed.stderr) == (0, "")
    if empty_database.name == "sqlite":
        with closing(sqlite3.connect(str(empty_database.url.database))) as db:
            db.executescript(printed.stdout)
    else:
        with psycopg.connect(str(empty_database), autocommit=True) as db:
            db.execute(printed.stdout)
    engine = host_engine(empty_database)

    assert migrations.current(engine, schema=name) == revisions.HEAD
    assert migrations.check(engine, schema=name) == []
    assert SessionStore(engine, schema=name).append(KEY, HELLO).seq == 1
    engine.dispose()


def test_it_says_where_the_revisions_are() -> None:
    """``paths``: as a host's ``alembic.ini`` says it, and the folder itself."""
    location, folder = run("paths").stdout.splitlines()

    assert location == migrations.LOCATION == "session_store:migrations/versions"
    assert Path(folder, "ss_0001_sessions.py").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["current", "--db", "none.db"], 1, "there is no file 'none.db'"),
        (["check", "--db", "none.db"], 1, "there is no file 'none.db'"),
        (["upgrade", "--db", "nowhere/sessions.db"], 1, "unable to open database file"),
        (["upgrade", "--db", "mysql://host/db"], 2, "SQLite and PostgreSQL"),
        (["upgrade", "--db", "sqlite+none://"], 2, "SQLAlchemy has no driver 'sqlite+none'"),
        (["upgrade", "--db", "x.db", "--schema", "chat"], 2, "only PostgreSQL has schemas"),
        (["upgrade"], 2, "--db"),
        (["sql"], 2, "--dialect"),
        (["sql", "--dialect", "mysql"], 2, "invalid choice"),
        ([], 2, "COMMAND"),
        (["current", "--db", ""], 2, "the path is empty"),
    ],
)
def test_what_it_cannot_do_it_says(arguments: list[str], code: int, said: str) -> None:
    """An exit code, one line without a traceback, and nothing made."""
    done = run(*arguments)

    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path(ROOT, "none.db").exists()
    assert not Path(ROOT, "x.db").exists()


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    """As a composed service has it whose variable nobody has filled in."""
    done = run("upgrade", SESSION_STORE_DATABASE_URL="", SESSION_STORE_SCHEMA="")

    assert (done.returncode, "--db" in done.stderr) == (2, True)


def test_no_sql_for_another_database() -> None:
    """From Python too the dialect is one of the two."""
    with pytest.raises(InvalidQuery, match="'mysql'"):
        migrations.sql("mysql")
