"""What the package sends and writes, kept as files: a change of it shows as a diff, and a refactoring shows as none.

``SESSION_STORE_GOLDEN=write`` rewrites the files. The public names are in ``tests/public_api.txt``, the help of each
command in ``docs/commands.md``.
"""

import difflib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from session_store import ChatMessage, NewMessage, SessionQuery, SessionStore, migrations
from session_store.testing import Clock
from session_store.transfer import export_csv, export_jsonl, import_jsonl
from tests.command_line import Command, running_in
from tests.conftest import Database
from tests.processes import ROOT

FOLDER = Path(__file__).parent
WRITE = os.environ.get("SESSION_STORE_GOLDEN") == "write"

USER = ChatMessage.user("where is my order?", {"model": "a", "usage": {"input_tokens": 3}})
REPLY = ChatMessage.assistant("It has left the warehouse.", {"tool_calls": [{"id": 1, "name": "track"}]})

LINES = b"""\
{"session_key": "imported", "role": "user", "content": "hello", "created_at": "2026-01-01T00:00:00+00:00"}
{"session_key": "imported", "role": "assistant", "content": "hi", "created_at": "2026-01-01T00:00:01+00:00"}
"""


class Recorder:
    """Every statement that any engine sends, with its parameters, under a heading for each call."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def heading(self, name: str) -> None:
        """Begin the statements of a call."""
        self.lines += ["", f"## {name}"]

    def statement(self, sql: str, parameters: Any) -> None:
        """Keep a statement."""
        self.lines += sql.rstrip().splitlines()
        if parameters:
            self.lines.append(f"    {parameters!r}")

    def text(self) -> str:
        """Return what was recorded."""
        return "\n".join(self.lines).lstrip("\n") + "\n"


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record the statements of every engine."""
    recorder = Recorder()

    def listen(_c: Any, _cursor: Any, sql: str, parameters: Any, _context: Any, executemany: bool) -> None:  # noqa: FBT001
        recorder.statement(sql + ("\n    for each of" if executemany else ""), parameters)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        yield recorder
    finally:
        event.remove(Engine, "before_cursor_execute", listen)


def agree(name: str, text: str) -> None:
    """Compare with a golden file, or write it."""
    path = FOLDER / name
    if WRITE:
        path.write_text(text)
    old = path.read_text() if path.exists() else ""
    diff = "".join(difflib.unified_diff(old.splitlines(keepends=True), text.splitlines(keepends=True), name, "now"))
    assert old == text, f"{diff}\nIf this is meant, SESSION_STORE_GOLDEN=write rewrites the file."


