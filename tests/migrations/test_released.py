"""What a version has brought into databases stays what it was: a later one only adds to it."""

import hashlib

import pytest

from session_store import migrations
from session_store.database import revisions

pytestmark = pytest.mark.once

RELEASED = {
    "ss_0003": {
        "sqlite": "50647de9a502374b",
        "postgresql": "471692e3c250356e",
    }
}
"""By the head of each version that was released: the beginning of the digest of all SQL that leads to it (0.1.0)."""


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("head", RELEASED)
def test_a_released_revision_never_changes(head: str, dialect: str) -> None:
    """Databases are at it already, and nobody would run it there again; what has to be different is a new revision."""
    up_to_it, *_ = migrations.sql(dialect).partition(f"SET version_num='{head}'")

    assert hashlib.sha256(up_to_it.encode()).hexdigest().startswith(RELEASED[head][dialect])


def test_the_head_is_released() -> None:
    """A version is released with its head written down here."""
    assert revisions.HEAD in RELEASED
