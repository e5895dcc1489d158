"""The page of figures says what the results say."""

import pytest

from benchmarks import figures

pytestmark = pytest.mark.once


def test_the_page_is_made_of_the_results() -> None:
    """Nobody writes a figure by hand, and no result is kept without the page."""
    assert figures.PAGE.read_text() == figures.page()
