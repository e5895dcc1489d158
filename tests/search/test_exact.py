"""The index has the messages that are there, no more and no less, whatever was done to them and however it ended."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError

from session_store import ChatMessage, NewMessage, SessionQuery, SessionStore
from session_store.search import fts5, tsvector
from session_store.search import index as search_index
from session_store.testing import Clock
from session_store.transfer import import_jsonl
from tests.conftest import Database
from tests.hosts import host_engine
from tests.search.queries import finds_with

HELLO = ChatMessage.user("Hello, world")
OTHER = ChatMessage.assistant("Прощай, мир: 6e35d56a /etc/motd")
KEYWORDS = ["hello", "world OR мир", "hel*", "прощай", '"etc motd"', "6e35d56a", "мир -hello", "again", "новое", "мё́д"]
"""The last one no index has as we do."""
ANY = "hello OR мир OR again OR новое"
"""Finds every message here."""


# How it is seen.


def check_integrity(engine: Engine) -> None:
    """Let FTS5 compare its index with the messages; it raises if they differ."""
    with engine.begin() as db:
        db.execute(text(fts5.INTEGRITY_CHECK))


@contextmanager
def through_the_index(engine: Engine) -> Iterator[Connection]:
    """A connection on which PostgreSQL reads even a small table by its indexes."""
    with engine.connect() as db:
        if db.dialect.name == "postgresql":
            for way in ("seqscan", "indexscan", "indexonlyscan"):
                db.execute(text(f"SET LOCAL enable_{way} = off"))
        yield db
        db.rollback()


def assert_exact(engine: Engine, keywords: list[str] = KEYWORDS) -> None:
    """The index serves, is whole, and finds of all messages what the reference finds."""
    serves = search_index.status(engine).engine
    assert serves == {"sqlite": "fts5", "postgresql": "tsvector"}[engine.dialect.name]
    if serves == "fts5":
        check_integrity(engine)
    with through_the_index(engine) as db:
        store = SessionStore(engine).joined_to(db)
        said = {
            (key, stored.seq): stored.message.content
            for key in store.list_sessions()
            for stored in store.iter_history(key)
        }
        for keyword in keywords:
            finds = finds_with(serves, keyword)
            found = {place for place, content in said.items() if finds(content)}
            keys = {key for key, _ in found}

            assert {(hit.key, hit.seq) for hit in store.search_messages(keyword, limit=len(said) + 1)} == found, keyword
            assert set(store.list_sessions(SessionQuery(keyword=keyword))) == keys, keyword
            assert store.count_sessions(SessionQuery(keyword=keyword)) == len(keys), keyword


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """A host's engine."""
    engine = host_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine, clock: Clock) -> SessionStore:
    """A store of three sessions that were used for the last time an hour after each other."""
    store = SessionStore(engine, clock=clock)
    for key, owner in [("ann", "ann"), ("bob", "bob"), ("eve", "ann")]:
        store.create_session(key, owner=owner)
        store.append_many(key, [HELLO, HELLO, OTHER, ChatMessage.user(f"again {key}")])
        clock.advance(3600)
    return store


# What is done.


def cascade(store: SessionStore) -> None:
    """Somebody deletes a head by SQL, and the foreign key takes the messages along."""
    with store.engine.begin() as db:
        db.execute(text("DELETE FROM session_store_sessions WHERE key = 'ann'"))


def host_updates(store: SessionStore) -> None:
    """A host's own SQL changes the text of messages."""
    with store.engine.begin() as db:
        db.execute(text("UPDATE session_store_messages SET content = 'новое again' WHERE seq < 3"))


def host_rolls_back(store: SessionStore) -> None:
    """A joined call that is undone, one to a savepoint, and one that stays."""
    for end in (Connection.rollback, Connection.commit):
        with store.engine.connect() as db:
            joined = store.joined_to(db)
            joined.append("ann", ChatMessage.user("новое"))
            savepoint = db.begin_nested()
            joined.delete_session("bob")
            joined.update_last("ann", OTHER)
            savepoint.rollback()
            end(db)


def begin_raises(store: SessionStore) -> None:
    """A transaction of the store's that ends by an error."""
    with suppress(ZeroDivisionError), store.begin() as tx:
        tx.append("ann", ChatMessage.user("новое"))
        tx.remove_last("bob")
        tx.delete_session("eve")
        raise ZeroDivisionError


def imports(store: SessionStore) -> None:
    """Lines of a file, read twice."""
    lines = [{"session_key": key, "role": "user", "content": f"новое {n}"} for n in range(20) for key in ("ann", "new")]
    for _ in range(2):
        import_jsonl(store, [io.BytesIO("\n".join(map(json.dumps, lines)).encode())])


