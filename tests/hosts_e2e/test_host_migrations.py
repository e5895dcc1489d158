"""A host's Alembic and ours share a database: up, nothing proposed, and each one's way down leaves the other's."""

import ast
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text

from session_store import ChatMessage, SessionStore
from tests.conftest import Database
from tests.hosts import contents
from tests.hosts_e2e.running import Host, stand_alone

pytestmark = pytest.mark.hosts

KEY = "web_ann"
MESSAGES = "session_store_messages"
SEARCH = "session_store_messages_search"
"""A table on SQLite, with others behind it whose names begin so, and an index on PostgreSQL."""
OURS = {"session_store_sessions", MESSAGES, "session_store_states", SEARCH}
SHOPS = {"users", "orders"}
ADDED = """
from session_store import types

class Note({base}):
    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(types.ExactText)
    payload: Mapped[str] = mapped_column(types.ExactJson)
    noted_at: Mapped[str] = mapped_column(types.UtcDateTime)
"""
"""A model that somebody adds to a host's."""


def bodies(revision: Path) -> dict[str, list[ast.stmt]]:
    """What a revision does up and down, without its docstrings."""
    functions = [node for node in ast.parse(revision.read_text()).body if isinstance(node, ast.FunctionDef)]
    return {
        function.name: [line for line in function.body if not isinstance(getattr(line, "value", None), ast.Constant)]
        for function in functions
    }


def tables(store: SessionStore) -> set[str]:
    """The tables there are, and the search index, without the tables Alembic keeps its revisions in."""
    inspector = inspect(store.engine)
    names = {name for name in inspector.get_table_names() if not name.endswith("alembic_version")}
    if MESSAGES in names:
        names |= {SEARCH} & {index["name"] for index in inspector.get_indexes(MESSAGES)}
    return {SEARCH if name.startswith(SEARCH) else name for name in names}


def referred_to(store: SessionStore, table: str) -> list[str]:
    """The tables that foreign keys of a table lead to."""
    return sorted(key["referred_table"] for key in inspect(store.engine).get_foreign_keys(table))


def rows(db: Connection, table: str) -> list[tuple[Any, ...]]:
    """Everything in a table of the host's."""
    return [tuple(row) for row in db.execute(text(f"SELECT * FROM {table}"))]  # noqa: S608 - named here


def everything(store: SessionStore) -> list[Any]:
    """All rows of our tables."""
    with store.engine.connect() as db:
        return contents(db)


def host_rows(store: SessionStore, *names: str) -> list[Any]:
    """All rows of these tables."""
    with store.engine.connect() as db:
        return [rows(db, name) for name in names]


def fill(store: SessionStore, *statements: str) -> None:
    """A conversation with a state, and rows of the host's that refer to it."""
    store.append_many(KEY, [ChatMessage.user("Hello"), ChatMessage.assistant("Hi", {"n": 1})])
    store.set_session_state(KEY, "running", "turn-1")
    with store.engine.begin() as db:
        for statement in statements:
            db.execute(text(statement))


USER = "INSERT INTO users (id, name) VALUES (1, 'ann')"
ORDER = """INSERT INTO orders (id, user_id, session_key, reference, item, amount_cents)
    VALUES (1, 1, 'web_ann', 'basket-1', 'tea', 450)"""
TICKET = """INSERT INTO tickets (number, session_key, mail_id, subject, is_open, is_waiting)
    VALUES (1, 'web_ann', '<1@example.org>', 'Help', true, true)"""


def test_up_and_nothing_is_proposed(host: Host, store: SessionStore) -> None:
    """After the documented command everything is there, the check is clean, and a generated revision is empty."""
    host.upgrade()

    assert tables(store) == OURS | (SHOPS if host.name == "fastapi_shop" else {"tickets"})
    assert "No new upgrade operations detected" in host.migrate("check")
    for body in bodies(host.proposed()).values():
        assert [type(line) for line in body] == [ast.Pass]


def test_what_the_host_adds_is_proposed_and_nothing_else(host: Host) -> None:
    """A new table, with columns of our types, is all that a generated revision holds, and it does not import us."""
    host.upgrade()
    [models] = host.folder.glob("*/models.py")
    with models.open("a") as file:
        file.write(ADDED.format(base={"fastapi_shop": "Base", "flask_support": "db.Model"}[host.name]))
    proposed = host.proposed()

    for name, operation in (("upgrade", "op.create_table('notes'"), ("downgrade", "op.drop_table('notes'")):
        [line] = bodies(proposed)[name]
        assert ast.unparse(line).startswith(operation)
    assert "session_store" not in proposed.read_text()
    host.upgrade()
    assert "No new upgrade operations detected" in host.migrate("check")


