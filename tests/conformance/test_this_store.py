"""What holds for this store and need not for any other backend: its limits, and how it stores a character."""

import re

import pytest

from session_store import ChatMessage, NewMessage, SessionQuery, SessionStore
from session_store.search import MAX_WORDS
from session_store.testing.conformance.search import CONTENTS, found, is_in
from session_store.testing.conformance.talk import KEY, counts


def test_any_number_of_keys_is_found(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """More keys than one statement is given are all found."""
    monkeypatch.setattr("session_store.repositories.messages._KEYS_AT_ONCE", 3)
    messages = [NewMessage(ChatMessage.user(str(n)), None, f"line {n}") for n in range(8)]
    first = store.append_many(KEY, messages)

    assert store.append_many(KEY, messages) == first
    assert counts(store) == (8, 8)


def test_as_many_words_as_are_allowed(store: SessionStore) -> None:
    """The most words one search may have are each looked for."""
    words = " ".join(f"w{n}," for n in range(MAX_WORDS))
    store.append(KEY, ChatMessage.user(words))

    assert found(store, words) == [KEY]
    assert found(store, words.replace("w0,", "w!")) == []


STAND_INS = r"[\x01-\x08\x0e-\x15]+"
"""The control characters that stand for others in a stored text; to a search they are white space."""


def test_stand_ins_separate_words(store: SessionStore) -> None:
    """A keyword that has them is the words between them; nothing else is lost, in keyword or content."""
    contents = [*CONTENTS, "\x1a\x01\x01\x01", "one\x01two", "\x15"]
    for content in contents:
        store.append(ascii(content), ChatMessage.user(content))

    for keyword in contents:
        expected = {ascii(content) for content in contents if is_in(re.sub(STAND_INS, " ", keyword), content)}
        assert {session.key for session in store.search(SessionQuery(keyword=keyword))} == expected, keyword


def test_how_a_character_is_stored_is_not_found(store: SessionStore) -> None:
    """The control characters that stand for others in a stored text separate words: nothing is found by them."""
    for content in ("a\0b", "\ud83d", "\x1a"):
        store.append(ascii(content), ChatMessage.user(content))

    assert len(found(store, "\x01\x0e\x04\x0e")) == 3
    assert found(store, "\x01a\x02") == found(store, "a") == [ascii("a\0b")]


def test_check_tells_revision_and_search(store: SessionStore) -> None:
    """A healthy store names its revision and its search, and took some time."""
    health = store.check()

    assert health.schema == "ss_0001"
    assert health.search == "like"
    assert 0 < health.latency < 60
