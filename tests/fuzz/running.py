"""How many examples are made, and how."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

from tests.conftest import EXAMPLES
from tests.fuzz.hostile import call_under_way

timeout: Final = pytest.mark.timeout(3600 if EXAMPLES else 120)
"""Whoever asks for many examples waits for them."""

_AT_ONCE: Final = 5_000
"""Hypothesis remembers every example, so as not to make it twice."""


def raised(call: Callable[[], object]) -> Exception | None:
    """Make a call and return what it raises."""
    try:
        with call_under_way():
            call()
    except Exception as error:  # noqa: BLE001 - which ones may be is what the test says
        return error
    return None


def fuzz(example: Callable[[Any], None], values: st.SearchStrategy[Any], usual: int, share: float) -> int:
    """Make so many examples of a property, or that share of SESSION_STORE_TEST_EXAMPLES, and return how many.

    Most of them on SQLite: what is validated is so before any SQL, and it takes a fifth of the time.
    """
    asked = max(1, int(EXAMPLES * share)) if EXAMPLES else usual
    made = 0

    def counted(value: Any) -> None:
        nonlocal made
        made += 1
        example(value)

    for start in range(0, asked, _AT_ONCE):
        settings = hypothesis.settings(
            max_examples=min(asked - start, _AT_ONCE),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            suppress_health_check=[*HealthCheck],
        )
        # A function of its own for each run: Hypothesis sets attributes on it.
        settings(given(values)(lambda value: counted(value)))()  # noqa: PLW0108
    return made


def table_row(what: str, made: int, done: Counter[str]) -> str:
    """Say what a test has fuzzed, how many examples it made, and what came of them."""
    return "; ".join([f"fuzz: {what}: {made:,} examples", *(f"{name} {count:,}" for name, count in done.most_common())])
