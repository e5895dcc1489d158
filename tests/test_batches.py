"""Who removes much is told how far it is."""

from datetime import UTC, datetime, timedelta

import pytest

from session_store import ChatMessage, InvalidQuery, NewMessage, SessionStore
from tests.conftest import Database

OLD = datetime(2020, 1, 1, tzinfo=UTC)
CALLS = ["delete_sessions", "cleanup_stale", "trim", "prune_states"]


def call(store: SessionStore, name: str, **options: object) -> int:
    """Remove by one of the calls all that `filled` made for it."""
    arguments: dict[str, tuple[tuple[object, ...], dict[str, object]]] = {
        "delete_sessions": ((), {"owner": "ann"}),
        "cleanup_stale": ((1,), {}),
        "trim": (("web_0",), {"keep_last": 0}),
        "prune_states": ((OLD + timedelta(days=1),), {}),
    }
    positional, named = arguments[name]
    return int(getattr(store, name)(*positional, batch_size=3, **named, **options))


@pytest.fixture
def store(database: Database) -> SessionStore:
    """Eight sessions of ann's, the first with eight messages and eight states that ended."""
    clock = iter(OLD + timedelta(seconds=second) for second in range(10_000))
    store = SessionStore(database.url, clock=lambda: next(clock))
    for number in range(8):
        store.create_session(f"web_{number}", owner="ann")
    store.append_many("web_0", [NewMessage(ChatMessage.user(str(number)), OLD) for number in range(8)])
    for number in range(9):
        store.set_session_state("web_0", "running", f"turn_{number}")
    store.close()
    return SessionStore(database.url)


@pytest.mark.parametrize("name", CALLS)
def test_after_each_batch(store: SessionStore, name: str) -> None:
    """How many it removed, once it is committed: another connection sees so many less."""
    options = {"include_running": True} if name == "cleanup_stale" else {}
    left: list[int] = []
    told: list[int] = []

    def on_batch(removed: int) -> None:
        told.append(removed)
        left.append(call(store, name, dry_run=True, **options))

    with store:
        assert call(store, name, on_batch=on_batch, **options) == 8
    assert [removed for removed in told if removed] == [3, 3, 2]
    assert [rest for removed, rest in zip(told, left, strict=True) if removed] == [5, 2, 0]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dry_run", [False, True])
def test_what_cannot_be_told_is_refused(store: SessionStore, name: str, dry_run: bool) -> None:  # noqa: FBT001
    """And nothing is removed."""
    with store:
        before = call(store, name, dry_run=True)
        with pytest.raises(InvalidQuery, match="on_batch must be a function, or None"):
            call(store, name, on_batch=3, dry_run=dry_run)

        assert call(store, name, dry_run=True) == before
