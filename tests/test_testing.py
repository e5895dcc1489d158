"""What the package brings for the tests of others, used as they use it: in a project of its own, in a new process."""

import ast
import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest

from session_store import AsyncSessionStore, SessionStore
from session_store.database import revisions
from session_store.testing import conformance

pytestmark = pytest.mark.once

pytest_plugins = ["pytester", "session_store.testing"]

ROOT = Path(__file__).parent.parent
TOPICS = [*Path(conformance.__file__).parent.glob("*.py")]


@pytest.fixture(autouse=True)
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty project of somebody else's."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run the project's tests; a warning is an error, and nothing may be left open."""
    return project.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", *options)


def test_the_package_does_not_need_pytest() -> None:
    """Who imports the store has not imported what tests it."""
    program = "import sys, session_store.cli, session_store.transfer; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


# the fixtures


def test_the_stores_are_migrated(session_store: SessionStore, async_session_store: AsyncSessionStore) -> None:
    """Both have the newest schema and nothing in them."""
    assert session_store.health().schema == asyncio.run(async_session_store.health()).schema == revisions.HEAD
    assert session_store.list_sessions() == asyncio.run(async_session_store.list_sessions()) == []


CONFTEST = 'pytest_plugins = ["session_store.testing"]'

BLOCKING_TESTS = """
    import pytest

    from session_store import ChatMessage, SessionStore

    def greet(store, key):
        store.append(key, ChatMessage.assistant("Good morning."))

    @pytest.mark.parametrize("key", ["ann", "bob"])
    def test_greeting(session_store, key):
        greet(session_store, key)

        assert isinstance(session_store, SessionStore)
        assert session_store.list_sessions() == [key]
"""

ASYNC_TESTS = """
    import asyncio

    import pytest

    from session_store import AsyncSessionStore, ChatMessage

    @pytest.mark.parametrize("key", ["ann", "bob"])
    def test_greeting(async_session_store, session_store, key):
        async def greet():
            messages = [async_session_store.append(key, ChatMessage.user(str(n))) for n in range(20)]
            return sorted([message.seq for message in await asyncio.gather(*messages)])

        assert isinstance(async_session_store, AsyncSessionStore)
        assert asyncio.run(greet()) == list(range(1, 21))
        assert asyncio.run(greet()) == list(range(21, 41)), "another loop"
        assert asyncio.run(async_session_store.list_sessions()) == [key]
        assert session_store.list_sessions() == [], "a store of its own"

    def test_a_transaction(async_session_store):
        async def told():
            async with async_session_store.begin() as tx:
                await tx.append("ann", ChatMessage.user("x"))
            return [message.content async for _, _, _, message in async_session_store.iter_history("ann")]

        assert asyncio.run(told()) == ["x"]

    def test_the_current_loop_is_left_alone(current_loop, async_session_store):
        assert asyncio.get_event_loop() is current_loop
"""

CURRENT_LOOP = """
    import asyncio
    import pytest

    from session_store.testing import Clock

    @pytest.fixture
    def current_loop():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        yield loop
        assert asyncio.get_event_loop() is loop
        loop.close()
        asyncio.set_event_loop(None)
"""
"""A plugin's way to hand a loop to a test; and a conftest that imports from here before pytest does."""


def test_a_host_has_a_store(project: pytest.Pytester) -> None:
    """Each test of a blocking host has an empty store, in a module that also imports from the package."""
    project.makeconftest(CONFTEST)
    project.makepyfile(BLOCKING_TESTS)

    run(project).assert_outcomes(passed=2)


def test_a_host_on_an_event_loop_has_a_store(project: pytest.Pytester) -> None:
    """It serves any number of loops, leaves the thread's own alone, and is closed without a warning."""
    project.makeconftest(dedent(CURRENT_LOOP) + CONFTEST)
    project.makepyfile(ASYNC_TESTS)
    result = run(project)

    result.assert_outcomes(passed=4)
    assert result.stderr.lines == []