def calls(store: SessionStore, clock: Clock) -> Iterator[tuple[str, Any]]:
    """Every call of the store, in an order in which each finds something to do; its name, and a function that does it.

    The clock goes on by an hour after each.
    """
    everything = {
        "create_session": lambda: store.create_session("a", name="A", owner="ann", attributes={"plan": "free"}),
        "create_session, which exists": lambda: store.create_session("a"),
        "append": lambda: store.append("a", USER),
        "append, idempotent": lambda: store.append("a", REPLY, idempotency_key="k", created_at=clock()),
        "append, the same": lambda: store.append("a", REPLY, idempotency_key="k", created_at=clock()),
        "append, to a new session": lambda: store.append("b", USER),
        "append_many": lambda: store.append_many("b", [USER, NewMessage(REPLY, idempotency_key="m"), USER]),
        "append_many, of nothing": lambda: store.append_many("b", []),
        "load": lambda: store.load("b"),
        "load, last": lambda: store.load("b", last=2),
        "history": lambda: store.history("b"),
        "history, of a window": lambda: store.history("b", after_seq=1, before_seq=4, limit=1),
        "iter_history": lambda: list(store.iter_history("b", batch=2)),
        "session_exists": lambda: store.session_exists("b"),
        "get_session_metadata": lambda: store.get_session_metadata("a"),
        "list_sessions": store.list_sessions,
        "list_sessions, of an owner": lambda: store.list_sessions(SessionQuery(owner="ann", limit=3)),
        "list_sessions, by a keyword": lambda: store.list_sessions(SessionQuery(keyword="order")),
        "list_sessions_with_metadata": lambda: store.list_sessions_with_metadata(
            SessionQuery(state="idle", attributes={"plan": "free"}, active_since=clock() - timedelta(days=1))
        ),
        "list_sessions_with_metadata, a page": lambda: store.list_sessions_with_metadata(
            SessionQuery(after=store.list_sessions_with_metadata()[0].cursor, limit=1)
        ),
        "count_sessions": lambda: store.count_sessions(SessionQuery(active_before=clock())),
        "count_sessions, by a keyword": lambda: store.count_sessions(SessionQuery(keyword="order")),
        "search, a word": lambda: store.search(SessionQuery(keyword="order", limit=2)),
        "search, two words": lambda: store.search(SessionQuery(keyword="where order")),
        "search, a phrase": lambda: store.search(SessionQuery(keyword='"my order"')),
        "search, a prefix": lambda: store.search(SessionQuery(keyword="ware*", owner="ann")),
        "search, without": lambda: store.search(SessionQuery(keyword="order -warehouse")),
        "search, one or the other": lambda: store.search(SessionQuery(keyword="missing OR warehouse")),
        "search, beyond ASCII": lambda: store.search(SessionQuery(keyword="größe")),
        "search_messages": lambda: store.search_messages("order"),
        "search_messages, of a session": lambda: store.search_messages("order", key="b", role="user", limit=1),
        "search_messages, in time": lambda: store.search_messages(
            '"my order"', since=clock() - timedelta(days=9), until=clock()
        ),
        "set_session_name": lambda: store.set_session_name("a", "Anna"),
        "get_session_name": lambda: store.get_session_name("a"),
        "set_session_owner": lambda: store.set_session_owner("b", "ben"),
        "set_session_attributes": lambda: store.set_session_attributes("b", {"plan": "paid", "seats": 3}),
        "set_session_state": lambda: store.set_session_state("a", "running", "t1"),
        "set_session_state, if turn": lambda: store.set_session_state("a", "waiting", "t1", if_turn="t1"),
        "set_session_state, another turn": lambda: store.set_session_state("a", "idle", if_turn="t9"),
        "set_session_state, running": lambda: store.set_session_state("a", "running", "t2"),
        "get_session_state": lambda: store.get_session_state("a"),
        "list_running_sessions": store.list_running_sessions,
        "list_stuck_sessions": lambda: store.list_stuck_sessions(60.0),
        "recover_stuck": lambda: store.recover_stuck(60.0),
        "update_last": lambda: store.update_last("b", ChatMessage.user("thanks")),
        "remove_last": lambda: store.remove_last("b"),
        "pop_last": lambda: store.pop_last("b"),
        "compact": lambda: store.compact("a"),
        "compact, to look": lambda: store.compact("a", dry_run=True),
        "trim, to look": lambda: store.trim("b", keep_last=1, dry_run=True),
        "trim": lambda: store.trim("b", keep_last=1),
        "trim, before": lambda: store.trim("b", before=clock() - timedelta(days=30)),
        "clear_messages": lambda: store.clear_messages("b"),
        "prune_states": lambda: store.prune_states(clock()),
        "cleanup_stale, to look": lambda: store.cleanup_stale(24.0 * 365, dry_run=True),
        "cleanup_stale": lambda: store.cleanup_stale(24.0 * 365),
        "health": store.health,
        "begin": lambda: in_one_transaction(store),
        "import_jsonl": lambda: import_jsonl(store, [io.BytesIO(LINES)]),
        "export_jsonl": lambda: export_jsonl(store, io.BytesIO()),
        "delete_session": lambda: store.delete_session("a"),
        "delete_sessions": lambda: store.delete_sessions(owner="ben"),
    }
    yield from everything.items()


def in_one_transaction(store: SessionStore) -> None:
    """Append and set the state, together."""
    with store.begin() as transaction:
        transaction.append("c", USER)
        transaction.set_session_state("c", "running", "t3")
        transaction.load("c")


