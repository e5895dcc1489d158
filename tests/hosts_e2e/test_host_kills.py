"""A process killed between a host's row and our message, or between both and the commit, leaves neither."""

from itertools import cycle, islice

import pytest
from sqlalchemy import text

from session_store import ChatMessage, SessionStore
from tests.hosts import disagreements
from tests.hosts_e2e.running import Host

pytestmark = pytest.mark.hosts

KEY = "web_ann"
KILLS = 5


def found(host: Host, store: SessionStore) -> tuple[int, list[str]]:
    """How many rows of the host's there are, and the messages."""
    table = {"fastapi_shop": "orders", "flask_support": "tickets"}[host.name]
    with store.engine.connect() as db:
        assert disagreements(db) == []
        rows = db.scalar(text(f"SELECT count(*) FROM {table}"))  # noqa: S608 - named above
    return rows or 0, [message.content for message in store.load(KEY)]


def test_a_killed_process_leaves_neither(host: Host, store: SessionStore) -> None:
    """After each SIGKILL there is no row and no message; the same program left alone writes both at once."""
    host.upgrade()
    store.append(KEY, ChatMessage.user("Where is it?"))
    if host.name == "fastapi_shop":
        with store.engine.begin() as db:
            db.execute(text("INSERT INTO users (id, name) VALUES (1, 'ann')"))
    before = found(host, store)
    assert before == (0, ["Where is it?"])

    for number, point in enumerate(islice(cycle(["between", "uncommitted"]), KILLS)):
        with host.program(host.name, KEY, str(number), point) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
            process.kill()
            assert process.wait() == -9
        assert found(host, store) == before

    # Nothing the dead held is in the way.
    with host.program(host.name, KEY, "0", "through") as process:
        assert process.wait() == 0
    assert found(host, store) == (1, ["Where is it?", "Your order is on its way."])
