"""Every form of the package is whole, and what it says it needs is all it needs."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.documents import ROOT
from tests.matrix.environments import KINDS, Workshop

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(600)]

DIGESTS = """
import hashlib, json, pathlib, session_store
root = pathlib.Path(session_store.__file__).parent
files = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"}
print(json.dumps({name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}))
"""

CORE = """
import importlib.util, sqlalchemy
from session_store import ChatMessage, SessionStore

with SessionStore.open("core.db") as store:
    store.append("telegram_ann", ChatMessage.user("Hello"))
    print([message.content for message in store.load("telegram_ann")])

extras = ["aiosqlite", "jinja2", "pyarrow", "pytest", "pytimeparse2", "rich", "typer", "vl_convert"]
# SQLAlchemy 2.0 brings it along on most machines.
extras += [] if sqlalchemy.__version__.startswith("2.0.") else ["greenlet"]
print([name for name in extras if importlib.util.find_spec(name)])
"""

ASYNC = """
import asyncio
from session_store import AsyncSessionStore, ChatMessage

async def main():
    async with AsyncSessionStore.open("async.db") as store:
        await store.append("telegram_ann", ChatMessage.user("Hello"))
        print([message.content for message in await store.load("telegram_ann")])

asyncio.run(main())
"""

HOST_TEST = """
from session_store import ChatMessage

def test_a_greeting_is_kept(session_store):
    session_store.append("telegram_ann", ChatMessage.user("Hello"))

    assert [message.content for message in session_store.load("telegram_ann")] == ["Hello"]

def test_the_next_test_has_a_store_of_its_own(session_store):
    assert session_store.list_sessions() == []
"""


@pytest.mark.parametrize(
    "kind", [*KINDS[:-1], pytest.param(KINDS[-1], marks=pytest.mark.matrix_sample), "sdist"], ids=[*KINDS, "sdist"]
)
def test_it_is_whole(kind: str, workshop: Workshop, tmp_path: Path) -> None:
    """Installed in an empty environment the package is file for file the checkout's, and migrates a database."""
    installed = workshop.environment(kind, "", "psycopg[binary]")
    package = ROOT / "session_store"
    files = {path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    digests = {str(path.relative_to(package)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    assert json.loads(installed.run("python", "-c", DIGESTS, directory=tmp_path)) == digests
    assert {"py.typed", "migrations/versions/ss_0001_sessions.py"} <= digests.keys()
    upgrade = ["python", "-m", "session_store.migrations", "upgrade", "--db", "sessions.db"]
    assert installed.run(*upgrade, directory=tmp_path) == "ss_0003 (head)\n"


@pytest.mark.matrix_sample
def test_the_sdist_brings_what_a_checkout_has(workshop: Workshop) -> None:
    """Alembic's files, which a reader copies, and the documentation are in the sdist as they are in the tree."""
    folders = [ROOT / name for name in ("alembic", "docs", "examples", "tests")]
    kinds = {".css", ".ini", ".jsonl", ".mako", ".md", ".py", ".rst", ".svg", ".txt"}
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in kinds]
    files += [ROOT / name for name in ("CHANGELOG.md", "LICENSE", "README.md", "alembic.ini", "constraints.txt")]

    missing = [str(path) for path in files if not (workshop.source / path.relative_to(ROOT)).exists()]
    assert missing == []
    assert [
        path for path in files if (workshop.source / path.relative_to(ROOT)).read_bytes() != path.read_bytes()
    ] == []


def test_the_core_needs_no_extra(workshop: Workshop, tmp_path: Path) -> None:
    """Without an extra messages are kept, and nothing that an extra is for is installed."""
    printed = workshop.environment("wheel").run("python", "-W", "error", "-c", CORE, directory=tmp_path)

    assert printed.splitlines() == ["['Hello']", "[]"]


def test_async_works_alone(workshop: Workshop, tmp_path: Path) -> None:
    """With ``[async]`` alone a program on an event loop keeps its messages."""
    printed = workshop.environment("wheel", "async").run("python", "-W", "error", "-c", ASYNC, directory=tmp_path)

    assert printed == "['Hello']\n"


def test_cli_works_alone(workshop: Workshop, tmp_path: Path) -> None:
    """With ``[cli]`` alone the command makes a database, takes messages in, and shows them."""
    installed = workshop.environment("wheel", "cli")
    given = {"SESSION_STORE_DATABASE_URL": "sqlite:///cli.db"}
    line = {"session_key": "telegram_ann", "role": "user", "content": "Hello", "created_at": "2026-01-05T12:00:00Z"}
    Path(tmp_path, "chats.jsonl").write_text(json.dumps(line))
    for command in (["upgrade"], ["import", "chats.jsonl"]):
        installed.run("session-store", *command, directory=tmp_path, **given)

    assert "telegram_ann" in installed.run("session-store", "list", directory=tmp_path, **given)


def test_parquet_works_beside_the_command(workshop: Workshop, tmp_path: Path) -> None:
    """With ``[cli,parquet]`` messages are exported to Parquet."""
    given = {"SESSION_STORE_DATABASE_URL": "sqlite:///parquet.db"}
    export = "session-store", "export", "--format", "parquet", "--out", "messages.parquet"
    installed = workshop.environment("wheel", "cli,parquet")
    installed.run("session-store", "upgrade", directory=tmp_path, **given)

    assert installed.run(*export, directory=tmp_path, **given) == "0 sessions, 0 messages exported\n"
    assert Path(tmp_path, "messages.parquet").read_bytes().startswith(b"PAR1")


def test_report_works_beside_the_command(workshop: Workshop, tmp_path: Path) -> None:
    """With ``[cli,report]`` a page is made; without the second it is said what is missing, in one line."""
    given = {"SESSION_STORE_DATABASE_URL": "sqlite:///report.db"}
    report = "session-store", "report", "--out", "report.html"
    installed = workshop.environment("wheel", "cli,report")
    installed.run("session-store", "upgrade", directory=tmp_path, **given)
    installed.run(*report, directory=tmp_path, **given)
    without = workshop.environment("wheel", "cli")
    with pytest.raises(AssertionError, match=r"pip install 'session-store\[report\]'"):
        without.run(*report, "--force", directory=tmp_path, **given)

    assert "</html>" in Path(tmp_path, "report.html").read_text()


def test_testing_works_alone(workshop: Workshop, tmp_path: Path) -> None:
    """With ``[testing]`` alone a host's tests get a store from the plugin, each its own."""
    Path(tmp_path, "conftest.py").write_text('pytest_plugins = ["session_store.testing"]\n')
    Path(tmp_path, "test_host.py").write_text(HOST_TEST)

    assert "2 passed" in workshop.environment("wheel", "testing").run("pytest", "-W", "error", directory=tmp_path)
