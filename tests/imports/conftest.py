"""What an import is tried with: a store on each database, and all that the import tells."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from session_store import SessionStore
from session_store.transfer.results import Adjusted, BrokenLine, ImportResult, SkippedSession
from tests.conftest import Database


@dataclass
class Told:
    """What imports told, in order."""

    broken: list[BrokenLine] = field(default_factory=list)
    skipped: list[SkippedSession] = field(default_factory=list)
    mended: list[Adjusted] = field(default_factory=list)

    def by(self, importing: Callable[..., ImportResult]) -> Callable[..., ImportResult]:
        """The import, telling it here."""
        return partial(
            importing, on_broken=self.broken.append, on_skipped=self.skipped.append, on_adjusted=self.mended.append
        )


@pytest.fixture
def told() -> Told:
    """Nothing yet."""
    return Told()


@pytest.fixture
def target(database: Database) -> Iterator[SessionStore]:
    """An empty store, whose search index is not looked at here."""
    with SessionStore(database.url) as store:
        yield store
