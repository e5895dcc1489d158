"""A host with models of its own that are related to ours, and the conversations it has."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from sqlalchemy import Engine, ForeignKey
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    foreign,
    mapped_column,
    relationship,
)

from session_store import AsyncSessionStore, ChatMessage, SessionStore, models
from session_store.testing import Clock
from tests.conftest import Database
from tests.hosts import ORDERS, async_host_engine, host_engine

HELLO = ChatMessage.user("Hello")
ANSWER = ChatMessage.assistant("Hello, Ann", {"usage": {"output_tokens": 3}})
KEY = "telegram_ann"


class Base(DeclarativeBase):
    """The base of the host's own models, which knows nothing of ours."""


class Customer(Base):
    """Somebody with any number of tickets."""

    __tablename__ = "guest_customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    tickets: Mapped[list["Ticket"]] = relationship(back_populates="customer", order_by="Ticket.id")


class Ticket(Base):
    """A row of the host's about one session, and through it about the session's messages."""

    __tablename__ = "guest_tickets"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey(Customer.id))
    session_key: Mapped[str | None] = mapped_column(ForeignKey(models.Session.key))
    customer: Mapped[Customer | None] = relationship(back_populates="tickets")
    session: Mapped[models.Session | None] = relationship(models.Session)
    messages: Mapped[list[models.Message]] = relationship(
        models.Message,
        primaryjoin=lambda: foreign(models.Message.session_key) == Ticket.session_key,
        order_by=models.Message.seq,
        viewonly=True,
    )
    answers: Mapped[list[models.Message]] = relationship(
        models.Message,
        primaryjoin=lambda: (
            (foreign(models.Message.session_key) == Ticket.session_key) & (models.Message.role == "assistant")
        ),
        order_by=models.Message.seq,
        viewonly=True,
    )


on_each_driver = pytest.mark.parametrize(
    ("driver", "database"),
    [("aiosqlite", "sqlite"), ("psycopg", "postgresql"), ("asyncpg", "postgresql")],
    indirect=["database"],
    ids=["aiosqlite", "psycopg", "asyncpg"],
)


@contextmanager
def engine_of_a_shop(database: Database) -> Iterator[Engine]:
    """The host's engine, on a database with its tables and ours."""
    engine = host_engine(database)
    ORDERS.create(engine)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@asynccontextmanager
async def store_of_a_host(database: Database, driver: str, clock: Clock) -> AsyncIterator[AsyncSessionStore]:
    """A store on a host's asynchronous engine, with the host's tables."""
    engine = async_host_engine(database, driver)
    async with engine.begin() as db:
        await db.run_sync(Base.metadata.create_all)
    yield AsyncSessionStore(engine, clock=clock)
    await engine.dispose()


def open_tickets(db: Session) -> None:
    """Add two customers, one with a ticket about Ann's session and one about none, the other with one about Bo's."""
    ann = Customer(id=1, name="Ann", tickets=[Ticket(id=1, session_key=KEY), Ticket(id=2)])
    bo = Customer(id=2, name="Bo", tickets=[Ticket(id=3, session_key="web_bo")])
    db.add_all([ann, bo])


def talk(store: SessionStore) -> None:
    """Let Ann be answered and Bo not."""
    store.append_many(KEY, [HELLO, ANSWER, HELLO])
    store.append("web_bo", HELLO)
    store.set_session_name(KEY, "Ann")


async def talk_on_a_loop(store: AsyncSessionStore) -> None:
    """The same on an event loop, with the host's rows."""
    await store.append_many(KEY, [HELLO, ANSWER, HELLO])
    await store.append("web_bo", HELLO)
    await store.set_session_name(KEY, "Ann")
    async with AsyncSession(store.engine) as db, db.begin():
        await db.run_sync(open_tickets)
