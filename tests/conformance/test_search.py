"""Finding sessions and messages by words.

What is asked for here is found by whole words and by substrings alike, so a store that looks for either conforms.
"""

from datetime import timedelta
from typing import Any, cast

import pytest

from session_store.interface.errors import InvalidKey, InvalidQuery
from session_store.interface.protocols import SessionBackend
from session_store.interface.values import ChatMessage, SessionQuery
from session_store.testing.clock import Clock
from tests.conformance.helpers import head, say


def found(store: SessionBackend, keyword: str | None) -> list[str]:
    """The keys a keyword finds; the count, the list and a search with a limit agree."""
    query = SessionQuery(keyword=keyword)
    keys = [session.key for session in store.search(query)]
    assert store.count_sessions(query) == len(keys)
    assert store.list_sessions(query) == keys
    assert [session.key for session in store.search(SessionQuery(keyword=keyword, limit=1000))] == keys
    return keys


def test_every_word_must_be_in_one_message(store: SessionBackend) -> None:
    """Words may stand in any order and anywhere in a message, but all in the same one."""
    say(store, "the quick brown fox", "four")
    store.append("one", ChatMessage.user("the quick brown fox"))
    store.append("one", ChatMessage.user("jumps over"))

    assert found(store, "quick") == ["one", "four"]
    assert found(store, "fox the") == ["one"]
    assert found(store, "fox jumps") == []
    assert found(store, "fox fox FOX") == ["one", "four"]
    assert found(store, "over fox") == []


ANIMALS = {
    "a": "A red fox, alone",
    "b": "The fox and the wolf",
    "c": "The grey wolf",
    "d": "A fox red as fire",
    "e": "Nothing of the kind",
}
ASKED = [
    ("fox", "abd"),
    ("fox OR wolf", "abcd"),
    ("wolf OR bear", "bc"),
    ("grey wolf OR bear", "c"),
    ("fox -wolf", "ad"),
    ("-wolf fox", "ad"),
    ("-wolf", ""),
    ("fox -wolf OR wolf -fox", "acd"),
    ('"red fox"', "a"),
    ('fox -"red fox"', "bd"),
    ('"fox red"', "d"),
    ('"red fox" OR "fox red"', "ad"),
    ("wol*", "bc"),
    ("fox -wol*", "ad"),
    ("fox OR", "abd"),
    ("fox and wolf", "b"),
    ("fox-wolf", ""),
    ("fox - wolf", "b"),
]
"""A keyword, and the keys of the animals it finds."""


def test_the_query_language(store: SessionBackend) -> None:
    """Words must all be there, OR gives a choice, a minus excludes, quotes keep the order, a star ends a prefix."""
    for key, content in ANIMALS.items():
        store.append(key, ChatMessage.user(content))

    for keyword, expected in ASKED:
        assert sorted(found(store, keyword)) == list(expected), keyword


CONTENTS = [
    *("100% sure", "snake_case", r"C:\new", "[a-z]* ?", "it's", 'the "quoted" one', "a -- b", "caf\u00e9 NOIR"),
    *(
        "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440",
        "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
        "\u4f60\u597d\u3001\u4e16\u754c",
    ),
    *(
        "\uc548\ub155 \ud558\uc138\uc694",
        "I \u2764\ufe0f it",
        "smile \U0001f600!",
        "line one\nline two",
        "tab\tbed",
        "nbsp\u00a0here",
    ),
    *(
        "nul\0byte",
        "lone\ud800surrogate",
        "sub\x1astitute",
        "/etc/apt/sources.list",
        "https://example.org/?q=1&r=2#top",
    ),
]


def test_a_message_is_found_by_its_text(store: SessionBackend) -> None:
    """Whatever a message says, it can be typed to find it, in upper case too."""
    for content in CONTENTS:
        store.append(ascii(content), ChatMessage.user(content))

    for content in CONTENTS:
        typed = content.replace('"', " ").replace("--", " ")
        assert ascii(content) in found(store, typed)
        assert ascii(content) in found(store, f'"{typed}"')
        assert ascii(content) in found(store, typed.upper())


TYPED = [
    *("(", ")", "a AND b NOT c", "NEAR(a b)", "a:b", "^a", "a & b | !c", "a <-> b", "':*", "a\\", "{a b}: c", "+a"),
    *(
        "'; DROP TABLE x; --",
        "%s %(a)s :a ?",
        '"',
        '"a" "',
        "a" * 100_000,
        "a " * 10_000,
        "a OR " * 2_000,
        "-a " * 2_000,
    ),
    *(" ".join(f"w{n}" for n in range(3_000)), '"' + "a " * 3_000 + '"', "\0", "\ud800", "\udfff*", "*" * 100),
]


