"""The shop's own tables, one of which refers to the sessions of session_store."""

from typing import ClassVar

from sqlalchemy import ForeignKey, MetaData, Text, orm
from sqlalchemy.orm import Mapped, WriteOnlyMapped, mapped_column

from session_store.models import Message, Session

NAMES = {
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "ix": "%(column_0_N_label)s_idx",
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_name)s_key",
}
"""Constraints need names to be altered by a revision later, on SQLite above all."""


class Base(orm.DeclarativeBase):
    """The shop's tables and no others: those of session_store have a base and revisions of their own."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar = {str: Text}


class User(Base):
    """Somebody who talks to the shop."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Order(Base):
    """Something bought in a conversation."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id))
    # Without ON DELETE: a conversation with an order in it is kept by the store's clean-up.
    session_key: Mapped[str | None] = mapped_column(ForeignKey(Session.key), index=True)
    reference: Mapped[str] = mapped_column(unique=True)
    """Given by the buyer's browser: the same order sent twice is one order."""
    item: Mapped[str]
    amount_cents: Mapped[int]

    # Never loaded by itself, which would be I/O behind no await, nor as a whole, which may be long: it gives a SELECT
    # to limit and to run. Only to be read: what is written to a conversation goes through the store, which numbers
    # and counts the messages.
    messages: WriteOnlyMapped[Message] = orm.relationship(
        primaryjoin=lambda: orm.foreign(Message.session_key) == Order.session_key, viewonly=True
    )
