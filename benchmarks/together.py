"""Eight writers of one session: threads or tasks of one process, and processes."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from functools import partial
from itertools import count
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import compared, result_of
from benchmarks.rows import APPEND, messages
from session_store import SessionStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import URL

    from benchmarks.contest import Entrant, Opener
    from benchmarks.contestants import Contestant
    from benchmarks.measuring import Timing
    from benchmarks.rows import Sizes

WRITERS = 8
KEY = "crowded"


def threads(entrants: Sequence[tuple[Entrant, URL]], sizes: Sizes) -> dict[str, Timing]:
    """Measure an append while eight write, by threads or tasks of this process."""
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(WRITERS))
        calls: dict[str, Callable[[], object]] = {}
        for entrant, url in entrants:
            # Whoever writes SQL has a connection for each, and lets one at a time write to a SQLite file.
            own = [stack.enter_context(entrant.opened(url)) for _ in range(WRITERS if entrant.is_floor else 1)]
            queues = entrant.is_floor and url.get_backend_name() == "sqlite"
            make = _tasks if own[0].is_awaited else partial(_threads, pool)
            # Some cannot be told of a new session by several at once.
            result_of(own[0].calls[APPEND.operation], KEY, messages()[0])
            call = make(own, sizes.in_a_row, queues=queues)
            if entrant.is_peer and not _is_able(entrant.name, call):
                continue
            calls[entrant.name] = call
        timings = compared(calls, rounds=sizes.rounds, secs=sizes.secs)
    return {name: _of_one(timing, sizes) for name, timing in timings.items()}


def processes(entrants: Sequence[tuple[Entrant, URL]], sizes: Sizes) -> dict[str, Timing]:
    """Measure an append while eight processes write."""
    with ExitStack() as stack:
        calls: dict[str, Callable[[], object]] = {}
        for entrant, url in entrants:
            pool = stack.enter_context(
                ProcessPoolExecutor(sizes.writing_processes, get_context("spawn"), _open, (entrant.opened, url))
            )
            calls[entrant.name] = partial(_processes, pool, sizes.in_a_row)
        timings = compared(calls, rounds=sizes.rounds, secs=sizes.secs)
    return {name: _of_one(timing, sizes) for name, timing in timings.items()}


def check_numbers(url: URL) -> None:
    """Refuse to go on where a number is missing or was used twice."""
    with SessionStore(url) as store:
        head = store.get_session_metadata(KEY)
        numbers = [stored.seq for stored in store.history(KEY)]
    if head is None or numbers != list(range(1, head.message_count + 1)) or head.last_seq != head.message_count:
        sys.exit(f"{url.database}: {len(numbers)} messages, and the head says {head}")


def _is_able(name: str, call: Callable[[], object]) -> bool:
    try:
        result_of(call)
    except Exception as error:  # noqa: BLE001 - whatever they raise
        print(f"\n{name} cannot: {type(error).__name__}: {error!s:.200}")
        return False
    return True


def _of_one(timing: Timing, sizes: Sizes) -> Timing:
    appends = WRITERS * sizes.in_a_row
    return timing._replace(wall=timing.wall / appends, cpu=timing.cpu / appends)


def _threads(pool: ThreadPoolExecutor, own: Sequence[Contestant], each: int, *, queues: bool) -> Callable[[], object]:
    lock: AbstractContextManager[Any] = threading.Lock() if queues else nullcontext()
    numbers = count()

    def write(contestant: Contestant) -> None:
        append = contestant.calls[APPEND.operation]
        for _ in range(each):
            message = messages()[next(numbers) % len(messages())]
            with lock:
                append(KEY, message)

    return lambda: list(pool.map(write, [own[writer % len(own)] for writer in range(WRITERS)]))


def _tasks(own: Sequence[Contestant], each: int, *, queues: bool) -> Callable[[], object]:
    lock: Any = asyncio.Lock() if queues else nullcontext()
    numbers = count()

    async def write(contestant: Contestant) -> None:
        append = contestant.calls[APPEND.operation]
        for _ in range(each):
            message = messages()[next(numbers) % len(messages())]
            async with lock:
                await append(KEY, message)

    async def all_of_them() -> None:
        await asyncio.gather(*(write(own[writer % len(own)]) for writer in range(WRITERS)))

    return all_of_them


_in_this_process = ExitStack()
_contestant: list[Contestant] = []


def _open(opened: Opener, url: URL) -> None:
    _contestant.append(_in_this_process.enter_context(opened(url)))


def _write(writer: int, each: int) -> None:
    for number in range(each):
        _contestant[0].calls[APPEND.operation](KEY, messages()[writer * each + number])


def _processes(pool: ProcessPoolExecutor, each: int) -> None:
    written: list[Future[None]] = [pool.submit(_write, writer, each) for writer in range(WRITERS)]
    for future in written:
        future.result()
