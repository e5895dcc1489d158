"""A revision keeps every message: each is taken back and made again with a thousand of them in the database."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, event, text

from session_store import ChatMessage, SessionStore, migrations
from session_store.database import revisions
from session_store.search import index as search_index
from tests.conftest import Database
from tests.migrations.steps import configured

SESSIONS, EACH = 40, 25
REBUILD = re.compile(r"(DROP TABLE|RENAME TO|CREATE TABLE) \W?(_alembic_tmp_)?session_store_sessions\b")

ADDS_A_COLUMN = """
def upgrade():
    op.add_column("session_store_messages", sa.Column("planted", sa.Text()))

def downgrade():
    op.drop_column("session_store_messages", "planted")
"""
REBUILDS_THE_MESSAGES = """
from contextlib import contextmanager
from session_store.migrations import views_v1

@contextmanager
def rebuilt():
    for statement in views_v1.drop(op.get_context().dialect.name):
        op.execute(statement)
    with op.batch_alter_table("session_store_messages", recreate="always") as messages:
        yield messages
    for statement in views_v1.create(op.get_context().dialect.name):
        op.execute(statement)

def upgrade():
    with rebuilt() as messages:
        messages.add_column(sa.Column("planted", sa.Text()))

def downgrade():
    with rebuilt() as messages:
        messages.drop_column("planted")
"""
REBUILDS_THE_SESSIONS = REBUILDS_THE_MESSAGES.replace("session_store_messages", "session_store_sessions")
FORGETS_A_MESSAGE = """
def upgrade():
    op.execute("DELETE FROM session_store_messages WHERE seq = 7")

def downgrade():
    pass
"""


class Walk(NamedTuple):
    """What was seen on the way through the revisions."""

    steps: list[str]
    lost: list[str]
    rebuilt: list[str]


def planted(directory: Path, body: str) -> Path:
    """A folder with one more revision, behind the last one."""
    head = (
        f'import sqlalchemy as sa\nfrom alembic import op\nrevision = "ss_9001"\ndown_revision = "{revisions.HEAD}"\n'
    )
    Path(directory, "ss_9001_planted.py").write_text(head + body)
    return directory


def rows(engine: Engine) -> list[tuple[Any, ...]]:
    """Every message and state, by the columns that every revision has."""
    with engine.connect() as db:
        return [
            tuple(row)
            for statement in (
                "SELECT session_key, seq, role, content, payload, created_at FROM session_store_messages ORDER BY 1, 2",
                "SELECT session_key, seq, state, turn_id, entered_at FROM session_store_states ORDER BY 1, 2",
                "SELECT key, name, owner, last_activity, message_count FROM session_store_sessions ORDER BY 1",
            )
            for row in db.execute(text(statement))
        ]


@contextmanager
def all_statements() -> Iterator[list[str]]:
    """Every statement of every engine while this lasts."""
    seen: list[str] = []

    def note(_db: Connection, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


def walk(database: Database, engine: Engine, more: Path) -> Walk:
    """Fill a database, then take every revision but the first one back, and make it again, one by one."""
    config = configured(database)
    config.set_main_option("version_locations", f"{migrations.LOCATION}\n{more}")
    chain = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    store = SessionStore(engine)
    for session in range(SESSIONS):
        store.set_session_state(f"session_{session}", "running", "turn")
        payload = {"usage": {"output_tokens": session}, "text": "na\0ïve"}
        store.append_many(f"session_{session}", [ChatMessage("user", f"{n} 🙂", payload) for n in range(EACH)])
    before = rows(engine)
    assert len(before) == SESSIONS * (EACH + 2)

    steps = [
        *((command.downgrade, revision) for revision in chain[1:]),
        *((command.upgrade, revision) for revision in reversed(chain[:-1])),
    ]
    taken: list[str] = []
    lost: list[str] = []
    with all_statements() as statements:
        command.upgrade(config, "head")
        for step, revision in steps:
            step(config, revision)
            taken.append(f"{step.__name__} {revision}")
            if rows(engine) != before:
                lost.append(taken[-1])
    return Walk(taken, lost, [statement for statement in statements if REBUILD.search(statement)])


@pytest.mark.once
@pytest.mark.parametrize("planted_revision", [ADDS_A_COLUMN, REBUILDS_THE_MESSAGES], ids=["column", "rebuild"])
def test_every_revision_keeps_every_message(
    planted_revision: str, database: Database, engine: Engine, tmp_path: Path
) -> None:
    """All of ours, and one more behind them: nothing is lost on the way, and the sessions stay as they are."""
    walked = walk(database, engine, planted(tmp_path, planted_revision))

    assert (walked.steps[0], walked.steps[-1]) == (f"downgrade {revisions.HEAD}", "upgrade ss_9001")
    assert len(walked.steps) == 2 * len(list(migrations.scripts().walk_revisions()))
    assert (walked.lost, walked.rebuilt) == ([], [])


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_rebuild_of_the_sessions_is_noticed(
    database: Database, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite the old table goes with all that refers to it: the walk sees the statements, and the messages gone.

    Without the search index: with it SQLite refuses to drop the table.
    """
    monkeypatch.setenv(search_index.ENV_VAR, "off")
    search_index.drop(engine)
    walked = walk(database, engine, planted(tmp_path, REBUILDS_THE_SESSIONS))

    assert "DROP TABLE session_store_sessions" in [statement.strip() for statement in walked.rebuilt]
    assert walked.lost == walked.steps


def test_a_message_forgotten_is_noticed(database: Database, engine: Engine, tmp_path: Path) -> None:
    """The walk compares the rows, and not only how it went."""
    assert walk(database, engine, planted(tmp_path, FORGETS_A_MESSAGE)).lost != []
