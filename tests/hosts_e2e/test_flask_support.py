"""The Flask application answers, and writes its tickets and our messages together."""

import pytest
from sqlalchemy import text

from session_store import SessionStore
from tests.hosts_e2e.running import Client, Host, Reply

pytestmark = pytest.mark.hosts

MAIL = {"mail_id": "<1@example.org>", "sender": "ann@example.org", "subject": "Broken kettle", "text": "It leaks."}
GREETING = "This is ticket {}. We are looking into it."


def opened(client: Client, **changes: str) -> int:
    """The number of a new ticket."""
    reply = client.post("/tickets", MAIL | changes)
    assert reply.status == 201, reply
    number: int = reply.body["number"]
    return number


def said(reply: Reply) -> list[tuple[int, str, str]]:
    """What was said about a ticket, as the application shows it."""
    assert reply.status in {200, 201}, reply
    return [(message["seq"], message["role"], message["text"]) for message in reply.body["messages"]]


def counts(store: SessionStore) -> tuple[int, int, int]:
    """How many tickets there are, how many sessions, and how many messages."""
    tables = ("tickets", "session_store_sessions", "session_store_messages")
    with store.engine.connect() as db:
        tickets, sessions, messages = (db.scalar(text(f"SELECT count(*) FROM {name}")) or 0 for name in tables)  # noqa: S608
    return tickets, sessions, messages


def test_a_ticket_from_its_opening_to_its_end(support_client: Client, store: SessionStore) -> None:
    """Opened, written to from both sides, shown, and closed: every step is a message, and the ticket keeps up."""
    number = opened(support_client)
    path = f"/tickets/{number}"
    assert support_client.post(f"{path}/messages", {"role": "assistant", "text": "Where?"}) == (201, {"seq": 3})
    assert support_client.get(path).body["is_waiting"] is False
    assert support_client.post(f"{path}/messages", {"role": "user", "text": "Below."}) == (201, {"seq": 4})

    shown = support_client.get(path)
    assert (shown.body["is_open"], shown.body["is_waiting"]) == (True, True)
    talk = [
        (1, "user", "It leaks."),
        (2, "assistant", GREETING.format(number)),
        (3, "assistant", "Where?"),
        (4, "user", "Below."),
    ]
    assert said(shown) == talk
    closed = support_client.post(f"{path}/close")
    assert (closed.body["is_open"], closed.body["is_waiting"]) == (False, False)
    assert said(closed) == [*talk, (5, "assistant", "This ticket is closed.")]
    [head] = store.list_sessions_with_metadata()
    assert (head.name, head.owner, head.state) == ("Broken kettle", "ann@example.org", "closed")
    assert head.attributes == {"channel": "mail"}


def test_a_ticket_the_database_refuses_leaves_no_message(support_client: Client, store: SessionStore) -> None:
    """A mail delivered twice: the conversation begun for it is taken back with the ticket."""
    number = opened(support_client)
    before = support_client.get(f"/tickets/{number}").body

    assert support_client.post("/tickets", MAIL | {"text": "Again"}).status == 409
    assert counts(store) == (1, 1, 2)
    assert support_client.get(f"/tickets/{number}").body == before
    opened(support_client, mail_id="<2@example.org>")
    assert counts(store) == (2, 2, 4)


def test_a_message_the_store_refuses_leaves_the_ticket_alone(support_client: Client, store: SessionStore) -> None:
    """The change of the ticket that came first is taken back."""
    number = opened(support_client, sender="ann@example.org")
    assert support_client.get(f"/tickets/{number}").body["is_waiting"] is True
    with store.engine.begin() as db:
        # The conversation is in the way of its next message: its log is ahead of its head.
        db.execute(text("UPDATE session_store_sessions SET last_seq = 1"))

    reply = support_client.post(f"/tickets/{number}/messages", {"role": "assistant", "text": "Where?"})
    assert (reply.status, "disagrees" in reply.body["error"]) == (503, True)
    assert support_client.get(f"/tickets/{number}").body["is_waiting"] is True
    assert counts(store) == (1, 1, 2)


def test_a_closed_ticket_takes_nothing_more(support_client: Client, store: SessionStore) -> None:
    """Neither a message nor to be closed again."""
    number = opened(support_client)
    assert support_client.post(f"/tickets/{number}/close").status == 200

    assert support_client.post(f"/tickets/{number}/messages", {"role": "user", "text": "Thanks"}).status == 409
    assert support_client.post(f"/tickets/{number}/close").status == 409
    assert counts(store) == (1, 1, 3)


def test_what_is_not_there_or_not_allowed_is_said(support_client: Client, store: SessionStore) -> None:
    """Each refusal has its code, and leaves nothing."""
    assert support_client.get("/tickets/999").status == 404
    assert support_client.post("/tickets/999/close").status == 404
    assert support_client.post("/tickets/999/messages", {"role": "user", "text": "Hi"}).status == 404
    assert support_client.post("/tickets", {name: MAIL[name] for name in ("mail_id", "text")}).status == 422
    assert support_client.post("/tickets", MAIL | {"sender": "x" * 513}).status == 422
    assert support_client.post("/tickets/1/messages", {"role": "judge", "text": "Hi"}).status == 422
    assert counts(store) == (0, 0, 0)


def test_health(support: Host) -> None:
    """503 with the reason while the tables are missing, though the application runs; then 200."""
    with support.serving() as served:
        client = served.client
        reply = client.get("/health")
        assert reply.status == 503
        assert "session_store" in reply.body["error"]
        support.upgrade()

        reply = client.get("/health")
        assert (reply.status, reply.body["status"], reply.body["schema"]) == (200, "ok", "ss_0001")
