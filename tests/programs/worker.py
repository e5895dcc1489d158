"""A process that works on a store: says when it is ready, begins at a line of input, and says what came of it.

Usage: worker.py append URL KEY COUNT | write URL KEY | call URL NAME ARGUMENTS
"""

import json
import sys
from datetime import datetime
from itertools import count

from session_store import ChatMessage, SessionStore


def say(value: object) -> None:
    """One line of JSON."""
    print(json.dumps(value), flush=True)  # noqa: T201 - whoever started this reads it


def ready() -> None:
    """Wait with the others for the start."""
    say("ready")
    sys.stdin.readline()


def append(url: str, key: str, messages: str) -> None:
    """Append so many messages and say their seqs."""
    with SessionStore(url) as store:
        store.load(key)
        ready()
        say([store.append(key, ChatMessage.user(f"message {n}")).seq for n in range(int(messages))])


def write(url: str, key: str) -> None:
    """Append for ever, now alone and now together with a change of state, and say each seq once it is stored."""
    with SessionStore(url) as store:
        ready()
        for n in count():
            if n % 3:
                say(store.append(key, ChatMessage.user(f"message {n}")).seq)
                continue
            with store.begin() as transaction:
                seqs = [message.seq for message in transaction.append_many(key, [ChatMessage.user("many")] * 3)]
                transaction.set_session_state(key, "running", f"turn-{n}")
            say(seqs[-1])


def call(url: str, name: str, arguments: str) -> None:
    """Make one call and say what it returned."""
    given = json.loads(arguments)
    if "before" in given:
        given["before"] = datetime.fromisoformat(given["before"])
    with SessionStore(url) as store:
        store.health()
        ready()
        say(getattr(store, name)(**given))


{"append": append, "call": call, "write": write}[sys.argv[1]](*sys.argv[2:])
