"""Whether the words that FTS5 has of some messages are those the messages have now; without writing anything.

FTS5's own check of its integrity is a statement that writes, and reads all there is. So the messages of a sample are
indexed once more, in memory and by the very statement that made the index, and the two are compared.
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
"""Characters; longer messages are not in the sample."""
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
# The text once more: somebody may have replaced it since it was read.
_LACKS: Final = f"SELECT 1 FROM {MESSAGES.name} WHERE id = ? AND content = ? AND NOT EXISTS ({_HAS})"  # noqa: S608
_LENGTHS: Final = f"SELECT id, sz FROM {TABLE}_docsize"  # noqa: S608
_TERMS: Final = "SELECT DISTINCT doc, term FROM vocabulary ORDER BY doc, term"


class Counts(NamedTuple):
    """How many messages there are, how many of them the index lacks, and how many it has that are not there."""

    messages: int
    missing: int
    extra: int


class Sample(NamedTuple):
    """How many messages were compared with the index, and of how many it has other words."""

    compared: int
    different: int


def counts(db: Connection) -> Counts:
    """Compare which messages the index has with those there are."""
    return Counts(*db.execute(_COUNTS).one())


def sample(db: Connection) -> Sample:
    """Compare the words the index has of the newest messages, and of some spread over all others, with their text."""
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
            # A word that not even the index of a moment ago finds, none would.
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
    """Return the words of each message, as a search is asked for them."""
    terms: dict[int, list[str]] = {}
    for number, term in memory.execute(_TERMS):
        doubled = term.replace('"', '""')
        terms.setdefault(number, []).append(f'"{doubled}"')
    return terms
