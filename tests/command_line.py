"""Running commands: in this process, in one of their own, and on a terminal."""

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from session_store import ChatMessage, NewMessage, SessionStore
from session_store.cli.app import run
from tests.conftest import Database
from tests.ready import programs

ROOT = Path(__file__).parent.parent
WHEN = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MAIN = "import sys; from session_store.cli import main; sys.exit(main())"


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


def running_in(directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """What runs a command in a directory, in this process."""
    monkeypatch.chdir(directory)
    monkeypatch.delenv("SESSION_STORE_DATABASE_URL", raising=False)

    def call(*arguments: object) -> Done:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return call


def process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command in a process of its own, which has imported what it needs before it begins."""
    return subprocess.run(
        [programs() / "session-store", *map(str, arguments)],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **environment},
        capture_output=True,
        check=False,
    )


def on_a_terminal(*arguments: object, answer: str = "", **environment: str) -> tuple[int, str]:
    """The exit code of a command in this process, and what was seen of it on a terminal.

    What it starts, a pager, does not write there. The answer is typed before anything is asked.
    """
    ours, theirs = pty.openpty()
    seen: list[bytes] = []

    def look() -> None:
        try:
            while part := os.read(ours, 65536):
                seen.append(part)
        except OSError:
            """Nobody has the other end open any more, as Linux says it."""

    watcher = threading.Thread(target=look)
    with (
        pytest.MonkeyPatch.context() as patch,
        os.fdopen(os.dup(theirs), encoding="utf-8") as typed,
        open(theirs, "w", encoding="utf-8") as terminal,  # noqa: PTH123
    ):
        os.write(ours, answer.encode())
        patch.setattr(sys, "stdin", typed)
        for name, value in {"TERM": "xterm", "COLUMNS": "200", **environment}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdout", terminal)
        patch.setattr(sys, "stderr", terminal)
        watcher.start()
        code = run([str(argument) for argument in arguments])
    watcher.join()
    os.close(ours)
    return code, b"".join(seen).decode()


def fill(database: Database, count: int = 3) -> None:
    """Put sessions of one message into a database, the last one newest."""
    with SessionStore(database.url) as store:
        for number in range(count):
            said = NewMessage(ChatMessage.user(f"hello {number}"), WHEN.replace(minute=number))
            store.append_many(f"web_{number}", [said])


def chats(path: Path, *contents: str) -> Path:
    """Write a file of messages."""
    entries = ({"session_key": "telegram_ann", "role": "user", "content": content} for content in contents)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path
