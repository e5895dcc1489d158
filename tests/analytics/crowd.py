"""Many sessions at once, by chance but the same every time: what few and short conversations do not come to."""

import random
from itertools import accumulate
from typing import Any

from tests.analytics.conversations import (
    ANCHORS,
    ATTRIBUTES,
    JUNK,
    NEAR,
    NUMBERS,
    OWNERS,
    ROLES,
    STATES,
    TEXTS,
    TURNS,
    normalised,
)
from tests.analytics.figures import Conversations, Entry, Message, Session

SESSIONS = 60
MOMENTS = 80
"""So few that much happens at the same time."""

chance = random.Random(7)  # noqa: S311 - the same every time
TIMES = sorted(chance.sample([anchor + step for anchor in ANCHORS for step in NEAR], MOMENTS))
PARTS: dict[str, dict[str, Any]] = {
    "of one": {"owner": "ann"},
    "since": {"since": TIMES[MOMENTS // 3]},
    "of one with attributes": {"owner": "ann", "attributes": {"channel": "web"}},
    "until": {"until": TIMES[2 * MOMENTS // 3]},
    "of another in a time": {"owner": "Ann", "since": TIMES[20], "until": TIMES[-20]},
    "with attributes": {"attributes": {"n": 1}},
    "of nobody": {"owner": "nobody"},
}


def crowd() -> Conversations:
    """The sessions."""
    said = Conversations([], [], [])
    for number in range(SESSIONS):
        key = f"session {number}"
        entered = sorted(chance.choices(TIMES, k=chance.randint(0, 12)))
        entries = [
            Entry(key, seq, chance.choice(["running", *STATES]), chance.choice([None, *TURNS[:3]]), time)
            for seq, time in zip(growing(len(entered)), entered, strict=True)
        ]
        messages = [message(key, seq) for seq in growing(chance.randint(0, 20))]
        created_at, last_activity = sorted(chance.choices(TIMES, k=2))
        owner = chance.choice([None, *OWNERS[:3]])
        labels = chance.choice(ATTRIBUTES[:5])
        current = (entries[-1].state, entries[-1].turn_id, entries[-1].entered_at) if entries else ("idle", None, None)
        head = Session(key, None, owner, labels, created_at, last_activity, len(messages), *current)
        said.sessions.append(head)
        said.messages.extend(messages)
        said.entries.extend(entries)
    return said


def growing(count: int) -> list[int]:
    """So many numbers, not all of those there are."""
    return list(accumulate(chance.choices([1, 1, 1, 5], k=count)))


def message(key: str, seq: int) -> Message:
    """A message; half of them are a user's or an answer."""
    role = chance.choice(["user", "assistant", *ROLES])
    turn_id = chance.choice([None, *TURNS[:3]])
    return Message(key, seq, chance.choice(TIMES), role, turn_id, chance.choice(TEXTS), payload())


def payload() -> Any:
    """What is recognised, most of it as it should be."""
    numbers = [3, 5, 250, *NUMBERS]
    names = ("input_tokens", "output_tokens", "prompt_tokens", "completion_tokens")
    usage = {name: chance.choice(numbers) for name in chance.sample(names, 2)}
    calls = [{"name": chance.choice(["weather", "search", *TEXTS])}, chance.choice(JUNK)]
    model = chance.choice(["large", "small", None, *TEXTS])
    whole = {"usage": usage, "tool_calls": calls, "model": model, "latency_ms": chance.choice(numbers)}
    return normalised({name: value if chance.random() < 0.8 else chance.choice(JUNK) for name, value in whole.items()})


CROWD = crowd()
