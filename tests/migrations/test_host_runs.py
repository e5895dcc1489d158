"""Our revisions in a host's own Alembic run: as a branch of it, or by one call in its ``env.py``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Engine, MetaData, text
from sqlalchemy.dialects import postgresql, sqlite

from session_store import ChatMessage, SchemaOutOfDate, SessionStore, StoreError, migrations
from session_store.database import revisions
from session_store.migrations import views_v1
from session_store.models.indexes import METADATA
from session_store.search import fts5
from tests.conftest import Database
from tests.hosts import HOST, NOTES, host_engine
from tests.migrations.steps import OURS, tables

HELLO = ChatMessage.user("hello")

ENV = """
from alembic import context
from sqlalchemy import NullPool, create_engine
from session_store import migrations
from tests.hosts import NOTES

engine = create_engine(context.config.get_main_option("url"), poolclass=NullPool)
options = {{
    "target_metadata": NOTES,
    "include_object": migrations.include_object,
    "render_item": migrations.render_item,
    **{options},
}}
with engine.connect() as connection:
    {before}
    context.configure(connection=connection, **options)
    with context.begin_transaction():
        {within}
        context.run_migrations()
"""
"""What a host's ``env.py`` comes down to, with a place for a call before Alembic is configured and one after it."""

TEMPLATE = """
from alembic import op
import sqlalchemy as sa
${imports}

revision, down_revision = ${repr(up_revision)}, ${repr(down_revision)}

def upgrade():
    ${upgrades}

def downgrade():
    ${downgrades}
"""

REVISION = """
import sqlalchemy as sa
from alembic import op
from session_store import migrations

revision, down_revision, depends_on = "{revision}", {down}, {depends_on}

def upgrade():
    op.create_table("host_{revision}", sa.Column("id", sa.Integer, primary_key=True))
    {more}

def downgrade():
    op.drop_table("host_{revision}")
"""


class Host:
    """A host's Alembic: its folder, and the commands on one database."""

    def __init__(self, directory: Path, database: Database) -> None:
        self._directory = directory
        self.engine = host_engine(database)
        self.config = Config()
        self.config.set_main_option("script_location", str(directory))
        self.config.set_main_option("path_separator", "newline")
        self.config.set_main_option("url", self.engine.url.render_as_string(hide_password=False).replace("%", "%%"))
        Path(directory, "versions").mkdir()
        Path(directory, "script.py.mako").write_text(TEMPLATE)
        self.env()

    def env(self, *, before: str = "pass", within: str = "pass", **options: Any) -> None:
        """Write its ``env.py``."""
        Path(self._directory, "env.py").write_text(ENV.format(before=before, within=within, options=options))

    def revision(
        self, name: str, *, down: str | None = None, depends_on: str | None = None, more: str = "pass"
    ) -> None:
        """Write a revision of its own, which makes a table."""
        body = REVISION.format(revision=name, down=repr(down), depends_on=repr(depends_on), more=more)
        Path(self._directory, "versions", f"{name}.py").write_text(body)

    def carries_our_branch(self, separator: str = "newline") -> None:
        """Name our revisions beside its own."""
        between = {"newline": "\n", "space": " ", "os": ":"}[separator]
        self.config.set_main_option("path_separator", separator)
        self.config.set_main_option(
            "version_locations", between.join([str(self._directory / "versions"), migrations.LOCATION])
        )

    def tables(self) -> set[str]:
        """All tables there are, but for those of the search index."""
        return tables(self.engine)

    def versions(self, table: str = "alembic_version") -> set[str]:
        """What a version table says."""
        with self.engine.connect() as db:
            return set(db.scalars(text(f"SELECT version_num FROM {table}")))  # noqa: S608 - a name of this test


@pytest.fixture
def host(empty_database: Database, tmp_path: Path) -> Iterator[Host]:
    """A host with a revision of its own, on a database with nothing in it."""
    directory = tmp_path / "host"
    directory.mkdir()
    host = Host(directory, empty_database)
    host.revision("h1")
    yield host
    host.engine.dispose()


# As a branch.


def test_a_branch_of_the_host_s_run(host: Host) -> None:
    """Both chains go up by one command; each goes down alone and leaves the other's tables with their rows."""
    host.carries_our_branch()
    command.upgrade(host.config, "heads")
    store = SessionStore(host.engine)
    store.append("a", HELLO)
    assert host.tables() == OURS | {"alembic_version", "host_h1"}
    assert host.versions() == {"h1", revisions.HEAD}
    assert store.health().schema == revisions.HEAD

    command.downgrade(host.config, "h1@base")
    assert host.tables() == OURS | {"alembic_version"}
    assert store.load("a") == [HELLO]
    command.upgrade(host.config, "heads")
    with host.engine.begin() as db:
        db.execute(text("INSERT INTO host_h1 VALUES (7)"))
    command.downgrade(host.config, "session_store@base")
    assert host.tables() == {"alembic_version", "host_h1"}
    with host.engine.connect() as db:
        assert db.scalars(text("SELECT id FROM host_h1")).all() == [7]


