"""A process of a host's that writes its row and our message in one transaction, and waits on the way if told to.

Usage: writing.py fastapi_shop|flask_support KEY NUMBER between|uncommitted|through, where the application's
package can be imported. ``format_span`` waits after the host's row, ``uncommitted`` after both; each says so first.
"""

import asyncio
import sys

from session_store import ChatMessage

MESSAGE = ChatMessage.assistant("Your order is on its way.")


def wait() -> None:
    """Say that it has come so far, and go on at a line of input."""
    print("waiting", flush=True)  # noqa: T201 - whoever started this reads it
    sys.stdin.readline()


async def write_order(key: str, number: int, point: str) -> None:
    """Write an order and a message."""
    from shop.database import engine, sessions, store  # noqa: PLC0415 - only one host can be imported
    from shop.models import Order  # noqa: PLC0415

    async with sessions.begin() as db:
        db.add(Order(user_id=1, session_key=key, reference=f"basket-{number}", item="tea", amount_cents=450))
        await db.flush()
        if point == "between":
            wait()
        await store.joined_to(db).append(key, MESSAGE)
        if point == "uncommitted":
            wait()
    await engine.dispose()


def fastapi_shop(key: str, number: int, point: str) -> None:
    """Do that on a loop."""
    asyncio.run(write_order(key, number, point))


def flask_support(key: str, number: int, point: str) -> None:
    """Write a ticket and a message."""
    from support import create_app  # noqa: PLC0415
    from support.models import Ticket, db  # noqa: PLC0415

    app = create_app()
    with app.app_context():
        db.session.add(Ticket(session_key=key, mail_id=f"<{number}@example.org>", subject="Help"))
        db.session.flush()
        if point == "between":
            wait()
        app.extensions["session_store"].joined_to(db.session).append(key, MESSAGE)
        if point == "uncommitted":
            wait()
        db.session.commit()


HOSTS = {"fastapi_shop": fastapi_shop, "flask_support": flask_support}
HOSTS[sys.argv[1]](sys.argv[2], int(sys.argv[3]), sys.argv[4])
