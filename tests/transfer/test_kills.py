"""An import of sessions that is killed leaves of each a beginning, and done again completes it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from session_store import ChatMessage, SessionStore
from session_store.testing import Clock
from tests.processes import ROOT
from tests.transfer.stories import everything, exported, imported, lines_of

pytestmark = pytest.mark.once

KILLED = """
import os, signal, sys
from sqlalchemy import event
from session_store import SessionStore
from session_store.transfer import bulk_load, import_jsonl

bulk_load.LINE_BATCH_SIZE = 30
left = int(sys.argv[3])

def count(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

with SessionStore(sys.argv[1]) as store:
    event.listen(store.engine, "before_cursor_execute", count)
    event.listen(store.engine, "commit", count)
    import_jsonl(store, [sys.argv[2]])
"""
"""Imports a file, and is killed before a statement or a commit."""


def fill(store: SessionStore, clock: Clock) -> None:
    """Short sessions, and one that is longer than a transaction."""
    for number, length in enumerate([3, 0, 12, 100, 25, 2]):
        key = f"k{number}"
        store.create_session(key, name=key)
        for part in range(0, length, 7):
            store.set_session_state(key, "running", f"t{part}")
            clock.advance(1)
            store.append_many(key, [ChatMessage.user(f"{part} {n}") for n in range(min(7, length - part))])
            store.remove_last(key)
        store.set_session_state(key, "error")


@pytest.mark.parametrize(
    "statements", [11, *(pytest.param(number, marks=pytest.mark.long) for number in (1, 3, 4, 5, 6, 9, 14, 17, 20))]
)
def test_killed_half_way(
    store: SessionStore, other: SessionStore, clock: Clock, tmp_path: Path, statements: int
) -> None:
    """Whenever that is: no session has what it is not to have, or a gap, and the second time all is there."""
    fill(store, clock)
    file = tmp_path / "all.jsonl"
    file.write_bytes(exported(store))
    url = other.engine.url.render_as_string(hide_password=False)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, url, file, str(statements)], env={"PYTHONPATH": str(ROOT)}, check=False
    )
    assert killed.returncode == -signal.SIGKILL

    whole = lines_of(file.read_bytes())
    there = lines_of(exported(other))
    for key in other.list_sessions():
        its, all_of_it = (
            [line for line in lines if line["kind"] == "message" and line["session_key"] == key]
            for lines in (there, whole)
        )
        assert its == all_of_it[: len(its)]
        assert other.compact(key, dry_run=True).head_repaired is False
    done, broken, skipped = imported(other, file.read_bytes())
    assert (broken, skipped) == ([], [])
    assert done.already_there == sum(line["kind"] == "message" for line in there)
    assert everything(other) == everything(store)
