"""A store within a host's transaction: the host's rows and ours come and go together."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, insert, orm, select, text

from session_store import (
    ChatMessage,
    IdempotencyConflict,
    InvalidKey,
    InvalidMessage,
    InvalidQuery,
    NewMessage,
    SessionInUse,
    SessionStore,
    StoreError,
    models,
)
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import (
    ORDERS,
    contents,
    disagreements,
    host_engine,
    host_of,
    statements_of,
)

HELLO = ChatMessage.user("Hello")
KEY = "telegram_ann"


class HostBase(orm.DeclarativeBase):
    """The base of the host's own models."""


class Order(HostBase):
    """A row of the host's that refers to one of our sessions."""

    __table__ = ORDERS

    def __init__(self, id: int, session_key: str | None) -> None:  # noqa: A002
        self.id = id
        self.session_key = session_key


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """The host's engine, on a database with its table."""
    with host_of(database) as engine:
        yield engine


@pytest.fixture
def store(engine: Engine, clock: Clock) -> SessionStore:
    """A store on the host's engine."""
    return SessionStore(engine, clock=clock)


WRITES: dict[str, Callable[[Any], Any]] = {
    "append": lambda joined: joined.append(KEY, HELLO),
    "append_once": lambda joined: joined.append(KEY, HELLO, idempotency_key="new"),
    "append_many": lambda joined: joined.append_many(KEY, [HELLO, NewMessage(HELLO, None, "more")]),
    "clear_messages": lambda joined: joined.clear_messages(KEY),
    "compact": lambda joined: joined.compact(KEY),
    "pop_last": lambda joined: joined.pop_last(KEY),
    "recover_stuck": lambda joined: joined.recover_stuck(0),
    "remove_last": lambda joined: joined.remove_last(KEY),
    "set_session_attributes": lambda joined: joined.set_session_attributes(KEY, {"room": 7}),
    "set_session_name": lambda joined: joined.set_session_name(KEY, "Ann"),
    "set_session_owner": lambda joined: joined.set_session_owner(KEY, "bob"),
    "set_session_state": lambda joined: joined.set_session_state(KEY, "error", "turn-2"),
    "update_last": lambda joined: joined.update_last(KEY, ChatMessage.assistant("Other")),
}
DELETES: dict[str, Callable[[Any], Any]] = {
    "delete_session": lambda joined: joined.delete_session(KEY),
    "delete_sessions": lambda joined: joined.delete_sessions(owner="ann"),
    "cleanup_stale": lambda joined: joined.cleanup_stale(0, include_running=True),
}
REFUSED: dict[str, tuple[type[StoreError], Callable[[Any], Any]]] = {
    "other message": (
        IdempotencyConflict,
        lambda joined: joined.append(KEY, ChatMessage.user("Other"), idempotency_key="old"),
    ),
    "other messages": (
        IdempotencyConflict,
        lambda joined: joined.append_many(KEY, [HELLO, NewMessage(ChatMessage.user("Other"), None, "old")]),
    ),
    "two messages under one key": (
        IdempotencyConflict,
        lambda joined: joined.append_many(
            "telegram_new", [NewMessage(HELLO, None, "one"), NewMessage(ChatMessage.user("Other"), None, "one")]
        ),
    ),
    "in use": (SessionInUse, lambda joined: joined.delete_session("telegram_used")),
    "key": (InvalidKey, lambda joined: joined.append("", HELLO)),
    "message": (InvalidMessage, lambda joined: joined.append(KEY, ChatMessage.user(7))),
    "attributes": (InvalidQuery, lambda joined: joined.set_session_attributes(KEY, {"x": object()})),
    "age": (InvalidQuery, lambda joined: joined.cleanup_stale(-1)),
}


def prepare(store: Any, clock: Clock) -> None:
    """Make a session that each write changes, and one that the host refers to."""
    store.append_many(KEY, [HELLO, NewMessage(HELLO, None, "old"), HELLO])
    store.set_session_owner(KEY, "ann")
    store.set_session_state(KEY, "running", "turn-1")
    store.append("telegram_used", HELLO)
    clock.advance(1)


def rows(engine: Engine) -> list[list[tuple[Any, ...]]]:
    """What others see of our tables."""
    with engine.connect() as db:
        return contents(db)


def columns_of(held: models.Session) -> dict[str, Any]:
    """Every column of an object, as reading its attributes gives them."""
    return {name: getattr(held, name) for name in models.Session.__table__.c.keys()}  # noqa: SIM118


# Together or not at all.


@pytest.mark.parametrize("write", (WRITES | DELETES).values(), ids=(WRITES | DELETES).keys())
@pytest.mark.parametrize("kind", [orm.Session, Engine.connect], ids=["session", "connection"])
def test_the_host_decides(
    write: Callable[[Any], Any],
    kind: Callable[[Engine], Any],
    engine: Engine,
    store: SessionStore,
    clock: Clock,
) -> None:
    """A rollback of the host's takes the joined write with it, a commit keeps both; nothing shows before."""
    prepare(store, clock)
    before = rows(engine)
    with kind(engine) as db:
        db.execute(insert(ORDERS).values(id=1))
        write(store.joined_to(db))
        db.rollback()
        assert rows(engine) == before
        db.execute(insert(ORDERS).values(id=2))
        write(store.joined_to(db))
        assert rows(engine) == before
        db.commit()

    assert rows(engine) != before or write is WRITES["compact"]
    with engine.connect() as db:
        assert db.scalars(select(ORDERS.c.id)).all() == [2]
        assert disagreements(db) == []


