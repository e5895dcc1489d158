"""The search backend of SQLite: an FTS5 table of the messages, updated by three triggers.

https://www.sqlite.org/fts5.html
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    Integer,
    LargeBinary,
    Text,
    and_,
    cast,
    column,
    exists,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    table,
)

from session_store.database.parameters import text_param
from session_store.models.models import MESSAGES
from session_store.search import like
from session_store.search.candidates import CONTENT, LOOKUP_LIMIT, Candidates, CandidateSql, recheck_text
from session_store.search.index_query import IndexQuery
from session_store.search.query import MatchMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import CTE, ColumnElement, Connection

    from session_store.database.access import AnySelect
    from session_store.search.query import Query, Term

ENGINE: Final = "fts5"
TABLE: Final = "session_store_messages_search"
TABLES: Final = (TABLE, *(f"{TABLE}_{shadow}" for shadow in ("config", "data", "docsize", "idx")))
"""The tables that ``CREATE VIRTUAL TABLE`` creates."""

_INDEX: Final = table(TABLE, column("rowid", Integer), column("content", Text), column("rank"))
_ROW: Final = literal_column(f"{MESSAGES.name}.id", Integer())
_PROPOSED: Final = _INDEX.c.content.bool_op("MATCH")(text_param("proposed"))
_WANTED: Final = _INDEX.c.content.bool_op("MATCH")(text_param("wanted"))


_VERY_FEW: Final = 200
"""Up to this number, messages are looked up without first counting them, which would read the list twice."""


def _count_up_to(number: int) -> tuple[CTE, AnySelect]:
    some = select(_INDEX.c.rowid).where(_PROPOSED).limit(literal_column(str(number + 1))).cte("some")
    return some, select(func.count()).select_from(some)


_SIZE: Final = _count_up_to(LOOKUP_LIMIT)[1]
_SOME, _HOW_MANY = _count_up_to(_VERY_FEW)
_ARE_VERY_FEW: Final = _HOW_MANY.scalar_subquery() <= literal_column(str(_VERY_FEW))

_WITH_SYMBOLS: Final = (range(0x80, 0x20000), range(0xE0000, 0xE0080))
"""The other planes have ideographs, marks and private characters."""
_PICTOGRAPHS: Final = range(0x1F000, 0x1FB00)

INSERT_ROW: Final = f"INSERT INTO {TABLE} (rowid, content) VALUES (new.id, new.content);"  # noqa: S608 - names of our own
# FTS5 deletes a row by the words it had, so they must be passed.
DELETE_ROW: Final = f"INSERT INTO {TABLE} ({TABLE}, rowid, content) VALUES ('delete', old.id, old.content);"  # noqa: S608
TRIGGERS: Final = {
    f"{TABLE}_insert": f"AFTER INSERT ON {MESSAGES.name} BEGIN {INSERT_ROW} END",
    f"{TABLE}_delete": f"AFTER DELETE ON {MESSAGES.name} BEGIN {DELETE_ROW} END",
    f"{TABLE}_update": f"AFTER UPDATE OF id, content ON {MESSAGES.name} BEGIN {DELETE_ROW} {INSERT_ROW} END",
}
REBUILD: Final = f"INSERT INTO {TABLE} ({TABLE}) VALUES ('rebuild')"  # noqa: S608
INTEGRITY_CHECK: Final = f"INSERT INTO {TABLE} ({TABLE}, rank) VALUES ('integrity-check', 1)"  # noqa: S608
OPTIMIZE: Final = f"INSERT INTO {TABLE} ({TABLE}) VALUES ('optimize')"  # noqa: S608


def create() -> Iterator[str]:
    """Yield the statements that create an empty index and its triggers."""
    options = f"content='{MESSAGES.name}', content_rowid='id', tokenize=\"{_tokenizer()}\""
    yield f"CREATE VIRTUAL TABLE {TABLE} USING fts5 (content, {options})"
    yield from create_triggers()


def create_triggers() -> Iterator[str]:
    """Yield the statements that create the triggers."""
    for name, what in TRIGGERS.items():
        yield f"CREATE TRIGGER {name} {what}"


def drop_triggers() -> Iterator[str]:
    """Yield the statements that drop the triggers."""
    for name in TRIGGERS:
        yield f"DROP TRIGGER IF EXISTS {name}"


def drop() -> Iterator[str]:
    """Yield the statements that drop the index, also an incomplete one."""
    yield from drop_triggers()
    yield f"DROP TABLE IF EXISTS {TABLE}"


def is_built_in(db: Connection) -> bool:
    """Return whether this SQLite has FTS5."""
    return bool(db.exec_driver_sql("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").all())


def objects(db: Connection) -> set[str]:
    """Return the names of the existing table and triggers."""
    names = ", ".join(f"'{name}'" for name in (TABLE, *TRIGGERS))
    return set(db.exec_driver_sql(f"SELECT name FROM sqlite_master WHERE name IN ({names})").scalars())  # noqa: S608


def candidates_for(query: Query) -> Candidates | None:
    """Return candidates from the index; None for a query that the index cannot answer."""
    exact_query = IndexQuery.build(query, _phrase, any_of=" OR ", all_of=" AND ", but_not="({}) NOT ({})")
    if exact_query is None:
        return None
    sieve = like.prefilter(query)
    narrowed = exact_query.exact_query != exact_query.superset
    conditions = _conditions(tuple(patterns.kind for patterns in sieve), exact=exact_query.exact, narrowed=narrowed)
    values = {**exact_query.values, **like.values("sieve", sieve)}
    return Candidates(query, MatchMode.WORDS, conditions, values, trusted=exact_query.exact and not narrowed)


@lru_cache(maxsize=256)
def _conditions(prefilter: tuple[like.PatternKind, ...], *, exact: bool, narrowed: bool) -> CandidateSql:
    # ASCII text has as many bytes as characters. All other messages are read: checking the characters in SQLite takes a
    # hundred times as long as in Python.
    settled = func.length(CONTENT) == func.length(cast(CONTENT, LargeBinary)) if exact else false()

    def proposed(has: Callable[[ColumnElement[bool]], ColumnElement[bool]]) -> ColumnElement[bool]:
        return and_(has(_PROPOSED), or_(not_(settled), has(_WANTED))) if narrowed else has(_PROPOSED)

    def is_listed_if_few(matches: ColumnElement[bool]) -> ColumnElement[bool]:
        return _ROW.in_(select(_SOME.c.rowid).where(_ARE_VERY_FEW)) if matches is _PROPOSED else _is_listed(matches)

    return CandidateSql(
        listed=(proposed(_is_listed),),
        if_few=select(MESSAGES.c.session_key, MESSAGES.c.seq, recheck_text(settled)).where(proposed(is_listed_if_few)),
        tested=and_(like.has_one(prefilter, "sieve"), proposed(_is_matched)),
        settled=settled,
        size=_size,
        matching_rows=select()
        .select_from(_INDEX.join(MESSAGES, _INDEX.c.rowid == _ROW))
        .where(_PROPOSED, *([proposed(_is_listed)] if narrowed else [])),
        rank=-_INDEX.c.rank,
    )


def _size(db: Connection, values: Mapping[str, str]) -> int:
    return db.scalar(_SIZE, values) or 0


def _is_listed(matches: ColumnElement[bool]) -> ColumnElement[bool]:
    return _ROW.in_(select(_INDEX.c.rowid).where(matches))


def _is_matched(matches: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(literal_column("1")).select_from(_INDEX).where(_INDEX.c.rowid == _ROW, matches))


def _phrase(part: Term, *, wanted: bool) -> str:  # noqa: ARG001 - the same for both
    return f'"{" ".join(part.words)}"{" *" if part.prefix else ""}'


@cache
def _tokenizer() -> str:
    # FTS5 takes characters that are newer than its Unicode table for letters, above all new emoji: "lol" followed by
    # one would not match. Name the characters that are not letters, and the blocks of emoji with their new characters.
    characters = "".join(
        char
        for code in chain(*_WITH_SYMBOLS)
        if unicodedata.category(char := chr(code))[0] in "PSZ"
        or unicodedata.category(char) == "Cf"
        or (code in _PICTOGRAPHS and not char.isalnum())
    )
    return f"unicode61 remove_diacritics 0 categories 'L* N*' separators '{characters}'"
