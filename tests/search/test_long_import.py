"""A long import on SQLite goes on without the search index, and makes it anew at the end, whatever the end is."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_store import ChatMessage, SessionStore
from session_store.search import fts5
from session_store.search import index as search_index
from session_store.transfer import import_jsonl

pytestmark = pytest.mark.once

MANY = 100
"""Messages after which an import is long, here."""


def lines(number: int, start: int = 0) -> io.BytesIO:
    """So many messages, each with a word of its own."""
    said = ({"session_key": "k", "role": "user", "content": f"word{n} and"} for n in range(start, start + number))
    return io.BytesIO(b"".join(json.dumps(line).encode() + b"\n" for line in said))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionStore]:
    """A store on SQLite for which an import is soon a long one."""
    monkeypatch.setattr("session_store.transfer.bulk_load.MANY_MESSAGES", MANY)
    monkeypatch.setattr("session_store.transfer.bulk_load.LINE_BATCH_SIZE", MANY)
    with SessionStore.open(tmp_path / "sessions.db") as store:
        yield store


def is_exact(store: SessionStore) -> bool:
    """Whether the index serves, is sound, and finds every message."""
    with store.engine.begin() as db:
        db.exec_driver_sql(fts5.INTEGRITY_CHECK)
    found = len(store.search_messages("and", limit=10_000))
    return store.health().search == fts5.ENGINE and found == len(store.history("k"))


def test_the_index_is_suspended_and_made_anew(store: SessionStore) -> None:
    """In the middle of it words are found by LIKE, appended ones too; at the end the index has them all."""
    serving = []

    def look(_size: int) -> None:
        serving.append(search_index.status(store.engine).engine)
        store.append("k", ChatMessage.user("between and"))

    import_jsonl(store, [lines(50 * MANY)], on_read=look)

    assert {"fts5", "like"} == set(serving)
    assert is_exact(store)


def test_a_short_import_leaves_the_index_alone(store: SessionStore) -> None:
    """Nobody who searches meanwhile sees another engine."""
    import_jsonl(store, [lines(MANY)], on_read=lambda _size: is_exact(store))

    assert is_exact(store)


def test_an_import_that_fails_makes_it_anew_too(store: SessionStore) -> None:
    """What was committed before the failure is found."""

    def fail(_size: int) -> None:
        if search_index.is_disabled(store.engine):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_jsonl(store, [lines(50 * MANY)], on_read=fail)

    assert len(store.history("k")) >= MANY
    assert is_exact(store)


@pytest.mark.long
def test_an_import_that_is_killed_is_completed_by_the_next(tmp_path: Path) -> None:
    """Killed in the middle it leaves an index that is not kept, which is said; importing again mends it."""
    path = tmp_path / "sessions.db"
    program = [sys.executable, "-c", "from session_store.cli import main; main()", "import", "-", "--db", str(path)]
    number = 75_000
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        process.stdin.write(lines(number).read())
        process.stdin.flush()
        while not path.exists() or "is missing" not in search_index.status(path).reason:
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()

    with SessionStore(path) as store:
        assert store.health().search == "like"
        import_jsonl(store, [lines(100)])

        assert store.health().search == "fts5"
        assert len(store.search_messages("and", limit=number)) == len(store.history("k")) >= 50_000
