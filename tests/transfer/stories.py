"""What can have happened to sessions before they are copied, hostile texts among it, and all that is left of it."""

import io
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st
from sqlalchemy import select

from session_store import ChatMessage, IdempotencyConflict, NewMessage, SessionStore
from session_store.models.models import MESSAGES, SESSIONS, STATES
from session_store.testing import Clock
from session_store.transfer import BrokenLine, ImportResult, SkippedSession, export_jsonl, import_jsonl

KEYS: Final = ["a", "b", "Ann", "é", "\U0001f600", 'said "b", twice\r\n', "\x1a\x01\x02\x03", "{\u2028}"]
HARD: Final = [
    "\0",
    "\x1a",
    "\x1a\x01\x02\x03",
    "\ud800",
    "\udc00",
    "\ud83d\ude00",
    "\U0001f600",
    "\ufffd",
    '"',
    "\r\n",
]
"""Pieces of text: what PostgreSQL refuses, what looks escaped, surrogates that JSON would take for one character."""

keys = st.sampled_from(KEYS)
texts = st.lists(st.sampled_from([*HARD, *"xy ,\\"]) | st.text(max_size=3), max_size=5).map("".join)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
payloads = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=5
)
identifiers = st.sampled_from(["t1", "t2", "é", "\x1a\x01\x02\x03"])
messages = st.builds(
    NewMessage,
    st.builds(ChatMessage, st.sampled_from(["user", "assistant", "tool", "narrator"]), texts, payloads),
    st.none(),
    st.none() | identifiers,
)

Happening = Callable[[SessionStore, Clock], object]


def _append(key: str, several: list[NewMessage], seconds: float) -> Happening:
    def happen(store: SessionStore, clock: Clock) -> None:
        at = clock.now + timedelta(seconds=seconds)
        with suppress(IdempotencyConflict):
            store.append_many(key, [message._replace(created_at=at) for message in several])

    return happen


def _tick(seconds: float) -> Happening:
    return lambda _, clock: clock.advance(seconds)


def _call(name: str, *args: Any) -> Happening:
    return lambda store, _: getattr(store, name)(*args)


appended = st.builds(
    _append, keys, st.lists(messages, min_size=1, max_size=4), st.floats(-1e6, 1e6).map(lambda it: round(it, 6))
)
states = st.builds(
    _call, st.just("set_session_state"), keys, st.sampled_from(["idle", "running", "error"]), identifiers
)
grown = st.lists(appended | states | st.builds(_tick, st.integers(0, 10_000)), max_size=6)
"""What adds to sessions and changes nothing of them."""

changed = st.one_of(
    st.builds(_call, st.sampled_from(["remove_last", "clear_messages"]), keys),
    st.builds(lambda key, keep: lambda store, _: store.trim(key, keep_last=keep), keys, st.integers(0, 3)),
    st.builds(
        lambda ago: lambda store, clock: store.prune_states(clock.now - ago),
        st.timedeltas(max_value=timedelta(1), min_value=timedelta()),
    ),
    st.builds(_call, st.just("update_last"), keys, messages.map(lambda new: new.message)),
    st.builds(_call, st.just("set_session_name"), keys, texts),
    st.builds(_call, st.just("set_session_owner"), keys, st.none() | identifiers),
    st.builds(_call, st.just("set_session_attributes"), keys, st.dictionaries(texts, payloads, max_size=3)),
)
stories = st.lists(appended | states | changed | st.builds(_tick, st.integers(-10, 10_000)), min_size=1, max_size=14)


def happen(story: list[Happening], store: SessionStore, clock: Clock) -> None:
    """Let it all happen."""
    for happening in story:
        happening(store, clock)


def everything(store: SessionStore) -> list[str]:
    """All rows of a store, told apart to the last bit, in their order."""
    with store.engine.connect() as db:
        return [
            json.dumps(dict(row._mapping), sort_keys=True, default=str)
            for table in (SESSIONS, STATES, MESSAGES)
            for row in db.execute(select(table).order_by(*table.primary_key.columns))
        ]


def exported(store: SessionStore, **which: Any) -> bytes:
    """What an export writes."""
    file = io.BytesIO()
    export_jsonl(store, file, **which)
    return file.getvalue()


def lines_of(data: bytes) -> list[Any]:
    """What the lines of an export say."""
    return [json.loads(line) for line in data.splitlines()]


def imported(
    store: SessionStore, *files: bytes, dry_run: bool = False
) -> tuple[ImportResult, list[BrokenLine], list[SkippedSession]]:
    """Import files with these contents."""
    broken: list[BrokenLine] = []
    skipped: list[SkippedSession] = []
    done = import_jsonl(
        store, map(io.BytesIO, files), dry_run=dry_run, on_broken=broken.append, on_skipped=skipped.append
    )
    return done, broken, skipped


def emptied(*stores: SessionStore) -> None:
    """Delete all sessions."""
    for store in stores:
        with store.engine.begin() as db:
            for table in (STATES, MESSAGES, SESSIONS):
                db.execute(table.delete())
