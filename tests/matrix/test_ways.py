"""Every way to migrate, from every form of the package, on both databases: as the documentation says it."""

import ast
import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine, inspect, text

from session_store import ChatMessage, SessionStore, migrations
from session_store.database.revisions import HEAD, VERSION_TABLE
from session_store.search import fts5
from tests.conftest import Database
from tests.documents import ROOT, Shell, follow, sections
from tests.hosts import contents
from tests.matrix.environments import KINDS, Environment, Workshop

SECTIONS = {section.name: section for section in sections(ROOT / "docs" / "migrate.md")}
WAYS = {
    "i": "our-alembicini",
    "ii-a": "a-branch-of-your-run",
    "ii-b": "one-call-in-your-envpy",
    "iii": "only-the-package",
}
"""The ways, by the section of the page that says how to go them."""

CELLS = list(itertools.product(KINDS, WAYS, ["sqlite", "postgresql"]))
SAMPLE = [
    ("editable", "i", "sqlite"),
    ("wheel", "ii-a", "postgresql"),
    ("sdist-wheel", "ii-b", "sqlite"),
    ("wheel", "iii", "postgresql"),
]
"""Four cells, in which each form, each way and each database comes."""

OURS = {"session_store_sessions", "session_store_messages", "session_store_states"}
HOST = "alembic_version"
VERSIONS = {
    "i": {VERSION_TABLE: {HEAD}},
    "ii-a": {HOST: {HEAD, "shop_0002"}},
    "ii-b": {VERSION_TABLE: {HEAD}, HOST: {"shop_0001"}},
    "iii": {VERSION_TABLE: {HEAD}},
}
"""The version tables of each way and what is in them."""

UPGRADE = {
    "i": "alembic upgrade head",
    "ii-a": "alembic upgrade heads",
    "ii-b": "alembic upgrade head",
    "iii": "python -m session_store.migrations upgrade",
}
PROPOSE = "alembic revision --autogenerate -m nothing --rev-id shop_0009"
"""Ends with an error if the database is behind; the revision is to be empty."""


class Reader:
    """Somebody who goes a way: with an environment, in a directory, on a database."""

    def __init__(self, way: str, installed: Environment, url: str, directory: Path) -> None:
        self.way = way
        self.directory = directory / "reader"
        self.directory.mkdir()
        self.variables = installed.variables(DATABASE_URL=url)
        self.stand_alone = directory / "stand-alone"
        shutil.copytree(installed.source / "alembic", self.stand_alone / "alembic")
        shutil.copy(installed.source / "alembic.ini", self.stand_alone)

    def follows_the_page(self) -> None:
        """Do what the section says."""
        follow(SECTIONS[WAYS[self.way]].blocks, self.directory, self.variables)

    def runs(self, command: str, directory: Path | None = None) -> str:
        """Run a command, which must succeed; what it prints."""
        variables = {**self.variables, "SESSION_STORE_DATABASE_URL": self.variables["DATABASE_URL"]}
        with Shell(directory or self.directory, variables) as shell:
            code, printed, told = shell.run(command)
        assert code == 0, f"$ {command}\n{printed}{told}"
        return printed

    def upgrades(self) -> None:
        """Migrate by the way chosen."""
        self.runs(UPGRADE[self.way])

    def takes_ours_out(self) -> None:
        """Take back our revisions, by the host's branch or by our own files."""
        if self.way == "ii-a":
            self.runs("alembic downgrade session_store@base")
        else:
            self.runs("alembic downgrade base", self.stand_alone)


@contextmanager
def looking(url: str) -> Iterator[Engine]:
    """A way into the database from here."""
    engine = create_engine(url, poolclass=NullPool)
    yield engine
    engine.dispose()


def tables(engine: Engine) -> set[str]:
    """The tables there are, but for those of the search index."""
    return set(inspect(engine).get_table_names()) - set(fts5.TABLES)


def versions(engine: Engine) -> dict[str, set[str]]:
    """What every version table says."""
    with engine.connect() as db:
        return {
            name: set(db.scalars(text(f"SELECT version_num FROM {name}")))  # noqa: S608 - one of two names
            for name in tables(engine) & {VERSION_TABLE, HOST}
        }


def kept(engine: Engine) -> list[Any]:
    """All that is in the tables of ours."""
    with engine.connect() as db:
        return contents(db)


def order(engine: Engine) -> None:
    """Write a row of the host's."""
    with engine.begin() as db:
        db.execute(text("INSERT INTO orders VALUES (4711)"))


