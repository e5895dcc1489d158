"""Real conversations, and queries drawn from them: each engine finds exactly what the reference does.

The corpora stay outside the repository: beside it, or where ``SESSION_STORE_TEST_CORPORA`` says.
"""

import gzip
import json
import os
import random
import re
import sys
import time
import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from session_store import ChatMessage, SessionQuery, SessionStore
from session_store.search import index as search_index
from session_store.search.tokens import has_no_spaces
from session_store.transfer import import_jsonl
from tests.documents import ROOT
from tests.search import search_reference
from tests.search.search_cases import CASES, LIKE_CASES

FOLDER = Path(os.environ.get("SESSION_STORE_TEST_CORPORA") or ROOT.parent / "shared" / "corpus")
FILES = sorted(FOLDER.glob("*.jsonl.gz"))
SEED = 20_040_705
WITH_INDEX = 2_200
BY_LIKE = 220
SEVERAL = dict.fromkeys(text for _, text, _ in CASES + LIKE_CASES if text)
"""Messages beside the corpora, for what is seldom or not at all in them: Thai, emoji, Arabic with its marks."""
MOST_FOUND = 20_000
"""Messages of the commonest word that is drawn; the reference reads them one by one."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.once,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not FILES, reason="the corpora are not here: see SESSION_STORE_TEST_CORPORA"),
]


_words = search_reference.words


class Message(NamedTuple):
    """What a search sees of a message."""

    key: str
    content: str


class Corpora:
    """All messages, and which of them might be found: the reference decides on those alone."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.having: dict[str, array[int]] = defaultdict(lambda: array("I"))
        self._words: dict[str, list[str]] = {}
        for number, message in enumerate(messages):
            words = self._words[message.content] = list(map(sys.intern, search_reference.words(message.content)))
            for word in dict.fromkeys(words):
                self.having[word].append(number)
        self.vocabulary = sorted(self.having)
        self._folded = "\n".join(search_reference.folded(message.content) for message in messages)
        self._ends = [*accumulate(len(message.content) + 1 for message in messages)]

    def words(self, text: str) -> list[str]:
        """The words of a text, remembered if it is a message."""
        return self._words.get(text) or _words(text)

    def sessions(self, query: str, *, substrings: bool) -> set[str]:
        """The sessions that the reference finds."""
        finds = search_reference.finds_by_like if substrings else search_reference.finds
        might = self._with_substring if substrings else self._with_words
        found: set[str] = set()
        for group in search_reference.groups(query):
            parts = [part for part in group if not part.excluded]
            candidates = set.intersection(*map(might, parts)) if parts else set()
            # A session that is found already needs no second message.
            for number in candidates:
                key, content = self.messages[number]
                if key not in found and finds(query, content):
                    found.add(key)
        return found

    def _with_words(self, part: search_reference.Part) -> set[int]:
        *whole, last = part.words
        first = bisect_left(self.vocabulary, last)
        beginning = self.vocabulary[first : bisect_right(self.vocabulary, last + chr(0x10FFFF))]
        ends = beginning if part.prefix else [last]
        found = {number for word in ends for number in self.having.get(word, ())}
        return found.intersection(*(self.having.get(word, ()) for word in whole))

    def _with_substring(self, part: search_reference.Part) -> set[int]:
        # Whatever LIKE folds or does not, the folded words are in the folded text.
        longest = max(part.words, key=len)
        found: set[int] = set()
        at = self._folded.find(longest)
        while at >= 0:
            number = bisect_right(self._ends, at)
            found.add(number)
            at = self._folded.find(longest, self._ends[number])
        return found


@pytest.fixture(scope="module")
def corpora() -> Corpora:
    """The messages of all files."""
    messages = [Message(f"several{number}", content) for number, content in enumerate(SEVERAL)]
    for path in FILES:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            messages += (Message(line["session_key"], line["content"]) for line in map(json.loads, lines))
    return Corpora(messages)


Draw = Callable[[], str]


