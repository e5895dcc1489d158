"""A file that an export did not complete is gone on with, wherever it ends."""

import io
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store import ChatMessage, InvalidQuery, SessionStore
from session_store.testing import Clock
from session_store.transfer import export_csv, export_jsonl, resume_csv, resume_jsonl, resuming
from tests.command_line import Command, running_in
from tests.conftest import examples
from tests.processes import ROOT
from tests.transfer.stories import Happening, emptied, happen, stories

pytestmark = pytest.mark.once

KINDS = [(export_jsonl, resume_jsonl), (export_csv, resume_csv)]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command, in a directory of its own."""
    return running_in(tmp_path, capsys, monkeypatch)


each_kind = pytest.mark.parametrize(("export", "resume"), KINDS, ids=["jsonl", "csv"])


def went_on(store: SessionStore, export: Any, resume: Any, data: bytes) -> tuple[bytes, str | None]:
    """A file that has been gone on with, and behind which session."""
    file = io.BytesIO(data)
    behind = resume(file)
    assert file.tell() == len(file.getvalue())
    header = {"header": behind is None} if export is export_csv else {}
    export(store, file, after=behind, **header)
    return file.getvalue(), behind


@each_kind
def test_wherever_it_was_cut_it_becomes_the_same(
    store: SessionStore, clock: Clock, export: Any, resume: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a line, a quoted text or a character, between two sessions, or at the end."""
    monkeypatch.setattr(resuming, "_BLOCK", 50)

    @examples(6)
    @given(stories, st.randoms(use_true_random=False))
    def example(story: list[Happening], chance: random.Random) -> None:
        emptied(store)
        happen(story, store, clock)
        file = io.BytesIO()
        export(store, file)
        whole = file.getvalue()

        for size in {0, 1, len(whole), *chance.sample(range(len(whole)), min(12, len(whole)))}:
            assert went_on(store, export, resume, whole[:size])[0] == whole

    example()


@each_kind
def test_only_the_last_session_is_done_again(store: SessionStore, export: Any, resume: Any) -> None:
    """Those before stay as they were written, though there is more to say of them now."""
    for key in "abc":
        store.append(key, ChatMessage.user("hello"))
    file = io.BytesIO()
    export(store, file)
    for key in "abc":
        store.append(key, ChatMessage.user("again"))

    now, behind = went_on(store, export, resume, file.getvalue())
    assert behind == "b"
    assert (now.count(b"again"), now.count(b"hello")) == (1, 3)


@pytest.mark.parametrize("resume", [resume_jsonl, resume_csv])
@pytest.mark.parametrize("data", [b"hello\n", b'{"kind":"message",', b"seq,session_key\r\n", b"\x1f\x8b"])
def test_another_file_is_left_alone(resume: Any, data: bytes) -> None:
    """What does not begin as such a file does is no such file."""
    file = io.BytesIO(data)

    with pytest.raises(InvalidQuery, match="does not begin as an export of this kind does"):
        resume(file)
    assert file.getvalue() == data


def test_a_csv_file_with_other_rows_is_left_alone() -> None:
    """A row that has no first field, though the header has one."""
    file = io.BytesIO(b"session_key,seq,\r\nhello\r\n")

    with pytest.raises(InvalidQuery, match="does not begin with a session's key"):
        resume_csv(file)


KILLED = """
import os, sys, signal
from session_store import SessionStore, transfer

with SessionStore(sys.argv[1]) as store:
    export = getattr(transfer, sys.argv[2])
    export(store, sys.argv[3], on_session=lambda session: session.key == "k5" and os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_after_a_kill(tmp_path: Path, command: Command, kind: str) -> None:
    """A process that is killed while it exports leaves a file that the command with --resume makes the same."""
    database = tmp_path / "sessions.db"
    with SessionStore.open(database) as store:
        for number in range(9):
            store.append_many(f"k{number}", [ChatMessage.user(f"{number}, " + "x" * 4000)] * 12)
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, database, f"export_{kind}", tmp_path / "cut"],
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )
    whole, cut = command("export", "--db", database, "--format", kind, "--out", "whole"), (tmp_path / "cut").stat()
    assert (ran.returncode, whole.code) == (-signal.SIGKILL, 0)
    assert 0 < cut.st_size < (tmp_path / "whole").stat().st_size
    resumed = command("export", "--db", database, "--format", kind, "--out", "cut", "--resume")

    assert (resumed.code, resumed.out) == (0, "4 sessions, 48 messages exported\n")
    assert (tmp_path / "cut").read_bytes() == (tmp_path / "whole").read_bytes()
