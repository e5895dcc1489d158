"""What the tests here do and ask again and again."""

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from alembic.config import Config
from sqlalchemy import Engine, inspect

from session_store import ChatMessage
from session_store.search import fts5
from tests.conftest import Database

ROOT = Path(__file__).parent.parent.parent
HELLO = ChatMessage.user("Hello")
KEY = "telegram_ann"

OURS = {"session_store_sessions", "session_store_messages", "session_store_states"}


def alembic(*arguments: str, directory: Path = ROOT, **environment: str) -> str:
    """Run Alembic's command in a checkout, which must succeed, and say what it printed."""
    kept = {name: value for name, value in os.environ.items() if name != "SESSION_STORE_DATABASE_URL"}
    program = [sys.executable, "-m", "alembic", *arguments]
    ended = subprocess.run(program, cwd=directory, env=kept | environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def configured(database: Database) -> Config:
    """What gives Alembic's commands, called in this process, their database."""
    return Config(str(ROOT / "alembic.ini"), cmd_opts=Namespace(x=[f"url={database}"]))


def tables(engine: Engine) -> set[str]:
    """The tables there are, but for those of the search index."""
    return set(inspect(engine).get_table_names()) - set(fts5.TABLES)
