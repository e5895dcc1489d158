"""What others have written does nothing to the one who reads a finding, nor to the one who runs its command."""

import shlex
import subprocess
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, update

from session_store import ChatMessage, SessionStore, doctor
from session_store.maintenance.doctor.context import CheckContext
from session_store.maintenance.doctor.findings import format_age, shell_command
from session_store.models.models import SESSIONS
from session_store.store.arguments import utc_now
from tests.conftest import Database, examples
from tests.doctor.faults import alarms, connection
from tests.doctor.test_mending import without_heads
from tests.hosts import host_engine

pytestmark = pytest.mark.once

HOSTILE = [
    "two\nlines\x1b[2J\x1b]0;title\x07",
    "'; DROP TABLE session_store_messages; -- $(touch none) `id` && id",
    "\u202egnihton %s {0} \\n \\",
    "-rf --yes " + "long" * 100,
]


def is_harmless(text: str) -> bool:
    """Whether a text is one line of plain ASCII."""
    return text.isascii() and text.isprintable()


def test_keys_do_nothing(database: Database) -> None:
    """Whatever a session is called, what is said of it is one line of ASCII, and so is what mends it."""
    with SessionStore(database.url, clock=lambda: utc_now() - timedelta(hours=2)) as store:
        for key in HOSTILE:
            store.append(key, ChatMessage.user(key))
            store.set_session_state(key, "running", key)
            store.append(f"{key} later", ChatMessage.user(key), created_at=utc_now() + timedelta(days=1))
            store.append(f"{key} gone", ChatMessage.user(key))
            store.set_session_state(f"{key} gone", "running")
    engine = host_engine(database)
    without_heads(database, "substr(key, length(key) - 4) = ' gone'")
    for key in HOSTILE:
        wrong = {"message_count": 9, "last_seq": 0, "state_seq": 5, "turn_id": "lost"}
        with engine.begin() as db:
            db.execute(update(SESSIONS).where(SESSIONS.c.key == key).values(wrong))
        findings = doctor(engine)
        with engine.begin() as db:
            # So that each is the one that is named.
            db.execute(SESSIONS.delete().where(SESSIONS.c.key == key))

        assert {finding.check for finding in alarms(findings)} == {
            "heads.message_count",
            "heads.last_seq",
            "heads.state_seq",
            "heads.state",
            "orphans.messages",
            "orphans.states",
            "sessions.stuck",
            "clock.future",
        }
        for finding in findings:
            assert all(is_harmless(str(part)) for part in finding)
            assert len(finding.message) < 300
    engine.dispose()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_transaction_of_any_name_is_rolled_back(database: Database) -> None:
    """What a host has called its prepared transaction is an argument of one statement, and harmless in a terminal."""
    with connection(database) as db:
        for number, name in enumerate(HOSTILE):
            short = name[:190].replace("%", "%%").replace("'", "''")
            for statement in ("BEGIN", f"CREATE TABLE host_{number} (id integer)", f"PREPARE TRANSACTION '{short}'"):
                db.exec_driver_sql(statement)
        (finding,) = alarms(doctor(database.url, stuck_secs=0))
        assert finding.command is not None
        assert all(is_harmless(str(part)) for part in finding)
        words = words_of(finding.command)
        for option, statement in pairwise(words):
            if option == "-c":
                db.exec_driver_sql(statement.replace("%", "%%"))

        assert alarms(doctor(database.url, stuck_secs=0)) == []


def words_of(command: str) -> list[str]:
    """The words a shell makes of a command."""
    printed = subprocess.check_output(["bash", "-c", f"printf '%s\\0' {command}"])  # noqa: S607
    return printed.decode("utf-8", "surrogatepass").split("\0")[:-1]


@examples(10)
@given(st.lists(st.text(st.characters(blacklist_characters="\0")), min_size=1, max_size=20))
def test_a_shell_reads_what_was_meant(words: list[str]) -> None:
    """A command is read back by a shell as the words it was made of, and is one line of ASCII."""
    command = shell_command(*words)

    assert is_harmless(command)
    assert words_of(command) == words
    if all(map(is_harmless, words)):
        assert shlex.split(command) == words


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (format_age(3600), "1h"),
        (format_age(5400), "90m"),
        (format_age(172_800), "2d"),
        (format_age(61), "61s"),
        (format_age(0.5), "0.5s"),
        (format_age(1_234_567), "1234567s"),
        (format_age(3_600.125), "3600.125s"),
    ],
)
def test_an_age_is_what_a_command_takes(said: str, words: str) -> None:
    """In its largest whole unit, and never rounded."""
    assert said == words


def test_a_command_names_the_host() -> None:
    """Without the user and the password."""
    engine = create_engine("postgresql+psycopg://ann:secret@/chat?host=a")
    context = CheckContext(engine, None, utc_now(), 1.0, quick=False, is_external=False)  # type: ignore[arg-type]

    assert shlex.split(context.psql("SELECT 1")) == ["psql", "--host", "a", "--dbname", "chat", "-c", "SELECT 1"]
