"""Split a text into words, and decide where an index tokenizes like we do.

A word is a run of letters, digits and combining marks. Two words are equal if their characters have the same lower
case, one by one: a character whose lower case has two characters stays as it is, the two small sigmas are equal, and
accents count. No index agrees with this on every character of Unicode; it is trusted only for portable characters.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SEARCHED_CHARACTERS: Final = 200_000
"""The number of characters of a message that are searched: more would not fit in PostgreSQL's index."""

PORTABLE_CHARS: Final = (
    r"\u0001-\u00b1\u00b4\u00b6-\u00b8\u00ba\u00bb\u00bf-\u012f\u0131-\u017e\u01cd-\u01dc\u0218-\u021b"  # Latin
    r"\u0386-\u038a\u038c\u038e-\u03a1\u03a3-\u03ce\u03f4\u0400-\u0482\u048a-\u0527"  # Greek, Cyrillic
    r"\u0531-\u0556\u0559-\u058a\u05d0-\u05ea\u060c-\u060f\u061b-\u064a\u0660-\u066f\u0671-\u06d5"  # to Arabic
    r"\u1e00-\u1e9a\u1e9c-\u1eff\u2000-\u2064\u2066-\u206f\u20a0-\u20bf\u2100-\u214f\u2190-\u2426\u2500-\u2775"
    r"\u2794-\u2b73\u3000-\u3029\u3030-\u303f\u3041-\u3096\u309b-\u30ff\u3131-\u318e\u3400-\u4dbf\u4e00-\u9fd5"
    r"\uac00-\ud7a3\uff01-\uffbe\ufffd\U0001f300-\U0001f6d7\U0001f900-\U0001f9ff"
)
"""Characters that FTS5 and PostgreSQL classify and fold like we do, as a class of a regular expression.

A test tries each of them on the installed SQLite and PostgreSQL. Marks are not included: indexes split words at them.
"""

_WITHOUT_SPACES: Final = (
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f\u2e80-\u2fdf\u3005-\u3007"
    "\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua000-\ua4cf\ua980-\ua9ff\uaa60-\uaadf\uf900-\ufaff\uff66-\uff9f\U00016fe0-\U0001b2ff\U00020000-\U0003ffff]"
)
"""Chinese, Japanese, Thai, Lao, Tibetan, Burmese, Khmer and others that do not separate words."""

_CASELESS: Final = range(0x0591, 0x0E00)
"""Hebrew, Arabic and the scripts of India: no upper case, and letters for all indexes."""

_MAX_INDEXED_LENGTH: Final = 400
"""PostgreSQL does not index words of more than 2,046 bytes."""

_WITH_MARKS: Final = (range(0x300, 0x20000), range(0xE0100, 0xE01F0))
_END_OF_CASED: Final = 0x20000
"""Beyond these planes there are only ideographs and variation selectors, no cases and no other marks."""

SIGMA: Final = "\u03c3"
FINAL_SIGMA: Final = "\u03c2"
_DOTTED_I: Final = "\u0130"
_EXPONENT: Final = re.compile(r"\d+e\d+(?=\D)")
_ALL_PORTABLE: Final = f"[{PORTABLE_CHARS}]*"
_PORTABLE_WORD: Final = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """Fold a text, without changing its length: equal words become the same."""
    if text.isascii():
        return text.lower()
    # The only character whose lower case has two characters.
    return _DOTTED_I.join(part.lower() for part in text.split(_DOTTED_I)).replace(FINAL_SIGMA, SIGMA)


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the offsets of the words of a text."""
    return (match.span() for match in _word_in(text).finditer(text))


def words(text: str) -> list[str]:
    """Return the words of a text, folded."""
    return _word_in(text).findall(fold(text))


def is_portable(text: str) -> bool:
    """Return whether every index splits a text into the same words as we do."""
    return text.isascii() or _compiled(_ALL_PORTABLE).fullmatch(text) is not None


def is_indexed(word: str) -> bool:
    """Return whether an index certainly has a word of a text, maybe in pieces."""
    if len(word) > _MAX_INDEXED_LENGTH:
        return False
    return is_portable(word) or (
        word[0].isalpha() and all(ord(char) in _CASELESS or is_portable(char) for char in word)
    )


def is_whole(word: str) -> bool:
    """Return whether an index has a word in one piece: PostgreSQL splits 6e35d56a into a number and a word."""
    return _EXPONENT.match(word) is None


def pieces(word: str) -> list[str]:
    """Return the pieces into which PostgreSQL splits a word, in order."""
    number = _EXPONENT.match(word)
    return [word] if number is None else [number[0], *pieces(word[number.end() :])]


def has_no_spaces(text: str) -> bool:
    """Return whether a text has a character of a script that is written without spaces."""
    return _compiled(_WITHOUT_SPACES).search(text) is not None


def variants(char: str) -> str:
    """Return all characters that fold to a character."""
    return _variants().get(char, char)


def _word_in(text: str) -> re.Pattern[str]:
    # Without marks this takes a fifth of the time.
    return _PORTABLE_WORD if is_portable(text) else _pattern()


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # Lazily: compiling such classes takes milliseconds.
    return re.compile(pattern)


@cache
def _pattern() -> re.Pattern[str]:
    marks = "".join(char for char in map(chr, chain(*_WITH_MARKS)) if unicodedata.category(char)[0] == "M")
    return re.compile(f"[^\\W_](?:[^\\W_]+|[{marks}]+)*")


@cache
def _variants() -> dict[str, str]:
    found: dict[str, str] = {}
    for char in map(chr, range(_END_OF_CASED)):
        if char.lower() != char or char == FINAL_SIGMA:
            same = fold(char)
            found[same] = found.get(same, same) + (char if char != same else "")
    return found
