"""Short words for what the tests here say and ask again and again."""

from datetime import UTC, datetime

from session_store.interface.protocols import SessionBackend
from session_store.interface.values import ChatMessage, SessionMetadata, StoredMessage

KEY = "telegram_ann"
HELLO = ChatMessage.user("hello")
OTHER = ChatMessage.assistant("hi", {"model": "m-1"})
LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, 789, tzinfo=UTC)


def say(store: SessionBackend, texts: str, key: str = KEY) -> list[StoredMessage]:
    """Append a message for each word."""
    return [store.append(key, ChatMessage.user(text)) for text in texts.split()]


def said(store: SessionBackend, key: str = KEY) -> list[str]:
    """What a session holds."""
    return [message.content for message in store.load(key)]


def seqs(store: SessionBackend, key: str = KEY) -> list[int]:
    """The numbers of a session's messages."""
    return [message.seq for message in store.history(key)]


def head(store: SessionBackend, key: str = KEY) -> SessionMetadata:
    """The metadata of a session that is there."""
    metadata = store.get_session_metadata(key)
    assert metadata is not None, f"there is no session {key!r}"
    return metadata


def last_activity(store: SessionBackend, key: str = KEY) -> datetime:
    """When a session was last used."""
    return head(store, key).last_activity


def counts(store: SessionBackend, key: str = KEY) -> tuple[int, int]:
    """How many messages the head says there are, and the last seq it gave."""
    return head(store, key).message_count, head(store, key).last_seq