@pytest.mark.parametrize("name", ["alembic_version", "host_versions"])
def test_whatever_it_calls_its_version_table(host: Host, name: str) -> None:
    """The revision is found in the host's version table, and none of ours is made beside it."""
    host.carries_our_branch()
    host.env(version_table=name)
    with host.engine.begin() as db:
        # What only looks like one.
        db.execute(text("CREATE TABLE editions (version_num integer)"))
        db.execute(text("CREATE TABLE books (version_num varchar(9), title text)"))
    command.upgrade(host.config, "heads")
    migrations.upgrade(host.engine)

    assert host.tables() == OURS | {name, "host_h1", "editions", "books"}
    assert host.versions(name) == {"h1", revisions.HEAD}
    assert migrations.current(host.engine) == SessionStore(host.engine).health().schema == revisions.HEAD


def test_a_revision_that_depends_on_ours(host: Host) -> None:
    """Alembic then keeps no row for ours: the tables tell what they are at, and nothing is made twice."""
    host.carries_our_branch()
    host.revision("h2", down="h1", depends_on=revisions.HEAD)
    command.upgrade(host.config, "heads")
    store = SessionStore(host.engine)
    store.append("a", HELLO)

    assert host.versions() == {"h2"}
    for upgrade in (lambda: migrations.upgrade(host.engine), lambda: command.upgrade(host.config, "heads")):
        upgrade()
        assert migrations.current(host.engine) == revisions.HEAD
        assert migrations.check(host.engine) == []
        assert (store.health().schema, store.load("a")) == (None, [HELLO])
        assert host.versions() == {"h2"}
    assert revisions.VERSION_TABLE not in host.tables()

    with host.engine.begin() as db:
        for statement in views_v1.drop(db.dialect.name):
            db.execute(text(statement))
        db.execute(text("DROP INDEX session_store_sessions_owner_recency"))
        db.execute(text("ALTER TABLE session_store_sessions DROP COLUMN owner"))
    assert migrations.current(host.engine) is None
    with pytest.raises(StoreError, match="alembic upgrade heads"):
        migrations.upgrade(host.engine)
    with pytest.raises(SchemaOutOfDate):
        store.list_sessions_with_metadata()