class Draws:
    """Draws queries from the texts of the corpora."""

    def __init__(self, corpora: Corpora) -> None:
        self.any = random.Random(SEED)  # noqa: S311 - to be the same each time
        self.messages = corpora.messages
        counts = {word: len(found) for word, found in corpora.having.items() if len(found) <= MOST_FOUND}
        self.rare = [word for word, count in counts.items() if count <= 3]
        self.medium = [word for word, count in counts.items() if 3 < count <= 300]
        self.common = [word for word, count in counts.items() if count > 300]
        self.odd = [word for word in counts if not word.isascii() and not has_no_spaces(word)]
        self.by_script = {
            script: [word for word in counts if any(script in unicodedata.name(char, "") for char in word)]
            for script in ("CYRILLIC", "GREEK", "ARABIC", "CJK", "THAI", "HEBREW")
        }
        self.hexadecimal = [word for word in counts if re.fullmatch(r"[0-9a-f]{4,}", word) and not word.isdigit()]
        exponents = [word for word in counts if re.match(r"\d+e\d", word)]
        self.hexadecimal += exponents * (len(self.hexadecimal) // (3 * len(exponents) or 1))
        self.technical = [
            typed
            for message in self.messages
            for typed in re.findall(r"\S*[/\\:._=~$-]\S*[/\\:._=~$(-]\S*", message.content)
        ]
        self.pictured = [
            typed for message in self.messages for typed in message.content.split() if any(map(_is_picture, typed))
        ]

    def kinds(self) -> dict[str, Draw]:
        """How to draw a query of each kind."""
        pick = self.any.choice
        scripts = self.by_script
        return {
            "rare word": lambda: pick(self.rare),
            "common word": lambda: pick(self.common),
            "two words": lambda: " ".join(self.any.sample(self.words(2), 2)),
            "some words": lambda: " ".join(self.any.sample(self.words(6), self.any.randint(3, 6))),
            "phrase": lambda: f'"{" ".join(self.run())}"',
            "without": lambda: f"{pick(self.medium)} -{pick(self.common)} -{pick(self.common)}",
            "without a phrase": lambda: f'{self.words(1)[0]} -"{" ".join(self.run())}"',
            "only without": lambda: f"-{pick(self.common)}",
            "alternatives": lambda: f"{pick(self.rare)} OR {pick(self.medium)} OR {' '.join(self.run())}",
            "alternatives without": lambda: f"{pick(self.medium)} -{pick(self.common)} OR {pick(self.rare)}",
            "prefix": lambda: f"{pick(self.medium)[: self.any.randint(3, 6)]}*",
            "phrase with prefix": self.phrase_with_prefix,
            "path, URL, code": lambda: pick(self.technical),
            "code with operators": lambda: f'"{pick(self.technical)}" OR {pick(self.technical)}*',
            "beyond ASCII": lambda: pick(self.odd),
            "in capitals": lambda: pick(self.odd + self.medium).upper(),
            "Cyrillic": lambda: pick(scripts["CYRILLIC"]),
            "Greek": lambda: pick(scripts["GREEK"]),
            "Arabic, Hebrew": lambda: pick(scripts["ARABIC"] + scripts["HEBREW"]),
            "Chinese": lambda: self.piece(scripts["CJK"]),
            "Thai": lambda: self.piece(scripts["THAI"]),
            "emoji": lambda: pick(self.pictured),
            "hexadecimal": lambda: pick(self.hexadecimal),
            "hexadecimal with operators": lambda: f"{pick(self.hexadecimal)[:5]}* -{pick(self.hexadecimal)}",
            "whole message": lambda: pick(self.messages).content,
            "piece of a message": lambda: self.piece(
                [message.content for message in self.any.sample(self.messages, 9)]
            ),
            "nasty": self.nasty,
        }

    def words(self, least: int) -> list[str]:
        """The different words of a message that has so many."""
        while True:
            found = list(dict.fromkeys(search_reference.words(self.any.choice(self.messages).content)))
            if len(found) >= least:
                return found

    def run(self) -> list[str]:
        """Words that follow each other in a message."""
        while True:
            found = search_reference.words(self.any.choice(self.messages).content)
            if len(found) > 1:
                length = self.any.randint(2, min(5, len(found)))
                start = self.any.randint(0, len(found) - length)
                return found[start : start + length]

    def phrase_with_prefix(self) -> str:
        """Words that follow each other, of the last one the beginning."""
        *whole, last = self.run()
        return f"{'/'.join(whole)}-{last[: self.any.randint(1, len(last))]}*"

    def piece(self, contents: list[str]) -> str:
        """Some characters that follow each other."""
        content = self.any.choice(contents)
        length = self.any.randint(1, min(20, len(content)))
        start = self.any.randint(0, len(content) - length)
        return content[start : start + length]

    def nasty(self) -> str:
        """Words of a message among what operators are made of."""
        signs = [
            '"',
            ' "',
            '" ',
            " -",
            "-",
            "*",
            "* ",
            " OR ",
            "%",
            "_",
            "'",
            "\\",
            "\0",
            "\ud800",
            "\u0301",
            "\u200b",
            ")",
        ]
        between = (self.any.choice(signs) for _ in range(4))
        return "".join(f"{word}{sign}" for word, sign in zip(self.run(), between, strict=False))


def _is_picture(char: str) -> bool:
    return unicodedata.category(char) == "So"


def draw(corpora: Corpora, number: int) -> Iterator[tuple[str, str]]:
    """So many queries by kind, each kind about as often as another; not two alike, and none without a word."""
    kinds = Draws(corpora).kinds()
    drawn: set[str] = set()
    exhausted: Counter[str] = Counter()
    while len(drawn) < number:
        for kind, query_of in kinds.items():
            if exhausted[kind] > 50:
                continue
            query = query_of()
            if query in drawn or not search_reference.groups(query):
                exhausted[kind] += 1
            else:
                exhausted[kind] = 0
                drawn.add(query)
                yield kind, query


class Tally:
    """Queries, sessions found and mismatches, by kind."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.queries: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.mismatches: Counter[str] = Counter()
        self.examples: list[str] = []
        self.secs = 0.0

    def compare(self, store: SessionStore, kind: str, query: str, expected: set[str]) -> None:
        """Search, and count what came of it."""
        started = time.perf_counter()
        found = {session.key for session in store.search(SessionQuery(keyword=query))}
        self.secs += time.perf_counter() - started
        self.queries[kind] += 1
        self.found[kind] += len(expected)
        if found != expected:
            self.mismatches[kind] += 1
            self.examples.append(ascii((query, sorted(found - expected)[:3], sorted(expected - found)[:3])))

    def __str__(self) -> str:
        lines = [
            f"{kind:28}{count:9,}{self.found[kind]:13,}{self.mismatches[kind]:13,}"
            for kind, count in self.queries.items()
        ]
        total = f"{'all':28}{self.queries.total():9,}{self.found.total():13,}{self.mismatches.total():13,}"
        head = f"{self.engine:28}{'queries':>9}{'sessions':>13}{'mismatches':>13}"
        return "\n".join(["", head, *lines, total, f"{self.secs:.0f} s of searching"])


@pytest.fixture(params=["sqlite", "postgresql"])
def imported(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionStore]:
    """A store with all messages in it, and the index."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            url: Any = f"sqlite:///{tmp_path / 'corpora.db'}"
        else:
            server = request.getfixturevalue("postgresql_server")
            url = stack.enter_context(server.clone(server.template_dbname))
        store = stack.enter_context(SessionStore.open(url, durability="relaxed"))
        search_index.drop(store.engine)
        for number, content in enumerate(SEVERAL):
            store.append(f"several{number}", ChatMessage.user(content))
        import_jsonl(store, FILES)
        search_index.create(store.engine)
        if request.param == "postgresql":
            # As PostgreSQL does by itself a minute later.
            with store.engine.begin() as db:
                db.exec_driver_sql("ANALYZE")
        yield store


def test_real_conversations(
    imported: SessionStore,
    corpora: Corpora,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """Thousands of queries of all kinds find the sessions of the reference; without the index, those of LIKE's rule."""
    monkeypatch.setattr(search_reference, "words", corpora.words)
    tallies = [Tally(search_index.status(imported.engine).engine)]
    for kind, query in draw(corpora, WITH_INDEX):
        words = [word for group in search_reference.groups(query) for part in group for word in part.words]
        expected = corpora.sessions(query, substrings=any(map(has_no_spaces, words)))
        tallies[0].compare(imported, kind, query, expected)
    search_index.drop(imported.engine)
    tallies.append(Tally(f"like on {imported.engine.dialect.name}"))
    for kind, query in draw(corpora, BY_LIKE):
        tallies[1].compare(imported, kind, query, corpora.sessions(query, substrings=True))
    for tally in tallies:
        record_property("table", str(tally))
        print(tally)  # noqa: T201 - the table is what this test is read for

    assert search_index.status(imported.engine).engine == "like"
    assert tallies[0].engine in {"fts5", "tsvector"}
    assert {tally.engine: tally.examples for tally in tallies if tally.examples} == {}
    assert tallies[0].queries.total() >= WITH_INDEX
    assert tallies[1].queries.total() >= BY_LIKE
