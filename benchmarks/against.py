"""This checkout against another version, call by call: ``python -m benchmarks.against FOLDER``.

FOLDER holds the other version, as ``pip install --no-deps --target FOLDER session_store-....whl`` leaves it. Each
version runs in a process of its own, and the two take turns, so that both meet the same noise of the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from benchmarks import databases
from benchmarks.measuring import table

if TYPE_CHECKING:
    from sqlalchemy import URL

ROOT = Path(__file__).parent.parent

WORKER = """
import sys, time
from session_store import ChatMessage, SessionQuery, SessionStore

store = SessionStore.open(sys.argv[1])
user = ChatMessage.user("where is my order?", {"usage": {"input_tokens": 3}})
for number in range(50):
    store.append_many(f"s{number}", [user] * 20)
calls = {
    "append": lambda: store.append("s1", user),
    "append, idempotent": lambda: store.append("s2", user, idempotency_key=str(time.perf_counter_ns())),
    "append_many, 20": lambda: store.append_many("s3", [user] * 20),
    "load": lambda: store.load("s9"),
    "history, a page": lambda: store.history("s9", limit=10),
    "set_session_state": lambda: store.set_session_state("s4", "running", "t"),
    "get_session_state": lambda: store.get_session_state("s4"),
    "get_session_metadata": lambda: store.get_session_metadata("s5"),
    "list_sessions, a page": lambda: store.list_sessions(SessionQuery(limit=20)),
    "search": lambda: store.search(SessionQuery(keyword="order", limit=20)),
    "search_messages": lambda: store.search_messages("order", limit=20),
}
print(*calls, sep="|", flush=True)
for line in sys.stdin:
    name, number = line.rstrip().split("|")
    call = calls[name]
    begun = time.perf_counter()
    for _ in range(int(number)):
        call()
    print((time.perf_counter() - begun) / int(number), flush=True)
"""


class Version:
    """A version of the package that measures calls on request."""

    def __init__(self, folder: Path, url: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", WORKER, url],
            env={**os.environ, "PYTHONPATH": str(folder)},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.calls = self._answer().split("|")

    def measure(self, call: str, number: int) -> float:
        """Return the seconds that one call takes, over so many calls."""
        print(f"{call}|{number}", file=self._process.stdin, flush=True)
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> str:
        return cast("IO[str]", self._process.stdout).readline().rstrip("\n")


def main() -> None:
    """Print the ratio of each call, on SQLite and on PostgreSQL."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the other version is installed")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=25, help="calls in a round")
    options = parser.parse_args()
    ratios: dict[str, list[str]] = {}
    kinds = ("relaxed", "postgresql")
    for kind in kinds:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="session_store-")))
            lent = stack.enter_context(databases.lent(kind, folder))
            ours, theirs = (Version(place, text_of(lent.new())) for place in (ROOT, options.folder))
            stack.callback(theirs.close)
            stack.callback(ours.close)
            for call in ours.calls:
                ratio = statistics.median(
                    ours.measure(call, options.calls) / theirs.measure(call, options.calls)
                    for _ in range(options.rounds)
                )
                ratios.setdefault(call, []).append(f"{ratio:.2f}")
    table("Seconds here for one there", ["call", *kinds], [[call, *columns] for call, columns in ratios.items()])


def text_of(url: URL) -> str:
    """Return a URL with its password."""
    return url.render_as_string(hide_password=False)


if __name__ == "__main__":
    main()
