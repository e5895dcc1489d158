"""A host's own models are related to ours, loaded with them, and asked for together."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    Session,
    aliased,
    contains_eager,
    joinedload,
    selectinload,
)

from session_store import SessionStore, models
from session_store.testing import Clock
from tests.conftest import Database
from tests.guest.shop import (
    ANSWER,
    HELLO,
    KEY,
    Customer,
    Ticket,
    on_each_driver,
    open_tickets,
    store_of_a_host,
    talk,
    talk_on_a_loop,
)
from tests.hosts import statements_of

# Related.


def read(tickets: list[Ticket]) -> list[tuple[Any, ...]]:
    """Everything a page about tickets shows, by attributes alone."""
    return [
        (
            ticket.id,
            ticket.customer and ticket.customer.name,
            ticket.session and (ticket.session.name, ticket.session.message_count, ticket.session.attributes),
            [(message.seq, message.content, message.payload, message.session.key) for message in ticket.messages],
            [message.seq for message in ticket.answers],
        )
        for ticket in tickets
    ]


SHOWN = [
    (
        1,
        "Ann",
        ("Ann", 3, {}),
        [
            (1, "Hello", None, KEY),
            (2, "Hello, Ann", {"usage": {"output_tokens": 3}}, KEY),
            (3, "Hello", None, KEY),
        ],
        [2],
    ),
    (2, "Ann", None, [], []),
    (3, "Bo", (None, 1, {}), [(1, "Hello", None, "web_bo")], []),
]

LOADS = {
    "selectin": lambda: (
        selectinload(Ticket.customer),
        selectinload(Ticket.session),
        selectinload(Ticket.messages).selectinload(models.Message.session),
        selectinload(Ticket.answers),
    ),
    "joined": lambda: (
        joinedload(Ticket.customer),
        joinedload(Ticket.session),
        joinedload(Ticket.messages).joinedload(models.Message.session),
        joinedload(Ticket.answers),
    ),
}
each_way_of_loading = pytest.mark.parametrize("load", LOADS.values(), ids=LOADS.keys())


@each_way_of_loading
def test_our_rows_are_loaded_with_the_host_s(load: Callable[[], Any], engine: Engine, store: SessionStore) -> None:
    """A host's relationships to `Session` and `Message` load with its own rows, and reading them asks no more."""
    talk(store)
    with Session(engine) as db:
        open_tickets(db)
        db.commit()
        tickets = list(db.scalars(select(Ticket).options(*load()).order_by(Ticket.id)).unique())
        with statements_of(engine) as statements:
            assert read(tickets) == SHOWN
        assert statements == []
        assert not db.dirty


@on_each_driver
@each_way_of_loading
def test_our_rows_are_loaded_with_the_host_s_on_a_loop(
    load: Callable[[], Any], driver: str, database: Database, clock: Clock
) -> None:
    """So they do on an event loop, and no attribute has to be waited for."""

    async def main() -> None:
        async with store_of_a_host(database, driver, clock) as store:
            await talk_on_a_loop(store)
            async with AsyncSession(store.engine) as db:
                tickets = list((await db.scalars(select(Ticket).options(*load()).order_by(Ticket.id))).unique())
                with statements_of(store.engine) as statements:
                    assert read(tickets) == SHOWN
                assert statements == []

    asyncio.run(main())


def test_relationships_load_when_asked(engine: Engine, store: SessionStore) -> None:
    """Without an option they load at first use, as a host's own do."""
    talk(store)
    with Session(engine) as db:
        open_tickets(db)
        db.commit()

        assert read(list(db.scalars(select(Ticket).order_by(Ticket.id)))) == SHOWN


def test_a_joined_append_shows_at_the_host_s_row(engine: Engine, store: SessionStore) -> None:
    """What a joined call appended is among a ticket's messages when these are loaded again, and its session tells."""
    with Session(engine) as db:
        joined = store.joined_to(db)
        joined.append(KEY, HELLO)
        open_ticket = Ticket(id=1, session_key=KEY)
        db.add(open_ticket)
        db.flush()
        assert [message.seq for message in open_ticket.messages] == [1]
        assert open_ticket.session is not None
        joined.append(KEY, ANSWER)
        assert open_ticket.session.message_count == 2
        db.refresh(open_ticket, ["messages", "answers"])
        assert [message.seq for message in open_ticket.messages] == [1, 2]
        assert open_ticket.answers == open_ticket.messages[1:]
        db.commit()


# Asked for.


Question = Callable[[], Any]
last = aliased(models.Message, name="last")
own = aliased(models.Session, name="own")


def tickets_with_last_message() -> Any:
    """Each ticket's number with the text of the newest message: an alias, and a column of the head's."""
    return (
        select(Ticket.id, last.content)
        .join(own, Ticket.session_key == own.key)
        .join(last, (last.session_key == own.key) & (last.seq == own.last_seq))
    )


