"""What all benchmarks share: made-up messages, calls measured in turn, tables, and where results are kept.

Ratios hold on a busy machine better than times do, so what is compared is called in one run, in another order each
round, and told as medians. Calls that are awaited run on one event loop, and their time is taken within it.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import platform
import random
import re
import sqlite3
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from itertools import accumulate, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from session_store import ChatMessage

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator, Mapping

R = TypeVar("R")
Row = tuple[Any, ...]
Call = Callable[[], object]

RESULTS = Path(__file__).resolve().parent / "results"
POSTGRESQL_VERSION = 18
LEAST_ROUNDS = 5
LONG_SECS = 0.2

MEAN_CHARACTERS = 800
SHARE_WITH_PAYLOAD = 0.25
_POOL_CHARACTERS = 2_000_000

# 8,000 words; the tenth is a tenth as frequent as the first. Every fiftieth beyond the first 200 has an accent.
WORDS = ["".join(letters) for letters in product(*(["b", "k", "l", "m", "st"], ["a", "e", "i", "o"]) * 3)]
FREQUENCIES = list(accumulate(1 / rank for rank in range(1, len(WORDS) + 1)))
_ACCENTED_BEYOND = 200
_ACCENTED_EVERY = 50


# Messages.


class Texts:
    """Made-up messages, the same ones for the same seed: texts whose words are as frequent as words are."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def text(self, characters: int | None = None) -> str:
        """Return a text; without a length it has `MEAN_CHARACTERS` on the average."""
        if characters is None:
            characters = min(1 + int(self._random.gammavariate(2, MEAN_CHARACTERS / 2)), 10 * MEAN_CHARACTERS)
        pool = _pool()
        start = self._random.randrange(len(pool) - characters)
        return pool[start : start + characters]

    def message(self) -> ChatMessage:
        """Return a message; one in four has a payload."""
        role = self._random.choice(("user", "assistant"))
        payload = self._payload() if self._random.random() < SHARE_WITH_PAYLOAD else None
        return ChatMessage(role, self.text(), payload)

    def messages(self, number: int) -> list[ChatMessage]:
        """Return so many messages."""
        return [self.message() for _ in range(number)]

    def _payload(self) -> dict[str, Any]:
        call = {"id": f"call_{self._random.getrandbits(64):x}", "name": "lookup", "arguments": {"query": self.text(40)}}
        usage = {"input_tokens": self._random.randrange(4000), "output_tokens": self._random.randrange(800)}
        return {"model": "large-2", "latency_ms": self._random.randrange(9000), "usage": usage, "tool_calls": [call]}


