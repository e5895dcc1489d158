"""A store as somebody finds it who is paged: made for each section of the runbook, with what is wrong there in it."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, create_engine, text

from session_store import ChatMessage, NewMessage, SessionStore
from session_store.search import index as search_index
from tests.documents import ROOT
from tests.ready import programs

FILE: Final = "sessions.db"

Bind = Path | URL


def store(bind: Bind) -> SessionStore:
    """A healthy store of four sessions: of this morning, of this spring, and one that is talked to now."""
    now = datetime.now(UTC)
    made = SessionStore.open(bind)
    for key, words, age in (
        ("web_old", ("Which size is it?", "It has one size."), timedelta(days=200)),
        ("telegram_ann", ("Where is my parcel?", "In Oslo.", "Thank you!"), timedelta(hours=6)),
        ("telegram_bo", ("Is the umbrella green?", "It is blue."), timedelta(hours=3)),
        ("web_cy", ("One kettle, please.",), timedelta(minutes=1)),
    ):
        made.append_many(
            key,
            [
                NewMessage((ChatMessage.assistant if number % 2 else ChatMessage.user)(said), now - age)
                for number, said in enumerate(words)
            ],
        )
    made.set_session_owner("telegram_ann", "ann")
    made.set_session_owner("telegram_bo", "bo")
    return made


def sql(file: Path, *statements: str) -> None:
    """What somebody did by hand."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def stuck(bind: Bind) -> None:
    """A process ended two hours ago, in the middle of two answers."""
    began = datetime.now(UTC) - timedelta(hours=2)
    with SessionStore(bind, clock=lambda: began) as made:
        made.set_session_state("telegram_ann", "running", "turn_7")
        made.set_session_state("telegram_bo", "running", "turn_3")
    with SessionStore(bind) as made:
        made.set_session_state("web_cy", "running", "turn_1")


def old_revision(file: Path) -> None:
    """A database of an earlier version."""
    url = f"url=sqlite:///{file}"
    arguments = ("alembic", "-c", ROOT / "alembic.ini", "-x", url, "downgrade", "ss_0002")
    subprocess.run([programs() / arguments[0], *arguments[1:]], cwd=file.parent, check=True, capture_output=True)


_READER: Final = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("BEGIN"); print(db.execute("SELECT count(*) FROM session_store_messages").fetchone(), flush=True)
sys.stdin.read()
"""


@contextmanager
def a_reader(file: Path) -> Iterator[dict[str, str]]:
    """Somebody reads an old state of the database and does not end."""
    command = [sys.executable, "-IS", "-c", _READER, file]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"(8,)\n"
        with SessionStore(file) as made:
            made.append("web_cy", ChatMessage.assistant("One kettle."))
        yield {"READER": str(reader.pid)}
        reader.terminate()


@contextmanager
def a_forgotten_transaction(url: URL) -> Iterator[dict[str, str]]:
    """Somebody has looked at a table of PostgreSQL, and left the transaction open."""
    engine = create_engine(url, isolation_level="REPEATABLE READ")
    with engine.connect() as db:
        db.execute(text("SELECT count(*) FROM session_store_messages"))
        time.sleep(1.1)
        yield {}
        # Somebody else has ended it.
        db.invalidate()
    engine.dispose()


def without_index(file: Path) -> None:
    """Somebody dropped the search index."""
    search_index.drop(file)


def with_a_stale_index(file: Path) -> None:
    """Somebody replaced a row behind the back of the index."""
    sql(
        file,
        """REPLACE INTO session_store_messages (id, session_key, seq, role, content, created_at)
        SELECT id, session_key, seq, role, 'It is red.', created_at FROM session_store_messages
        WHERE session_key = 'telegram_bo' AND seq = 2""",
    )


def wrong_heads(file: Path) -> None:
    """Somebody wrote to the heads by hand."""
    sql(
        file,
        "UPDATE session_store_sessions SET message_count = 7 WHERE key = 'telegram_ann'",
        "UPDATE session_store_sessions SET last_seq = 1 WHERE key = 'telegram_bo'",
    )


def orphans(file: Path) -> None:
    """Somebody deleted a session by hand, with foreign keys off."""
    sql(file, "PRAGMA foreign_keys = OFF", "DELETE FROM session_store_sessions WHERE key = 'telegram_bo'")


def without_pieces(file: Path) -> None:
    """Somebody dropped an index and a view, and turned the write-ahead log off."""
    sql(
        file,
        "DROP INDEX session_store_sessions_recency",
        "DROP VIEW session_store_v1_daily",
        "PRAGMA journal_mode = DELETE",
    )


def doubles(bind: Bind) -> None:
    """A client has repeated an append."""
    with SessionStore(bind) as made:
        made.append_many("telegram_ann", [ChatMessage.user("Hello?")] * 2)


PLANTED: Final[Mapping[str, Callable[[Any], AbstractContextManager[dict[str, str]] | None]]] = {
    "sessions-are-stuck": stuck,
    "the-schema-is-old": old_revision,
    "the-log-of-sqlite-grows": a_reader,
    "transactions-left-open-on-postgresql": a_forgotten_transaction,
    "search-finds-nothing-or-is-slow": without_index,
    "the-index-is-stale": with_a_stale_index,
    "session-rows-are-wrong": wrong_heads,
    "messages-without-a-session": orphans,
    "messages-are-stored-twice": doubles,
    "something-is-missing-beside-the-tables": without_pieces,
}
"""What is wrong where a section begins; nothing is in the others."""
