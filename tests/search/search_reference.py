"""What a search finds, by the contract alone and without any database: the engines must return what this does.

Slow and plain on purpose: characters are looked at one by one, and nothing is shared with the package. Where the
contract is silent, the readings are:

- What is typed together without white space is one part, and its words follow each other like those of a phrase:
  ``/etc/passwd`` and ``don't`` are found as they are written.
- A ``-`` excludes where it stands at the start of what is typed together, right before a word or a quote; anywhere
  else it is text: ``wi-fi``, ``--verbose`` and ``a - b`` exclude nothing.
- A star means a prefix at the end of what is typed together, right behind a word: ``**bold**`` has no prefix.
- A quote without a second one is text. A part without a word is left out, and so is a group without a part.
"""

import unicodedata
from typing import NamedTuple


class Part(NamedTuple):
    """Words that follow each other; of the last one perhaps only the beginning."""

    words: list[str]
    prefix: bool
    text: str
    """As it was typed, without operators: what LIKE looks for."""
    excluded: bool


def is_mark(char: str) -> bool:
    """A combining mark, of whatever kind."""
    return unicodedata.category(char).startswith("M")


def folded(text: str) -> str:
    """The text with every character in its lower case, if that is one character, and both small sigmas the same."""
    return "".join(
        "\u03c3" if char in "\u03c2\u03a3" else char.lower() if len(char.lower()) == 1 else char for char in text
    )


def words(text: str) -> list[str]:
    """The words of a text: letters and digits that touch, with the marks on them."""
    found: list[str] = []
    inside = False
    for char in text:
        if char.isalnum():
            found.append(found.pop() + char if inside else char)
            inside = True
        elif is_mark(char) and inside:
            found.append(found.pop() + char)
        else:
            inside = False
    return [folded(word) for word in found]


def parts(query: str) -> list[Part | None]:
    """The parts of a query in their order; None stands for each OR."""
    found: list[Part | None] = []
    at = 0
    while at < len(query):
        if query[at].isspace():
            at += 1
            continue
        following = query[at + 1 : at + 2]
        excluded = (
            query[at] == "-"
            and (at == 0 or query[at - 1].isspace())
            and (following.isalnum() or (following == '"' and '"' in query[at + 2 :]))
        )
        at += excluded
        if query[at] == '"' and '"' in query[at + 1 :]:
            end = query.index('"', at + 1)
            found.append(Part(words(query[at + 1 : end]), prefix=False, text=query[at + 1 : end], excluded=excluded))
            at = end + 1
            continue
        end = at + 1
        while end < len(query) and not query[end].isspace() and not (query[end] == '"' and '"' in query[end + 1 :]):
            end += 1
        typed = query[at:end]
        at = end
        if typed == "OR" and not excluded:
            found.append(None)
            continue
        before = typed[:-1]
        prefix = typed.endswith("*") and words(before + "x") != [*words(before), "x"] and bool(words(before))
        found.append(Part(words(typed), prefix, before if prefix else typed, excluded))
    return [part for part in found if part is None or part.words]


def groups(query: str) -> list[list[Part]]:
    """The groups of a query that have a part."""
    found: list[list[Part]] = [[]]
    for part in parts(query):
        if part is None:
            found.append([])
        else:
            found[-1].append(part)
    return [group for group in found if group]


def has_part(part: Part, text_words: list[str]) -> bool:
    """Whether the words of a part follow each other somewhere."""
    *first, last = part.words
    for start in range(len(text_words) - len(first)):
        candidate = text_words[start + len(first)]
        same = candidate.startswith(last) if part.prefix else candidate == last
        if same and text_words[start : start + len(first)] == first:
            return True
    return False


def finds(query: str, text: str) -> bool | None:
    """Whether a message is found by its words; None: the query has no word, and everything is."""
    wanted = groups(query)
    if not wanted:
        return None
    text_words = words(text)
    return any(
        any(not part.excluded for part in group) and all(has_part(part, text_words) != part.excluded for part in group)
        for group in wanted
    )


def like_text(text: str, *, ascii_only: bool) -> str:
    """A text in which LIKE looks, or for which: in lower case, of ASCII alone if what is looked for is ASCII."""
    if ascii_only:
        return "".join(char.lower() if char.isascii() else char for char in text)
    return folded(text)


def finds_by_like(query: str, text: str) -> bool | None:
    """Whether a message is found by LIKE: every part occurs somewhere as it was typed, in a longer word too."""
    wanted = groups(query)
    if not wanted:
        return None

    def occurs(part: Part) -> bool:
        ascii_only = part.text.isascii()
        return like_text(part.text, ascii_only=ascii_only) in like_text(text, ascii_only=ascii_only)

    return any(
        any(not part.excluded for part in group) and all(occurs(part) != part.excluded for part in group)
        for group in wanted
    )