@pytest.mark.parametrize("write", (WRITES | DELETES).values(), ids=(WRITES | DELETES).keys())
def test_a_savepoint_undoes(write: Callable[[Any], Any], engine: Engine, store: SessionStore, clock: Clock) -> None:
    """What was joined within a savepoint is gone when the host rolls back to it; what came before stays."""
    prepare(store, clock)
    with engine.connect() as db:
        joined = store.joined_to(db)
        joined.append("telegram_bob", HELLO)
        before = contents(db)
        with db.begin_nested() as savepoint:
            write(joined)
            savepoint.rollback()
        assert contents(db) == before
        db.commit()

    assert store.load("telegram_bob") == [HELLO]


def test_the_host_s_objects_are_flushed_first(engine: Engine, store: SessionStore) -> None:
    """Objects the host has added are in the database before a joined call, and may refer to a session it made."""
    with orm.Session(engine, autoflush=False) as db:
        joined = store.joined_to(db)
        db.add(Order(1, None))
        joined.append(KEY, HELLO)
        assert not db.new
        db.add(Order(2, KEY))
        joined.append(KEY, HELLO)
        assert not db.new
        db.add(Order(3, KEY))
        with pytest.raises(SessionInUse):
            joined.delete_session(KEY)
        db.commit()

    with engine.connect() as db:
        assert db.execute(select(ORDERS.c.id, ORDERS.c.session_key).order_by(ORDERS.c.id)).all() == [
            (1, None),
            (2, KEY),
            (3, KEY),
        ]
    assert store.load(KEY) == [HELLO, HELLO]


def test_a_session_added_as_an_object_is_there_for_a_joined_call(
    engine: Engine, store: SessionStore, clock: Clock
) -> None:
    """A `Session` object the host has added and not flushed is the session a joined append goes on with."""
    now = clock()
    with orm.Session(engine) as db:
        added = models.Session(key=KEY, created_at=now, last_activity=now, active_minute=now)
        db.add(added)
        assert store.joined_to(db).append(KEY, HELLO).seq == 1
        with statements_of(engine) as statements:
            assert (added.message_count, added.state) == (1, "idle")
        assert statements == []
        db.commit()


def test_a_scoped_session_can_be_joined(engine: Engine, store: SessionStore) -> None:
    """A `scoped_session` stands for the session of the thread."""
    scoped = orm.scoped_session(orm.sessionmaker(engine))
    store.joined_to(scoped).append(KEY, HELLO)
    scoped.rollback()
    assert store.load(KEY) == []
    store.joined_to(scoped).append(KEY, HELLO)
    scoped.commit()
    scoped.remove()

    assert store.load(KEY) == [HELLO]


def test_a_session_of_several_engines_finds_ours(database: Database, engine: Engine, store: SessionStore) -> None:
    """An ORM session that binds each base to an engine of its own lends the one our models are on."""
    other = host_engine(database)
    with orm.Session(binds={models.Base: engine, HostBase: other}) as db, statements_of(other) as elsewhere:
        store.joined_to(db).append(KEY, HELLO)
        assert elsewhere == []
        db.commit()
    other.dispose()

    assert store.load(KEY) == [HELLO]


@pytest.mark.parametrize(("error", "call"), REFUSED.values(), ids=REFUSED.keys())
def test_a_typed_error_leaves_the_transaction_usable(
    error: type[StoreError],
    call: Callable[[Any], Any],
    engine: Engine,
    store: SessionStore,
    clock: Clock,
) -> None:
    """After a refusal nothing of the call is there, and the host's transaction goes on and commits."""
    prepare(store, clock)
    with engine.begin() as db:
        db.execute(insert(ORDERS).values(id=1, session_key="telegram_used"))
    with engine.connect() as db:
        db.execute(insert(ORDERS).values(id=2))
        before = contents(db)
        with pytest.raises(error):
            call(store.joined_to(db))
        assert contents(db) == before
        store.joined_to(db).append("telegram_bob", HELLO)
        db.commit()

    assert store.load("telegram_bob") == [HELLO]


