"""What is measured for the budget: the rows, and the databases they are measured on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.measuring import Texts

if TYPE_CHECKING:
    from session_store import ChatMessage

RARE_WORD = "quetzalfeather"
SESSIONS_WITH_RARE_WORD = 20
SESSIONS_WRITTEN_TO = 50


class Sizes(NamedTuple):
    """How much there is."""

    rounds: int = 200
    secs: float = 6.0
    """For a row; then what has been measured must do."""
    in_a_turn: int = 5
    """How often each is called when it is its turn."""
    until_prepared: int = 7
    """Calls before one is looked at: psycopg prepares a statement when it comes for the sixth time."""
    long: int = 100_000
    loaded: int = 1_000
    sessions: int = 10_000
    each: int = 10
    grown: int = 5_000
    at_once: int = 100
    starts: int = 20
    """Processes in which an import or a first answer is timed."""
    writing_processes: int = 8
    in_a_row: int = 25
    """Appends of a writer among several, when it is their turn."""


SMOKE = Sizes(
    rounds=1, long=300, loaded=50, sessions=100, each=3, grown=50, at_once=10, starts=1, writing_processes=1, in_a_row=2
)

Arguments = Callable[[Sizes], Iterator[tuple[Any, ...]]]


@dataclass(frozen=True)
class Row:
    """One operation on one kind of data; everybody gets the same arguments in the same order."""

    name: str
    operation: str
    arguments: Arguments
    limits: Mapping[str, float] = field(default_factory=dict)
    """The budget: how many times the floor's time at most, by database for the store that blocks, else by driver."""
    is_list: bool = False
    """Whether it finds a list, of the same length for everybody."""
    has_memory: bool = False
    """Whether to look at what it needs at its peak."""


@dataclass(frozen=True)
class Scene:
    """Data, and the rows measured on it."""

    name: str
    conversations: Callable[[Sizes], dict[str, list[ChatMessage]]]
    rows: tuple[Row, ...]
    is_written_to: bool
    """Then each contestant has a database of its own."""
    is_indexed: bool
    """Whether there is a search index."""


@cache
def messages() -> list[ChatMessage]:
    """Return the messages that are appended, again and again."""
    return Texts(2).messages(500)


def _some(number: int) -> ChatMessage:
    return messages()[number % len(messages())]


def _appended(_sizes: Sizes) -> Iterator[tuple[Any, ...]]:
    return ((f"written_{number % SESSIONS_WRITTEN_TO}", _some(number)) for number in count())


def _appended_at_once(sizes: Sizes) -> Iterator[tuple[Any, ...]]:
    batches = [[_some(number * sizes.at_once + place) for place in range(sizes.at_once)] for number in range(5)]
    return ((f"batched_{number % SESSIONS_WRITTEN_TO}", batches[number % 5]) for number in count())


def appended_when_young(sizes: Sizes) -> Iterator[tuple[Any, ...]]:
    """Give appends at message 10 and shortly after, as many in one session as there are in a turn."""
    return ((f"young_{number // sizes.in_a_turn}", _some(number)) for number in count())


def appended_when_grown(_sizes: Sizes) -> Iterator[tuple[Any, ...]]:
    """Give appends to the session that has many messages."""
    return (("grown", _some(number)) for number in count())


def _updated(_sizes: Sizes) -> Iterator[tuple[Any, ...]]:
    return (("young_0", _some(number)) for number in count())


def _states(_sizes: Sizes) -> Iterator[tuple[Any, ...]]:
    for number in count():
        yield "young_0", "running", f"turn_{number}"
        yield "young_0", "idle", None


def _always(*values: Any) -> Arguments:
    return lambda _sizes: (values for _ in count())


def _pages(sizes: Sizes) -> Iterator[tuple[Any, ...]]:
    places = random.Random(3)
    return (("long", places.randrange(sizes.long // 2, sizes.long), 50) for _ in count())


def _known(sizes: Sizes) -> Iterator[tuple[Any, ...]]:
    places = random.Random(3)
    return ((f"session_{places.randrange(sizes.sessions)}",) for _ in count())


def _to_write_to(sizes: Sizes) -> dict[str, list[ChatMessage]]:
    texts = Texts(3)
    young = {f"young_{number}": texts.messages(10) for number in range(sizes.rounds + 1)}
    return {"grown": texts.messages(sizes.grown), **young}


def _long(sizes: Sizes) -> dict[str, list[ChatMessage]]:
    texts = Texts(4)
    return {"loaded": texts.messages(sizes.loaded), "long": texts.messages(sizes.long)}


def _many(sizes: Sizes) -> dict[str, list[ChatMessage]]:
    texts = Texts(5)
    made = {f"session_{number}": texts.messages(sizes.each) for number in range(sizes.sessions)}
    for number in range(0, sizes.sessions, sizes.sessions // SESSIONS_WITH_RARE_WORD):
        first, *others = made[f"session_{number}"]
        made[f"session_{number}"] = [first._replace(content=f"{first.content} {RARE_WORD}"), *others]
    return made


APPEND_LIMITS = {"sqlite": 1.7, "postgresql": 1.4, "aiosqlite": 2.1, "psycopg": 1.8, "asyncpg": 1.9}
APPEND = Row("append", "append", _appended, APPEND_LIMITS)
APPEND_INDEXED = Row("append, search index on", "append", _appended, APPEND_LIMITS)

WRITTEN = Scene(
    "written",
    _to_write_to,
    (
        APPEND,
        Row("append_many", "append_many", _appended_at_once, {"sqlite": 1.5, "postgresql": 1.2}),
        Row("update_last", "update_last", _updated),
        Row("set_session_state", "set_state", _states),
    ),
    is_written_to=True,
    is_indexed=False,
)
SCENES = (
    WRITTEN,
    Scene("written, indexed", lambda _: {}, (APPEND_INDEXED,), is_written_to=True, is_indexed=True),
    Scene(
        "long",
        _long,
        (
            Row("load", "load", _always("loaded"), {"sqlite": 1.6, "postgresql": 1.6}, is_list=True, has_memory=True),
            Row("load, last 10", "load_last", _always("long", 10), {"sqlite": 4.0, "postgresql": 1.6}, is_list=True),
            Row("history, a page of 50", "page", _pages),
        ),
        is_written_to=False,
        is_indexed=False,
    ),
    Scene(
        "many",
        _many,
        (
            Row("newest 50 sessions", "newest", _always(50), {"sqlite": 4.0, "postgresql": 1.6}, is_list=True),
            Row("get_session_metadata", "metadata", _known),
            Row(
                "search, a rare word",
                "search",
                _always(RARE_WORD, 50),
                {"sqlite": 3.0, "postgresql": 3.0},
                is_list=True,
            ),
        ),
        is_written_to=False,
        is_indexed=True,
    ),
)
GROWN = "append at message 5,000 against 10"
GROWN_LIMIT = 1.1
WRITERS = "8 writers of one session"
WRITERS_LIMITS = {"sqlite": 1.05, "postgresql": 1.25}
"""The floor's throughput on SQLite, within noise; 0.8 of it on PostgreSQL."""
WRITING_PROCESSES = "8 processes writing one session"
FIRST = "first answer of a new process"
IMPORT = "import"
IMPORT_LIMIT = 1.2
