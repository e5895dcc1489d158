"""A PostgreSQL schema of the host's choice holds everything, and nothing is left outside of it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, orm, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from session_store import (
    AsyncSessionStore,
    ChatMessage,
    InvalidQuery,
    SchemaOutOfDate,
    SessionStore,
    StoreError,
    migrations,
)
from session_store.database import revisions
from session_store.models import Message, Session
from tests.conftest import Database
from tests.hosts import ASYNC_DRIVERS, async_host_engine, host_engine, statements_of
from tests.servers import Server

HELLO = ChatMessage.user("hello")
KEY = "telegram_ann"
TABLES = {"session_store_sessions", "session_store_messages", "session_store_states", revisions.VERSION_TABLE}
IN_CHAT = {"schema_translate_map": {None: "chat"}}


@pytest.fixture
def postgresql(postgresql_server: Server) -> Iterator[Database]:
    """A PostgreSQL database with nothing in it."""
    with postgresql_server.clone(postgresql_server.template_dbname) as url:
        yield Database("postgresql", url)


@pytest.fixture
def engine(postgresql: Database) -> Iterator[Engine]:
    """An engine of the host's on it."""
    engine = host_engine(postgresql)
    yield engine
    engine.dispose()


def made_in(engine: Engine) -> dict[str, set[str]]:
    """All tables there are, by schema."""
    inspector = inspect(engine)
    names = set(inspector.get_schema_names()) - {"information_schema"}
    return {name: set(inspector.get_table_names(name)) for name in names}


def kinds_in(engine: Engine, name: str) -> set[str]:
    """The kinds of objects a schema holds, by PostgreSQL's letters: indexes, sequences, types, whatever it is."""
    of_a_schema = text(
        "SELECT relkind FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = :name"
    )
    with engine.connect() as db:
        return set(db.scalars(of_a_schema, {"name": name}))


@pytest.mark.parametrize("name", ["chat", "Chat", 'a "quoted" one: %s :x', "select", "é" * 31])
def test_everything_is_in_it(engine: Engine, name: str) -> None:
    """Tables, indexes, views and version table are in the schema, whatever it is called, and none is in ``public``."""
    migrations.upgrade(engine, schema=name)
    migrations.upgrade(engine, schema=name)
    store = SessionStore(engine, schema=name)
    store.append(KEY, HELLO)

    assert made_in(engine) == {"public": set(), name: TABLES}
    assert kinds_in(engine, "public") == set()
    assert kinds_in(engine, name) == {"r", "i", "v"}
    assert store.load(KEY) == [HELLO]
    assert store.health().schema == migrations.current(engine, schema=name) == revisions.HEAD
    assert migrations.check(engine, schema=name) == []


def test_two_of_them_side_by_side(engine: Engine) -> None:
    """Two schemas of one database, and ``public`` beside them, know nothing of each other, nor their revisions."""
    places = ["chat", "support", None]
    for place in places:
        with pytest.raises(SchemaOutOfDate) as told:
            SessionStore(engine, schema=place).append(KEY, HELLO)
        assert (told.value.current, told.value.schema) == (None, place)
        assert migrations.current(engine, schema=place) is None
        migrations.upgrade(engine, schema=place)
    stores = [SessionStore(engine, schema=place) for place in places]
    for count, store in enumerate(stores, start=1):
        store.append_many(KEY, [HELLO] * count)
        store.set_session_state(KEY, "running", f"turn_{count}")

    assert [len(store.load(KEY)) for store in stores] == [1, 2, 3]
    assert [store.list_running_sessions()[0].turn_id for store in stores] == ["turn_1", "turn_2", "turn_3"]
    assert stores[0].delete_session(KEY)
    assert [store.session_exists(KEY) for store in stores] == [False, True, True]


def test_the_error_says_where(engine: Engine) -> None:
    """Who has to make the tables is told in which schema."""
    with pytest.raises(SchemaOutOfDate, match=r"in 'chat' .*--schema chat.*schema='chat'"):
        SessionStore(engine, schema="chat").health()


