"""Writers in processes of their own, and what became of all they were told."""

import json
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, select, text
from sqlalchemy.exc import DatabaseError

from session_store import SessionStore
from session_store.models.models import MESSAGES, SESSIONS
from session_store.search import fts5, tsvector
from tests.conftest import Database
from tests.faults.writing import Writer, write
from tests.hosts import disagreements, host_engine

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["tests.faults.writing", "tests.faults.racing", "session_store.cli", "aiosqlite", "psycopg"]
)
TASKS = 2
"""Writers on one event loop."""
LOOKED_UP = 200
"""How many messages of each audit are searched by the word that only they have."""
GOES_WITHIN_SECS = 10.0
INDEX = fts5.TABLE


@dataclass
class Audit:
    """What is lost, which should be nothing, and what was told."""

    acknowledged: int = 0
    missing: int = 0
    """Told, and not there under this number; or a number that nobody has."""
    doubled: int = 0
    """There more than once."""
    disordered: int = 0
    """Before one that the same writer wrote earlier."""
    heads: int = 0
    """Sessions whose head is not what the logs say, or not there."""
    index: int = 0
    """Messages the search index does not find, or finds where they are not."""
    leaked: int = 0
    """Connections out of a pool that nobody uses any more, or left on the server."""

    def lost(self) -> dict[str, int]:
        """What is not nothing."""
        return {name: number for name, number in vars(self).items() if number and name != "acknowledged"}


@dataclass(frozen=True)
class Told:
    """What a store said it has taken."""

    session: str
    seq: int
    token: str
    begun: int
    """When the call began, in nanoseconds of the machine's monotonic clock."""
    ended: int


@dataclass(frozen=True)
class Did:
    """What came of another call, in the racer's own words."""

    what: str
    session: str
    value: Any
    begun: int
    ended: int


@dataclass
class Notes:
    """All that writers noted."""

    told: list[Told] = field(default_factory=list)
    did: list[Did] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    """By the type of the error."""
    causes: Counter[str] = field(default_factory=Counter)
    """By the driver's error, as the store handed it on."""
    refused_tokens: set[str] = field(default_factory=set)
    """Of all that was refused once, some of it told later."""
    longest_refusal_secs: float = 0.0
    """How long the longest of the calls that were refused took."""
    connections: int = 0
    """Those that were still out of the pools of writers who were done."""

    def refusals(self) -> str:
        """What calls raised, in words."""
        return ", ".join(f"{number:,} {kind}" for kind, number in self.refused.most_common()) or "nobody was refused"


def read_notes(files: Iterable[Path]) -> Notes:
    """What stands in these files; a line that was not finished does not count."""
    notes = Notes()
    for file in files:
        for line in file.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                continue
            match json.loads(line):
                case ["told", session, pairs, begun, ended]:
                    notes.told += [Told(session, seq, token, begun, ended) for seq, token in pairs]
                case ["refused", kind, _, cause, begun, ended, *refused]:
                    notes.refused[kind] += 1
                    notes.refused_tokens.update(refused)
                    notes.causes[cause.splitlines()[0]] += 1
                    notes.longest_refusal_secs = max(notes.longest_refusal_secs, (ended - begun) / 10**9)
                case ["did", *facts]:
                    notes.did.append(Did(*facts))
                case ["ended", connections]:
                    notes.connections += connections
    return notes


class Fleet:
    """Writers of one database, each of which can be killed and replaced."""

    def __init__(
        self, database: Database, directory: Path, *, asynchronous: bool, sessions: Sequence[str], seed: int
    ) -> None:
        self.database = database
        self.sessions = sessions
        self.processes: list[Any] = []
        self._asynchronous = asynchronous
        self._seed = seed
        self._directory = directory / "notes"
        self._directory.mkdir(exist_ok=True)
        self._stop = self._directory / "stop"
        self._started = 0
        self._most_pages: Path | None = None
        self._counted: Counter[Path] = Counter()
        self._counts: Counter[bytes] = Counter()

    def start(self, writers: int = 8) -> None:
        """Let so many more write; on event loops two share a process."""
        for _ in range(writers // TASKS if self._asynchronous else writers):
            self.processes.append(self._process())

    def _process(self) -> Any:
        number, self._started = self._started, self._started + 1
        names = [f"w{number}t{task}x" for task in range(TASKS if self._asynchronous else 1)]
        notes = self._directory / f"{number}.notes"
        told = (self.database.url, self.sessions, names, self._asynchronous, self._seed, notes, self._stop)
        writer = Writer(*told, self._most_pages)
        process = PROCESSES.Process(target=write, args=(writer,), daemon=True)
        process.start()
        return process

    def allow_pages(self, number: int) -> None:
        """Let a SQLite database have so many pages at most, from each connection's next use on.

        Only those who are started after the first time look for it.
        """
        self._most_pages = self._directory / "most_pages"
        written = self._most_pages.with_suffix(".new")
        written.write_text(str(number))
        written.replace(self._most_pages)

    def kill_one(self, chance: random.Random) -> None:
        """SIGKILL one of them, and let another one come in its place."""
        index = chance.randrange(len(self.processes))
        self.processes[index].kill()
        self.processes[index].join()
        self.processes[index] = self._process()

    def size(self) -> int:
        """How many bytes of notes there are: it grows while they write."""
        return sum(file.stat().st_size for file in self._files())

    def notes(self) -> Notes:
        """What they have noted until now."""
        return read_notes(self._files())

    def acknowledged(self) -> int:
        """How many messages the store has taken until now."""
        return self._count("told")

    def refused(self) -> int:
        """How many calls the store has refused until now."""
        return self._count("refused")

    def _count(self, kind: str) -> int:
        """How many notes of a kind there are; what was counted before is not read again."""
        for file in self._files():
            with file.open("rb") as notes:
                notes.seek(self._counted[file])
                lines = [line for line in notes if line.endswith(b"\n")]
            self._counted[file] += sum(map(len, lines))
            self._counts.update(line.partition(b",")[0] for line in lines)
        return self._counts[f'["{kind}"'.encode()]

    def wait_for(self, acknowledged: int) -> None:
        """Wait until so many calls more than now have been answered."""
        self._wait_for(self.acknowledged, acknowledged)

    def wait_for_refusals(self, number: int) -> None:
        """Wait until so many calls more than now have been refused."""
        self._wait_for(self.refused, number)

    def _wait_for(self, count: Callable[[], int], more: int) -> None:
        least = count() + more
        while count() < least:
            self.raise_if_ended()
            time.sleep(0.02)

    def raise_if_ended(self) -> None:
        """No writer ends before it is told to, whatever the store raises."""
        ended = [process.exitcode for process in self.processes if process.exitcode is not None]
        assert not ended, f"writers ended with {ended}"

    def stop(self) -> None:
        """Let all come to their end."""
        self._stop.touch()
        for process in self.processes:
            process.join(60)
        exits = [process.exitcode for process in self.processes]
        assert exits == [0] * len(exits), f"writers ended with {exits}"

    def close(self) -> None:
        """Leave nobody behind, whatever happened."""
        for process in self.processes:
            process.kill()
            process.join()

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("*.notes"))


