"""What a cleanup costs a writer of other sessions, from another process and from another thread."""

from __future__ import annotations

import random
import shutil
import statistics
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import URL, event, text

from benchmarks.databases import connected
from benchmarks.measuring import MEAN_CHARACTERS, Row, Texts, ms, table
from session_store import ChatMessage, SessionStore, StoreUnavailable
from session_store.search import index as search_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests import servers

TEXTS = Texts(5)
STALE_MESSAGES = 3
STALE_CHARACTERS = 300
OTHERS = 50
THINKING_SECS = 0.002
BATCH_SIZES = (500, 100)
PATTERNS = 1_000
"""Messages that the stale ones are copies of."""
NUMBERS = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {sessions})"
FILL = (
    f"""
    INSERT INTO session_store_sessions
    (key, created_at, last_activity, active_minute, message_count, last_seq)
    {NUMBERS}
    SELECT 'stale_' || n, created_at, last_activity, active_minute, {{messages}}, {{messages}}
    FROM session_store_sessions CROSS JOIN n WHERE key = 'pattern'
    """,
    f"""
    INSERT INTO session_store_messages (session_key, seq, role, content, created_at)
    {NUMBERS}, k (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM k WHERE k < {{messages}})
    SELECT 'stale_' || n, k, role, content, created_at
    FROM n CROSS JOIN k JOIN session_store_messages
    ON session_key = 'pattern' AND seq = 1 + (n * {{messages}} + k) % {{patterns}}
    """,
)


def on_sqlite(directory: Path, stale: int, alone_secs: float) -> None:
    """Measure and print a cleanup of a file."""
    filled = directory / "stale.db"
    fill(str(filled), stale)
    copy = directory / "cleaned.db"

    @contextmanager
    def copied() -> Iterator[str]:
        shutil.copyfile(filled, copy)
        yield f"sqlite:///{copy}"
        copy.unlink()

    cleanup("SQLite", copied, stale, alone_secs)


def on_postgresql(server: servers.Server, stale: int, alone_secs: float) -> None:
    """Measure and print a cleanup on a server."""
    with server.clone(server.template_dbname) as filled:
        fill(filled, stale)
        with connected(filled) as db:
            db.execute("VACUUM ANALYZE")

        @contextmanager
        def copied() -> Iterator[str]:
            with server.clone(str(filled.database)) as url:
                yield url.render_as_string(hide_password=False)

        cleanup("PostgreSQL", copied, stale, alone_secs)


def cleanup(title: str, copied: Callable[[], AbstractContextManager[str]], stale: int, alone_secs: float) -> None:
    """Measure and print a cleanup in batches of several sizes, from another process and from another thread."""
    lines = []
    with ProcessPoolExecutor(1, get_context("spawn")) as process, ThreadPoolExecutor(1) as thread:
        process.submit(time.time).result()  # it takes a second to start
        neighbours: list[tuple[str, Callable[[str, SessionStore], Future[Any]]]] = [
            ("nobody", lambda *_: thread.submit(time.sleep, alone_secs)),
            *(
                (f"another process, {size}", lambda url, _, size=size: process.submit(clean_at, url, size))
                for size in BATCH_SIZES
            ),
            (f"another thread, {BATCH_SIZES[0]}", lambda _, store: thread.submit(clean, store, BATCH_SIZES[0])),
        ]
        for name, start in neighbours:
            with copied() as url, SessionStore(url) as store:
                for number in range(OTHERS):
                    store.append(f"other_{number}", ChatMessage.user("first"))
                neighbour = start(url, store)
                taken, refused = write_until(neighbour.done, store)
                lines.append((name, *of_writer(taken, refused), *of_cleanup(neighbour.result())))
    table(
        f"{title}: cleanup_stale of {stale:,} sessions of {STALE_MESSAGES} messages, and a writer of others",
        (
            "cleaned by, batch",
            "appends",
            "median, ms",
            "99 of 100 within, ms",
            "slowest, ms",
            "refused",
            "cleanup, s",
            "sessions a second",
            "a batch, ms",
            "longest batch, ms",
        ),
        lines,
    )


def write_until(done: Callable[[], bool], store: SessionStore) -> tuple[list[float], int]:
    """Append to the other sessions, and return how long each append took and how many were refused."""
    taken: list[float] = []
    refused = 0
    while not done():
        key = f"other_{random.randrange(OTHERS)}"
        message = ChatMessage.user(TEXTS.text(MEAN_CHARACTERS))
        start = time.perf_counter()
        try:
            store.append(key, message)
        except StoreUnavailable:
            refused += 1
        taken.append(time.perf_counter() - start)
        time.sleep(THINKING_SECS)
    return taken, refused


class Cleaned(NamedTuple):
    """What a cleanup did."""

    sessions: int
    secs: float
    batches: list[float]
    """How long each had its connection, the wait for the lock included."""


def clean_at(url: str, batch_size: int) -> Cleaned:
    """Clean up in a process of its own."""
    with SessionStore(url) as store:
        return clean(store, batch_size)


def clean(store: SessionStore, batch_size: int) -> Cleaned:
    """Delete what nobody used for a day."""
    me = threading.get_ident()
    since = 0.0
    batches: list[float] = []

    def begin(*_: object) -> None:
        nonlocal since
        if threading.get_ident() == me:
            since = time.perf_counter()

    def end(*_: object) -> None:
        if threading.get_ident() == me:
            batches.append(time.perf_counter() - since)

    event.listen(store.engine, "checkout", begin)
    event.listen(store.engine, "checkin", end)
    start = time.perf_counter()
    sessions = store.cleanup_stale(24, batch_size=batch_size)
    return Cleaned(sessions, time.perf_counter() - start, batches)


def of_writer(taken: list[float], refused: int) -> Row:
    """Return what is told of the writer."""
    within = sorted(taken)[len(taken) * 99 // 100]
    return f"{len(taken):,}", ms(statistics.median(taken)), ms(within), ms(max(taken)), refused


def of_cleanup(cleaned: Cleaned | None) -> Row:
    """Return what is told of the cleanup."""
    if cleaned is None:
        return ("",) * 4
    rate = f"{cleaned.sessions / cleaned.secs:,.0f}"
    return f"{cleaned.secs:.1f}", rate, ms(statistics.median(cleaned.batches)), ms(max(cleaned.batches))


def fill(url: URL | str, sessions: int) -> None:
    """Make a database full of sessions that nobody used for a month, in SQL: through the store it would take hours."""
    month_ago = datetime.now(UTC) - timedelta(days=30)
    with SessionStore.open(url, clock=lambda: month_ago) as store:
        search_index.drop(store.engine)
        store.append_many("pattern", [ChatMessage.user(TEXTS.text(STALE_CHARACTERS)) for _ in range(PATTERNS)])
        with store.engine.begin() as db:
            for statement in FILL:
                db.execute(text(statement.format(sessions=sessions, messages=STALE_MESSAGES, patterns=PATTERNS)))
        store.delete_session("pattern")
        search_index.create(store.engine)
