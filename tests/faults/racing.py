"""Racers: processes that do several things to the same sessions at once, and note what came of each.

A racer is a plain function. On an event loop it runs in a greenlet, two to a loop, where each call of the store is
awaited for it: what races is written once.
"""

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ExceptionContext, create_engine, event, orm
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.util import await_only, greenlet_spawn

from session_store import AsyncSessionStore, ChatMessage, SessionStore
from session_store.database.driver_errors import sqlstate
from session_store.store.arguments import utc_now
from tests.conftest import Database
from tests.faults.fleet import PROCESSES, TASKS, Fleet, Notes, Told
from tests.faults.writing import PAUSE_SECS, WORDS, token
from tests.hosts import ASYNC_DRIVERS, SYNC_DRIVERS, begins_by_event
from tests.sync_adapter import SyncAdapter

Engines = Callable[..., Any]
"""Makes a host's engine of a `Database`, and of ``asynchronous``."""


@dataclass(frozen=True)
class Race:
    """What a process has to do, as one racer or as some on an event loop."""

    run: Callable[["Racer"], None]
    database: Database
    names: Sequence[str]
    sessions: Sequence[str]
    asynchronous: bool
    seed: int
    notes: Path
    stop: Path
    clock: Callable[[], datetime]
    engine: Engines | None
    """None: the store makes its own."""


class New(NamedTuple):
    """A message that nobody else has."""

    number: int
    """The how many of its racer it is."""
    token: str
    message: ChatMessage


