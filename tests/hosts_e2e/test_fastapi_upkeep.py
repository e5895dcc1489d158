"""The FastAPI application tidies up in the background: old conversations, and turns whose process died."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from session_store import ChatMessage, SessionStore
from tests.hosts_e2e.running import Host, until, words_of

pytestmark = pytest.mark.hosts


def long_ago() -> datetime:
    """The time in a store that was used last year."""
    return datetime.now(UTC) - timedelta(days=365)


def test_the_old_are_deleted_but_what_an_order_refers_to(shop: Host, store: SessionStore) -> None:
    """An old conversation goes while the application runs; a recent one stays, and so does one with an order in it."""
    shop.upgrade()
    last_year = SessionStore(store.engine, clock=long_ago)
    for key in ("web_old", "web_ordered"):
        last_year.append(key, ChatMessage.user("Hello"))
    store.append("web_recent", ChatMessage.user("Hello"))
    with store.engine.begin() as db:
        db.execute(text("INSERT INTO users (id, name) VALUES (1, 'ann')"))
        db.execute(
            text(
                "INSERT INTO orders (id, user_id, session_key, reference, item, amount_cents) "
                "VALUES (1, 1, 'web_ordered', 'basket-1', 'tea', 450)"
            )
        )

    with shop.serving(SHOP_UPKEEP_SECS="0.05", SHOP_KEEP_HOURS="24") as served:
        until(lambda: not store.session_exists("web_old"), "that the old conversation is deleted")
        rounds = served.output.count("Upkeep: ")
        until(lambda: served.output.count("Upkeep: ") > rounds + 2, "that upkeep goes on")

    assert sorted(store.list_sessions()) == ["web_ordered", "web_recent"]
    assert [message.content for message in store.load("web_ordered")] == ["Hello"]


def test_a_turn_whose_process_died_is_freed(shop: Host, store: SessionStore) -> None:
    """Killed while it streams, the application loses a few words at most, and its successor ends the turn."""
    shop.upgrade()
    with shop.serving(SHOP_WORD_SECS="0.01") as served:
        client = served.client
        user = f"/users/{client.post('/users', {'name': 'ann'}).body['id']}"
        key = client.post(f"{user}/conversations").body["key"]
        with client.streamed(f"{user}/conversations/{key}/messages", {"content": "word " * 5000}) as response:
            heard = words_of(response, 40)
            served.kill()
    _, answer = store.history(key)
    assert [head.key for head in store.list_running_sessions()] == [key]
    assert len(answer.message.content.split()) >= len(heard.split()) - 8

    with shop.serving(SHOP_UPKEEP_SECS="0.05", SHOP_STUCK_SECS="0.1") as served:
        client = served.client
        until(lambda: not store.list_running_sessions(), "that the turn is ended")
        assert client.post(f"{user}/conversations/{key}/messages", {"content": "Again?"}).body == "You asked: Again? "
    assert [message.seq for message in store.history(key)] == [1, 2, 3, 4]
