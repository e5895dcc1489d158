"""The reference matcher against what was decided by hand; no engine is asked."""

import pytest

from tests.search.search_cases import CASES, LIKE_CASES
from tests.search.search_reference import finds, finds_by_like


@pytest.mark.once
@pytest.mark.parametrize(("query", "text", "expected"), CASES)
def test_words(query: str, text: str, *, expected: bool | None) -> None:
    """A hundred searches by words."""
    assert finds(query, text) is expected


@pytest.mark.once
@pytest.mark.parametrize(("query", "text", "expected"), LIKE_CASES)
def test_substrings(query: str, text: str, *, expected: bool | None) -> None:
    """Searches by LIKE."""
    assert finds_by_like(query, text) is expected
