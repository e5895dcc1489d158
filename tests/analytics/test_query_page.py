"""The tables of the page "Query it" say what the views and the selects have; `tests.test_documents` runs its blocks."""

import re

import pytest
from sqlalchemy import Engine, column, func, inspect, select, table, text

from session_store import ChatMessage, SessionStore, analytics
from session_store.migrations import views_v1
from tests.conftest import Database
from tests.documents import ROOT

pytestmark = pytest.mark.once

PAGE = (ROOT / "docs" / "query.md").read_text()
HEADINGS = ("### Sessions", "### Messages", "### Tool calls", "### Turns", "### Daily")
TYPES = """
SELECT column_name, data_type FROM information_schema.columns WHERE table_name = :view ORDER BY ordinal_position
"""
SHORT = {"timestamp with time zone": "timestamptz"}
PAYLOAD = {
    "model": "small",
    "usage": {"input_tokens": 812, "output_tokens": 64},
    "tool_calls": [{"name": "find_order"}],
    "tool_call_id": "call_1",
    "latency_ms": 250,
}


def part(heading: str) -> str:
    """What stands under a heading, until the next one."""
    return re.split(r"^#+ ", PAGE.split(f"\n{heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize(("heading", "view"), [*zip(HEADINGS, views_v1.NAMES, strict=True)])
def test_every_column_is_on_the_page(heading: str, view: str, database: Database, engine: Engine) -> None:
    """In the order of the view, with its type on this database."""
    with SessionStore(database.url) as store:
        store.create_session("ann", name="A parcel", owner="ann")
        store.set_session_state("ann", "running", "turn_1")
        store.append("ann", ChatMessage.assistant("It comes on Friday.", PAYLOAD))
        store.set_session_state("ann", "error", "turn_1")
    with engine.connect() as db:
        if database.name == "postgresql":
            types = {name: SHORT.get(kind, kind) for name, kind in db.execute(text(TYPES), {"view": view})}
        else:
            names = [str(its["name"]) for its in inspect(db).get_columns(view)]
            kinds = db.execute(select(*(func.typeof(column(name)) for name in names)).select_from(table(view))).one()
            types = dict(zip(names, kinds, strict=True))
    on_the_page = re.findall(r"^\| `(\w+)` \| ([\w ]+) \| (\w+) \|", part(heading), re.MULTILINE)

    assert f"`{view}`" in part(heading)
    assert [(name, kinds[database.name == "sqlite"]) for name, *kinds in on_the_page] == list(types.items())


def test_every_select_is_on_the_page() -> None:
    """With its columns in their order, and no other function."""
    on_the_page = re.findall(r"^\| `(\w+)\(.*?\)` \| (.*?) \|", part("## From Python"), re.MULTILINE)
    columns = {name: re.findall(r"`(\w+)`", told.partition(";")[0]) for name, told in on_the_page}
    selects = {name for name in analytics.__all__ if name.islower()} - {"create_indexes", "drop_indexes"}

    assert columns.keys() == selects
    assert columns == {name: getattr(analytics, name)().selected_columns.keys() for name in columns}
