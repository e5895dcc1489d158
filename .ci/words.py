"""Fail on words that the project does not use in prose, listed in words.txt: ``python .ci/words.py [PATH ...]``.

Reads comments and strings of Python files, and pages without their code. Names in backquotes are not prose.
"""

import io
import re
import sys
import tokenize
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "docs/api/*.rst", "session_store/**/*.jinja")

RULES = [line.split("\t") for line in Path(__file__).with_suffix(".txt").read_text().splitlines() if line[:1] != "#"]
PATTERNS = [(re.compile(rf"\b(?:{words})\b", re.IGNORECASE), instead) for words, instead in RULES]
LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
TEXT = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def python_prose(source: str) -> Iterator[tuple[int, str]]:
    """Yield numbered lines of comments and strings, with a bar in the place of code."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in TEXT:
            text = re.sub(r"^#+|^[rbfu]*[\"']+|[\"']+$", "", token.string, flags=re.IGNORECASE)
            yield from enumerate(text.split("\n"), token.start[0])
        elif token.type not in LAYOUT:
            yield token.start[0], "|"


def page_prose(source: str) -> Iterator[tuple[int, str]]:
    """Yield numbered lines of a page, and the comments of its code blocks."""
    fenced = False
    for number, line in enumerate(source.split("\n"), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
            yield number, "|"
        else:
            prose = re.sub(r"\]\([^)]*\)", "]", line)  # without the targets of links
            yield number, " ".join(re.findall(r"(?:^|\s)# (.*)", line)) if fenced else prose or "|"


def newest_section(changelog: str) -> str:
    """Return the first section that says something, on the lines where it stands."""
    for section in re.finditer(r"^## .*\n((?:(?!## ).*\n?)*)", changelog, re.MULTILINE):
        if section[1].strip():
            return "\n" * changelog.count("\n", 0, section.start()) + section[0]
    return ""


def hits(path: Path) -> Iterator[str]:
    """Yield a line of the report for each word found in a file."""
    source = path.read_text()
    source = newest_section(source) if path.name == "CHANGELOG.md" else source
    starts, numbers, text = [], [], ""
    for number, line in python_prose(source) if path.suffix == ".py" else page_prose(source):
        starts.append(len(text))
        numbers.append(number)
        text += " ".join(re.sub(r"`+[^`]+`+", "`", line).split()) + " "
    found = [(match, instead) for pattern, instead in PATTERNS for match in pattern.finditer(text)]
    for match, instead in sorted(found, key=lambda hit: hit[0].start()):
        yield f"{path.relative_to(ROOT)}:{numbers[bisect_right(starts, match.start()) - 1]}: {match[0]} -> {instead}"


def main(arguments: list[str]) -> int:
    """Print every hit in these paths, or in the whole project, and a count for each room."""
    rooms: Counter[str] = Counter()
    everything = [path for page in ("session_store/**/*.py", *PAGES) for path in sorted(ROOT.glob(page))]
    wanted = [Path(argument).resolve() for argument in arguments] or [ROOT]
    paths = [path for path in everything if any(path.is_relative_to(place) for place in wanted)]
    for path in paths:
        for hit in hits(path):
            print(hit)
            rooms["/".join(path.relative_to(ROOT).parts[:2])] += 1
    for room, count in sorted(rooms.items()):
        print(f"{count:5d}  {room}")
    print(f"{rooms.total():5d}  in all")
    return 1 if rooms else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
