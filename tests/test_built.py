"""What stands in the pages about the code is what the code is."""

import pytest

from docs import layers
from tests.test_layers import ORDER

pytestmark = pytest.mark.once


def test_the_picture_is_that_of_the_code() -> None:
    """Nobody draws a box by hand; ``python -m docs.layers`` draws them anew."""
    assert layers.PICTURE.read_text() == layers.picture()


def test_what_is_imported_stands_below() -> None:
    """Every line of the picture leads downwards, and every import is a line or a way of several."""
    direct = layers.imported()
    drawn = layers.without_detours(direct)
    where = layers.places(drawn)
    reached: dict[str, set[str]] = {}
    for layer in ORDER:
        reached[layer] = drawn[layer].union(*(reached[below] for below in drawn[layer]))

    assert all(where[layer][1] < where[below][1] for layer in ORDER for below in drawn[layer])
    assert all(direct[layer] <= reached[layer] for layer in ORDER)
