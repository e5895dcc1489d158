"""Which engine serves: what the database has, whether it does what it should, and what the query asks for."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from session_store.database import schemas
from session_store.search import fts5, like, tsvector

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from session_store.search.candidates import Proposals
    from session_store.search.query import Query


class Serving(NamedTuple):
    """The engine that serves words in a database, and why it is this one."""

    engine: str
    reason: str


_FULL_TEXT: Final = {fts5.ENGINE: fts5.propose, tsvector.ENGINE: tsvector.propose}
_NO_INDEX: Final = Serving(like.ENGINE, "there is no search index")

_LOOKED_FOR_EVERY_SECS: Final = 1.0


class _Known(NamedTuple):
    state: Any
    """What a change would change."""
    serving: Serving
    looked_at: float


_known: Final[WeakKeyDictionary[Engine, dict[str | None, _Known]]] = WeakKeyDictionary()
_known_lock: Final = Lock()


def serving(db: Connection, *, look: bool = False) -> Serving:
    """Return which engine serves in the database of a connection.

    It is tried once for each engine of SQLAlchemy's and schema, and again after a change: on SQLite of the database's
    schema, on PostgreSQL of the index, which is looked for once a second, or if the caller says so.
    """
    schema = schemas.of(db)
    on_sqlite = db.dialect.name == "sqlite"
    with _known_lock:
        known = _known.setdefault(db.engine, {}).get(schema)
    if known is not None and not (on_sqlite or look) and time.monotonic() - known.looked_at < _LOOKED_FOR_EVERY_SECS:
        return known.serving
    state = db.exec_driver_sql("PRAGMA schema_version").scalar() if on_sqlite else tsvector.find(db, schema)
    if known is not None and known.state == state:
        found = known.serving
    else:
        found = _on_sqlite(db) if on_sqlite else _on_postgresql(db, state)
    # In a transaction the state may be one that is rolled back, and a later one have its number.
    if not on_sqlite or not getattr(db.connection.driver_connection, "in_transaction", False):
        with _known_lock:
            _known.setdefault(db.engine, {})[schema] = _Known(state, found, time.monotonic())
    return found


def forget() -> None:
    """Forget which engines serve, after this process changed that."""
    with _known_lock:
        _known.clear()


def propose(db: Connection, query: Query) -> Proposals:
    """Return what the engine proposes that serves this query in this database."""
    if query.has_no_spaces:
        return like.substrings(query)
    full_text = _FULL_TEXT.get(serving(db).engine)
    if full_text is None:
        return like.substrings(query)
    return full_text(query) or like.spelled(query)


def _on_sqlite(db: Connection) -> Serving:
    objects = fts5.objects(db)
    if fts5.TABLE not in objects:
        return _NO_INDEX
    if not fts5.is_built_in(db):
        return Serving(like.ENGINE, "this SQLite was built without FTS5")
    missing = sorted(fts5.TRIGGERS.keys() - objects)
    if missing:
        return Serving(like.ENGINE, f"the search index is not kept: trigger {missing[0]} is missing, rebuild it")
    return Serving(fts5.ENGINE, "the search index is there and kept")


def _on_postgresql(db: Connection, index: tsvector.Found | None) -> Serving:
    if index is None:
        return _NO_INDEX
    if not index.is_valid:
        return Serving(like.ENGINE, "the search index is being made, or its making was broken off: rebuild it")
    if not tsvector.works(db):
        return Serving(like.ENGINE, "by the locale of this database words beyond ASCII are not parted and folded")
    return Serving(tsvector.ENGINE, "the search index is there, and parts and folds words as it should")
