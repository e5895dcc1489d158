"""The support desk's own table, which refers to the sessions of session_store."""

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, MetaData, Text, orm
from sqlalchemy.orm import Mapped, mapped_column

from session_store.models import Session

NAMES = {
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "ix": "%(column_0_N_label)s_idx",
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_name)s_key",
}
"""Constraints need names to be altered by a revision later, on SQLite above all."""


class Base(orm.DeclarativeBase):
    """The support desk's tables and no others: those of session_store have a base and revisions of their own."""

    metadata = MetaData(naming_convention=NAMES)


db = SQLAlchemy(model_class=Base)


class Ticket(db.Model):
    """A request for help; what is said about it is a conversation in session_store."""

    __tablename__ = "tickets"

    number: Mapped[int] = mapped_column(primary_key=True)
    session_key: Mapped[str | None] = mapped_column(ForeignKey(Session.key), index=True)
    mail_id: Mapped[str] = mapped_column(Text, unique=True)
    """The Message-ID of the mail that opened it: delivered twice, it opens one ticket."""
    subject: Mapped[str] = mapped_column(Text)
    is_open: Mapped[bool] = mapped_column(default=True)
    is_waiting: Mapped[bool] = mapped_column(default=True)
    """Whether the last word was not ours."""