def test_any_text_may_be_typed(store: SessionBackend) -> None:
    """Nothing that is typed is an error, and nothing of it is read as SQL."""
    say(store, "something", "a")

    for keyword in TYPED:
        store.search(SessionQuery(keyword=keyword))
        store.search_messages(keyword)
    assert [message.content for message in store.load("a")] == ["something"]


def test_without_a_word_all_are_found(store: SessionBackend, clock: Clock) -> None:
    """A keyword without a word is no keyword: sessions without messages are found too."""
    store.create_session("empty")
    clock.advance(1)
    say(store, "x", "full")

    for keyword in [None, "", " ", "\n\t\u3000\x1c\u2028", "%", "-", "OR", '"', "???", "\U0001f600"]:
        assert found(store, keyword) == ["full", "empty"], keyword


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
    """Twenty words, and one of a hundred thousand letters, are words like others."""
    words = " ".join(f"w{n}," for n in range(20))
    store.append("many", ChatMessage.user(words))
    store.append("long", ChatMessage.user("x" * 100_000 + "y"))

    assert found(store, words) == ["many"]
    assert found(store, words.replace("w0,", "w99,")) == []
    assert found(store, "X" * 100_000 + "*") == ["long"]
    assert found(store, "X" * 100_001) == []


def hits(store: SessionBackend, keyword: str, **filters: Any) -> list[tuple[str, int]]:
    """The places of the messages that are found, by pages of two, in both orders the same ones."""
    places: dict[str, list[tuple[str, int]]] = {}
    for order in ("recency", "relevance"):
        after = None
        places[order] = []
        while page := store.search_messages(keyword, limit=2, after=after, order=order, **filters):
            places[order] += [(hit.key, hit.seq) for hit in page]
            after = page[-1].cursor
    assert sorted(places["recency"]) == sorted(places["relevance"])
    return places["recency"]


def test_messages_come_newest_first_and_by_pages(store: SessionBackend, clock: Clock) -> None:
    """Each message that is found comes once, the newest first, whatever session it is in."""
    for key, content in [("a", "hit one"), ("b", "miss"), ("b", "hit two hit"), ("a", "hit three"), ("a", "hits, hit")]:
        store.append(key, ChatMessage.user(content))
        clock.advance(1)

    assert hits(store, "hit") == [("a", 3), ("a", 2), ("b", 2), ("a", 1)]
    assert hits(store, "hit -two") == [("a", 3), ("a", 2), ("a", 1)]


def test_messages_are_filtered(store: SessionBackend, clock: Clock) -> None:
    """By session, by role, and by the time they were made: from the first moment on, up to the second."""
    start = clock()
    store.append("a", ChatMessage.user("hit"))
    clock.advance(1)
    store.append("a", ChatMessage.assistant("hit"))
    clock.advance(1)
    store.append("b", ChatMessage.user("hit"))
    second = timedelta(seconds=1)

    assert hits(store, "hit", key="a") == [("a", 2), ("a", 1)]
    assert hits(store, "hit", key="nobody") == []
    assert hits(store, "hit", role="user") == [("b", 1), ("a", 1)]
    assert hits(store, "hit", since=start + second) == [("b", 1), ("a", 2)]
    assert hits(store, "hit", until=start + second) == [("a", 1)]
    assert hits(store, "hit", key="a", role="user", since=start, until=start + second) == [("a", 1)]


def test_a_hit_shows_where_it_is(store: SessionBackend, clock: Clock) -> None:
    """It has the message's place, role and time, and the piece of it around the match, the match marked."""
    before, after = "so " * 200, " and on" * 200
    store.append("a", ChatMessage.assistant(f"{before}the Brown\n fox{after}"))
    (hit,) = store.search_messages('"brown fox"')

    assert (hit.key, hit.seq, hit.role, hit.created_at) == ("a", 1, "assistant", clock())
    assert hit.rank > 0
    assert hit.snippet.text.startswith("\u2026")
    assert hit.snippet.text.endswith("\u2026")
    assert hit.snippet.text.strip("\u2026") in f"{before}the Brown\n fox{after}"
    assert "the [Brown\n fox] and" in hit.snippet.highlight("[", "]")


def test_what_is_no_search_is_refused(store: SessionBackend, clock: Clock) -> None:
    """An argument of the wrong kind or out of its range is named."""
    naive = clock().replace(tzinfo=None)
    for wrong in ({"limit": -1}, {"after": "x"}, {"order": "best"}, {"since": naive}, {"until": "now"}):
        with pytest.raises(InvalidQuery):
            store.search_messages("a", **cast("Any", wrong))
    for wrong in ({"key": ""}, {"role": "r" * 65}):
        with pytest.raises(InvalidKey):
            store.search_messages("a", **cast("Any", wrong))
    with pytest.raises(InvalidQuery):
        store.search_messages(cast("Any", b"a"))