@cache
def _pool() -> str:
    # Pieces of one long text are made a hundred times as fast as texts are.
    words = [
        word.replace("a", "\u00e1") if rank > _ACCENTED_BEYOND and rank % _ACCENTED_EVERY == 0 else word
        for rank, word in enumerate(WORDS)
    ]
    shuffled = random.Random(0)
    return " ".join(shuffled.choices(words, cum_weights=FREQUENCIES, k=_POOL_CHARACTERS // 7))


# Time and memory.


class Timing(NamedTuple):
    """What a call takes: medians, in seconds."""

    wall: float
    cpu: float
    """Of this process, with all its threads."""
    calls: int


_runner: asyncio.Runner | None = None


def on_loop(work: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine on the loop that all share: a driver's connection belongs to the loop it was made on."""
    global _runner  # noqa: PLW0603 - one for the process, as the loop
    _runner = _runner or asyncio.Runner()
    return _runner.run(work)


def seconds(call: Call) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def result_of(call: Callable[..., Any], *args: Any) -> Any:
    """Return what a call returns, awaited if it is a coroutine."""
    result = call(*args)
    return on_loop(result) if inspect.iscoroutine(result) else result


def compared(
    calls: Mapping[str, Call], *, rounds: int, repeat: int = 1, secs: float = float("inf")
) -> dict[str, Timing]:
    """Measure calls in turn: in each round all of them, in another order, and return what each takes.

    Args:
        calls: What is called, by name; a coroutine function is awaited.
        rounds: How many rounds, after one that warms up and is not counted.
        repeat: How often each is called when it is its turn; once, and in `LEAST_ROUNDS` only, if it takes longer than
            `LONG_SECS`.
        secs: After so many seconds no more rounds are begun than `LEAST_ROUNDS`.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    with _garbage_set_aside():
        repeats = {name: _warmed_up(call, repeat) for name, call in calls.items()}
        is_long = {name: times == 1 < repeat for name, times in repeats.items()}
        end = time.perf_counter() + secs
        for done in range(rounds):
            if done >= LEAST_ROUNDS and time.perf_counter() > end:
                break
            gc.collect()
            # What takes long has had turns enough, and is not to take those of the others.
            still = [name for name in calls if done < LEAST_ROUNDS or not is_long[name]]
            for name in random.sample(still, len(still)):
                taken[name] += _turn(calls[name], repeats[name])
    return {name: _timing(samples) for name, samples in taken.items() if samples}


def _warmed_up(call: Call, repeat: int) -> int:
    """Make a turn that is not counted, and return how many calls the others will be of."""
    ((wall, _),) = _turn(call, 1)
    if wall > LONG_SECS:
        return 1
    _turn(call, repeat - 1)
    return repeat


def _timing(samples: list[tuple[float, float]]) -> Timing:
    wall, cpu = (statistics.median(column) for column in zip(*samples, strict=True))
    return Timing(wall, cpu, len(samples))


def _turn(call: Call, repeat: int) -> list[tuple[float, float]]:
    if inspect.iscoroutinefunction(call):
        return on_loop(_awaited_turn(call, repeat))
    samples = []
    for _ in range(repeat):
        cpu, wall = time.process_time(), time.perf_counter()
        call()
        wall = time.perf_counter() - wall
        samples.append((wall, time.process_time() - cpu))
    return samples


async def _awaited_turn(call: Callable[[], Coroutine[Any, Any, object]], repeat: int) -> list[tuple[float, float]]:
    samples = []
    for _ in range(repeat):
        cpu, wall = time.process_time(), time.perf_counter()
        await call()
        wall = time.perf_counter() - wall
        samples.append((wall, time.process_time() - cpu))
    return samples


@contextmanager
def _garbage_set_aside() -> Iterator[None]:
    """Let no collection of garbage look at what was there before, such as the messages to be appended."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def peak_memory(call: Call) -> int:
    """Return how many bytes a call had at most at one time, of those that Python allocates."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        result_of(call)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before


# What is told.


def ms(secs: float) -> str:
    """Write seconds as milliseconds."""
    return f"{secs * 1000:.3g}"


def markdown(title: str, header: Row, lines: Iterable[Row]) -> str:
    """Return a Markdown table under a title."""
    rows = (header, ["---"] * len(header), *lines)
    return "\n".join([f"### {title}", "", *("| " + " | ".join(map(str, line)) + " |" for line in rows), ""])


def table(title: str, header: Row, lines: Iterable[Row]) -> None:
    """Print a Markdown table."""
    print(f"\n{markdown(title, header, lines)}", end="")
    sys.stdout.flush()


def versions(*packages: str, postgresql: str | None = None) -> dict[str, Any]:
    """Return what measured: versions of all that takes part and of those packages that are installed.

    Args:
        packages: By their names in the registry.
        postgresql: What ``SHOW server_version`` says, if a server took part.
    """
    known = {
        "date": datetime.now(UTC).date().isoformat(),
        "processors": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
    }
    if postgresql is not None:
        known["PostgreSQL"] = re.split(r"\s", postgresql)[0]
    for package in ("sqlalchemy", "psycopg", "aiosqlite", "asyncpg", *packages):
        try:
            known[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return known


def keep(name: str, text: str, data: Any) -> None:
    """Write results to the folder of results: as Markdown, and as JSON for charts."""
    RESULTS.mkdir(exist_ok=True)
    RESULTS.joinpath(f"{name}.md").write_text(text)
    RESULTS.joinpath(f"{name}.json").write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
