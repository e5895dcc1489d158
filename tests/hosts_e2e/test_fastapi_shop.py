"""The FastAPI application answers, keeps what it streams, and writes its rows and our messages together."""

from threading import Thread
from urllib.parse import quote

import pytest
from sqlalchemy import text

from session_store import ChatMessage, SessionStore
from tests.hosts_e2e.running import Client, Host, Reply, until, words_of

pytestmark = pytest.mark.hosts

LONG = " ".join(f"word{n}" for n in range(5000))
"""A question whose answer nobody waits for."""


def ann(client: Client) -> str:
    """The path of a user."""
    reply = client.post("/users", {"name": "ann"})
    assert reply.status == 201, reply
    return f"/users/{reply.body['id']}"


def conversation(client: Client, user: str, title: str = "Tea") -> str:
    """The path of a new conversation."""
    reply = client.post(f"{user}/conversations", {"title": title})
    assert reply.status == 201, reply
    return f"{user}/conversations/{reply.body['key']}"


def said(client: Client, talk: str) -> list[tuple[int, str, str]]:
    """What was said in a conversation, as the application shows it."""
    reply = client.get(f"{talk}/messages")
    assert reply.status == 200, reply
    return [(message["seq"], message["role"], message["content"]) for message in reply.body]


def order(reference: str = "basket-1", amount_cents: int = 450) -> dict[str, object]:
    """An order."""
    return {"reference": reference, "item": "green tea", "amount_cents": amount_cents}


def counts(store: SessionStore) -> tuple[int, int]:
    """How many orders there are, and how many messages."""
    with store.engine.connect() as db:
        orders = db.scalar(text("SELECT count(*) FROM orders"))
        messages = db.scalar(text("SELECT count(*) FROM session_store_messages"))
    return orders or 0, messages or 0


def state_of(store: SessionStore, talk: str) -> str | None:
    """What a conversation is doing."""
    state = store.get_session_state(talk.rpartition("/")[2])
    return state and state.state


def test_an_answer_is_streamed_and_kept(shop_client: Client, store: SessionStore) -> None:
    """The words that came are the message stored; question and answer carry the turn, which has ended."""
    talk = conversation(shop_client, ann(shop_client))
    reply = shop_client.post(f"{talk}/messages", {"content": "Which tea is best in the evening?"})

    assert reply == (200, "You asked: Which tea is best in the evening? ")
    assert said(shop_client, talk) == [(1, "user", "Which tea is best in the evening?"), (2, "assistant", reply.body)]
    key = talk.rpartition("/")[2]
    question, answer = store.history(key)
    assert question.turn_id == answer.turn_id is not None
    assert answer.message.payload == {"model": "echo-1", "complete": True}
    assert state_of(store, talk) == "idle"


def test_an_answer_is_kept_while_it_comes(shop_client: Client, store: SessionStore) -> None:
    """Before it is finished others read the beginning of it, and nobody else gets in between."""
    talk = conversation(shop_client, ann(shop_client))
    with shop_client.streamed(f"{talk}/messages", {"content": LONG}) as response:
        begun = words_of(response, 20)
        _, (seq, role, content) = said(shop_client, talk)

        assert (seq, role) == (2, "assistant")
        assert len(content.split()) >= 16
        assert content.startswith(begun[: len(content)])
        assert state_of(store, talk) == "running"
        assert shop_client.post(f"{talk}/messages", {"content": "Hello?"}).status == 409
        assert shop_client.post(f"{talk}/orders", order()).status == 409
        assert counts(store) == (0, 2)


def test_a_client_that_goes_away_leaves_what_it_heard(shop_client: Client, store: SessionStore) -> None:
    """What was streamed is kept, the turn ends at once, and the next question is answered."""
    talk = conversation(shop_client, ann(shop_client))
    with shop_client.streamed(f"{talk}/messages", {"content": LONG}) as response:
        heard = words_of(response, 21)
    until(lambda: state_of(store, talk) == "idle", "that the turn ends")

    whole = f"You asked: {LONG} "
    _, answer = store.history(talk.rpartition("/")[2])
    assert answer.message.content.startswith(heard)
    assert whole.startswith(answer.message.content)
    assert len(answer.message.content) < len(whole)
    assert answer.message.payload == {"model": "echo-1", "complete": False}
    assert shop_client.post(f"{talk}/messages", {"content": "Again?"}) == (200, "You asked: Again? ")
    assert [seq for seq, _, _ in said(shop_client, talk)] == [1, 2, 3, 4]


