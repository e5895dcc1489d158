"""Update the `Session` objects in an application's ORM session after a joined write.

The values are set as committed: nothing is expired, so no attribute read does I/O behind an ``await``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event, inspect, orm, select
from sqlalchemy.orm.attributes import set_committed_value

from session_store.models.models import SESSIONS, Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, RowMapping


def refresh(host: orm.Session, db: Connection, key: str | None) -> None:
    """Update the `Session` object with this key (None: all of them), if the ORM session holds it."""
    held = dict(_find_loaded(host, key))
    if not held:
        return
    heads = db.execute(select(SESSIONS).where(SESSIONS.c.key.in_(list(held)))).mappings()
    rows = {row["key"]: row for row in heads}
    for held_key, head in held.items():
        if held_key in rows:
            _set_committed(host, head, rows[held_key])
        else:
            host.expunge(head)


def bind_arguments() -> dict[str, Any]:
    """Return the arguments by which a session with several engines finds the engine of our tables."""
    return {"mapper": inspect(Session)}


def _find_loaded(host: orm.Session, key: str | None) -> Iterator[tuple[str, Any]]:
    if key is None:
        for held in host.identity_map.values():
            identity = inspect(held).identity if isinstance(held, Session) else None
            if identity is not None:
                yield identity[0], held
    else:
        held = host.identity_map.get(inspect(Session).identity_key_from_primary_key((key,)))
        if held is not None:
            yield key, held


def _set_committed(host: orm.Session, held: Session, row: RowMapping) -> None:
    if not event.contains(host, "after_soft_rollback", _discard):
        event.listen(host, "after_soft_rollback", _discard)
    for name, value in row.items():
        set_committed_value(held, name, value)


def _discard(host: orm.Session, _ended: orm.SessionTransaction) -> None:
    # SQLAlchemy expires what the rollback of a savepoint undid, but only objects that it saw change.
    for _, held in list(_find_loaded(host, None)):
        host.expire(held)
