"""Everything that is allowed is stored, also at its largest and least compressible."""

import random
import re
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, inspect

from session_store import ChatMessage, NewMessage, SessionQuery, SessionStore
from session_store.models.models import METADATA, SESSIONS
from session_store.testing import Clock

PLANES = {1: (0x21, 0x7F), 2: (0xA1, 0x800), 3: (0x4E00, 0xA000), 4: (0x20000, 0x2A6D0)}
"""Characters that take so many bytes in UTF-8."""


def noise(width: int, size: int) -> Callable[[], str]:
    """What makes texts of ``size`` bytes, of characters of ``width`` bytes, that no compression makes shorter."""
    chance = random.Random(size * width)  # noqa: S311 - no secret

    def make() -> str:
        text = "".join(chr(chance.randrange(*PLANES[width])) for _ in range(size // width))
        return text + "x" * (size % width)

    return make


@pytest.mark.parametrize("width", PLANES)
def test_identifiers_at_their_largest(store: SessionStore, clock: Clock, width: int) -> None:
    """512 bytes of UTF-8 in every identifier, 64 in every word, all in one session, are stored and found."""
    identifier, word = noise(width, 512), noise(width, 64)
    key, owner, role, state = identifier(), identifier(), word(), word()
    turns, once = [identifier() for _ in range(3)], [identifier() for _ in range(3)]

    store.create_session(key, owner=owner)
    store.set_session_state(key, "running", turns[0])
    clock.advance(10)
    store.append(key, ChatMessage(role, "x"), idempotency_key=once[0])
    store.append_many(key, [NewMessage(ChatMessage(role, "x"), None, idempotency_key) for idempotency_key in once])
    assert store.recover_stuck(5, to=state) == [key]
    assert store.set_session_state(key, state, turns[1], if_turn=turns[0])
    assert store.set_session_state(key, state, turns[2], if_turn=turns[1])
    store.set_session_owner(key, owner)

    found = store.list_sessions_with_metadata(SessionQuery(owner=owner, state=state))
    assert [(session.key, session.turn_id, session.message_count) for session in found] == [(key, turns[2], 3)]
    assert store.list_sessions(SessionQuery(after=found[0].cursor)) == []
    assert store.list_sessions(SessionQuery(keyword="x", owner=owner, limit=1)) == [key]
    assert {message.message.role for message in store.history(key)} == {role}
    assert store.delete_sessions(owner=owner) == 1


def test_every_indexed_column_is_at_its_largest_here(engine: Engine) -> None:
    """The columns the indexes hold are those the test above fills: keys, owner, state, idempotency key, times."""
    filled = {"key", "session_key", "seq", "owner", "state", "idempotency_key", "attributes"}
    times = {"active_minute", "state_entered_at", "created_at", "entered_at"}
    indexed = set()
    inspector = inspect(engine)
    for table in METADATA.tables:
        for index in inspector.get_indexes(table):
            indexed |= {*index["column_names"]}
        indexed |= {*inspector.get_pk_constraint(table)["constrained_columns"]}

    # An expression has no name: what the search index holds is cut to a size by itself.
    assert indexed - {"id", None} <= filled | times
    assert filled - indexed <= {"attributes"}, "attributes have an index on PostgreSQL only"
    assert SESSIONS.c.key.name in indexed


@pytest.mark.parametrize("character", ["x", "\0", "\U0001f600", "\ud800"])
def test_a_name_of_1024_characters(store: SessionStore, character: str) -> None:
    """A name is measured in characters, whatever it takes to store them."""
    store.set_session_name("s", character * 1024)

    assert store.get_session_name("s") == character * 1024


@pytest.mark.parametrize("width", [1, 4])
def test_a_megabyte_is_a_message(store: SessionStore, width: int) -> None:
    """Content, payload and attributes have no size of their own."""
    large = noise(width, 1_000_000)()
    message = ChatMessage.tool(large, {large: [large]})
    store.append("s", message)
    store.set_session_attributes("s", {"large": large, large: 1})

    assert store.load("s") == [message]
    assert store.list_sessions(SessionQuery(attributes={"large": large, large: 1})) == ["s"]
    some_words = " ".join(re.findall(r"[^\W_]+", large[:50_000])[1:-1])
    assert store.list_sessions(SessionQuery(keyword=some_words)) == ["s"]


def test_ten_thousand_messages_in_one_call(store: SessionStore) -> None:
    """More idempotency keys than a statement has room for are written once, and found again."""
    messages = [NewMessage(ChatMessage.user(str(n)), None, f"line {n}") for n in range(10_050)]
    first = store.append_many("s", messages)

    assert [message.seq for message in first] == list(range(1, 10_051))
    assert store.append_many("s", messages) == first
    assert store.load("s", last=1) == [ChatMessage.user("10049")]
