"""Conversations into a database, as the rows a store would have made; and the rows of a database as conversations."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, delete, insert, select

from session_store.models.models import MESSAGES, SESSIONS, STATES
from session_store.models.types import truncate_to_minute
from tests.analytics.figures import Conversations, Entry, Message, Session

T = TypeVar("T")


def fill(db: Connection, said: Conversations) -> None:
    """Have these conversations and no others."""
    for table in (STATES, MESSAGES, SESSIONS):
        db.execute(delete(table))
    last: dict[type, dict[str, int]] = {Message: defaultdict(int), Entry: defaultdict(int)}
    for log in (said.messages, said.entries):
        for row in log:
            last[type(row)][row.session_key] = max(last[type(row)][row.session_key], row.seq)
    _insert(
        db,
        SESSIONS,
        (
            {
                **head._asdict(),
                "active_minute": truncate_to_minute(head.last_activity),
                "last_seq": last[Message][head.key],
                "state_seq": last[Entry][head.key],
            }
            for head in said.sessions
        ),
    )
    _insert(db, MESSAGES, (message._asdict() for message in said.messages))
    _insert(db, STATES, (entry._asdict() for entry in said.entries))


def read(db: Connection) -> Conversations:
    """What the tables hold."""
    return Conversations(
        *(
            [kind(*row) for row in db.execute(select(*(table.c[name] for name in kind._fields)))]
            for kind, table in ((Session, SESSIONS), (Message, MESSAGES), (Entry, STATES))
        )
    )


def _insert(db: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    for batch in _batches(rows):
        db.execute(insert(table), batch)


def _batches(rows: Iterable[T], size: int = 10_000) -> Iterator[list[T]]:
    left = iter(rows)
    while batch := list(islice(left, size)):
        yield batch
