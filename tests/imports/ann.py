"""What zeroclaw has of Ann, one conversation in a database or in a file, and what anybody may have said."""

import os
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from session_store import SessionMetadata, SessionStore
from tests.hosts import contents, disagreements
from tests.imports.sources import jsonl

only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what the reader does, whatever it is written to."""

KEY = "telegram_main_ann"
FIRST, SECOND, LATER = (f"2026-03-05T09:12:0{n}.123456789+00:00" for n in (3, 4, 5))
SAID = [(KEY, "user", "Hello", FIRST), (KEY, "assistant", "Hi, Ann", SECOND)]
ABOUT = {
    "session_key": KEY,
    "created_at": "2026-03-05T09:12:00+00:00",
    "last_activity": LATER,
    "message_count": 2,
    "name": "Ann",
    "state": "running",
    "turn_id": "turn-1",
    "turn_started_at": SECOND,
    "agent_alias": "helper",
    "channel_id": "telegram.main",
    "room_id": "-100",
    "sender_id": "ann",
}
HELLO = {"role": "user", "content": "Hello"}
HI = {"role": "assistant", "content": "Hi, Ann"}
CHANGED = 1_772_701_923.5
"""When a file was, in seconds since 1970: 2026-03-05T09:12:03.5Z."""


def at(text: str) -> datetime:
    """A time as it comes out."""
    return datetime.fromisoformat(text)


def everything(store: SessionStore) -> list[list[tuple[Any, ...]]]:
    """All rows of our tables, which agree."""
    with store.engine.connect() as db:
        assert disagreements(db) == []
        return contents(db)


def folder(path: Path) -> Path:
    """The folder of the sessions in a workspace."""
    place = path / "workspace" / "sessions"
    place.mkdir(parents=True, exist_ok=True)
    return place


def file_of(path: Path, *lines: object, key: str = KEY, suffix: str = ".jsonl") -> Path:
    """A file of a session in the workspace, last changed at a known time."""
    file = jsonl(folder(path) / f"{key}{suffix}", *lines)
    os.utime(file, (CHANGED, CHANGED))
    return file


BARE = SessionMetadata(
    KEY,
    None,
    None,
    {},
    created_at=at("2026-03-05T09:12:03.123456+00:00"),
    last_activity=at("2026-03-05T09:12:04.123456+00:00"),
    message_count=2,
    last_seq=2,
    state="idle",
    turn_id=None,
    state_entered_at=None,
)
"""What is known of a session by its messages alone."""

NUMBERS = count()
ROLES = st.sampled_from(["user", "assistant", "tool", "", "ä" * 32, "ä" * 33, "a\0b", None, b"user"]) | st.text()
CONTENTS = st.text(max_size=30) | st.none() | st.binary(max_size=3)


def can_be_said(role: object, content: object) -> bool:
    """Whether it can be a message, by what is promised."""
    return (
        isinstance(role, str)
        and isinstance(content, str)
        and "\0" not in role
        and 1 <= len(role.encode(errors="surrogatepass")) <= 64
        and not any("\ud800" <= character <= "\udfff" for character in role)
    )