def test_every_call_sends_what_it_sent(database: Database, clock: Clock) -> None:
    """The statements and parameters of a call change only on purpose."""
    with SessionStore(database.url, clock=clock) as store:
        store.session_exists("warm")
        with recording() as recorder:
            for name, call in calls(store, clock):
                recorder.heading(name)
                call()
                clock.advance(3600)

    agree(f"sql_{database.name}.txt", recorder.text())


def test_the_revisions_make_the_tables_they_made(empty_database: Database) -> None:
    """An upgrade of an empty database sends the DDL that it sent."""
    with recording() as recorder:
        migrations.upgrade(empty_database.url)

    ddl = re.compile(r"(?ms)^(CREATE|ALTER|DROP|INSERT|COMMENT|UPDATE) .*?(?=^(?:[A-Z]{4,} )|\Z)")
    agree(f"ddl_{empty_database.name}.sql", "".join(match.group() for match in ddl.finditer(recorder.text())))


DDL_OF_THE_MODELS = """
import sys
from sqlalchemy import create_mock_engine
from session_store.models import Base, indexes
engine = create_mock_engine(sys.argv[1], lambda ddl, *_: print(ddl.compile(dialect=engine.dialect)))
for table in Base.metadata.sorted_tables:
    table.indexes = sorted(table.indexes, key=lambda index: index.name)
Base.metadata.create_all(engine, checkfirst=False)
"""


@pytest.mark.parametrize("url", ["sqlite://", "postgresql+psycopg://"])
def test_the_models_make_the_tables_they_made(url: str) -> None:
    """``create_all`` of the models sends the DDL that it sent."""
    # In a process of its own: other tests put tables of an application into the same metadata.
    ddl = subprocess.check_output([sys.executable, "-c", DDL_OF_THE_MODELS, url], cwd=ROOT, text=True)

    agree(f"models_{url.partition(':')[0].partition('+')[0]}.sql", ddl)


@pytest.fixture
def filled(database: Database, clock: Clock) -> Database:
    """A database with two sessions in it."""
    with SessionStore(database.url, clock=clock) as store:
        store.create_session("a", name="A", owner="ann", attributes={"plan": "free"})
        store.append_many("a", [USER, NewMessage(REPLY, idempotency_key="k")])
        store.set_session_state("a", "running", "t1")
        store.append("a", ChatMessage.tool('{"at": "depot", "größe": "1\u2028"}'))
        store.append("b", ChatMessage.system("Be brief."))
    return database


def test_an_export_writes_what_it_wrote(filled: Database) -> None:
    """The lines of an export are a format: others read them."""
    with SessionStore(filled.url) as store:
        lines, table = io.BytesIO(), io.BytesIO()
        export_jsonl(store, lines)
        export_csv(store, table)

    agree("export.jsonl", lines.getvalue().decode())
    agree("messages.csv", table.getvalue().decode().replace("\r\n", "\n"))


COMMANDS = (
    ("list",),
    ("show", "a"),
    ("search", "order"),
    ("running",),
    ("stuck", "--longer-than", "1s"),
    ("state", "a"),
    ("stats",),
    ("doctor",),
    ("rename", "a", "Anna"),
    ("label", "a", "plan=paid"),
    ("compact", "a"),
    ("trim", "a", "--keep-last", "1", "--dry-run"),
    ("cleanup", "--older-than", "1h", "--dry-run"),
    ("index", "status"),
    ("delete", "b", "--yes"),
)


@pytest.mark.once
def test_json_output_has_the_names_it_had(
    filled: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Scripts read ``--json``: the names in it, and the kinds of their values, stay."""
    command: Command = running_in(tmp_path, capsys, monkeypatch)
    shapes = []
    for words in COMMANDS:
        done = command(*words, "--json", "--db", str(filled))
        lines = {json.dumps(shape(json.loads(line))) for line in done.out.splitlines()}
        shapes.append("\n".join([f"## {' '.join(words)}: exit code {done.code}", *sorted(lines), ""]))

    agree(f"json_output_{filled.name}.txt", "\n".join(shapes))


def shape(value: Any) -> Any:
    """Return JSON with the kinds of its values in place of them."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return type(value).__name__