def audit(database: Database, notes: Notes, chance: random.Random, *, removed: bool = False) -> Audit:
    """Compare all that is in a database with what writers were told, once they are done.

    Args:
        database: The database.
        notes: What the writers noted.
        chance: Chooses the messages to be searched for.
        removed: Something else removes messages: then numbers may be missing, and what was told may be gone.
    """
    engine = host_engine(database)
    found = Audit(acknowledged=len(notes.told), leaked=notes.connections + _left(engine, database))
    with engine.connect() as db:
        there = tokens(db)
        found.heads = len(disagreements(db)) + len(there.keys() - set(db.scalars(select(SESSIONS.c.key))))
        found.index = _index_errors(db, there)
    engine.dispose()
    if not removed:
        found.missing = sum(there.get(told.session, {}).get(told.seq) != told.token for told in notes.told)
        found.missing += sum(max(messages) - len(messages) for messages in there.values())
    counts = Counter(token for messages in there.values() for token in messages.values())
    found.doubled = sum(number - 1 for number in counts.values())
    found.disordered = sum(_disordered([messages[seq] for seq in sorted(messages)]) for messages in there.values())
    everything = [(key, seq, token) for key, messages in there.items() for seq, token in messages.items()]
    with SessionStore(database.url) as store:
        for key, seq, token in chance.sample(everything, min(LOOKED_UP, len(everything))):
            hits = [(hit.key, hit.seq) for hit in store.search_messages(token)]
            found.index += hits != [(key, seq)]
    return found


def written_though_refused(database: Database, notes: Notes) -> set[str]:
    """What is in a database though its writer was only told that it is not."""
    engine = host_engine(database)
    with engine.connect() as db:
        there = {token for messages in tokens(db).values() for token in messages.values()}
    engine.dispose()
    return (there & notes.refused_tokens) - {told.token for told in notes.told}


def tokens(db: Connection) -> Mapping[str, dict[int, str]]:
    """The word that each message of each session begins with, by its seq."""
    there: dict[str, dict[int, str]] = {}
    for key, seq, content in db.execute(select(MESSAGES.c.session_key, MESSAGES.c.seq, MESSAGES.c.content)):
        there.setdefault(key, {})[seq] = content.partition(" ")[0]
    return there


def _disordered(tokens: Sequence[str]) -> int:
    """How many messages of a session stand behind a later one of the same writer."""
    last: dict[str, int] = {}
    wrong = 0
    for word in tokens:
        writer, _, number = word.rpartition("n")
        wrong += int(number) < last.get(writer, -1)
        last[writer] = int(number)
    return wrong


def _index_errors(db: Connection, there: Mapping[str, Mapping[int, str]]) -> int:
    """How far the search index is from the messages, by the word that all messages of a writer have."""
    if db.dialect.name == "sqlite":
        try:
            db.execute(text(fts5.INTEGRITY_CHECK))
        except DatabaseError:
            return 1
        found = text(f"SELECT count(*) FROM {INDEX} WHERE {INDEX} MATCH :word")  # noqa: S608
    else:
        for way in ("seqscan", "indexscan", "indexonlyscan"):
            db.execute(text(f"SET LOCAL enable_{way} = off"))
        words = tsvector.as_words(MESSAGES.c.content).op("@@")(func.to_tsquery("simple", bindparam("word")))
        found = select(func.count()).where(words)
    writers = Counter(token.rpartition("n")[0] for messages in there.values() for token in messages.values())
    return sum(abs(number - int(db.scalar(found, {"word": writer}))) for writer, number in writers.items())


def _left(engine: Engine, database: Database) -> int:
    """How many connections the server has from others once they had time to go."""
    if database.name == "sqlite":
        return 0
    others = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    deadline = time.monotonic() + GOES_WITHIN_SECS
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        while (number := int(db.scalar(others))) and time.monotonic() < deadline:
            time.sleep(0.05)
    return number
