"""The host applications as processes of their own, in an environment that has session_store from its wheel."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.conftest import Database

ROOT: Final = Path(__file__).parent.parent.parent
PROGRAMS: Final = Path(__file__).parent / "programs"
DEADLINE_SECS: Final = 30.0


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that comes true soon."""
    deadline = time.monotonic() + DEADLINE_SECS
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.02)


class Reply(NamedTuple):
    """What came back for a request."""

    status: int
    body: Any


class Client:
    """Speaks to one application."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str) -> Reply:
        """Ask for something."""
        return self._request("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """Send something."""
        return self._request("POST", path, body or {})

    @contextmanager
    def streamed(self, path: str, body: Mapping[str, Any]) -> Iterator[HTTPResponse]:
        """Send something and read the answer while it comes; at the end of the block the client goes away."""
        with closing(self._sent("POST", path, body)) as connection, connection.getresponse() as response:
            yield response

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        with closing(self._sent(method, path, body)) as connection, connection.getresponse() as response:
            text = response.read()
            is_json = response.headers.get_content_type() == "application/json"
            return Reply(response.status, json.loads(text) if is_json else text.decode())

    def _sent(self, method: str, path: str, body: Mapping[str, Any] | None) -> HTTPConnection:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_SECS)
        headers = {"Connection": "close", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection


def words_of(response: HTTPResponse, number: int) -> str:
    """Read so many words of an answer that is not finished."""
    text = ""
    while text.count(" ") < number:
        piece = response.read1()
        assert piece, f"the answer ended with {text!r}"
        text += piece.decode()
    return text


@dataclass(frozen=True)
class Host:
    """One of the examples: a copy of its folder, the environment it is installed in, and a database."""

    name: str
    folder: Path
    python: str
    database: Database | None
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def copied(cls, name: str, folder: Path, python: str, database: Database | None) -> "Host":
        """Copy an example to where it may write revisions and logs."""
        shutil.copytree(ROOT / "examples" / name, folder, ignore=shutil.ignore_patterns("__pycache__", "*.db*"))
        return cls(name, folder, python, database)

    @property
    def _migrate(self) -> Sequence[str]:
        return ("alembic",) if self.name == "fastapi_shop" else ("flask", "--app", "support", "db")

    @property
    def _serve(self) -> Sequence[str]:
        if self.name == "fastapi_shop":
            return ("uvicorn", "shop.app:app", "--port", "0")
        return ("flask", "--app", "support", "run", "--port", "0")

    def environment(self, **more: str) -> dict[str, str]:
        """What its processes know of the machine; nothing that leads to this checkout."""
        address = {} if self.database is None else {"DATABASE_URL": str(self.database)}
        return {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **address, **self.settings, **more}

    def migrate(self, *command: str) -> str:
        """Run a command of its Alembic and return what it printed."""
        done = subprocess.run(
            [self.python, "-m", *self._migrate, *command],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def upgrade(self) -> None:
        """Bring the database up as its README says."""
        self.migrate("upgrade", *(["heads"] if self.name == "fastapi_shop" else []))

    def proposed(self) -> Path:
        """Have a revision generated and return its file."""
        versions = self.folder / "migrations" / "versions"
        before = set(versions.glob("*.py"))
        # Flask-Migrate's word for `revision --autogenerate`.
        verb = ["revision", "--autogenerate", "--head", "shop@head"] if self.name == "fastapi_shop" else ["migrate"]
        self.migrate(*verb, "-m", "proposed")
        [new] = set(versions.glob("*.py")) - before
        return new

    @contextmanager
    def serving(self, **settings: str) -> Iterator["Served"]:
        """Run the application; in the end it is still there and stops cleanly, unless the test has ended it."""
        log = self.folder / "output.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [self.python, "-m", *self._serve],
                cwd=self.folder,
                env=self.environment(**settings),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        served = Served(process, log)
        try:
            yield served
            if not served.ended:
                served.stop()
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def program(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """Run ``programs/writing.py``, which imports the application; killed at the end."""
        with subprocess.Popen(
            [self.python, str(PROGRAMS / "writing.py"), *arguments],
            cwd=self.folder,
            env=self.environment(PYTHONPATH=str(self.folder)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


class Served:
    """An application that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log
        self.ended = False

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._log.read_text()

    @property
    def client(self) -> Client:
        """Somebody who speaks to it, as soon as it listens."""
        # It chose a free port itself and prints it.
        address = re.compile(r"http://127\.0\.0\.1:(\d+)")
        until(lambda: self._process.poll() is not None or address.search(self.output), "that it listens")
        found = address.search(self.output)
        assert found is not None, self.output
        return Client(int(found[1]))

    def stop(self) -> None:
        """Ask it to end: it does, and has nothing to complain of."""
        self.ended = True
        self._process.terminate()
        code = self._process.wait(DEADLINE_SECS)
        # A server that raises the signal again when it has cleaned up ends by it.
        assert code in {0, -signal.SIGTERM}, self.output
        assert "Traceback" not in self.output, self.output

    def kill(self) -> None:
        """End it without warning."""
        self.ended = True
        self._process.kill()
        self._process.wait()


def stand_alone(database: Database, folder: Path, *command: str) -> None:
    """Run Alembic with this repository's own ``alembic.ini``."""
    subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(ROOT / "alembic.ini"), "-x", f"url={database}", *command],
        cwd=folder,
        check=True,
    )
