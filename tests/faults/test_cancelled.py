"""The laws of cancellation again, at many more moments, for the report."""

import json
from collections.abc import Callable

import pytest

from tests.faults.conftest import SHARE, times
from tests.faults.fleet import Audit
from tests.test_cancellation import (
    Moments,
    test_a_cancelled_transaction_is_all_or_nothing,
    test_a_loop_that_ends_amid_calls_leaves_whole_messages,
    test_cancelled_callers_do_not_disturb_the_others,
    witness,
)

MOMENTS = 200
EVERY_CALL_FROM = 0.1
"""The share of the faults from which on every call has its turn; the ordinary tests do each of them 20 times."""

__all__ = [
    "test_a_cancelled_transaction_is_all_or_nothing",
    "test_a_loop_that_ends_amid_calls_leaves_whole_messages",
    "test_cancelled_callers_do_not_disturb_the_others",
    "witness",
]

if SHARE >= EVERY_CALL_FROM:
    from tests.test_cancellation import (
        test_a_cancelled_call_is_all_or_nothing,
        test_a_cancelled_joined_call_leaves_the_transaction_usable,
    )

    __all__ += [
        "test_a_cancelled_call_is_all_or_nothing",
        "test_a_cancelled_joined_call_leaves_the_transaction_usable",
    ]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def moments(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Moments:
    """As many as the report asks for, and where they are told."""
    driver = request.node.callspec.params["driver"]

    def record(landed: int, acknowledged: int) -> None:
        row = {"fault": "cancellation", "on": driver, "happened": landed, "note": "as a whole or not at all"}
        record_property("fault", json.dumps({**row, **vars(Audit(acknowledged))}))

    return Moments(times(MOMENTS), record)
