"""The tables as classes, for a host's own queries, joins and relationships.

The store itself never uses them. Write through the store: an object added here has no head counted for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event, inspect, orm
from sqlalchemy.orm import DeclarativeBase, WriteOnlyMapped

from session_store.errors import StoreError
from session_store.indexes import METADATA
from session_store.tables import MESSAGES, SESSIONS, STATES

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection
    from sqlalchemy.orm import Mapped, Mapper

__all__ = ["Base", "Message", "Session", "State"]


class Base(DeclarativeBase):
    """The base of the three models; ``Base.metadata`` holds their tables and no others."""

    metadata = METADATA


class Session(Base):
    """The head of one conversation: its key and everything current."""

    __table__ = SESSIONS

    if TYPE_CHECKING:
        key: Mapped[str]
        name: Mapped[str | None]
        owner: Mapped[str | None]
        attributes: Mapped[dict[str, Any]]
        created_at: Mapped[datetime]
        last_activity: Mapped[datetime]
        active_minute: Mapped[datetime]
        message_count: Mapped[int]
        last_seq: Mapped[int]
        state_seq: Mapped[int]
        state: Mapped[str]
        turn_id: Mapped[str | None]
        state_entered_at: Mapped[datetime | None]

    messages: WriteOnlyMapped[Message] = orm.relationship(
        back_populates="session",
        order_by=MESSAGES.c.seq,
        cascade="all, delete-orphan",
        passive_deletes=True,
    )
    states: WriteOnlyMapped[State] = orm.relationship(
        back_populates="session",
        order_by=STATES.c.seq,
        cascade="all, delete-orphan",
        passive_deletes=True,
    )

    def __repr__(self) -> str:
        return f"<Session {self.key!r}>"


class Message(Base):
    """One entry of a session's conversation: a row of its log."""

    __table__ = MESSAGES

    if TYPE_CHECKING:
        session_key: Mapped[str]
        seq: Mapped[int]
        turn_id: Mapped[str | None]
        role: Mapped[str]
        content: Mapped[str]
        payload: Mapped[Any]
        idempotency_key: Mapped[str | None]
        created_at: Mapped[datetime]

    session: orm.Mapped[Session] = orm.relationship(back_populates="messages")

    def __repr__(self) -> str:
        return f"<Message {self.session_key!r} {self.seq}>"


class State(Base):
    """One change of what a session is doing: a row of its log, never changed once written.

    A state lasts until the next row of the same session; the current one is also on the session's head, so
    finding running sessions reads one index and no log.
    """

    __table__ = STATES

    if TYPE_CHECKING:
        session_key: Mapped[str]
        seq: Mapped[int]
        state: Mapped[str]
        turn_id: Mapped[str | None]
        entered_at: Mapped[datetime]

    session: orm.Mapped[Session] = orm.relationship(back_populates="states")

    def __repr__(self) -> str:
        return f"<State {self.session_key!r} {self.seq} {self.state!r}>"


_COUNTED = ("message_count", "last_seq", "state_seq")


@event.listens_for(Session, "before_update")
def _refuse_old_counts(_mapper: Mapper[Session], _db: Connection, head: Session) -> None:
    # A host that merges an object from a cache would write the counts of that time over those of now, and the next
    # append would take a number that is taken.
    changed = [name for name in _COUNTED if inspect(head).attrs[name].history.has_changes()]
    if changed:
        problem = f"{', '.join(changed)} of session {head.key!r} is counted by the store: refresh the object first"
        raise StoreError(problem)