def test_a_branch_that_is_missing_is_told(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut in two at the colon, the location leads nowhere, and only `require_branch` notices."""
    monkeypatch.chdir(tmp_path)
    host.carries_our_branch("os")
    command.upgrade(host.config, "heads")
    assert host.tables() == {"alembic_version", "host_h1"}

    host.env(before="migrations.require_branch(context.script)")
    with pytest.raises(StoreError, match=r"'migrations/versions'.*path_separator = newline"):
        command.upgrade(host.config, "heads")
    host.revision("h2", down="h1", depends_on=revisions.HEAD)
    with pytest.raises(StoreError, match=r"'migrations/versions'.*path_separator = newline"):
        command.upgrade(host.config, "heads")
    for separator in ("newline", "space"):
        host.carries_our_branch(separator)
        command.upgrade(host.config, "heads")
    assert host.tables() > OURS


def test_a_branch_that_is_older_is_told(tmp_path: Path) -> None:
    """Revisions copied into the host from an older version are not those this package needs."""
    Path(tmp_path, "ss_0000.py").write_text('revision, down_revision = "ss_0000", None')

    with pytest.raises(StoreError, match=revisions.HEAD):
        migrations.require_branch(ScriptDirectory(str(tmp_path), version_locations=[str(tmp_path)]))
    migrations.require_branch(migrations.scripts())


# As one call.


@pytest.mark.parametrize("place", ["before", "within"])
def test_one_call_in_env_py(host: Host, place: str) -> None:
    """The host keeps a single head of its own; ours is committed even when the host has nothing to do."""
    call = {place: "migrations.upgrade(connection)"}
    host.env(**call)
    for _ in range(2):
        command.upgrade(host.config, "head")
        assert host.tables() == OURS | {"alembic_version", revisions.VERSION_TABLE, "host_h1"}
        assert (host.versions(), host.versions(revisions.VERSION_TABLE)) == ({"h1"}, {revisions.HEAD})
    SessionStore(host.engine).append("a", HELLO)

    command.downgrade(host.config, "base")
    assert host.tables() == OURS | {"alembic_version", revisions.VERSION_TABLE}
    assert SessionStore(host.engine).load("a") == [HELLO]


@pytest.mark.parametrize("place", ["before", "within"])
def test_ours_alone_is_kept(host: Host, place: str) -> None:
    """The call is added to a host whose own revisions are all there already."""
    command.upgrade(host.config, "head")
    host.env(**{place: "migrations.upgrade(connection)"})
    command.upgrade(host.config, "head")

    assert SessionStore(host.engine).health().schema == revisions.HEAD


def test_within_a_revision_it_leaves_the_host_s_operations(host: Host) -> None:
    """Not where it belongs, but the revision that calls it goes on with its own operations."""
    table = "op.create_table('host_after', sa.Column('id', sa.Integer))"
    host.revision("h2", down="h1", more=f"migrations.upgrade(op.get_bind()); {table}")
    command.upgrade(host.config, "head")

    assert host.tables() == OURS | {"alembic_version", revisions.VERSION_TABLE, "host_h1", "host_h2", "host_after"}
    assert migrations.check(host.engine) == []


def test_a_host_s_run_that_fails_leaves_ours_whole(host: Host) -> None:
    """Ours is there as a whole or not at all, whatever becomes of the host's own."""
    host.revision("h2", down="h1", more="raise RuntimeError('the host failed')")
    host.env(before="migrations.upgrade(connection)")
    with pytest.raises(RuntimeError):
        command.upgrade(host.config, "head")

    assert migrations.check(host.engine) == []
    assert migrations.current(host.engine) == revisions.HEAD


# What autogenerate sees.


def differences(engine: Engine, metadata: MetaData, **options: Any) -> list[Any]:
    """What a host's autogenerate would write down."""
    with engine.connect() as db:
        return compare_metadata(MigrationContext.configure(db, opts=options), metadata)


def test_autogenerate_leaves_ours_alone(host: Host) -> None:
    """It wants to drop our tables, of revisions to come too, unless it is told; the host's own it still sees."""
    migrations.upgrade(host.engine)
    with host.engine.begin() as db:
        db.execute(text("CREATE TABLE session_store_of_tomorrow (id integer)"))
        db.execute(text("CREATE INDEX session_store_sessions_mine ON session_store_sessions (name)"))
    dropped = {difference[1].name for difference in differences(host.engine, MetaData()) if "table" in difference[0]}
    assert dropped - set(fts5.TABLES) == OURS | {revisions.VERSION_TABLE, "session_store_of_tomorrow"}

    assert differences(host.engine, MetaData(), include_object=migrations.include_object) == []
    assert differences(host.engine, METADATA, include_object=migrations.include_object) == []
    (added,) = differences(host.engine, HOST, include_object=migrations.include_object)
    assert (added[0], added[1].name) == ("add_table", "host_orders")
    HOST.create_all(host.engine)
    assert differences(host.engine, HOST, include_object=migrations.include_object) == []
    with host.engine.begin() as db:
        db.execute(text("DROP TABLE host_orders"))
        db.execute(text("CREATE TABLE host_orders (id integer PRIMARY KEY, note text, extra text)"))
    found = str(differences(host.engine, HOST, include_object=migrations.include_object))
    assert all(difference in found for difference in ("add_column", "remove_column", "add_fk"))


def test_generated_revisions_need_no_import_of_ours(host: Host) -> None:
    """Our column types in a host's table are spelled in plain SQLAlchemy, and make the same columns."""
    command.upgrade(host.config, "head")
    written = command.revision(host.config, "notes", autogenerate=True)
    assert isinstance(written, Script)
    assert "session_store" not in Path(written.path).read_text()

    command.upgrade(host.config, "head")
    made = MetaData()
    made.reflect(host.engine, only=["host_notes"])
    dialect: Any = {"sqlite": sqlite, "postgresql": postgresql}[host.engine.dialect.name].dialect()
    as_made, as_declared = (
        [(column.name, column.type.compile(dialect), column.nullable) for column in metadata.tables["host_notes"].c]
        for metadata in (made, NOTES)
    )
    assert as_made == as_declared
    assert differences(host.engine, NOTES, include_object=migrations.include_object) == []


def test_two_heads_are_told_by_alembic(host: Host) -> None:
    """With our branch the word is ``heads``: Alembic refuses ``head``, and does nothing."""
    host.carries_our_branch()
    with pytest.raises(CommandError, match="Multiple head"):
        command.upgrade(host.config, "head")
    assert OURS.isdisjoint(host.tables())
