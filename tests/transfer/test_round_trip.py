"""From one database to the other: an equal store, whatever is in it and however often."""

import io

import pytest
from hypothesis import given

from session_store import ChatMessage, SessionStore
from session_store.testing import Clock
from session_store.transfer import export_csv
from tests.conftest import Database, examples
from tests.transfer.stories import Happening, emptied, everything, exported, grown, happen, imported, lines_of, stories

pytestmark = pytest.mark.once


def test_a_copy_is_equal(store: SessionStore, other: SessionStore, clock: Clock) -> None:
    """Every row of the three tables; a second time nothing is added; and the copy is exported as the first one was."""

    @examples(12)
    @given(stories)
    def example(story: list[Happening]) -> None:
        emptied(store, other)
        happen(story, store, clock)
        file = exported(store)
        messages = sum(line["kind"] == "message" for line in lines_of(file))
        sessions = len(store.list_sessions())

        first = imported(other, file)
        assert first[0] == (len(lines_of(file)), messages, 0, 0, sessions, 0, 0)
        assert everything(other) == everything(store)
        again = imported(other, file)
        assert again[0] == (len(lines_of(file)), 0, messages, 0, sessions, 0, 0)
        assert first[1:] == again[1:] == ([], [])
        assert everything(other) == everything(store)
        assert lines_of(exported(other)) == lines_of(file)

    example()


def test_a_source_that_has_grown_adds_what_is_new(store: SessionStore, other: SessionStore, clock: Clock) -> None:
    """Messages and states that have come since; the copy is then equal again."""

    @examples(8)
    @given(stories, grown)
    def example(story: list[Happening], since: list[Happening]) -> None:
        emptied(store, other)
        happen(story, store, clock)
        before = exported(store)
        imported(other, before)
        happen(since, store, clock)
        after = exported(store)

        done, broken, skipped = imported(other, after)
        assert (done.already_there, broken, skipped) == (
            sum(line["kind"] == "message" for line in lines_of(before)),
            [],
            [],
        )
        assert everything(other) == everything(store)

    example()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_from_and_into_a_schema(database: Database, driver: str) -> None:
    """The tables of the schema that was named, and no others, by any driver."""
    url = database.url.set(drivername=f"postgresql+{driver}")
    with SessionStore.open(url, schema="one") as one, SessionStore.open(url, schema="Two") as two:
        one.append_many("a", [ChatMessage.user("hello", {"n": 1}), ChatMessage.assistant("well")])
        one.set_session_state("a", "running", "t")
        file = exported(one)

        assert imported(two, file)[0].added == imported(two, file)[0].already_there == 2
        assert exported(two) == file
        assert export_csv(two, io.BytesIO()).messages == 2
    with SessionStore(database.url) as beside:
        assert beside.list_sessions() == []
