"""A writer: appends to some sessions until it is told to stop, and notes what the store has taken.

Each note goes into a file by one system call, so that what a writer was told before a SIGKILL is there, and nothing
that it was not told.
"""

import asyncio
import json
import os
import random
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, Engine, event

from session_store import AsyncSessionStore, ChatMessage, NewMessage, SessionStore, StoreError

PAUSE_SECS = 0.02
"""How long a writer waits before it tries once more what was refused."""

WORDS = ("answer", "weather", "order", "größer", "日本", "42", "naïve", "/etc/hosts")


@dataclass(frozen=True)
class Writer:
    """What a process has to do."""

    url: URL
    sessions: Sequence[str]
    names: Sequence[str]
    """One for each writer in it: one that blocks, or some tasks on an event loop."""
    asynchronous: bool
    seed: int
    notes: Path
    """The file of its notes."""
    stop: Path
    """It ends when there is a file of this name."""
    most_pages: Path | None = None
    """A file with the number of pages that a database on SQLite may have, if there is one."""


class Call(NamedTuple):
    """A call of the store, and what it appends."""

    name: str
    session: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    tokens: Sequence[str]
    safe: bool
    """It may be made again when nobody knows what became of it: what it appends has idempotency keys."""


def token(name: str, number: int) -> str:
    """The word that only one message has: the one of this number by this writer."""
    return f"{name}n{number}"


def calls(name: str, sessions: Sequence[str], chance: random.Random) -> Generator[Call, None, None]:
    """What a writer does, for ever; most of it is appending one message."""

    def message(number: int) -> ChatMessage:
        filler = " ".join(chance.choices(WORDS, k=chance.randrange(2, 60)))
        return ChatMessage.user(f"{token(name, number)} by {name}: {filler}", {"n": number})

    number = 0
    while True:
        session = chance.choice(sessions)
        kind = chance.random()
        many = chance.randrange(2, 6) if kind < 0.05 else 1
        tokens = [token(name, n) for n in range(number, number + many)]
        messages = [message(n) for n in range(number, number + many)]
        number += many
        if many > 1:
            new = [NewMessage(message, None, token) for message, token in zip(messages, tokens, strict=True)]
            yield Call("append_many", session, (new,), {}, tokens, safe=True)
        elif kind < 0.3:
            yield Call("append", session, (messages[0],), {"idempotency_key": tokens[0]}, tokens, safe=True)
        else:
            yield Call("append", session, (messages[0],), {}, tokens, safe=False)
        if kind > 0.95:
            state = chance.choice(("running", "idle", "error"))
            yield Call("set_session_state", session, (state, f"turn{number}"), {}, (), safe=True)


def attempts(writer: Writer, name: str) -> Generator[Call, Any, None]:
    """A writer's calls until it is told to stop; those that are refused and safe again; each is sent its answer."""
    chance = random.Random(f"{writer.seed} {name}")  # noqa: S311 - no secret
    notes = os.open(writer.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for call in calls(name, writer.sessions, chance):
        again = True
        while again and not writer.stop.exists():
            begun = time.monotonic_ns()
            answer = yield call
            again = call.safe and isinstance(answer, StoreError)
            if isinstance(answer, StoreError):
                cause = f"{type(answer.__cause__).__name__}: {answer.__cause__}"
                kind = type(answer).__name__
                note: Any = ["refused", kind, str(answer), cause, begun, time.monotonic_ns(), *call.tokens]
            else:
                seqs = (
                    [message.seq for message in (answer if isinstance(answer, list) else [answer])]
                    if call.tokens
                    else []
                )
                note = ["told", call.session, list(zip(seqs, call.tokens, strict=True)), begun, time.monotonic_ns()]
            os.write(notes, f"{json.dumps(note)}\n".encode())
        if writer.stop.exists():
            break
    os.close(notes)


def write(writer: Writer) -> None:
    """Be this process."""
    if writer.asynchronous:
        asyncio.run(_write_on_a_loop(writer))
        return
    with SessionStore(writer.url) as store:
        _limit(store.engine, writer.most_pages)
        [name] = writer.names
        attempt = attempts(writer, name)
        call = next(attempt, None)
        while call is not None:
            try:
                answer = getattr(store, call.name)(call.session, *call.arguments, **call.options)
            except StoreError as error:
                answer = error
                time.sleep(PAUSE_SECS)
            call = _sent(attempt, answer)
        _end(writer, store.engine.pool.checkedout())


async def _write_on_a_loop(writer: Writer) -> None:
    async with AsyncSessionStore(writer.url) as store:
        _limit(store.engine.sync_engine, writer.most_pages)

        async def run(name: str) -> None:
            attempt = attempts(writer, name)
            call = next(attempt, None)
            while call is not None:
                try:
                    answer = await getattr(store, call.name)(call.session, *call.arguments, **call.options)
                except StoreError as error:
                    answer = error
                    await asyncio.sleep(PAUSE_SECS)
                call = _sent(attempt, answer)

        async with asyncio.TaskGroup() as tasks:
            for name in writer.names:
                tasks.create_task(run(name))
        _end(writer, store.engine.pool.checkedout())


def _limit(engine: Engine, most_pages: Path | None) -> None:
    """Tell each connection, whenever it is used, how many pages there may be."""
    if most_pages is None:
        return

    @event.listens_for(engine, "checkout")
    def limit(connection: Any, *_: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA max_page_count = {int(most_pages.read_text())}")
        cursor.close()


def _sent(attempt: Generator[Call, Any, None], answer: object) -> Call | None:
    try:
        return attempt.send(answer)
    except StopIteration:
        return None


def _end(writer: Writer, connections: int) -> None:
    with writer.notes.open("a") as notes:
        notes.write(f"{json.dumps(['ended', connections])}\n")