def test_down_with_our_branch_leaves_the_shop(shop: Host, store: SessionStore) -> None:
    """``downgrade session_store@base`` takes the foreign key and our tables; users and orders keep their rows."""
    shop.upgrade()
    fill(store, USER, ORDER)
    before = host_rows(store, *sorted(SHOPS))
    shop.migrate("downgrade", "session_store@base")

    assert tables(store) == SHOPS
    assert referred_to(store, "orders") == ["users"]
    assert host_rows(store, *sorted(SHOPS)) == before
    shop.upgrade()
    assert tables(store) == OURS | SHOPS
    assert referred_to(store, "orders") == ["session_store_sessions", "users"]
    # The conversation is gone, and an order that said it had one would be refused by the foreign key.
    assert host_rows(store, *sorted(SHOPS)) == [[(1, 1, None, "basket-1", "tea", 450)], [(1, "ann")]]


def test_down_with_the_shop_leaves_our_branch(shop: Host, store: SessionStore) -> None:
    """``downgrade shop@base`` takes users and orders; our tables keep their rows, and serve."""
    shop.upgrade()
    fill(store, USER, ORDER)
    before = everything(store)
    shop.migrate("downgrade", "shop@base")

    assert tables(store) == OURS
    assert everything(store) == before
    assert store.append(KEY, ChatMessage.user("Still there?")).seq == 3
    shop.upgrade()
    assert tables(store) == OURS | SHOPS
    assert [message.seq for message in store.history(KEY)] == [1, 2, 3]


def test_an_old_shop_is_carried_on(shop: Host, store: SessionStore) -> None:
    """A shop that had users and orders before it had conversations keeps them."""
    shop.migrate("upgrade", "0001")
    assert tables(store) == SHOPS
    with store.engine.begin() as db:
        for statement in (USER, ORDER.replace(f"'{KEY}'", "NULL")):
            db.execute(text(statement))
    before = host_rows(store, *sorted(SHOPS))
    shop.upgrade()

    assert host_rows(store, *sorted(SHOPS)) == before
    assert tables(store) == OURS | SHOPS


def test_without_our_branch_the_shop_s_alembic_refuses(shop: Host, store: SessionStore) -> None:
    """A ``path_separator`` that cuts our location in two is an error, and not a run without our tables."""
    ini = shop.folder / "alembic.ini"
    assert "path_separator = newline" in ini.read_text()
    ini.write_text(
        ini.read_text()
        .replace("path_separator = newline", "path_separator = os")
        .replace("\n    %(here)s/migrations/versions\n    session", " %(here)s/migrations/versions:session")
    )

    with pytest.raises(AssertionError, match="ss_0003 of session_store is not among the revisions"):
        shop.upgrade()
    assert tables(store) == set()


def test_down_with_the_support_desk_leaves_ours(support: Host, store: SessionStore) -> None:
    """``flask db downgrade base`` takes the tickets; our tables keep their rows, and serve."""
    support.upgrade()
    fill(store, TICKET)
    before = everything(store)
    support.migrate("downgrade", "base")

    assert tables(store) == OURS
    assert everything(store) == before
    support.upgrade()
    assert tables(store) == OURS | {"tickets"}
    assert everything(store) == before


def test_down_with_ours_leaves_the_support_desk(
    support: Host, store: SessionStore, empty_database: Database, tmp_path: Path
) -> None:
    """When the foreign key is gone our own Alembic takes our tables back; the tickets keep their rows."""
    support.upgrade()
    fill(store, TICKET)
    before = host_rows(store, "tickets")
    support.migrate("downgrade", "0001")
    stand_alone(empty_database, tmp_path, "downgrade", "base")

    assert tables(store) == {"tickets"}
    assert referred_to(store, "tickets") == []
    assert host_rows(store, "tickets") == before
    support.upgrade()
    assert tables(store) == OURS | {"tickets"}
    assert referred_to(store, "tickets") == ["session_store_sessions"]
    [[(number, key, *_)]] = host_rows(store, "tickets")
    assert (number, key) == (1, None)
