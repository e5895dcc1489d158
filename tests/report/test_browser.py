"""In a real browser the page is whole, quiet, and fits the screen."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_store.maintenance.report import page
from tests.analytics.crowd import CROWD
from tests.analytics.samples import NOTHING
from tests.conftest import migrated
from tests.report.browser import Tab, browser, needs_chromium
from tests.report.conftest import filled
from tests.report.test_hostile import HOSTILE, conversations
from tests.report.test_page import MADE, WEB

pytestmark = [needs_chromium, pytest.mark.once]

SCREENSHOTS = os.environ.get("SESSION_STORE_TEST_SCREENSHOTS")
"""The folder that gets a picture of each page, if there is to be one."""

PAGES = {
    "empty": NOTHING,
    "day": WEB,
    "centuries": CROWD,
    "hostile": conversations(HOSTILE),
}

MARKS = """
[...document.querySelectorAll('.chart')].filter(chart => chart.checkVisibility()).map(chart =>
    [...chart.querySelectorAll('[class*=role-mark] path')].map(mark => mark.getBoundingClientRect())
        .filter(box => Math.max(box.width, box.height) > 0).length)
"""
CONTRASTS = """
(() => {
    const luminance = colour => colour.match(/\\d+/g).slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
    const behind = element => {
        const colour = getComputedStyle(element).backgroundColor;
        return colour === 'rgba(0, 0, 0, 0)' ? behind(element.parentElement) : colour;
    };
    const contrast = (element, colour) => {
        const [dark, light] = [colour, behind(element)].map(luminance).sort((one, other) => one - other);
        return (light + 0.05) / (dark + 0.05);
    };
    const least = (choice, colour) => Math.min(...[...document.querySelectorAll(choice)]
        .map(element => contrast(element, getComputedStyle(element)[colour])));
    return [
        least('[class*=role-mark] path[fill^=var]:not([fill*=track])', 'fill'),
        least('[class*=role-mark] path[stroke^=var]', 'stroke'),
        Math.min(least('svg text', 'fill'), least('h1, h2, p, dt, small, figcaption, li, summary, th, td', 'color')),
    ];
})()
"""
COUNTS = "['script', 'img', 'style', 'link', 'a', 'iframe', 'svg'].map(name => document.querySelectorAll(name).length)"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A browser of its own."""
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, Path]:
    """A page for each of the conversations."""
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    with migrated("sqlite", request, folder) as database:
        for name, said in PAGES.items():
            made[name] = folder / f"{name}.html"
            with filled(database, said) as engine:
                made[name].write_text(page(engine, made_at=MADE, title=name), encoding="utf-8")
    return made


SCREENS = [(1280, "light"), (360, "dark")]


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [*((name, *screen) for name in PAGES for screen in SCREENS), ("day", 1280, "dark"), ("day", 360, "light")],
)
def test_a_page_in_a_browser(tab: Tab, files: dict[str, Path], name: str, width: int, scheme: str) -> None:
    """Nothing is asked for, nothing is complained of, every chart has marks, and nothing is wider than the screen."""
    tab.open(files[name], width=width, scheme=scheme)
    if SCREENSHOTS:
        tab.screenshot(Path(SCREENSHOTS) / f"{name}-{width}-{scheme}.png")
    marks = tab.evaluate(MARKS)
    tab.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")

    assert tab.requested() == [files[name].as_uri()]
    assert tab.complaints() == []
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert all(marks)
    assert len(marks) * 2 == tab.evaluate("document.querySelectorAll('svg').length")
    assert bool(marks) is (name != "empty")
    assert tab.evaluate(COUNTS)[:6] == [0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_drawn_can_be_seen(tab: Tab, files: dict[str, Path], scheme: str) -> None:
    """Marks stand out from what is behind them by 3 to 1, words by 4.5 to 1, as the guidelines for all readers ask.

    Source: https://www.w3.org/TR/WCAG22/#contrast-minimum and #non-text-contrast
    """
    tab.open(files["hostile"], width=1280, scheme=scheme)
    areas, lines, words = tab.evaluate(CONTRASTS)

    assert areas >= 3
    assert lines >= 3
    assert words >= 4.5
    assert tab.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