def test_a_blocking_host_needs_nothing_asynchronous(project: pytest.Pytester) -> None:
    """Without aiosqlite and greenlet the plugin serves who blocks, and says what is missing to who does not."""
    project.makeconftest("import sys\nsys.modules.update(aiosqlite=None, greenlet=None)\n" + CONFTEST)
    project.makepyfile(test_blocking=BLOCKING_TESTS, test_async="def test_it(async_session_store): pass")
    result = run(project)

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.re_match_lines([r"E .*Error: .*(aiosqlite|greenlet)"])


# the suite


BACKEND = """
    import asyncio

    import pytest
    from sqlalchemy import text

    from session_store import AsyncSessionStore, SessionStore
    from session_store.testing import Blocking
    from session_store.testing.conformance import *

    class Backend(SessionStore):
        pass
    {method}
    @pytest.fixture
    def store(clock):
        with {store} as store:
            yield store
"""

STORE = 'Backend.open("sqlite://", clock=clock)'
ASYNC_STORE = 'asyncio.Runner() as runner, Blocking(AsyncSessionStore.open("sqlite://", clock=clock), runner.run)'


def test_the_suite_is_whole() -> None:
    """It offers every test of its topics, no name twice, the clock and nothing else."""
    names = Counter(
        node.name
        for topic in TOPICS
        for node in ast.walk(ast.parse(topic.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )

    assert Counter(conformance.__all__) == names + Counter(["clock"])


@pytest.mark.parametrize("store", [STORE, pytest.param(ASYNC_STORE, marks=pytest.mark.long)], ids=["blocking", "async"])
def test_a_right_backend_passes(project: pytest.Pytester, store: str) -> None:
    """The store itself, in a module of somebody else's, is found to be right."""
    project.makepyfile(BACKEND.format(method="", store=store))
    outcomes = run(project).parseoutcomes()

    assert outcomes.keys() == {"passed"}
    assert outcomes["passed"] >= len(conformance.__all__) - 1


WRONG = {
    "test_a_message_is_loaded_as_it_was_said": """
        def append(self, key, message, **options):
            return super().append(key, message._replace(payload=None), **options)
    """,
    "test_the_same_message_again_is_the_first_one": """
        def append(self, key, message, *, created_at=None, idempotency_key=None):
            return super().append(key, message, created_at=created_at)
    """,
    "test_load_last_gives_the_newest_oldest_first": """
        def load(self, key, *, last=None):
            return super().load(key)[:last]
    """,
    "test_remove_last_only_if_it_still_is": """
        def remove_last(self, key, *, seq=None):
            last = self.get_session_metadata(key).last_seq
            if seq is not None and seq != last:
                return False
            with self.engine.begin() as db:
                db.execute(text("DELETE FROM session_store_messages WHERE seq = 1"))
                db.execute(text("UPDATE session_store_sessions SET message_count = message_count - 1"))
            return True
    """,
    "test_newest_activity_comes_first": """
        def list_sessions(self, query=None):
            return super().list_sessions(query)[::-1]
    """,
    "test_every_word_must_be_in_one_message": """
        def search(self, query):
            return self.list_sessions_with_metadata()
    """,
    "test_attributes_merge_at_the_top_level": """
        def set_session_attributes(self, key, attributes):
            self.create_session(key)
            super().set_session_attributes(key, dict.fromkeys(self.get_session_metadata(key).attributes))
            super().set_session_attributes(key, attributes)
    """,
    "test_if_turn_lets_only_its_own_turn_change": """
        def set_session_state(self, key, state, turn_id=None, *, if_turn=None):
            return super().set_session_state(key, state, turn_id)
    """,
    "test_cleanup_keeps_running_sessions": """
        def cleanup_stale(self, ttl_hours, **options):
            return super().cleanup_stale(ttl_hours, **options | {"include_running": True})
    """,
}
"""Backends that are wrong in one method, by the test that finds it."""


@pytest.mark.parametrize("test", WRONG)
def test_a_wrong_backend_fails(project: pytest.Pytester, test: str) -> None:
    """What a backend does wrong is found, and the values that differ are shown."""
    project.makepyfile(test_backend=BACKEND.format(method=WRONG[test], store=STORE))
    result = run(project, "-k", test)

    assert result.parseoutcomes()["failed"] >= 1
    result.stdout.fnmatch_lines(["E *assert *"])
