"""The largest of everything, by the ways that `tests.test_sizes` does not go: joined, in a transaction, imported.

The texts have characters of every width in UTF-8, and no compression makes them shorter.
"""

import io
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import orm, select

from session_store import ChatMessage, NewMessage, SessionQuery, SessionStore, models
from session_store.testing import Clock
from session_store.transfer import import_jsonl
from tests.conftest import Database
from tests.test_sizes import PLANES, noise

Transaction = Callable[[], Any]


@pytest.fixture
def store(database: Database, clock: Clock) -> Iterator[SessionStore]:
    """An empty store, for code that blocks."""
    with SessionStore(database.url, clock=clock) as store:
        yield store


@pytest.fixture(params=["begin", "joined"])
def transaction(request: pytest.FixtureRequest, store: SessionStore) -> Transaction:
    """What gives the interface within a transaction: the store's, or that of a host who holds our sessions."""

    @contextmanager
    def joined() -> Iterator[Any]:
        if request.param == "begin":
            with store.begin() as begun:
                yield begun
            return
        with orm.Session(store.engine) as db, db.begin():
            # What it holds is kept up to date, by the same large keys.
            held = db.scalars(select(models.Session)).all()
            yield store.joined_to(db)
            assert all(session.message_count == 4 for session in held)

    return joined


def large(size: int) -> Callable[[], str]:
    """What makes texts of so many bytes of UTF-8, a quarter of them in characters of each width."""
    parts = [noise(width, size // len(PLANES)) for width in PLANES]
    return lambda: "".join(part() for part in parts)


def test_identifiers_in_one_transaction(store: SessionStore, transaction: Transaction, clock: Clock) -> None:
    """512 bytes in every identifier and 64 in every word, written and written over by each call, and found."""
    identifier, word = large(512), large(64)
    key, owner, other, first, second, once = (identifier() for _ in range(6))
    role, state, last_state = word(), word(), word()
    assert {len(text.encode()) for text in (key, owner, first, once)} == {512}

    with transaction() as tx:
        assert tx.create_session(key, name=key[:100], owner=owner, attributes={key: owner})
        assert tx.set_session_state(key, "running", first)
        tx.append(key, ChatMessage(role, key), idempotency_key=once)
        tx.append_many(key, [NewMessage(ChatMessage(role, owner), None, identifier()) for _ in range(3)])
        assert tx.update_last(key, ChatMessage(word(), first, {key: [owner]}))
    clock.advance(10)
    with transaction() as tx:
        assert tx.recover_stuck(5, to=state) == [key]
        assert tx.set_session_state(key, last_state, second, if_turn=first)
        tx.set_session_owner(key, other)
        tx.set_session_attributes(key, {owner: key, key: None})
        assert tx.list_sessions(SessionQuery(owner=other, state=last_state, attributes={owner: key})) == [key]
        assert tx.append(key, ChatMessage(role, key), idempotency_key=once).seq == 1

    (head,) = store.list_sessions_with_metadata(SessionQuery(owner=other))
    assert (head.key, head.state, head.turn_id, head.message_count) == (key, last_state, second, 4)
    assert store.list_sessions(SessionQuery(owner=owner)) == []
    assert [stored.seq for stored in store.history(key)] == [1, 2, 3, 4]
    assert store.delete_session(key)


def test_an_imported_session(store: SessionStore) -> None:
    """The largest key and role with the longest line's content and payload come in, and the second time are known."""
    key, role, text = large(512)(), large(64)(), large(1_000_000)()
    line = {"session_key": key, "role": role, "content": text, "payload": {text: [text]}}
    data = json.dumps(line, ensure_ascii=False).encode() + b"\n"

    added, again = (import_jsonl(store, [io.BytesIO(data * 2)]) for _ in range(2))

    assert (added.added, again.already_there, added.broken + again.broken) == (2, 2, 0)
    assert store.load(key) == [ChatMessage(role, text, {text: [text]})] * 2


@pytest.mark.parametrize("width", [1, 4])
def test_as_many_words_as_are_searched(store: SessionStore, width: int) -> None:
    """200,000 characters of words that are all others fit in the search index, put there by each call."""
    letters = [chr(code) for code in range(*PLANES[width]) if chr(code).isalnum()]
    chance = random.Random(width)  # noqa: S311 - no secret

    def words() -> str:
        # The shorter a word, the more of what the index holds is not its letters.
        size = 2 if width == 4 else 4
        return " ".join("".join(chance.choices(letters, k=size)) for _ in range(200_000 // (size + 1)))

    texts = [words() for _ in range(4)]
    store.append("appended", ChatMessage.user(texts[0]))
    store.append_many("many", [ChatMessage.user("a"), ChatMessage.user(texts[1])])
    store.append("updated", ChatMessage.user("a"))
    store.update_last("updated", ChatMessage.user(texts[2]))
    line = {"session_key": "imported", "role": "user", "content": texts[3]}
    assert import_jsonl(store, [io.BytesIO(json.dumps(line).encode())]).added == 1

    found = [store.list_sessions(SessionQuery(keyword=f'"{" ".join(text.split()[-3:])}"')) for text in texts]
    assert found == [["appended"], ["many"], ["updated"], ["imported"]]


def test_as_many_attributes_as_anybody_has(store: SessionStore, transaction: Transaction) -> None:
    """500 of them, each name and each value of 512 bytes, are stored, merged, and found by some of them."""
    text = large(512)
    labels = {text(): text() for _ in range(500)}
    with transaction() as tx:
        tx.set_session_attributes("s", labels)
        tx.set_session_attributes("s", {"one": "more"})

    some = dict(list(labels.items())[::50])
    assert store.list_sessions(SessionQuery(attributes={**some, "one": "more"})) == ["s"]
    assert store.list_sessions(SessionQuery(attributes={**some, "one": "less"})) == []
