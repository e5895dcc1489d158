"""What a new process waits for: the import, and the first answer. Each is measured in fresh processes, in turn."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent
IMPORTING = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
QUERY = (
    "SELECT role, content, payload FROM session_store_messages WHERE session_key = 'known' ORDER BY seq DESC LIMIT 10"
)


def imports(rounds: int) -> dict[str, float]:
    """Return how many seconds it takes to import SQLAlchemy, and to import us."""
    return _medians(rounds, {name: ["-c", IMPORTING.format(name)] for name in ("sqlalchemy", "session_store")})


def answers(rounds: int, database: str, url: str, drivers: Mapping[str, str]) -> dict[str, float]:
    """Return how many seconds it takes to connect and to load ten messages, with all imports made.

    Args:
        rounds: In how many processes each is tried.
        database: The name of the raw driver: ``sqlite3`` or ``psycopg``.
        url: As SQLAlchemy takes it, without a driver.
        drivers: The URLs for an event loop, by the name of the entrant.
    """
    # As programs of this module: what is imported before the clock starts must be the entrant's own.
    runs = {
        database: ["-m", __name__, database, url],
        "Core": ["-m", __name__, "core", url],
        "SessionStore": ["-m", __name__, "store", url],
    }
    return _medians(rounds, runs | {name: ["-m", __name__, "loop", url] for name, url in drivers.items()})


def _medians(rounds: int, runs: Mapping[str, list[str]]) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in runs}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for number in range(rounds + (rounds > 1)):
        for name in random.sample(list(runs), len(runs)):
            command = [sys.executable, *runs[name]]
            said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment)  # noqa: S603 - ourselves
            if number or rounds == 1:  # the first one compiles
                taken[name].append(float(said.stdout))
    return {name: statistics.median(times) for name, times in taken.items()}


def _sqlite3(url: str) -> Callable[[], object]:
    import sqlite3  # noqa: PLC0415 - only what is measured

    path = url.removeprefix("sqlite:///")
    return lambda: sqlite3.connect(path).execute(QUERY).fetchall()


def _psycopg(url: str) -> Callable[[], object]:
    import psycopg  # noqa: PLC0415

    return lambda: psycopg.connect(url).execute(QUERY).fetchall()


def _core(url: str) -> Callable[[], object]:
    from sqlalchemy import create_engine, text  # noqa: PLC0415

    def call() -> object:
        with create_engine(url.replace("postgresql:", "postgresql+psycopg:")).connect() as db:
            return db.execute(text(QUERY)).all()

    return call


def _store(url: str) -> Callable[[], object]:
    from session_store import SessionStore  # noqa: PLC0415

    return lambda: SessionStore(url).load("known", last=10)


def _loop(url: str) -> Callable[[], object]:
    from session_store import AsyncSessionStore  # noqa: PLC0415

    async def call() -> object:
        store = AsyncSessionStore(url)
        found = await store.load("known", last=10)
        await store.close()
        return found

    return lambda: asyncio.run(call())


def main() -> None:
    """Print how many seconds the first answer takes."""
    ways = {"sqlite3": _sqlite3, "psycopg": _psycopg, "core": _core, "store": _store, "loop": _loop}
    call = ways[sys.argv[1]](sys.argv[2])
    start = time.perf_counter()
    if not call():
        sys.exit("nothing was found")
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