@pytest.mark.parametrize("made", [True, False], ids=["there already", "new"])
def test_the_host_s_transaction_keeps_its_search_path(engine: Engine, made: bool) -> None:  # noqa: FBT001
    """Upgrading in the host's transaction leaves its search path, its later statements, and its rollback to it."""
    with engine.begin() as db:
        db.execute(text("CREATE SCHEMA host"))
        if made:
            db.execute(text("CREATE SCHEMA chat"))
    with engine.connect() as db:
        db.execute(text("SET LOCAL search_path TO host, public"))
        migrations.upgrade(db, schema="chat")
        assert db.scalar(text("SHOW search_path")) == "host, public"
        db.execute(text("CREATE TABLE notes (note text)"))
        assert set(inspect(db).get_table_names("chat")) == TABLES
        db.rollback()
    assert made_in(engine) == {"public": set(), "host": set()} | ({"chat": set()} if made else {})

    with engine.begin() as db:
        migrations.upgrade(db, schema="chat")
        db.execute(text("CREATE TABLE notes (note text)"))
    assert made_in(engine) == {"public": {"notes"}, "host": set(), "chat": TABLES}


def test_a_connection_that_commits_by_itself_is_refused(engine: Engine) -> None:
    """There nothing could be local to a transaction; the tables would come to be in ``public``."""
    alone = create_engine(engine.url, isolation_level="AUTOCOMMIT")
    with alone.connect() as db, pytest.raises(StoreError, match="autocommit"):
        migrations.upgrade(db, schema="chat")
    assert made_in(engine) == {"public": set()}

    migrations.upgrade(alone, schema="chat")
    assert made_in(engine) == {"public": set(), "chat": TABLES}
    alone.dispose()


def test_a_joined_call_leaves_the_host_s_own_statements(engine: Engine) -> None:
    """The host's own tables stay where they are, before and after a joined call, and are part of its transaction."""
    migrations.upgrade(engine, schema="chat")
    store = SessionStore(engine, schema="chat")
    with engine.begin() as db:
        db.execute(text("CREATE TABLE notes (note text)"))
    with orm.Session(engine) as host:
        host.execute(text("INSERT INTO notes VALUES ('one')"))
        store.joined_to(host).append(KEY, HELLO)
        assert store.joined_to(host).load(KEY) == [HELLO]
        host.execute(text("INSERT INTO notes VALUES ('two')"))
        assert "schema_translate_map" not in host.connection().get_execution_options()
        ours = select(Message.content).execution_options(**IN_CHAT)
        assert host.scalars(ours).all() == [HELLO.content]
        host.rollback()
        assert host.scalars(text("SELECT note FROM notes")).all() == []
    assert not store.session_exists(KEY)


def test_a_held_object_sees_the_new_head(engine: Engine) -> None:
    """Models in a schema: the host says where for its own statements, and its object follows a joined append."""
    migrations.upgrade(engine, schema="chat")
    store = SessionStore(engine, schema="chat")
    store.append(KEY, HELLO)
    with orm.Session(engine.execution_options(**IN_CHAT)) as host:
        held = host.get_one(Session, KEY)
        store.joined_to(host).append(KEY, HELLO)

        assert (held.message_count, held.last_seq) == (2, 2)
        assert len(host.scalars(select(Message).join(Message.session).where(Session.key == KEY)).all()) == 2


@pytest.mark.parametrize("driver", ASYNC_DRIVERS["postgresql"])
def test_on_an_event_loop(postgresql: Database, engine: Engine, driver: str) -> None:
    """The asynchronous store is made, migrated and joined in a schema just so."""

    async def main() -> tuple[Any, ...]:
        awaited = async_host_engine(postgresql, driver)
        async with awaited.connect() as db:
            await db.run_sync(migrations.upgrade, schema="chat")
        store = AsyncSessionStore(awaited, schema="chat")
        await store.append(KEY, HELLO)
        async with AsyncSession(awaited) as host, host.begin():
            await store.joined_to(host).append(KEY, HELLO)
        async with store.begin() as transaction:
            await transaction.append(KEY, HELLO)
        seen = await store.load(KEY), (await store.health()).schema
        await awaited.dispose()
        async with AsyncSessionStore.open(postgresql.url, schema="support") as other:
            return *seen, await other.load(KEY)

    assert asyncio.run(main()) == ([HELLO] * 3, revisions.HEAD, [])
    assert made_in(engine) == {"public": set(), "chat": TABLES, "support": TABLES}