OPERATIONS: dict[str, Callable[[SessionStore], Any]] = {
    "append": lambda store: [store.append("ann", HELLO), store.append("new", OTHER)],
    "append again": lambda store: [store.append("ann", HELLO, idempotency_key="once") for _ in range(2)],
    "append_many": lambda store: store.append_many("new", [HELLO, NewMessage(OTHER, None, "once"), HELLO]),
    "update_last": lambda store: store.update_last("ann", ChatMessage.user("новое")),
    "remove_last": lambda store: store.remove_last("ann"),
    "remove_last, append": lambda store: [store.remove_last("eve"), store.append("eve", HELLO)],
    "pop_last": lambda store: store.pop_last("ann"),
    "clear_messages": lambda store: store.clear_messages("bob"),
    "compact": lambda store: [store.compact(key) for key in store.list_sessions()],
    "cleanup_stale": lambda store: store.cleanup_stale(1.5),
    "delete_session": lambda store: store.delete_session("ann"),
    "delete_sessions": lambda store: store.delete_sessions(owner="ann", batch_size=1),
    "cascade": cascade,
    "a host's UPDATE": host_updates,
    "a host's rollback": host_rolls_back,
    "begin that raises": begin_raises,
    "import_jsonl": imports,
}


@pytest.mark.once
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_index_follows(store: SessionStore, operation: str) -> None:
    """After each operation the index is as exact as before it."""
    before = store.search_messages(ANY, limit=100)
    OPERATIONS[operation](store)

    assert_exact(store.engine)
    assert (store.search_messages(ANY, limit=100) == before) is (operation == "begin that raises")


def test_what_is_deleted_makes_room(store: SessionStore, clock: Clock) -> None:
    """The numbers by which FTS5 knows messages are used again, and no new message is found by an old one's words."""
    for _ in range(3):
        clock.advance(1)
        store.cleanup_stale(0)
        assert store.search_messages(ANY) == []
        store.append("ann", ChatMessage.user("новое"))
        assert_exact(store.engine)
        store.clear_messages("ann")
        store.append_many("bob", [HELLO, OTHER])
        assert_exact(store.engine)


def test_everything_at_once_and_in_turn(store: SessionStore, clock: Clock) -> None:
    """All operations one after the other leave it exact, with and without a change of the index between them."""
    for number, operation in enumerate(OPERATIONS.values()):
        for key in ("ann", "bob", "eve"):
            store.create_session(key, owner="ann")
            store.append_many(key, [HELLO, HELLO, OTHER] * 2)
        operation(store)
        clock.advance(2400)
        if number % 6 == 5:
            search_index.drop(store.engine)
            store.append("ann", ChatMessage.user(f"again {number}"))
            search_index.create(store.engine)
            assert_exact(store.engine)
    assert_exact(store.engine)


# Who bypasses it.


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_rebuild_mends_what_passed_the_triggers_by(store: SessionStore) -> None:
    """Without its triggers an index is soon wrong, as FTS5 says; made anew it is right."""
    changes = [
        """INSERT INTO session_store_messages (session_key, seq, role, content, created_at)
        VALUES ('ann', 99, 'user', 'новое', '2026-01-01T00:00:00.000000+00:00')""",
        "UPDATE session_store_messages SET content = 'новое' WHERE session_key = 'bob' AND seq = 1",
        "DELETE FROM session_store_messages WHERE session_key = 'eve' AND seq = 1",
    ]
    for change in changes:
        with store.engine.begin() as db:
            for statement in (*fts5.drop_triggers(), change, *fts5.create_triggers()):
                db.exec_driver_sql(statement)
        with pytest.raises(DatabaseError, match="malformed"):
            check_integrity(store.engine)
        assert search_index.create(store.engine).engine == "fts5"
        with pytest.raises(DatabaseError, match="malformed"):
            check_integrity(store.engine)

        search_index.rebuild(store.engine)
        assert_exact(store.engine)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("concurrently", [False, True])
def test_rebuild_mends_a_damaged_index(store: SessionStore, concurrently: bool) -> None:  # noqa: FBT001
    """PostgreSQL keeps the index by itself; one that missed a message, as after a crash of the disk, is made anew."""
    ready = f"UPDATE pg_index SET indisready = %s WHERE indexrelid = '{tsvector.INDEX}'::regclass"  # noqa: S608
    with store.engine.begin() as db:
        db.exec_driver_sql(ready % "false")
    store.append("ann", ChatMessage.user("новое"))
    with store.engine.begin() as db:
        db.exec_driver_sql(ready % "true")
    with pytest.raises(AssertionError, match="новое"):
        assert_exact(store.engine)

    search_index.rebuild(store.engine, concurrently=concurrently)
    assert_exact(store.engine)
