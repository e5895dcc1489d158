"""Whatever is in a conversation is text on the page, and never a part of it."""

import string
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from session_store.maintenance.report import page
from session_store.maintenance.report.data import TOP
from tests.analytics.figures import Conversations, Entry
from tests.analytics.samples import NOON, head, said, with_payload
from tests.conftest import examples
from tests.report.conftest import Fill
from tests.report.parsing import Page

HOSTILE = [
    "<script>alert(1)</script>",
    "</title></style></svg></text></bdi><img src=x onerror=alert(1)>",
    '" onload="alert(1)" style="background:url(https://example.com/x)',
    "'><a href=javascript:alert(1)>",
    "url(https://example.com/x)",
    "<svg xmlns='http://www.w3.org/2000/svg'><use href='#x'/></svg>",
    "<!--", "]]>", "<![CDATA[", "&lt;&#0;&amp;", "{{ 7 * 7 }}{% raw %}", "${x}`", "datum.value]", "\\u003cscript",
    "@import 'x'", "--series-1: red; }", "\u202e\u2066evil\u2069", "שלום עולם", "e\u0301" * 50, "\u200d\ufeff",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "x" * 10_000,
    "\U0001d54b" * 99, "<b>" * 3_000, "a b\tc\nd\r\n", "%s %(x)s {0}", "null",
    "NaN",
]  # fmt: skip
UNSTORABLE = ["\ud800", "a\0b", "\x1b[31m", "\x1a\x01\x01\x01", "\udfff\ud800", "\x85\x9f", "\ufffe\uffff", ""]
"""As text they can be kept; as a key, or as the name of somebody, most cannot."""


texts = st.sampled_from(HOSTILE + UNSTORABLE) | st.text(st.characters(exclude_categories=[]), max_size=60)
SESSIONS = 6


def conversations(names: Sequence[str]) -> Conversations:
    """Sessions with these names, owners, tools and models, and something in every section.

    What comes first is most: a session has more messages, a tool is called more often.
    """
    told = Conversations([], [], [])
    for place, name in enumerate(names):
        rest = len(names) - place
        # No two are the same, and no two texts are written into each other.
        key, text = f"{identifier(name)}{place}", f"{name}{place}"
        payload = {
            "model": text,
            "usage": {"input_tokens": 9 * rest, "output_tokens": rest},
            "tool_calls": [{"name": text}] * rest,
        }
        told.sessions.append(head(key, key, 0, 3)._replace(name=text))
        told.messages.append(said(key, 1, "user", 0, "t"))
        told.messages.append(with_payload(said(key, 2, "assistant", 2, "t"), payload))
        told.messages.extend(said(key, 3 + number, "critic", 4) for number in range(rest))
        told.entries.append(Entry(key, 1, "running", "t", NOON))
        told.entries.append(Entry(key, 2, "error", "t", NOON + timedelta(seconds=2)))
    return told


def identifier(text: str) -> str:
    """What of a text can be in a key."""
    return "".join(char for char in text if char != "\0" and not "\ud800" <= char <= "\udfff")[:100]


def made(fill: Fill, names: Sequence[str], **about: Any) -> str:
    """The page of sessions with these names, the first of which is its title too."""
    return page(fill(conversations(names)), made_at=NOON, title=f"{names[0]}0", **about)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("number", [2, pytest.param(60, marks=pytest.mark.long)])
@pytest.mark.timeout(900)
def test_content_adds_nothing_but_text(fill: Fill, number: int) -> None:
    """The page has the elements and attributes of a harmless one, is UTF-8 and well-formed, and steers nothing."""
    harmless = Page(made(fill, string.ascii_lowercase[:SESSIONS]))

    @examples(number)
    @example(UNSTORABLE[:SESSIONS])
    @example(HOSTILE[:SESSIONS])
    @example(["\U0001d54b" * (20 + place) for place in range(SESSIONS)])
    @given(st.lists(texts, min_size=SESSIONS, max_size=SESSIONS))
    def check(names: list[str]) -> None:
        text = made(fill, names)
        found = Page(text)
        assert found.elements == harmless.elements
        assert text.encode()
        assert len(found.drawings) == len(harmless.drawings)
        assert not STEERING & {*text}

    check()


STEERING = {*map(chr, (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)))} - {"\n"}


@pytest.mark.once
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_was_written_can_be_read(fill: Fill) -> None:
    """A text is on the page as it is, but for what would steer the reader's eye, which is written out; if not long."""
    for start in range(0, len(HOSTILE), TOP):
        names = HOSTILE[start : start + TOP]
        found = Page(made(fill, names))
        for place, name in enumerate(names):
            shown = "".join(map(legible, f"{name}{place}"))
            if len(shown) <= 100:
                assert found.words.count(shown) >= 3, shown


def legible(char: str) -> str:
    """A character, written out if it cannot be seen."""
    return char if char.isprintable() or char == "\u200d" else char.encode("unicode_escape").decode()


@pytest.mark.once
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_chart_asks_for_anything(monkeypatch: pytest.MonkeyPatch, fill: Fill) -> None:
    """All data of a chart is in its description, and what draws it may ask nobody."""
    import vl_convert  # noqa: PLC0415 - an extra

    drawn: list[tuple[Any, Any]] = []
    draw = vl_convert.vegalite_to_svg

    def watched(spec: Any, **options: Any) -> str:
        drawn.append((spec, options))
        svg: str = draw(spec, **options)
        return svg

    monkeypatch.setattr(vl_convert, "vegalite_to_svg", watched)
    made(fill, "abc")

    assert drawn
    for spec, options in drawn:
        assert options == {"allowed_base_urls": []}
        assert spec["data"].keys() == {"values"}
        assert "url" not in str({**spec, "data": None, "$schema": None})