def orders(engine: Engine) -> list[int]:
    """The rows of the host's."""
    with engine.connect() as db:
        return list(db.scalars(text("SELECT number FROM orders")))


def said(engine: Engine) -> list[str]:
    """What is in the reader's session."""
    return [message.content for message in SessionStore(engine).load("web_bo")]


@pytest.mark.matrix
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "way", "empty_database"),
    [
        pytest.param(*cell, id="-".join(cell), marks=[pytest.mark.matrix_sample] if cell in SAMPLE else [])
        for cell in CELLS
    ],
    indirect=["empty_database"],
)
def test_a_way_leads_there_and_back(
    kind: str, way: str, empty_database: Database, workshop: Workshop, tmp_path: Path
) -> None:
    """As documented, from an installed package: the tables are made, carried on by the other ways, and taken back.

    What is the host's stays as it is, and what is ours stays while the host's revisions go down and up.
    """
    drivername = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[empty_database.name]
    url = empty_database.url.set(drivername=drivername).render_as_string(hide_password=False)
    installed = workshop.environment(kind, "", "psycopg[binary]")
    reader = Reader(way, installed, url, tmp_path)
    where = Path(reader.runs("python -c 'import session_store; print(session_store.__file__)'").strip())
    assert where.is_relative_to(ROOT if kind == "editable" else installed.directory)

    with looking(url) as engine:
        reader.follows_the_page()
        its_own = {"orders"} if way.startswith("ii-") else set()
        assert tables(engine) == OURS | VERSIONS[way].keys() | its_own
        assert (versions(engine), migrations.check(engine), said(engine)) == (VERSIONS[way], [], ["Hello"])

        is_carried_on(engine, reader)
        if its_own:
            host_goes_its_way(engine, reader)
        else:
            with engine.begin() as db:
                db.execute(text("CREATE TABLE orders (number integer)"))
        order(engine)
        reader.takes_ours_out()
        assert (tables(engine) & OURS, orders(engine)) == (set(), [4711])
        assert set(fts5.TABLES).isdisjoint(inspect(engine).get_table_names())
        assert HEAD not in set().union(*versions(engine).values())
        reader.upgrades()
        assert (versions(engine), migrations.check(engine), orders(engine)) == (VERSIONS[way], [], [4711])
        assert SessionStore(engine).append("web_bo", ChatMessage.user("Hello")).seq == 1


def is_carried_on(engine: Engine, reader: Reader) -> None:
    """What this way has made the others find up to date, and they change nothing; a store opened on it goes on."""
    before = versions(engine), kept(engine), tables(engine)
    assert reader.runs("python -m session_store.migrations upgrade") == f"{HEAD} (head)\n"
    if reader.way != "ii-a":
        reader.runs("alembic upgrade head", reader.stand_alone)
    assert (versions(engine), kept(engine), tables(engine)) == before

    with SessionStore.open(engine.url) as store:
        assert store.append("web_bo", ChatMessage.assistant("Hello to you")).seq == 2


def host_goes_its_way(engine: Engine, reader: Reader) -> None:
    """The host's Alembic proposes nothing about us, and going down and up again leaves all of ours."""
    before = kept(engine)
    branch, head = (" --head shop@head", "shop@base") if reader.way == "ii-a" else ("", "base")
    reader.runs(PROPOSE + branch)
    (proposed,) = reader.directory.glob("migrations/versions/shop_0009*")
    assert body(proposed) == ["Pass"]
    proposed.unlink()
    assert reader.runs("alembic check") == "No new upgrade operations detected.\n"

    reader.runs(f"alembic downgrade {head}")
    assert (tables(engine) >= OURS, "orders" in tables(engine), kept(engine)) == (True, False, before)
    reader.upgrades()
    assert (versions(engine), kept(engine)) == (VERSIONS[reader.way], before)


def body(revision: Path) -> list[str]:
    """The kinds of the statements by which a revision upgrades."""
    functions = [node for node in ast.parse(revision.read_text()).body if isinstance(node, ast.FunctionDef)]
    (upgrade,) = [function for function in functions if function.name == "upgrade"]
    without_docstring = upgrade.body[1:] if ast.get_docstring(upgrade) else upgrade.body
    return [type(statement).__name__ for statement in without_docstring]


def test_the_sample_has_one_of_each_kind() -> None:
    """In the four cells of every run each form of the package, each way and each database comes."""
    assert set(SAMPLE) <= set(CELLS)
    assert [set(column) for column in zip(*SAMPLE, strict=True)] == [set(column) for column in zip(*CELLS, strict=True)]
