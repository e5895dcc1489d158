"""Processes of our own, started together."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

WORKER = Path(__file__).parent / "programs" / "worker.py"
ROOT = Path(__file__).parent.parent


class Worker:
    """A process that runs ``programs/worker.py``."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    @property
    def _output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def hears(self) -> Any:
        """What it says next."""
        line = self._output.readline()
        assert line, f"the process ended with {self.process.wait()}"
        return json.loads(line)

    def hears_the_rest(self) -> list[Any]:
        """What it said until it ended, without a line it did not finish."""
        return [json.loads(line) for line in self._output if line.endswith("\n")]

    def go(self) -> None:
        """Let it begin."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextmanager
def workers(arguments: Sequence[str], number: int = 1) -> Iterator[list[Worker]]:
    """Several processes with the same task, gone at the end."""
    command = [sys.executable, "-W", "error", str(WORKER), *arguments]
    with ExitStack() as stack:
        started = []
        for _ in range(number):
            process = stack.enter_context(
                subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            started.append(Worker(process))
        yield started


def at_once(started: Sequence[Worker]) -> list[Any]:
    """Let all begin when all are ready; what each of them says then."""
    assert [worker.hears() for worker in started] == ["ready"] * len(started)
    for worker in started:
        worker.go()
    return [worker.hears() for worker in started]
