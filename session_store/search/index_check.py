"""Compare the FTS5 index with a sample of the messages, without writing.

FTS5's own integrity check is a statement that writes, and reads everything. Instead, a sample is indexed again in
memory, with the statement that created the index, and the two are compared.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import text

from session_store.models.models import MESSAGES
from session_store.search.fts5 import REBUILD, TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

_NEWEST: Final = 500
_SPREAD: Final = 500
MAX_TEXT_LENGTH: Final = 20_000
"""In characters; longer messages are not sampled."""
_MAX_TERMS: Final = 64

_COUNTS: Final = text(f"""
    SELECT
        (SELECT count(*) FROM {MESSAGES.name}) AS messages,
        (SELECT count(*) FROM {MESSAGES.name} AS m WHERE m.id NOT IN (SELECT id FROM {TABLE}_docsize)) AS missing,
        (SELECT count(*) FROM {TABLE}_docsize AS d WHERE d.id NOT IN (SELECT id FROM {MESSAGES.name})) AS too_many
""")  # noqa: S608 - names of our own
_SAMPLE: Final = text(f"""
    SELECT m.id, m.content, d.sz FROM {MESSAGES.name} AS m LEFT JOIN {TABLE}_docsize AS d ON d.id = m.id
    WHERE length(m.content) <= {MAX_TEXT_LENGTH} AND m.id IN (
        SELECT id FROM (SELECT id FROM {MESSAGES.name} ORDER BY id DESC LIMIT {_NEWEST})
        UNION
        SELECT (SELECT min(o.id) FROM {MESSAGES.name} AS o WHERE o.id >= place.value) FROM json_each(:places) AS place
    )
""")  # noqa: S608
_HAS: Final = f"SELECT 1 FROM {TABLE} WHERE content MATCH ? AND rowid = ?"  # noqa: S608
# Read the text again: it may have been replaced since.
_LACKS: Final = f"SELECT 1 FROM {MESSAGES.name} WHERE id = ? AND content = ? AND NOT EXISTS ({_HAS})"  # noqa: S608
_LENGTHS: Final = f"SELECT id, sz FROM {TABLE}_docsize"  # noqa: S608
_TERMS: Final = "SELECT DISTINCT doc, term FROM vocabulary ORDER BY doc, term"


class Counts(NamedTuple):
    """The number of messages, of messages missing from the index, and of extra ones in it."""

    messages: int
    missing: int
    extra: int


class Sample(NamedTuple):
    """The number of messages compared, and of those with other words in the index."""

    compared: int
    different: int


def counts(db: Connection) -> Counts:
    """Compare the messages in the index with those in the table."""
    return Counts(*db.execute(_COUNTS).one())


def sample(db: Connection) -> Sample:
    """Compare the indexed words of the newest messages, and of some spread over all others, with their text."""
    first, last = db.exec_driver_sql(f"SELECT min(id), max(id) FROM {MESSAGES.name}").one()  # noqa: S608
    if first is None:
        return Sample(0, 0)
    step = max((last - first) // _SPREAD, 1)
    rows = db.execute(_SAMPLE, {"places": json.dumps(list(range(first, last + 1, step)))}).all()
    made = db.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (TABLE,)).scalar_one()
    with closing(sqlite3.connect(":memory:")) as memory:
        _index(memory, str(made), [(row.id, row.content) for row in rows])
        lengths = dict(memory.execute(_LENGTHS))
        terms = _terms(memory)
        different = 0
        for number, content, length in rows:
            words = " AND ".join(terms.get(number, ())[:_MAX_TERMS])
            # Skip a word that even a fresh index does not find.
            has_words = words and memory.execute(_HAS, (words, number)).fetchall()
            if length != lengths[number] or (
                has_words and db.exec_driver_sql(_LACKS, (number, content, words, number)).all()
            ):
                different += 1
    return Sample(len(rows), different)


def _index(memory: sqlite3.Connection, made: str, rows: Iterable[tuple[Any, ...]]) -> None:
    memory.execute(f"CREATE TABLE {MESSAGES.name} (id INTEGER PRIMARY KEY, content TEXT)")
    memory.executemany(f"INSERT INTO {MESSAGES.name} VALUES (?, ?)", rows)  # noqa: S608
    memory.execute(made)
    memory.execute(REBUILD)
    memory.execute(f"CREATE VIRTUAL TABLE vocabulary USING fts5vocab ({TABLE}, instance)")


def _terms(memory: sqlite3.Connection) -> dict[int, list[str]]:
    """Return the words of each message, as search terms."""
    terms: dict[int, list[str]] = {}
    for number, term in memory.execute(_TERMS):
        doubled = term.replace('"', '""')
        terms.setdefault(number, []).append(f'"{doubled}"')
    return terms
