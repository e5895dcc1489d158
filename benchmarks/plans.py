"""Searches written by hand, on the raw driver: several plans for each, of which the fastest is the floor."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from benchmarks.databases import psycopg_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import URL

    from benchmarks.measuring import Row

PAGE = 50
INDEX = "session_store_messages_search"

HEADS = """
    SELECT key, name, owner, attributes, created_at, last_activity, message_count, last_seq, state, turn_id,
           state_entered_at
    FROM session_store_sessions AS s
"""
MESSAGES = "session_store_messages AS m"
NEWEST = "ORDER BY active_minute DESC, last_activity DESC, key DESC"
PLANS = {
    "in": f"{HEADS} WHERE key IN (SELECT session_key FROM {MESSAGES} WHERE {{listed}}) {NEWEST}",
    "group": f"{HEADS} JOIN (SELECT session_key FROM {MESSAGES} WHERE {{listed}} GROUP BY session_key) AS f"
    f" ON f.session_key = s.key {NEWEST}",
    "walk": f"{HEADS} WHERE EXISTS (SELECT 1 FROM {MESSAGES} WHERE m.session_key = s.key AND {{tested}}) {NEWEST}",
    "sieved walk": f"{HEADS} WHERE EXISTS"
    f" (SELECT 1 FROM {MESSAGES} WHERE m.session_key = s.key AND {{has}} AND {{tested}}) {NEWEST}",
}


class Case(NamedTuple):
    """A search, and how it is written by hand."""

    keyword: str
    fts5: str
    tsquery: str
    is_rare: bool = False
    """Nobody would walk for it, and it would take long to try."""


def word(text: str, *, is_rare: bool = False) -> Case:
    """Make a search for one word."""
    return Case(text, f'"{text}"', text, is_rare)


@dataclass
class Database:
    """A database as one has it who writes SQL by hand, on the driver alone."""

    name: str
    url: str
    raw: Any
    listed: str
    tested: str
    has: str
    decoded: Callable[[Row], Row]

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Return what the driver returns."""
        found: list[Row] = self.raw.execute(sql, values).fetchall()
        return found

    def number(self, sql: str, *values: Any) -> int:
        """Return the one value there is."""
        return int(self.rows(sql, *values)[0][0])

    def matches(self, case: Case) -> int:
        """Count the messages found."""
        return self.number(f"SELECT count(*) FROM {MESSAGES} WHERE {self.listed}", self.words(case))

    def words(self, case: Case) -> str:
        """Return the search in the language of the index."""
        return case.fts5 if self.name == "SQLite" else case.tsquery

    def plans(self, case: Case) -> dict[str, Callable[[], list[Row]]]:
        """Return the search by hand, by the name of the plan."""
        names = ["in", "group"]
        if not case.is_rare:
            names += ["walk", "sieved walk"] if case.keyword.isalpha() else ["walk"]
        values = {"sieved walk": (case.keyword, self.words(case))}
        return {
            name: partial(self.sessions, PLANS[name], PAGE, *values.get(name, (self.words(case),))) for name in names
        }

    def sessions(self, sql: str, limit: int | None, *values: Any) -> list[Row]:
        """Return sessions with all that the store returns of them."""
        sql = sql.format(listed=self.listed, tested=self.tested, has=self.has)
        return list(map(self.decoded, self.rows(sql if limit is None else f"{sql} LIMIT {limit}", *values)))


@contextmanager
def sqlite_file(path: Path) -> Iterator[Database]:
    """Open a file with sqlite3."""

    def decoded(row: Row) -> Row:
        key, name, owner, attributes, created_at, last_activity, *rest, entered_at = row
        times = (datetime.fromisoformat(created_at), datetime.fromisoformat(last_activity))
        entered_at = None if entered_at is None else datetime.fromisoformat(entered_at)
        return (key, name, owner, json.loads(attributes), *times, *rest, entered_at)

    matching = f"SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH ?"
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        yield Database(
            name="SQLite",
            url=f"sqlite:///{path}",
            raw=raw,
            listed=f"m.id IN ({matching})",
            tested=f"EXISTS ({matching} AND rowid = m.id)",
            has="instr(lower(m.content), ?)",
            decoded=decoded,
        )


@contextmanager
def postgresql_database(url: URL) -> Iterator[Database]:
    """Connect with psycopg."""
    text = psycopg_url(url)
    with psycopg.connect(text, autocommit=True) as raw:
        row = raw.execute("SELECT pg_get_indexdef(to_regclass(%s)::oid, 1, true)", [INDEX]).fetchone()
        expression = str(row and row[0]).replace("%", "%%")
        matching = f"{expression} @@ to_tsquery('simple', %s)"
        yield Database(
            name="PostgreSQL",
            url=text,
            raw=raw,
            listed=matching,
            tested=matching,
            has='strpos(lower(m.content COLLATE "C"), %s) > 0',
            decoded=tuple,  # psycopg decodes
        )