def test_statements_are_compiled_once(engine: Engine) -> None:
    """Naming a schema costs no compilation on later calls, and no statement more."""
    migrations.upgrade(engine, schema="chat")
    store = SessionStore(engine, schema="chat")
    store.append(KEY, HELLO)
    before = len(engine._compiled_cache or {})
    with statements_of(engine) as statements:
        store.append(KEY, HELLO)

    assert len(statements) == 1
    assert len(engine._compiled_cache or {}) == before


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "1 to 63 bytes"),
        ("x" * 64, "1 to 63 bytes"),
        ("é" * 32, "1 to 63 bytes"),
        ("a\0b", "NUL"),
        ("\ud800", "lone surrogate"),
        (7, "must be a str"),
    ],
)
def test_no_such_name(engine: Engine, name: Any, problem: str) -> None:
    """A name PostgreSQL would cut short or refuse is refused by every call that takes one, and nothing is made."""
    for call in (
        lambda: SessionStore(engine, schema=name),
        lambda: migrations.upgrade(engine, schema=name),
        lambda: migrations.current(engine, schema=name),
        lambda: migrations.check(engine, schema=name),
        lambda: migrations.sql("postgresql", schema=name),
    ):
        with pytest.raises(InvalidQuery, match=problem):
            call()
    assert made_in(engine) == {"public": set()}


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_sqlite_has_none(empty_database: Database) -> None:
    """On SQLite a schema is refused, not ignored."""
    engine = host_engine(empty_database)
    for call in (
        lambda: SessionStore(engine, schema="chat"),
        lambda: migrations.upgrade(engine, schema="chat"),
        lambda: migrations.current(engine, schema="chat"),
        lambda: migrations.check(engine, schema="chat"),
        lambda: migrations.sql("sqlite", schema="chat"),
    ):
        with pytest.raises(InvalidQuery, match="only PostgreSQL has schemas"):
            call()
    with pytest.raises(InvalidQuery):
        SessionStore.open("sqlite://", schema="chat")
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def test_a_look_on_a_connection_that_commits_by_itself_is_refused(engine: Engine) -> None:
    """There it would look elsewhere, and say that nothing is there."""
    migrations.upgrade(engine, schema="chat")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        for look in (migrations.current, migrations.check):
            with pytest.raises(StoreError, match="autocommit"):
                look(db, schema="chat")


def test_a_map_of_the_host_s_is_followed_or_set_aside(engine: Engine) -> None:
    """Without ``schema`` the tables are where the host's map says; with it they are there, whatever the map says."""
    mapped = engine.execution_options(schema_translate_map={None: "tenant"})
    migrations.upgrade(mapped)
    assert made_in(engine) == {"public": set(), "tenant": TABLES}
    assert migrations.current(mapped) == SessionStore(mapped).health().schema == revisions.HEAD

    assert migrations.current(mapped, schema="chat") is None
    migrations.upgrade(mapped, schema="chat")
    assert made_in(engine) == {"public": set(), "tenant": TABLES, "chat": TABLES}
    assert migrations.check(mapped, schema="chat") == migrations.check(mapped) == []
    store = SessionStore(mapped, schema="chat")
    store.append(KEY, HELLO)
    assert (store.list_sessions(), SessionStore(mapped).list_sessions()) == ([KEY], [])


@pytest.mark.parametrize("driver", ASYNC_DRIVERS["postgresql"])
def test_an_upgrade_that_is_cancelled_is_told_as_that(postgresql: Database, driver: str) -> None:
    """The timeout comes out, and not what became of the connection; the next one finds nothing in its way."""

    async def main() -> list[str]:
        awaited = async_host_engine(postgresql, driver)
        told = []
        for moment in range(12):
            name = f"chat_{moment}"
            try:
                async with asyncio.timeout(moment / 200), awaited.begin() as db:
                    await db.run_sync(migrations.upgrade, schema=name)
                told.append("done")
            except TimeoutError:
                told.append("timeout")
            async with awaited.begin() as db:
                await db.run_sync(migrations.upgrade, schema=name)
        await awaited.dispose()
        return told

    assert "timeout" in asyncio.run(main())
