"""Choose the search backend of a database: the index if it is complete and tokenizes as we do, else LIKE."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from session_store.database import schemas
from session_store.search import fts5, like, tsvector

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from session_store.search.candidates import Candidates
    from session_store.search.query import Query


class ActiveBackend(NamedTuple):
    """The search backend of a database, and why it was chosen."""

    name: str
    reason: str


_FULL_TEXT: Final = {fts5.ENGINE: fts5.candidates_for, tsvector.ENGINE: tsvector.candidates_for}
_NO_INDEX: Final = ActiveBackend(like.ENGINE, "there is no search index")

_REFRESH_SECS: Final = 1.0


class _Known(NamedTuple):
    state: Any
    """A value that differs after every change of the index."""
    serving: ActiveBackend
    looked_at: float


_known: Final[WeakKeyDictionary[Engine, dict[str | None, _Known]]] = WeakKeyDictionary()
_known_lock: Final = Lock()


def active_backend(db: Connection, *, refresh: bool = False) -> ActiveBackend:
    """Return the search backend of the database of a connection.

    The result is cached for each engine and schema. It is computed again after a change: on SQLite of the schema
    version, on PostgreSQL of the index, which is looked up once a second, or if ``refresh``.
    """
    schema = schemas.schema_of(db)
    on_sqlite = db.dialect.name == "sqlite"
    with _known_lock:
        known = _known.setdefault(db.engine, {}).get(schema)
    if known is not None and not (on_sqlite or refresh) and time.monotonic() - known.looked_at < _REFRESH_SECS:
        return known.serving
    state = db.exec_driver_sql("PRAGMA schema_version").scalar() if on_sqlite else tsvector.find_index(db, schema)
    if known is not None and known.state == state:
        found = known.serving
    else:
        found = _on_sqlite(db) if on_sqlite else _on_postgresql(db, state)
    # Not in a transaction: its state may be rolled back, and a later state may have the same number.
    if not on_sqlite or not getattr(db.connection.driver_connection, "in_transaction", False):
        with _known_lock:
            _known.setdefault(db.engine, {})[schema] = _Known(state, found, time.monotonic())
    return found


def clear_cache() -> None:
    """Clear the cache, after this process changed an index."""
    with _known_lock:
        _known.clear()


def candidates_for(db: Connection, query: Query) -> Candidates:
    """Return the candidates for a query from the search backend of this database."""
    if query.has_no_spaces:
        return like.substrings(query)
    full_text = _FULL_TEXT.get(active_backend(db).name)
    if full_text is None:
        return like.substrings(query)
    return full_text(query) or like.case_variants(query)


def _on_sqlite(db: Connection) -> ActiveBackend:
    objects = fts5.objects(db)
    if fts5.TABLE not in objects:
        return _NO_INDEX
    if not fts5.is_built_in(db):
        return ActiveBackend(like.ENGINE, "this SQLite was built without FTS5")
    missing = sorted(fts5.TRIGGERS.keys() - objects)
    if missing:
        return ActiveBackend(
            like.ENGINE, f"the search index is out of date: trigger {missing[0]} is missing, rebuild the index"
        )
    return ActiveBackend(fts5.ENGINE, "the search index exists and is up to date")


def _on_postgresql(db: Connection, index: tsvector.IndexInfo | None) -> ActiveBackend:
    if index is None:
        return _NO_INDEX
    if not index.is_valid:
        return ActiveBackend(like.ENGINE, "the search index is being built, or the build was interrupted: rebuild it")
    if not tsvector.tokenizer_agrees(db):
        return ActiveBackend(like.ENGINE, "the locale of this database does not split and fold words beyond ASCII")
    return ActiveBackend(tsvector.ENGINE, "the search index exists, and splits and folds words as expected")