def tickets_by_answers() -> Any:
    """Each ticket's number with how many answers it has: a subquery, outer joined."""
    answers = (
        select(models.Message.session_key, func.count().label("answers"))
        .where(models.Message.role == "assistant")
        .group_by(models.Message.session_key)
        .subquery()
    )
    return select(Ticket.id, func.coalesce(answers.c.answers, 0)).join(
        answers, answers.c.session_key == Ticket.session_key, isouter=True
    )


def newest_by_window() -> Any:
    """The newest messages by number, out of a subquery that is read as an entity again."""
    number = func.row_number().over(partition_by=models.Message.session_key, order_by=models.Message.seq.desc())
    numbered = select(models.Message, number.label("number")).subquery()
    newest = aliased(models.Message, numbered)
    return select(newest.session_key, newest.seq).where(numbered.c.number == 1).order_by(newest.session_key)


QUESTIONS: dict[str, tuple[Question, list[tuple[Any, ...]]]] = {
    "joined by relationship": (
        lambda: select(Ticket.id, models.Session.message_count).join(Ticket.session).order_by(Ticket.id),
        [(1, 3), (3, 1)],
    ),
    "joined to messages": (
        lambda: select(Ticket.id, models.Message.seq).join(Ticket.messages).order_by(Ticket.id, models.Message.seq),
        [(1, 1), (1, 2), (1, 3), (3, 1)],
    ),
    "from ours to the host's": (
        lambda: (
            select(models.Message.seq, Customer.name)
            .join(models.Message.session)
            .join(Ticket, Ticket.session_key == models.Session.key)
            .join(Ticket.customer)
            .where(models.Message.role == "assistant")
        ),
        [(2, "Ann")],
    ),
    "filtered by any": (lambda: select(Ticket.id).where(Ticket.answers.any()), [(1,)]),
    "filtered by has": (lambda: select(Ticket.id).where(Ticket.session.has(models.Session.name == "Ann")), [(1,)]),
    "filtered by exists": (
        lambda: (
            select(models.Session.key)
            .where(~exists().where(Ticket.session_key == models.Session.key, Ticket.id == 1))
            .order_by(models.Session.key)
        ),
        [("web_bo",)],
    ),
    "filtered by in": (
        lambda: select(Ticket.id).where(
            Ticket.session_key.in_(select(models.Session.key).where(models.Session.message_count > 1))
        ),
        [(1,)],
    ),
    "counted": (
        lambda: (
            select(Customer.name, func.count(models.Message.seq))
            .join(Customer.tickets)
            .join(Ticket.messages, isouter=True)
            .group_by(Customer.id, Customer.name)
            .order_by(Customer.id)
        ),
        [("Ann", 3), ("Bo", 1)],
    ),
    "aliased": (lambda: tickets_with_last_message().order_by(Ticket.id), [(1, "Hello"), (3, "Hello")]),
    "in a subquery": (lambda: tickets_by_answers().order_by(Ticket.id), [(1, 1), (2, 0), (3, 0)]),
    "out of a subquery": (newest_by_window, [(KEY, 3), ("web_bo", 1)]),
    "in a CTE": (
        lambda: (
            select(Ticket.id)
            .join(models.Session, models.Session.key == Ticket.session_key)
            .where(
                models.Session.key.in_(select(select(models.Message.session_key).where(models.Message.seq > 1).cte()))
            )
        ),
        [(1,)],
    ),
}


def test_the_host_s_questions_span_both(engine: Engine, store: SessionStore) -> None:
    """Our models are joined, filtered, counted, aliased and nested with the host's, from either side."""
    talk(store)
    with Session(engine) as db:
        open_tickets(db)
        db.flush()
        answered = {name: db.execute(question()).all() for name, (question, _) in QUESTIONS.items()}

    assert answered == {name: answer for name, (_, answer) in QUESTIONS.items()}


@on_each_driver
def test_the_host_s_questions_span_both_on_a_loop(driver: str, database: Database, clock: Clock) -> None:
    """So they are on an event loop, on every driver."""

    async def main() -> None:
        async with store_of_a_host(database, driver, clock) as store:
            await talk_on_a_loop(store)
            async with AsyncSession(store.engine) as db:
                for name, (question, answer) in QUESTIONS.items():
                    assert (name, (await db.execute(question())).all()) == (name, answer)

    asyncio.run(main())


def test_a_join_fills_the_relationship(engine: Engine, store: SessionStore) -> None:
    """``contains_eager`` takes a ticket's session and messages from the join that filtered them."""
    talk(store)
    with Session(engine) as db:
        open_tickets(db)
        db.commit()
        query = (
            select(Ticket)
            .join(Ticket.session)
            .join(Ticket.messages)
            .where(models.Message.seq > 1)
            .order_by(models.Message.seq)
            .options(contains_eager(Ticket.session), contains_eager(Ticket.messages))
        )
        (ticket,) = db.scalars(query).unique()
        with statements_of(engine) as statements:
            assert ticket.session is not None
            assert (ticket.session.key, [message.seq for message in ticket.messages]) == (KEY, [2, 3])
        assert statements == []