# What the host holds.


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_held_object_sees_the_new_head(
    write: Callable[[Any], Any], engine: Engine, store: SessionStore, clock: Clock
) -> None:
    """After a joined write the host's `Session` object says what the row says, and reading it asks no database."""
    prepare(store, clock)
    with orm.Session(engine) as db:
        held = db.get_one(models.Session, KEY)
        old = columns_of(held)
        write(store.joined_to(db))
        with statements_of(engine) as statements:
            new = columns_of(held)
        assert statements == []
        assert held not in db.dirty
        assert new == dict(db.execute(select(*models.Session.__table__.c).filter_by(key=KEY)).mappings().one())
        assert new != old or write is WRITES["compact"]
        db.rollback()
        assert columns_of(held) == old


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_held_object_sees_the_old_head_after_a_savepoint(
    write: Callable[[Any], Any], engine: Engine, store: SessionStore, clock: Clock
) -> None:
    """When the host rolls back to a savepoint, its object says again what it said before."""
    prepare(store, clock)
    with orm.Session(engine) as db:
        held = db.get_one(models.Session, KEY)
        old = columns_of(held)
        with db.begin_nested() as savepoint:
            write(store.joined_to(db))
            savepoint.rollback()
        assert columns_of(held) == old
        db.commit()
        assert columns_of(held) == old


@pytest.mark.parametrize("delete", DELETES.values(), ids=DELETES.keys())
def test_a_held_object_goes_with_its_session(
    delete: Callable[[Any], Any], engine: Engine, store: SessionStore, clock: Clock
) -> None:
    """After a joined delete the host's session holds no object of it; after a rollback it can be had again."""
    prepare(store, clock)
    with orm.Session(engine) as db:
        held = db.get_one(models.Session, KEY)
        delete(store.joined_to(db))
        assert held not in db
        assert db.get(models.Session, KEY) is None
        db.rollback()
        assert db.get_one(models.Session, KEY).message_count == 3
        delete(store.joined_to(db))
        db.commit()
        assert db.get(models.Session, KEY) is None


def test_changes_the_host_made_are_kept(engine: Engine, store: SessionStore, clock: Clock) -> None:
    """A change to a held object that is not flushed yet survives a joined write."""
    prepare(store, clock)
    with orm.Session(engine, autoflush=False) as db:
        held = db.get_one(models.Session, KEY)
        held.name = "Anna"
        store.joined_to(db).append(KEY, HELLO)
        assert (held.name, held.message_count) == ("Anna", 4)
        db.commit()

    assert store.get_session_name(KEY) == "Anna"


# The models.


def test_models_can_be_joined_and_filtered(engine: Engine, store: SessionStore, clock: Clock) -> None:
    """A host's queries go over our models and its own, with values as the store gives them."""
    prepare(store, clock)
    store.set_session_name(KEY, "a\0b")
    store.append(KEY, ChatMessage.tool("nul \0 here", {"text": "\0", "n": 10**20}))
    with orm.Session(engine) as db:
        db.add(Order(1, KEY))
        db.flush()
        query = (
            select(models.Session, models.Message, Order.id)
            .join(models.Message.session)
            .join(Order, Order.session_key == models.Session.key)
            .where(models.Message.created_at >= clock(), models.Session.name == "a\0b")
        )
        session, message, order = db.execute(query).one()
        assert (session.key, session.last_activity, order) == (KEY, clock(), 1)
        assert (message.content, message.payload) == ("nul \0 here", {"text": "\0", "n": 10**20})
        assert db.scalars(session.messages.select().where(models.Message.seq > 3)).all() == [message]
        assert [state.state for state in db.scalars(session.states.select())] == ["running"]
        assert message.session is session


def test_a_host_s_row_keeps_its_session(engine: Engine, store: SessionStore, clock: Clock) -> None:
    """What a host's row refers to cannot be deleted; calls that delete many keep it and delete the others."""
    for key in ("a", "b", "c", "d"):
        store.create_session(key, owner="ann")
    clock.advance(1)
    with engine.begin() as db:
        db.execute(insert(ORDERS).values(id=1, session_key="b"))
    with pytest.raises(SessionInUse) as told:
        store.delete_session("b")
    store.set_session_owner("d", None)

    assert told.value.key == "b"
    assert store.delete_sessions(owner="ann") == 2
    assert sorted(store.list_sessions()) == ["b", "d"]
    assert store.cleanup_stale(0) == 1
    assert store.list_sessions() == ["b"]


def test_a_row_that_is_checked_late_keeps_its_session(engine: Engine, store: SessionStore, clock: Clock) -> None:
    """So it does where the host lets its foreign key be checked at the commit only."""
    with engine.begin() as db:
        column = "session_key text REFERENCES session_store_sessions (key) DEFERRABLE INITIALLY DEFERRED"
        db.execute(text(f"CREATE TABLE host_late ({column})"))
    for key in ("a", "b", "c"):
        store.create_session(key, owner="ann")
    clock.advance(1)
    with engine.begin() as db:
        db.execute(text("INSERT INTO host_late VALUES ('b')"))
    with pytest.raises(SessionInUse):
        store.delete_session("b")

    if engine.dialect.name == "sqlite":
        # It cannot be asked to check earlier: the commit of the whole batch is refused.
        with pytest.raises(SessionInUse):
            store.delete_sessions(owner="ann")
        assert sorted(store.list_sessions()) == ["a", "b", "c"]
    else:
        assert store.delete_sessions(owner="ann") == 2
        assert store.cleanup_stale(0) == 0
        assert store.list_sessions() == ["b"]
