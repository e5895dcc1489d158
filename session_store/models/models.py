"""Declarative models of the three tables: one head row for each session, and two append-only logs.

This is the only place where a column is written. The store never loads these classes as objects: its statements run on
their tables, `SESSIONS`, `MESSAGES` and `STATES`. Applications use the classes for queries, joins and relationships.
Write through the store, which keeps the counters of the head.

The revisions in ``migrations/versions`` create the tables; their indexes are in `session_store.models.indexes`.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from sqlalchemy import BigInteger, ForeignKeyConstraint, PrimaryKeyConstraint, Text, event, inspect, orm, text
from sqlalchemy.orm import DeclarativeBase, Mapped, WriteOnlyMapped, mapped_column

from session_store.interface.errors import StoreError
from session_store.models.types import ExactJson, ExactText, UtcDateTime

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table
    from sqlalchemy.orm import Mapper
    from sqlalchemy.sql.schema import SchemaItem

__all__ = ["Base", "Message", "Session", "State"]

IDENTIFIER: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""The type of a session's key: compared and ordered byte by byte, as SQLite does anyway."""

_Key = Annotated[str, mapped_column(IDENTIFIER)]
_Exact = Annotated[str, mapped_column(ExactText)]
_Counter = Annotated[int, mapped_column(server_default=text("0"))]


class Base(DeclarativeBase):
    """The base of the three models; ``Base.metadata`` holds their tables and no others."""

    type_annotation_map = {str: Text, int: BigInteger, datetime: UtcDateTime, dict[str, Any]: ExactJson}  # noqa: RUF012 - SQLAlchemy's


def _log_constraints(table: str) -> tuple[SchemaItem, ...]:
    return (
        PrimaryKeyConstraint("session_key", "seq", name=f"{table}_pkey"),
        ForeignKeyConstraint(
            ["session_key"], ["session_store_sessions.key"], name=f"{table}_session_key_fkey", ondelete="CASCADE"
        ),
    )


class Session(Base):
    """A session: its key and its current values. The session row is also called the head."""

    __tablename__ = "session_store_sessions"
    __table_args__ = (PrimaryKeyConstraint("key", name="session_store_sessions_pkey"),)

    key: Mapped[_Key]
    name: Mapped[_Exact | None]
    owner: Mapped[str | None]
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[datetime]
    last_activity: Mapped[datetime]
    active_minute: Mapped[datetime]
    message_count: Mapped[_Counter]
    last_seq: Mapped[_Counter]
    state_seq: Mapped[_Counter]
    state: Mapped[str] = mapped_column(server_default=text("'idle'"))
    turn_id: Mapped[str | None]
    state_entered_at: Mapped[datetime | None]

    messages: WriteOnlyMapped[Message] = orm.relationship(
        back_populates="session", order_by="Message.seq", cascade="all, delete-orphan", passive_deletes=True
    )
    states: WriteOnlyMapped[State] = orm.relationship(
        back_populates="session", order_by="State.seq", cascade="all, delete-orphan", passive_deletes=True
    )

    def __repr__(self) -> str:
        return f"<Session {self.key!r}>"


class Message(Base):
    """One message of a session."""

    __tablename__ = "session_store_messages"
    __table_args__ = _log_constraints(__tablename__)

    session_key: Mapped[_Key]
    seq: Mapped[int]
    turn_id: Mapped[str | None]
    role: Mapped[str]
    content: Mapped[_Exact]
    payload: Mapped[Any] = mapped_column(ExactJson, nullable=True)
    idempotency_key: Mapped[str | None]
    created_at: Mapped[datetime]

    session: Mapped[Session] = orm.relationship(back_populates="messages")

    def __repr__(self) -> str:
        return f"<Message {self.session_key!r} {self.seq}>"


class State(Base):
    """One state transition of a session; rows are never changed.

    A state lasts until the next row of the same session. The current state is also in the session row, so that finding
    running sessions reads one index and no state.
    """

    __tablename__ = "session_store_states"
    __table_args__ = _log_constraints(__tablename__)

    session_key: Mapped[_Key]
    seq: Mapped[int]
    state: Mapped[str]
    turn_id: Mapped[str | None]
    entered_at: Mapped[datetime]

    session: Mapped[Session] = orm.relationship(back_populates="states")

    def __repr__(self) -> str:
        return f"<State {self.session_key!r} {self.seq} {self.state!r}>"


METADATA: Final = Base.metadata
SESSIONS: Final = cast("Table", Session.__table__)
MESSAGES: Final = cast("Table", Message.__table__)
STATES: Final = cast("Table", State.__table__)

_COUNTERS: Final = ("message_count", "last_seq", "state_seq")


@event.listens_for(Session, "before_update")
def refuse_stale_counters(_mapper: Mapper[Session], _db: Connection, head: Session) -> None:
    # Merging an object from a cache would write its old counters, and the next append would reuse a seq.
    changed = [name for name in _COUNTERS if inspect(head).attrs[name].history.has_changes()]
    if changed:
        problem = f"{', '.join(changed)} of session {head.key!r} is maintained by the store: refresh the object first"
        raise StoreError(problem)
