"""What a word is: the same to the reference, to us, and on usual characters to FTS5 and PostgreSQL at hand."""

import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

import pytest
from hypothesis import given
from sqlalchemy import Connection, Text, column, insert, text

from session_store.models.models import MESSAGES, SESSIONS
from session_store.search import fts5
from session_store.search.tokens import fold, has_no_spaces, is_portable, spans, variants, words
from session_store.search.tsvector import as_words
from tests.conftest import examples
from tests.search import search_reference
from tests.search.conftest import Searched
from tests.search.queries import any_text, texts

CHARACTERS = [chr(code) for code in range(sys.maxunicode + 1)]
STORED = [char for char in CHARACTERS[1:] if unicodedata.category(char) not in {"Cs", "Cn", "Co"}]
"""Those assigned, less what no text in a database holds."""

IN_CONTEXT = "a{0}b {0} {0}1 1{0}"

_TOKENS_OF_FTS5 = text("""
    SELECT m.seq, v.term FROM vocabulary AS v JOIN session_store_messages AS m ON m.id = v.doc ORDER BY m.seq, v.offset
""")
_TOKENS_OF_POSTGRESQL = """
    SELECT m.seq, word.lexeme
    FROM session_store_messages AS m, unnest({}) AS word, unnest(word.positions) AS place ORDER BY m.seq, place
"""


def tokens(searched: Searched, contents: Iterable[str]) -> list[list[str]]:
    """What the index has of each text, in order."""
    contents = list(contents)
    now = searched.clock.now
    made = {"key": "characters", "attributes": {}, "message_count": len(contents), "last_seq": len(contents)}
    times = {"created_at": now, "last_activity": now, "active_minute": now.replace(second=0), "state_entered_at": now}
    rows = [
        {"session_key": "characters", "seq": seq, "role": "user", "content": content, "created_at": now}
        for seq, content in enumerate(contents, 1)
    ]
    found: dict[int, list[str]] = defaultdict(list)
    with searched.store.engine.begin() as db:
        db.execute(insert(SESSIONS), made | times | {"state_seq": 0, "state": "idle"})
        db.execute(insert(MESSAGES), rows)
        for seq, token in _tokens(db, searched.engine):
            found[seq].append(token)
    return [found[seq] for seq in range(1, len(contents) + 1)]


def _tokens(db: Connection, engine: str) -> list[tuple[int, str]]:
    if engine == "tsvector":
        expression = as_words(column("content", Text())).compile(dialect=db.dialect)
        return [(seq, token) for seq, token in db.exec_driver_sql(_TOKENS_OF_POSTGRESQL.format(expression))]
    db.exec_driver_sql(f"CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab('main', '{fts5.TABLE}', 'instance')")
    found = [(seq, token) for seq, token in db.execute(_TOKENS_OF_FTS5)]
    db.exec_driver_sql("DROP TABLE temp.vocabulary")
    return found


full_text = pytest.mark.parametrize("migrated", ["fts5", "tsvector"], indirect=True)


@full_text
def test_usual_characters(searched: Searched) -> None:
    """An index parts and folds each usual character as we do, wherever it stands."""
    contents = [IN_CONTEXT.format(char) for char in STORED if is_portable(char)]
    found = tokens(searched, contents)

    assert len(contents) > 40_000
    assert [(ascii(content), got) for content, got in zip(contents, found, strict=True) if got != words(content)] == []


@full_text
def test_no_sign_joins_two_words(searched: Searched) -> None:
    """What is no part of a word parts two of them in an index, too: each is found."""
    signs = [char for char in STORED if not char.isalnum() and unicodedata.category(char)[0] != "M"]
    found = tokens(searched, [f"a{char}b" for char in signs])

    assert len(signs) > 7_000
    assert [ascii(char) for char, got in zip(signs, found, strict=True) if (got[0], got[-1]) != ("a", "b")] == []


@pytest.mark.once
def test_every_character_folds_to_one() -> None:
    """Folding keeps the length of a text, so places in it stay what they are."""
    assert [ascii(char) for char in CHARACTERS if fold(char) != search_reference.folded(char)] == []
    assert [ascii(char) for char in CHARACTERS if len(fold(f"a{char}.")) != 3] == []
    assert fold("".join(CHARACTERS)) == search_reference.folded("".join(CHARACTERS))


@pytest.mark.once
def test_variants_are_all_that_fold_alike() -> None:
    """LIKE looks for each character that is the same as the one asked for, and for no other."""
    alike = defaultdict(set)
    for char in CHARACTERS:
        if (same := fold(char)) != char:
            alike[same] |= {same, char}

    assert len(alike) > 1_000
    assert [ascii(same) for same, chars in alike.items() if set(variants(same)) != chars] == []
    assert [ascii(char) for char in CHARACTERS if char not in alike and variants(char) != char] == []


@pytest.mark.once
def test_marks_are_parts_of_words() -> None:
    """A mark belongs to the word it stands on, whichever of all marks it is, and is no word by itself."""
    marks = [char for char in CHARACTERS if unicodedata.category(char)[0] == "M"]

    assert len(marks) > 2_000
    assert [ascii(char) for char in marks if words(f"a{char}b {char}c") != [f"a{char}b", "c"]] == []


SPACED = r"LATIN|GREEK|CYRILLIC|ARMENIAN|HEBREW|ARABIC|DEVANAGARI|BENGALI|TAMIL|GEORGIAN|ETHIOPIC|HANGUL SYLLABLE|DIGIT"
UNSPACED = (
    r"CJK UNIFIED|CJK COMPATIBILITY IDEOGRAPH|HIRAGANA LETTER|KATAKANA LETTER|THAI|LAO|TIBETAN|MYANMAR|KHMER|YI SYLL"
)


@pytest.mark.once
def test_scripts_without_spaces() -> None:
    """By its script a letter is searched for as a word or as a substring."""
    letters = {char: unicodedata.name(char, "") for char in CHARACTERS if char.isalpha()}
    unspaced = [char for char, name in letters.items() if re.match(rf"(HALFWIDTH )?({UNSPACED})\b", name)]
    spaced = [char for char, name in letters.items() if re.match(rf"({SPACED})\b", name)]

    assert len(unspaced) > 90_000
    assert [letters[char] for char in unspaced if not has_no_spaces(char)] == []
    assert len(spaced) > 13_000
    assert [letters[char] for char in spaced if has_no_spaces(char)] == []


@pytest.mark.once
@examples(500)
@given(any_text | texts)
def test_words_of_any_text(content: str) -> None:
    """The words are those of the reference, and they are where they are said to be."""
    assert words(content) == search_reference.words(content)
    assert [fold(content[start:end]) for start, end in spans(content)] == words(content)
