"""Finding sessions by words: each occurs, as it is written, in one message."""

import pytest

from session_store.protocols import SessionBackend
from session_store.testing.clock import Clock
from session_store.testing.conformance.talk import head, say
from session_store.values import ChatMessage, SessionQuery

ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def is_in(keyword: str, content: str) -> bool:
    """The law: every word occurs somewhere; A to Z are a to z, nothing else is folded."""
    words = keyword.translate(ASCII_LOWER).split()
    return all(word in content.translate(ASCII_LOWER) for word in words)


def found(store: SessionBackend, keyword: str | None) -> list[str]:
    """The keys a keyword finds; the count agrees."""
    query = SessionQuery(keyword=keyword)
    keys = [session.key for session in store.search(query)]
    assert store.count_sessions(query) == len(keys)
    return keys


def test_every_word_must_be_in_one_message(store: SessionBackend) -> None:
    """Words may stand in any order and anywhere in a message, but all in the same one."""
    say(store, "the quick brown fox", "four")
    store.append("one", ChatMessage.user("the quick brown fox"))
    store.append("one", ChatMessage.user("jumps over"))

    assert found(store, "quick") == ["one", "four"]
    assert found(store, "fox the") == ["one"]
    assert found(store, "fox jumps") == []
    assert found(store, "uic row") == ["one"]
    assert found(store, "fox fox FOX") == ["one", "four"]
    assert found(store, "over fox") == []


CONTENTS = [
    *("100% sure", "100 sure", "snake_case", "snakeXcase", r"C:\new", "C:new", r"\%", "%", "_", "\\", "'", '"', "--"),
    *("[a-z]", "*?", "Straße STRASSE", "ÄÖÜ", "äöü", "İstanbul", "istanbul", "K", "k", "\u212a", "\u017f", "S"),
    *("Σίσυφος", "σίσυφοσ", "a\u0308", "ä", "Привет", "привет", "你好、世界", "\U0001f600!", "a\0b", "\0", "\ud800"),
    *("\udc00", "a\udfffB", "\x1a", "\ufffd", "line one\nline two", "tab\tbed", "nbsp\u00a0here"),
    *("\x1cx", "\u3000x"),
]


def test_words_are_literal(store: SessionBackend) -> None:
    """No character is a wildcard, only ASCII letters are folded, and what cannot be stored is still found."""
    for content in CONTENTS:
        store.append(ascii(content), ChatMessage.user(content))

    for keyword in CONTENTS:
        expected = {ascii(content) for content in CONTENTS if is_in(keyword, content)}
        assert {session.key for session in store.search(SessionQuery(keyword=keyword))} == expected, keyword


@pytest.mark.parametrize("keyword", [None, "", " ", "\n\t\u3000\x1c\u2028"])
def test_without_a_word_all_are_found(store: SessionBackend, clock: Clock, keyword: str | None) -> None:
    """A blank keyword is no keyword: sessions without messages are found too."""
    store.create_session("empty")
    clock.advance(1)
    say(store, "x", "full")

    assert found(store, keyword) == ["full", "empty"]


def test_only_content_is_searched(store: SessionBackend) -> None:
    """A word in a key, name, owner, attribute, role or payload finds nothing."""
    store.create_session("word", name="word", owner="word", attributes={"word": "word"})
    store.append("word", ChatMessage("word", "nothing", {"word": "word"}), idempotency_key="word")
    store.set_session_state("word", "word", "word")

    assert found(store, "word") == []


def test_sessions_come_newest_activity_first(store: SessionBackend, clock: Clock) -> None:
    """What is found is in the order of the list, and pages like it."""
    for key in "bca":
        say(store, "hit hit", key)
        say(store, "miss", key * 2)
        clock.advance(1)
    say(store, "miss", "b")

    assert found(store, "hit") == ["b", "a", "c"]
    first = store.search(SessionQuery(keyword="hit", limit=2))
    assert [session.key for session in first] == ["b", "a"]
    rest = store.search(SessionQuery(keyword="hit", limit=2, after=head(store, "a").cursor))
    assert [session.key for session in rest] == ["c"]


def test_search_sees_the_messages_as_they_are_now(store: SessionBackend) -> None:
    """What was updated, removed or cleared is found no more; what it became is."""
    say(store, "first draft", "a")
    store.update_last("a", ChatMessage.user("answer"))
    assert [found(store, word) for word in ("first", "draft", "answer")] == [["a"], [], ["a"]]

    store.remove_last("a")
    assert [found(store, word) for word in ("first", "answer")] == [["a"], []]
    store.clear_messages("a")
    assert found(store, "first") == []


def test_many_words_and_long_ones(store: SessionBackend) -> None:
    """Twenty words and one of a hundred thousand letters are words like others."""
    words = " ".join(f"w{n}," for n in range(20))
    store.append("many", ChatMessage.user(words))
    store.append("long", ChatMessage.user("x" * 100_000 + "y"))

    assert found(store, words) == ["many"]
    assert found(store, words.replace("w0,", "w!")) == []
    assert found(store, "X" * 100_000) == ["long"]
    assert found(store, "X" * 100_001) == []
