"""The Flask application answers, and writes its tickets and our messages together."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from session_store import ChatMessage, SessionStore
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


@pytest.mark.parametrize("number", [2**31, 2**40, 2**70])
def test_a_number_no_column_holds_is_no_ticket(support_client: Client, number: int) -> None:
    """404, as for any other that is not there, and not an error of the driver's."""
    for reply in (
        support_client.get(f"/tickets/{number}"),
        support_client.post(f"/tickets/{number}/close"),
        support_client.post(f"/tickets/{number}/messages", {"role": "user", "text": "Hi"}),
    ):
        assert (reply.status, list(reply.body)) == (404, ["error"])


@pytest.mark.parametrize("name", ["mail_id", "sender", "subject", "text"])
@pytest.mark.parametrize("bad", ["\0", "a\0b", "\ud800", "a\udfffb"])
def test_a_text_no_column_holds_is_refused(support_client: Client, store: SessionStore, name: str, bad: str) -> None:
    """400 that names the field, and nothing is left."""
    reply = support_client.post("/tickets", MAIL | {name: bad})
    assert (reply.status, reply.body["error"].split()[0]) == (400, name)
    assert counts(store) == (0, 0, 0)


def test_a_mail_id_no_index_holds_is_refused(support_client: Client, store: SessionStore) -> None:
    """Counted in bytes, so that the longest allowed goes in, however it is spelled."""
    for too_long in (secrets.token_hex(5000), "x" * 999, "\u20ac" * 333):
        assert support_client.post("/tickets", MAIL | {"mail_id": too_long}).status == 400
    assert counts(store) == (0, 0, 0)
    opened(support_client, mail_id=secrets.token_hex(499))
    opened(support_client, mail_id="\u20ac" * 332)
    assert counts(store) == (2, 2, 4)


def test_a_long_conversation_comes_in_pages(support_client: Client, store: SessionStore) -> None:
    """The newest fifty, oldest first, and from there back to the beginning."""
    number = opened(support_client)
    [key] = store.list_sessions()
    store.append_many(key, [ChatMessage.user(f"Hello {n}") for n in range(3, 121)])

    path = f"/tickets/{number}"
    pages = [said(support_client.get(path))]
    for _ in range(3):
        pages.append(said(support_client.get(f"{path}?before_seq={pages[-1][0][0]}")))
    assert [[seq for seq, _, _ in page] for page in pages] == [
        [*range(71, 121)],
        [*range(21, 71)],
        [*range(1, 21)],
        [],
    ]
    assert said(support_client.post(f"{path}/close"))[0][0] == 72
    assert support_client.get(f"{path}?before_seq=-1").status == 422


def test_more_requests_at_once_than_connections(support_client: Client) -> None:
    """A request has one connection, so those that wait for theirs do not wait for each other."""
    number = opened(support_client)
    with ThreadPoolExecutor(40) as threads:
        replies = list(threads.map(support_client.get, [f"/tickets/{number}"] * 120))
    assert {reply.status for reply in replies} == {200}


def test_health(support: Host) -> None:
    """503 with the reason while the tables are missing, though the application runs; then 200."""
    with support.serving() as served:
        client = served.client
        reply = client.get("/health")
        assert reply.status == 503
        assert "session_store" in reply.body["error"]
        support.upgrade()

        reply = client.get("/health")
        assert (reply.status, reply.body["status"], reply.body["schema"]) == (200, "ok", "ss_0003")
