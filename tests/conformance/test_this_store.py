"""What holds for this store and need not for any other backend: its limits, and how it stores a character."""

import pytest

from session_store import ChatMessage, NewMessage, SessionStore
from session_store.database import revisions
from tests.conformance.helpers import KEY, counts
from tests.conformance.test_search import found


def test_any_number_of_keys_is_found(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """More keys than one statement is given are all found."""
    monkeypatch.setattr("session_store.repositories.messages._KEY_BATCH_SIZE", 3)
    messages = [NewMessage(ChatMessage.user(str(n)), None, f"line {n}") for n in range(8)]
    first = store.append_many(KEY, messages)

    assert store.append_many(KEY, messages) == first
    assert counts(store) == (8, 8)


def test_any_number_of_words_is_looked_for(store: SessionStore) -> None:
    """More words than any statement is given are each looked for."""
    words = " ".join(f"w{n}," for n in range(500))
    store.append(KEY, ChatMessage.user(words))

    assert found(store, words) == [KEY]
    assert found(store, words.replace("w499,", "w!")) == []
    assert found(store, " OR ".join(f"no{n}" for n in range(500)) + " OR w7") == [KEY]


def test_how_a_character_is_stored_is_not_found(store: SessionStore) -> None:
    """The control characters that stand for others in a stored text separate words: nothing is found by them."""
    for content in ("a\0b", "\ud83d", "\x1a"):
        store.append(ascii(content), ChatMessage.user(content))

    assert len(found(store, "\x01\x0e\x04\x0e")) == 3
    assert found(store, "\x01a\x02") == found(store, "a") == [ascii("a\0b")]


def test_check_tells_revision_and_search(store: SessionStore) -> None:
    """A healthy store names its revision and its search, and took some time."""
    health = store.health()

    assert health.schema == revisions.HEAD
    assert health.search in {"fts5", "tsvector"}
    assert 0 < health.latency < 60
