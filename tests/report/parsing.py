"""A page as a reader's program finds it: its elements, its words, and what stands in its tables."""

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

SVG = re.compile(r"<svg .*?</svg>", re.DOTALL)

NEVER_CLOSED = {"meta"}
GEOMETRY = {"d", "transform", "x2", "y2", "width", "height", "viewbox", "value", "datetime", "content"}
"""Attributes whose values are figures."""


class Page(HTMLParser):
    """The page, taken apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.elements: set[tuple[str, tuple[tuple[str, str | None], ...]]] = set()
        """Each kind of element, with the attributes it has."""
        self.words: list[str] = []
        self.tables: dict[str, list[list[list[Any]]]] = {}
        """The rows of the tables of each section, their values exact."""
        self.keys: dict[str, Any] = {}
        """The key figures by their names."""
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self._section = ""
        self._cell: list[Any] | None = None
        self._key: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "an element that is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        known = dict(attrs)
        self.elements.add((tag, tuple((name, None if name in GEOMETRY else value) for name, value in attrs)))
        if tag not in NEVER_CLOSED:
            self._open.append((tag, known))
        if tag == "section":
            self._section = known.get("id") or ""
        elif tag == "table":
            self.tables.setdefault(self._section, []).append([])
        elif tag == "tr":
            self.tables[self._section][-1].append([])
        elif tag in {"td", "dd"}:
            self._cell = []
        elif tag == "data" and self._cell is not None:
            self._cell.append(float(known["value"] or ""))
        elif tag == "time" and self._cell is not None:
            self._cell.append(known["datetime"])

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        assert self._open.pop()[0] == tag
        if tag == "td":
            assert self._cell is not None
            value = self._cell[0]
            self.tables[self._section][-1][-1].append(number(value) if isinstance(value, str) else value)
            self._cell = None
        elif tag == "dd" and not self._section:
            assert self._cell is not None
            value = self._cell[0]
            self.keys[self._key[-1]] = number(value) if isinstance(value, str) else value

    def handle_data(self, data: str) -> None:
        """Words, or what is between elements."""
        if self._open and data.strip():
            inside = self._open[-1][0]
            if inside != "style":
                self.words.append(data)
            if inside == "dt":
                self._key.append(data)
            if self._cell is not None:
                self._cell.append(data)

    def rows(self, section: str, table: int = 0) -> list[list[Any]]:
        """The rows of a table but for its head."""
        return [row for row in self.tables[section][table] if row]

    @property
    def drawings(self) -> list[ET.Element]:
        """The charts, each of which is well-formed XML."""
        return [ET.fromstring(svg) for svg in SVG.findall(self.text)]  # noqa: S314 - made by ourselves


def number(text: str) -> Any:
    """The whole number that a text is, None for a dash, else the text."""
    if re.fullmatch(r"-?\d[\d,]*", text):
        return int(text.replace(",", ""))
    return None if text == "\N{EN DASH}" else text
