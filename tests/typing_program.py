"""A user's program that makes every kind of call, for ``mypy --strict``; `tests/test_typing.py` runs it too.

It is run with the URL of an empty database. What is annotated here is what a user relies on.
"""

# ruff: noqa: T201 - a program prints

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, assert_type

from sqlalchemy import Connection, create_engine, orm
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from session_store import (
    AsyncSessionBackend,
    AsyncSessionStore,
    ChatMessage,
    Compaction,
    Finding,
    Health,
    NewMessage,
    SessionBackend,
    SessionMetadata,
    SessionQuery,
    SessionState,
    SessionStore,
    Severity,
    StoredMessage,
    StoreError,
    configure_sqlite,
    doctor,
    maintenance,
    migrations,
)
from session_store.maintenance import Stats, stats
from session_store.maintenance.report import page
from session_store.transfer import ExportResult, ImportResult, export_jsonl, import_jsonl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import Engine

KEY = "web_bo"


def messages(backend: SessionBackend) -> None:
    """Call what there is for messages."""
    stored: StoredMessage = backend.append(KEY, ChatMessage.user("Hello"), idempotency_key="m1")
    seq: int = stored.seq
    payload: Any = stored.message.payload
    when = datetime(2026, 3, 5, tzinfo=UTC)
    many: list[StoredMessage] = backend.append_many(
        KEY, [ChatMessage.tool("{}", payload), NewMessage(ChatMessage.assistant("Hi"), when, "m2")]
    )
    loaded: list[ChatMessage] = backend.load(KEY, last=10)
    page: list[StoredMessage] = backend.history(KEY, after_seq=0, before_seq=seq + 1, limit=10)
    walk: Iterator[StoredMessage] = backend.iter_history(KEY, after_seq=0, batch=100)
    updated: bool = backend.update_last(KEY, ChatMessage.assistant("Hi!"), seq=many[-1].seq)
    popped: StoredMessage | None = backend.pop_last(KEY)
    removed: bool = backend.remove_last(KEY, seq=seq)
    cleared: int = backend.clear_messages(KEY)
    print(len(loaded), len(page), len(list(walk)), updated, popped is None, removed, cleared)


def sessions(backend: SessionBackend) -> None:
    """Call what there is for sessions and states."""
    created: bool = backend.create_session("web_cy", name="Cy", owner="cy", attributes={"channel": "web"})
    exists: bool = backend.session_exists(KEY)
    backend.set_session_name(KEY, "Bo")
    name: str | None = backend.get_session_name(KEY)
    backend.set_session_owner(KEY, None)
    backend.set_session_attributes(KEY, {"tags": ["a"], "room": None})
    query = SessionQuery(limit=5, attributes={"channel": "web"}, active_since=datetime(2026, 1, 1, tzinfo=UTC))
    keys: list[str] = backend.list_sessions(query)
    heads: list[SessionMetadata] = backend.list_sessions_with_metadata()
    found: list[SessionMetadata] = backend.search(SessionQuery(keyword="hello", after=heads[0].cursor))
    count: int = backend.count_sessions()
    head: SessionMetadata | None = backend.get_session_metadata(KEY)
    changed: bool = backend.set_session_state(KEY, "running", "turn_1", if_turn=None)
    state: SessionState | None = backend.get_session_state(KEY)
    running: list[SessionMetadata] = backend.list_running_sessions()
    stuck: list[SessionMetadata] = backend.list_stuck_sessions(600)
    recovered: list[str] = backend.recover_stuck(600, to="idle")
    compaction: Compaction = backend.compact(KEY, within_secs=1.5, dry_run=True)
    health: Health = backend.health()
    deleted: bool = backend.delete_session("web_cy")
    print(created, exists, name, keys, len(found), count, changed, len(running), stuck, recovered, deleted)
    print(head is not None and head.message_count, state and state.turn_id, compaction.head_repaired, health.search)


