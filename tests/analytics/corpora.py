"""Real conversations, to which is added by rule what they do not have: owners, turns, models and their tokens.

The corpora stay outside the repository: beside it, or where ``SESSION_STORE_TEST_CORPORA`` says.
"""

import gzip
import json
import os
import zlib
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.analytics.figures import Conversations, Entry, Message, Session
from tests.documents import ROOT

FOLDER = Path(os.environ.get("SESSION_STORE_TEST_CORPORA") or ROOT.parent / "shared" / "corpus")
FILES = sorted(FOLDER.glob("*.jsonl.gz"))

MODELS = ["large", "small", "\u00fcber", None]
OWNERS = 400
STAY_EMPTY = 25
"""Sessions beside them in which nothing was said."""


def read() -> Conversations:
    """All messages of all files, with what was added."""
    lines: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for path in FILES:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in map(json.loads, file):
                lines[path.name.partition(".")[0], line["session_key"]].append(line)
    said = Conversations([], [], [])
    for (corpus, key), of_session in lines.items():
        entries, messages = [], []
        for thing in tell(key, of_session):
            (entries if isinstance(thing, Entry) else messages).append(thing)
        said.entries.extend(entries)
        said.messages.extend(messages)
        said.sessions.append(head(corpus, key, messages, entries))
    for number in range(STAY_EMPTY):
        empty = said.sessions[number * 100]
        said.sessions.append(empty._replace(key=f"empty{number}", message_count=0))
    return said


def number_of(*names: object) -> int:
    """A number that looks like chance and is the same every time."""
    return zlib.crc32("/".join(map(str, names)).encode())


def head(corpus: str, key: str, messages: list[Message], entries: list[Entry]) -> Session:
    """A session: three of four have an owner, and all have attributes."""
    number = number_of(key)
    times = [message.created_at for message in messages]
    current = entries[-1] if entries else None
    return Session(
        key=key,
        name=None if number % 3 else f"about {key}",
        owner=f"owner{number % OWNERS}" if number % 4 else None,
        attributes={"corpus": corpus, "n": number % 5, "beta": not number % 2},
        created_at=times[0],
        last_activity=max(times),
        message_count=len(messages),
        state=current.state if current else "idle",
        turn_id=current.turn_id if current else None,
        state_entered_at=current.entered_at if current else None,
    )


def tell(key: str, lines: list[dict[str, Any]]) -> Iterator[Entry | Message]:
    """A session as it went: a user's message begins a turn, an answer ends it, and so may a minute in which none comes.

    Of some answers another one follows within the same turn. The turns of some sessions have no name, and some
    sessions have no turns.
    """
    named, has_turns = number_of(key, "named") % 7, number_of(key, "turns") % 11
    turn_id: str | None = None
    last, entered_at = 0, datetime.fromisoformat(lines[0]["created_at"])

    def enter(state: str, when: datetime) -> Iterator[Entry]:
        nonlocal last, entered_at
        if has_turns:
            last, entered_at = last + 1, max(entered_at, when)
            yield Entry(key, last, state, turn_id, entered_at)

    for seq, line in enumerate(lines, start=1):
        number = number_of(key, seq)
        created_at = datetime.fromisoformat(line["created_at"])
        if line["role"] == "user":
            turn_id = f"turn{seq}" if named and has_turns else None
            yield from enter("running", created_at)
        payload = payload_of(line, number)
        yield Message(key, seq, created_at, line["role"], turn_id, line["content"], payload)
        if line["role"] == "assistant" and not number % 5:
            yield from enter("waiting for Bo", created_at)
            yield from enter("running", created_at + timedelta(seconds=1))
        elif line["role"] == "assistant" or not number % 3:
            later = timedelta() if line["role"] == "assistant" else timedelta(microseconds=number % 60_000_000)
            state = "idle" if number % 4 else "error"
            turn_id = None if state == "idle" else turn_id
            yield from enter(state, created_at + later)


def payload_of(line: dict[str, Any], number: int) -> dict[str, Any] | None:
    """What a message has beside its content: an answer and a fourth of the rest have used tokens."""
    payload = dict(line.get("payload") or {})
    if "name" in payload:
        payload["tool_calls"] = [{"name": payload["name"]}, *([{"name": "log"}] if not number % 5 else [])]
        payload["tool_call_id"] = payload["call"]
    if line["role"] == "assistant" or not number % 4:
        names = ("input_tokens", "output_tokens") if number % 3 else ("prompt_tokens", "completion_tokens")
        payload |= {
            "usage": dict(zip(names, (number % 4_001, number % 701), strict=True)),
            "latency_ms": number % 9_000 / 8,
        }
        payload |= {"model": MODELS[number // 12 % 4]}
    return payload or None
