"""A file that an export did not complete is gone on with, wherever it ends."""

import io
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store import ChatMessage, InvalidQuery, SessionStore
from session_store.testing import Clock
from session_store.transfer import export_jsonl, resume_jsonl, resuming
from tests.command_line import Command, running_in
from tests.conftest import examples
from tests.processes import ROOT
from tests.transfer.stories import Happening, emptied, happen, stories

pytestmark = pytest.mark.once


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command, in a directory of its own."""
    return running_in(tmp_path, capsys, monkeypatch)


def resumed(store: SessionStore, data: bytes) -> tuple[bytes, str | None]:
    """Return a file after it was continued, and the key after which it was."""
    file = io.BytesIO(data)
    after = resume_jsonl(file)
    assert file.tell() == len(file.getvalue())
    export_jsonl(store, file, after=after)
    return file.getvalue(), after


def test_wherever_it_was_cut_it_becomes_the_same(
    store: SessionStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a line, a quoted text or a character, between two sessions, or at the end."""
    monkeypatch.setattr(resuming, "_BLOCK", 50)

    @examples(6)
    @given(stories, st.randoms(use_true_random=False))
    def example(story: list[Happening], chance: random.Random) -> None:
        emptied(store)
        happen(story, store, clock)
        file = io.BytesIO()
        export_jsonl(store, file)
        whole = file.getvalue()

        for size in {0, 1, len(whole), *chance.sample(range(len(whole)), min(12, len(whole)))}:
            assert resumed(store, whole[:size])[0] == whole

    example()


def test_only_the_last_session_is_done_again(store: SessionStore) -> None:
    """Those before stay as they were written, though there is more to say of them now."""
    for key in "abc":
        store.append(key, ChatMessage.user("hello"))
    file = io.BytesIO()
    export_jsonl(store, file)
    for key in "abc":
        store.append(key, ChatMessage.user("again"))

    now, after = resumed(store, file.getvalue())
    assert after == "b"
    assert (now.count(b"again"), now.count(b"hello")) == (1, 3)


@pytest.mark.parametrize("data", [b"hello\n", b'{"kind":"message",', b"seq,session_key\r\n", b"\x1f\x8b"])
def test_another_file_is_left_alone(data: bytes) -> None:
    """A file that does not start like an export is rejected and not changed."""
    file = io.BytesIO(data)

    with pytest.raises(InvalidQuery, match="does not start like an export"):
        resume_jsonl(file)
    assert file.getvalue() == data


KILLED = """
import os, sys, signal
from session_store import SessionStore, transfer

with SessionStore(sys.argv[1]) as store:
    kill = lambda session: session.key == "k5" and os.kill(os.getpid(), signal.SIGKILL)
    transfer.export_jsonl(store, sys.argv[2], on_session=kill)
"""


def test_after_a_kill(tmp_path: Path, command: Command) -> None:
    """A process that is killed while it exports leaves a file that the command with --resume makes the same."""
    database = tmp_path / "sessions.db"
    with SessionStore.open(database) as store:
        for number in range(9):
            store.append_many(f"k{number}", [ChatMessage.user(f"{number}, " + "x" * 4000)] * 12)
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, database, tmp_path / "cut"],
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )
    whole, cut = command("export", "--db", database, "--out", "whole"), (tmp_path / "cut").stat()
    assert (ran.returncode, whole.code) == (-signal.SIGKILL, 0)
    assert 0 < cut.st_size < (tmp_path / "whole").stat().st_size
    continued = command("export", "--db", database, "--out", "cut", "--resume")

    assert (continued.code, continued.out) == (0, "4 sessions, 48 messages exported\n")
    assert (tmp_path / "cut").read_bytes() == (tmp_path / "whole").read_bytes()