def test_an_answer_that_was_overtaken_ends(shop: Host, store: SessionStore) -> None:
    """Its turn is taken for dead and the next question answered: it stops with a warning, and the new turn goes on."""
    shop.upgrade()
    with shop.serving(SHOP_WORD_SECS="0.01") as served:
        client = served.client
        talk = conversation(client, ann(client))
        key = talk.rpartition("/")[2]
        with client.streamed(f"{talk}/messages", {"content": " ".join(["word"] * 1000)}) as overtaken:
            words_of(overtaken, 20)
            assert store.recover_stuck(0, to="idle") == [key]
            with client.streamed(f"{talk}/messages", {"content": LONG}) as response:
                words_of(response, 1)
                rest = overtaken.read()
                assert state_of(store, talk) == "running"
        until(lambda: state_of(store, talk) == "idle", "that the second turn ends")

        assert len(rest.split()) < 900
        assert served.output.count(f"Answer 2 of {key} ends early") == 1
        assert "Answer 4" not in served.output
    assert [stored.message.role for stored in store.history(key)] == ["user", "assistant"] * 2


def test_of_many_questions_at_once_one_is_answered(shop_client: Client, store: SessionStore) -> None:
    """The others are told to wait, and leave nothing."""
    talk = conversation(shop_client, ann(shop_client))
    replies: list[Reply] = []
    question = {"content": " ".join(["patience"] * 100)}

    def ask() -> None:
        replies.append(shop_client.post(f"{talk}/messages", question))

    threads = [Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(reply.status for reply in replies) == [200] + [409] * 7
    assert counts(store) == (0, 2)


def test_an_order_and_its_messages_are_one(shop_client: Client, store: SessionStore) -> None:
    """A good order has both, and shows the conversation it was placed in."""
    user = ann(shop_client)
    talk = conversation(shop_client, user)
    reply = shop_client.post(f"{talk}/orders", order())

    assert reply.status == 201
    expected = [
        (1, "user", "I would like to buy: green tea."),
        (2, "assistant", f"Thank you. Your order is number {reply.body['id']}."),
    ]
    assert said(shop_client, talk) == expected
    shown = shop_client.get(f"/orders/{reply.body['id']}").body
    assert [(message["seq"], message["role"], message["content"]) for message in shown["messages"]] == expected
    assert f"{user}/conversations/{shown['session_key']}" == talk
    assert counts(store) == (1, 2)
    assert state_of(store, talk) == "idle"


def test_an_order_shows_the_end_of_a_long_conversation(shop_client: Client, store: SessionStore) -> None:
    """The newest fifty, oldest first; the others are read in pages."""
    talk = conversation(shop_client, ann(shop_client))
    placed = shop_client.post(f"{talk}/orders", order()).body
    store.append_many(placed["session_key"], [ChatMessage.user(f"Hello {n}") for n in range(3, 121)])

    shown = shop_client.get(f"/orders/{placed['id']}").body["messages"]
    assert [(message["seq"], message["content"]) for message in shown] == [(n, f"Hello {n}") for n in range(71, 121)]
    assert [seq for seq, _, _ in said(shop_client, talk)] == [*range(1, 51)]
    page = shop_client.get(f"{talk}/messages?after_seq=50&limit=20").body
    assert [message["seq"] for message in page] == [*range(51, 71)]


def test_an_order_the_database_refuses_leaves_no_message(shop_client: Client, store: SessionStore) -> None:
    """The message written before the refusal is taken back with it, and the turn too."""
    talk = conversation(shop_client, ann(shop_client))
    assert shop_client.post(f"{talk}/orders", order()).status == 201
    before = store.get_session_metadata(talk.rpartition("/")[2])

    assert shop_client.post(f"{talk}/orders", order()).status == 409
    assert shop_client.post(f"{talk}/orders", order("basket-2", amount_cents=-1)).status == 422
    assert counts(store) == (1, 2)
    assert store.get_session_metadata(talk.rpartition("/")[2]) == before
    assert shop_client.post(f"{talk}/orders", order("basket-2")).status == 201
    assert counts(store) == (2, 4)


def test_lists_come_in_pages_and_search_finds(shop_client: Client) -> None:
    """The newest first, a user's own only; a search needs all its words in one message."""
    user = ann(shop_client)
    talks = [conversation(shop_client, user, f"Talk {n}") for n in range(5)]
    for n, talk in enumerate(talks):
        assert shop_client.post(f"{talk}/messages", {"content": f"A kettle, number {n}"}).status == 200
    bo = f"/users/{shop_client.post('/users', {'name': 'bo'}).body['id']}"
    assert shop_client.post(f"{conversation(shop_client, bo)}/messages", {"content": "A kettle"}).status == 200

    titles: list[str] = []
    page: str | None = f"{user}/conversations?limit=2"
    while page is not None:
        found = shop_client.get(page).body
        titles += [one["title"] for one in found["conversations"]]
        page = found["next"] and f"{user}/conversations?limit=2&after={quote(found['next'])}"
    assert titles == [f"Talk {n}" for n in (4, 3, 2, 1, 0)]
    hits = shop_client.get(f"{user}/search?words={quote('kettle 3')}").body["conversations"]
    assert [(hit["title"], hit["message_count"]) for hit in hits] == [("Talk 3", 2)]


def test_what_is_not_there_or_not_allowed_is_said(shop_client: Client) -> None:
    """Each refusal has its code."""
    user = ann(shop_client)
    talk = conversation(shop_client, user)
    bo = f"/users/{shop_client.post('/users', {'name': 'bo'}).body['id']}"

    assert shop_client.post("/users", {"name": "ann"}).status == 409
    assert shop_client.post("/users/999/conversations").status == 404
    assert shop_client.get(f"{user}/conversations/web_nobody/messages").status == 404
    assert shop_client.get(f"{talk.replace(user, bo)}/messages").status == 404
    assert shop_client.post(f"{user}/conversations/web_nobody/messages", {"content": "Hi"}).status == 404
    assert shop_client.get("/orders/999").status == 404
    assert shop_client.get(f"{user}/conversations?after=nonsense").status == 422


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**40, 2**70])
def test_a_number_no_column_holds_is_refused(shop_client: Client, number: int) -> None:
    """422 wherever it stands in a path, and not an error of the driver's."""
    user = f"/users/{number}"
    talk = f"{user}/conversations/web_nobody"
    for reply in (
        shop_client.get(f"/orders/{number}"),
        shop_client.post(f"{user}/conversations"),
        shop_client.get(f"{user}/conversations"),
        shop_client.get(f"{user}/search?words=tea"),
        shop_client.get(f"{talk}/messages"),
        shop_client.post(f"{talk}/messages", {"content": "Hi"}),
        shop_client.post(f"{talk}/orders", order()),
    ):
        assert reply.status == 422
        assert {problem["loc"][0] for problem in reply.body["detail"]} == {"path"}