class Racer:
    """One that races."""

    def __init__(self, race: Race, name: str, store: Any, *, pause: Callable[[float], object]) -> None:
        self.name = name
        self.sessions = race.sessions
        self.asynchronous = race.asynchronous
        self.store = store
        self.chance = random.Random(f"{race.seed} {name}")  # noqa: S311 - no secret
        self.pause = pause
        self._race = race
        self._notes = os.open(race.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._made = 0

    def goes_on(self) -> bool:
        """Whether nobody has stopped the race."""
        return not self._race.stop.exists()

    def session(self) -> str:
        """Any of the sessions."""
        return self.chance.choice(self.sessions)

    def new(self) -> New:
        """The next message of this racer."""
        number, self._made = self._made, self._made + 1
        return New(number, token(self.name, number), self.message(number, 0))

    def message(self, number: int, version: int) -> ChatMessage:
        """Its message of this number, in one of its versions."""
        filler = " ".join(self.chance.choices(WORDS, k=self.chance.randrange(2, 40)))
        return ChatMessage.user(f"{token(self.name, number)} by {self.name}: version {version} {filler}")

    def tells(self, session: str, taken: Iterable[tuple[int, str]], begun: int) -> None:
        """Note the numbers and words of messages that the store has taken."""
        self._note(["told", session, list(taken), begun, time.monotonic_ns()])

    def did(self, what: str, session: str, value: Any, begun: int) -> None:
        """Note what came of another call."""
        self._note(["did", what, session, value, begun, time.monotonic_ns()])

    def refused(self, error: Exception, begun: int) -> None:
        """Note that a call raised, and wait a little."""
        cause = f"{type(error.__cause__).__name__}: {error.__cause__}"
        self._note(["refused", type(error).__name__, str(error), cause, begun, time.monotonic_ns()])
        self.pause(self.chance.uniform(0, PAUSE_SECS))

    def appends(self, session: str, new: New | None = None, **options: Any) -> Any:
        """Append a message and note it; what the store returned."""
        new = new or self.new()
        begun = time.monotonic_ns()
        stored = self.store.append(session, new.message, **options)
        self.tells(session, [(stored.seq, new.token)], begun)
        return stored

    def appends_many(self, session: str) -> None:
        """Append several messages in one call and note them."""
        new = [self.new() for _ in range(self.chance.randrange(2, 5))]
        begun = time.monotonic_ns()
        stored = self.store.append_many(session, [one.message for one in new])
        self.tells(session, [(one.seq, its.token) for one, its in zip(stored, new, strict=True)], begun)

    @contextmanager
    def host(self) -> Iterator[Any]:
        """An ORM session of the host's, on the engine that the store is on."""
        if self.asynchronous:
            with SyncAdapter(AsyncSession(self.store.engine), await_only) as host:
                yield host
        else:
            with orm.Session(self.store.engine) as host:
                yield host

    def close(self) -> None:
        """Note nothing any more."""
        os.close(self._notes)

    def _note(self, note: Any) -> None:
        os.write(self._notes, f"{json.dumps(note)}\n".encode())


class Field(Fleet):
    """All that race on one database."""

    def send(
        self,
        run: Callable[[Racer], None],
        number: int,
        *,
        clock: Callable[[], datetime] = utc_now,
        engine: Engines | None = None,
    ) -> None:
        """Let so many more race in this manner."""
        names = [f"{run.__name__.replace('_', '')}{self._started + n}x" for n in range(number)]
        share = TASKS if self._asynchronous else 1
        for start in range(0, number, share):
            self._started += share
            race = Race(
                run,
                self.database,
                names[start : start + share],
                self.sessions,
                self._asynchronous,
                self._seed,
                self._directory / f"{self._started}.notes",
                self._stop,
                clock,
                engine,
            )
            process = PROCESSES.Process(target=take_part, args=(race,), daemon=True)
            process.start()
            self.processes.append(process)


def take_part(race: Race) -> None:
    """Be this process."""
    if race.asynchronous:
        asyncio.run(_on_a_loop(race))
        return
    [name] = race.names
    with SessionStore(
        race.engine(race.database, asynchronous=False) if race.engine else race.database.url, clock=race.clock
    ) as store:
        with _errors_noted(race, store.engine):
            racer = Racer(race, name, store, pause=time.sleep)
            race.run(racer)
            racer.close()
        _end(race, store.engine)
        store.engine.dispose()


async def _on_a_loop(race: Race) -> None:
    engine = race.engine(race.database, asynchronous=True) if race.engine else race.database.url
    async with AsyncSessionStore(engine, clock=race.clock) as store:
        with _errors_noted(race, store.engine.sync_engine):
            async with asyncio.TaskGroup() as tasks:
                for name in race.names:
                    racer = Racer(race, name, SyncAdapter(store, await_only), pause=_pause_on_a_loop)
                    tasks.create_task(greenlet_spawn(_run_and_close, race.run, racer))
        _end(race, store.engine)
        await store.engine.dispose()


def _run_and_close(run: Callable[[Racer], None], racer: Racer) -> None:
    run(racer)
    racer.close()


def _pause_on_a_loop(seconds: float) -> None:
    await_only(asyncio.sleep(seconds))


@contextmanager
def _errors_noted(race: Race, engine: Any) -> Iterator[None]:
    """Note by its code each error that the database raised, whether or not a caller was told."""
    codes: Counter[str] = Counter()

    def count(context: ExceptionContext) -> None:
        error = context.original_exception
        codes[str(sqlstate(error) or getattr(error, "sqlite_errorname", type(error).__name__))] += 1

    event.listen(engine, "handle_error", count)
    yield
    with race.notes.open("a") as notes:
        notes.write(f"{json.dumps(['did', 'errors', race.run.__name__, codes, 0, 0])}\n")


def _end(race: Race, engine: Any) -> None:
    with race.notes.open("a") as notes:
        notes.write(f"{json.dumps(['ended', engine.pool.checkedout()])}\n")


def _host_engine(database: Database, *, asynchronous: bool, **options: Any) -> Any:
    driver = (ASYNC_DRIVERS if asynchronous else SYNC_DRIVERS)[database.name][0]
    url = database.url.set(drivername=f"{database.name}+{driver}")
    return create_async_engine(url, **options) if asynchronous else create_engine(url, **options)


def at_level(level: str, database: Database, *, asynchronous: bool) -> Any:
    """An engine of a host whose transactions are of this isolation level."""
    return _host_engine(database, asynchronous=asynchronous, isolation_level=level)


def deferred(database: Database, *, asynchronous: bool) -> Any:
    """An engine of a host on SQLite whose transactions begin without the write lock, as SQLAlchemy's pages show."""
    engine = _host_engine(database, asynchronous=asynchronous)
    begins_by_event(engine.sync_engine if asynchronous else engine)
    return engine


def without_foreign_keys(database: Database, *, asynchronous: bool) -> Any:
    """An engine of a host as the driver makes it: on SQLite foreign keys are off."""
    return _host_engine(database, asynchronous=asynchronous)


def errors(notes: Notes, run: Callable[[Racer], None]) -> Counter[str]:
    """How often the database raised which error in those who race in this manner."""
    return sum(
        (Counter(did.value) for did in notes.did if did.what == "errors" and did.session == run.__name__), Counter()
    )


def out_of_turn(told: Iterable[Told]) -> int:
    """How many messages have a higher number than one whose append began after theirs had ended."""
    wrong = 0
    last_begun: dict[str, int] = {}
    for one in sorted(told, key=lambda one: one.seq):
        wrong += one.ended < last_begun.get(one.session, 0)
        last_begun[one.session] = max(one.begun, last_begun.get(one.session, 0))
    return wrong