def several_transactions(backend: SessionBackend) -> None:
    """Call what takes several transactions."""
    stale: int = backend.cleanup_stale(24.5, dry_run=True, include_running=True)
    owned: int = backend.delete_sessions(owner="cy", batch_size=10)
    print(stale, owned)


def blocking(engine: Engine) -> None:
    """Use the store for code that blocks."""
    migrations.upgrade(engine)
    store = SessionStore(engine, clock=lambda: datetime.now(UTC))
    # Not only what fits the annotation: exactly this, and not Any.
    assert_type(store.load(KEY), list[ChatMessage])
    assert_type(store.set_session_state(KEY, "idle"), bool)
    assert_type(store.cleanup_stale(24, dry_run=True), int)
    messages(store)
    sessions(store)
    several_transactions(store)
    with store.begin() as transaction:
        messages(transaction)
        sessions(transaction)
    with orm.Session(engine) as session, session.begin():
        messages(store.joined_to(session))
    with engine.begin() as connection:
        db: Connection = connection
        sessions(store.joined_to(db))
    imported: ImportResult = import_jsonl(store, [])
    exported: ExportResult = export_jsonl(store, "all.jsonl", owner="ann", after=KEY)
    print(imported.added, exported.last_key)
    operated(engine)


def operated(engine: Engine) -> None:
    """Call what there is for who keeps a database."""
    findings: list[Finding] = doctor(engine, stuck_secs=60)
    worst: Severity = max(finding.severity for finding in findings)
    command: str | None = findings[0].command
    there: Stats = stats(engine)
    states: dict[str, int] = there.states
    mended: int = maintenance.repair_heads(engine, on_progress=print)
    orphans: maintenance.OrphanCounts = maintenance.delete_orphans(engine, dry_run=True)
    html: str = page(engine, tz="Europe/Lisbon")
    print(worst.name, command, states, mended, orphans.messages, len(html))


async def awaited(backend: AsyncSessionBackend) -> None:
    """Await some of each kind of call."""
    stored: StoredMessage = await backend.append(KEY, ChatMessage.user("Hello"))
    many: list[StoredMessage] = await backend.append_many(KEY, [ChatMessage.assistant("Hi")])
    loaded: list[ChatMessage] = await backend.load(KEY)
    walk: AsyncIterator[StoredMessage] = backend.iter_history(KEY)
    seqs = [message.seq async for message in walk]
    popped: StoredMessage | None = await backend.pop_last(KEY)
    heads: list[SessionMetadata] = await backend.search(SessionQuery(keyword="hello"))
    changed: bool = await backend.set_session_state(KEY, "error")
    state: SessionState | None = await backend.get_session_state(KEY)
    health: Health = await backend.health()
    print(stored.seq, len(many), len(loaded), seqs, popped is None, len(heads), changed, state is None, health.schema)


async def on_a_loop(url: str) -> None:
    """Use the store for an event loop."""
    async with AsyncSessionStore.open(url) as store:
        engine: AsyncEngine = store.engine
        assert_type(await store.load(KEY), list[ChatMessage])
        await awaited(store)
        stale: int = await store.cleanup_stale(24)
        async with store.begin() as transaction:
            await awaited(transaction)
        session: AsyncSession
        async with async_sessionmaker(engine)() as session, session.begin():
            await awaited(store.joined_to(session))
        async with engine.begin() as connection:
            db: AsyncConnection = connection
            await awaited(store.joined_to(db))
        print(stale)
    opened = await AsyncSessionStore.open(url)
    try:
        await opened.delete_session("")
    except StoreError as error:
        print(type(error).__name__)
    await opened.close()


def main(url: str) -> None:
    """Run all of it, on an empty database."""
    with SessionStore.open(url) as store:
        store.delete_session(KEY)
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    if engine.dialect.name == "sqlite":
        configure_sqlite(engine)
    blocking(engine)
    engine.dispose()
    asyncio.run(on_a_loop(url))


if __name__ == "__main__":
    main(sys.argv[1])