@pytest.mark.parametrize("bad", ["\0", "a\0b", "a\n\0", "\ud800", "a\udfffb"])
def test_a_text_no_column_holds_is_refused(shop_client: Client, store: SessionStore, bad: str) -> None:
    """422 that names the field, and nothing is left."""
    user = ann(shop_client)
    talk = conversation(shop_client, user)
    for path, body, field in (
        ("/users", {"name": bad}, "name"),
        (f"{user}/conversations", {"title": bad}, "title"),
        (f"{talk}/orders", order(reference=bad), "reference"),
        (f"{talk}/orders", order() | {"item": bad}, "item"),
    ):
        reply = shop_client.post(path, body)
        assert (reply.status, [problem["loc"] for problem in reply.body["detail"]]) == (422, [["body", field]])
    assert shop_client.post(f"{talk}/messages", {"content": "\ud800"}).status == 422
    assert counts(store) == (0, 0)
    assert store.list_sessions() == [talk.rpartition("/")[2]]


def test_text_of_the_store_s_own_may_have_any_character(shop_client: Client, store: SessionStore) -> None:
    """NUL in a question is kept, and looked for without an error."""
    user = ann(shop_client)
    talk = conversation(shop_client, user)
    assert shop_client.post(f"{talk}/messages", {"content": "a\0b"}) == (200, "You asked: a\0b ")
    assert store.load(talk.rpartition("/")[2])[0].content == "a\0b"
    assert shop_client.get(f"{user}/search?words=a%00b").status == 200
    assert shop_client.get(f"{user}/conversations/%00/messages").status == 422
    assert shop_client.get(f"{talk}/messages?after_seq={2**70}").status == 422


def test_health(shop: Host) -> None:
    """503 with the reason while the tables are missing, though the application runs; then 200."""
    with shop.serving(SHOP_UPKEEP_SECS="0.05") as served:
        client = served.client
        reply = client.get("/health")
        assert reply.status == 503
        assert "session_store" in reply.body["detail"]
        until(lambda: served.output.count("Upkeep is put off") > 1, "that upkeep goes on")
        shop.upgrade()

        reply = client.get("/health")
        assert (reply.status, reply.body["status"]) == (200, "ok")


def test_it_stops_cleanly_in_the_middle_of_an_answer(shop: Host, store: SessionStore) -> None:
    """Asked to end while it streams, it ends when the client is gone, and the turn ends with it."""
    shop.upgrade()
    with shop.serving(SHOP_WORD_SECS="0.01") as served:
        client = served.client
        talk = conversation(client, ann(client))
        with client.streamed(f"{talk}/messages", {"content": LONG}) as response:
            words_of(response, 10)
        served.stop()

        assert "Finished server process" in served.output
        assert state_of(store, talk) == "idle"
