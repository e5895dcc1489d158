"""What the package brings for the tests of others, used as they use it: in a project of its own, in a new process."""

import asyncio
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from session_store import AsyncSessionStore, SessionStore
from session_store.database import revisions

pytestmark = pytest.mark.once

pytest_plugins = ["pytester", "session_store.testing"]

ROOT = Path(__file__).parent.parent


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
