"""The two stores are one interface: nothing is offered by one alone, or said differently."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from session_store import AsyncSessionBackend, AsyncSessionStore, SessionBackend, SessionStore

PAIRS = [(SessionStore, AsyncSessionStore), (SessionBackend, AsyncSessionBackend)]

NOT_AWAITED = {"begin", "iter_history", "joined_to", "open"}
"""Calls that hand out something to enter, to iterate over or to call; they do no I/O themselves."""

ENTERED = {"__enter__": "__aenter__", "__exit__": "__aexit__"}

both = pytest.mark.parametrize(("sync", "async_"), PAIRS, ids=["stores", "protocols"])


def public(offered: type) -> set[str]:
    """The names a class offers."""
    return {name for name in dir(offered) if not name.startswith("_")}


def calls(offered: type) -> list[str]:
    """The public names of a class that are called."""
    return sorted(name for name in public(offered) if callable(getattr(offered, name)))


def blocking_words(annotation: object) -> str:
    """An annotation as text, in the words of the synchronous store and without private types."""
    words = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\w+\.|_?Async(?!Open)|async_|\b_\w+ \| |_AsyncOpen\[(\w+)\]", r"\1", words)


def public_default(default: object) -> object:
    """A default as a caller sees it: a private sentinel says only that there is one."""
    return ... if type(default).__name__.startswith("_") else default


def shape(function: Callable[..., Any]) -> list[tuple[object, ...]]:
    """What a caller must know of a function: its parameters, and last what it returns."""
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    return [
        *((one.name, one.kind, public_default(one.default), blocking_words(one.annotation)) for one in parameters),
        (blocking_words(signature.return_annotation),),
    ]


@both
def test_both_offer_the_same_names(sync: type, async_: type) -> None:
    """Whatever one can do, so can the other."""
    assert public(sync) == public(async_)


@both
def test_signatures_are_the_same(sync: type, async_: type) -> None:
    """Names, order, defaults and types agree, and so do the results once awaited."""
    assert {name: shape(getattr(sync, name)) for name in calls(sync)} == {
        name: shape(getattr(async_, name)) for name in calls(async_)
    }


@pytest.mark.parametrize("name", calls(SessionStore))
def test_docstrings_are_the_same(name: str) -> None:
    """Each call has a docstring that says what it does, in the same words for both but where they differ."""
    said = inspect.getdoc(getattr(SessionStore, name)) or ""
    awaited = inspect.getdoc(getattr(AsyncSessionStore, name)) or ""

    assert said
    assert awaited.split("\n\n")[0] == said.split("\n\n")[0] if name in NOT_AWAITED else awaited == said


@pytest.mark.parametrize("name", calls(SessionBackend))
def test_the_awaited_half_has_the_same_summaries(name: str) -> None:
    """An editor shows the first line of the docstring for both."""
    docstring, summary = (
        inspect.getdoc(getattr(backend, name)) or "" for backend in (SessionBackend, AsyncSessionBackend)
    )

    assert docstring.split("\n")[0] == summary


@both
def test_one_waits_and_the_other_is_awaited(sync: type, async_: type) -> None:
    """No call of the one is a coroutine; of the other all are but the few that do no I/O."""
    assert not any(inspect.iscoroutinefunction(getattr(sync, name)) for name in calls(sync))
    assert {name for name in calls(async_) if not inspect.iscoroutinefunction(getattr(async_, name))} <= NOT_AWAITED


@pytest.mark.parametrize(("sync_name", "async_name"), ENTERED.items())
def test_both_are_entered(sync_name: str, async_name: str) -> None:
    """``with`` for the one is ``async with`` for the other."""
    assert hasattr(SessionStore, sync_name)
    assert hasattr(AsyncSessionStore, async_name)
    assert not hasattr(SessionStore, async_name)
    assert not hasattr(AsyncSessionStore, sync_name)


@pytest.mark.parametrize(
    ("protocol", "store"), [(SessionBackend, SessionStore), (AsyncSessionBackend, AsyncSessionStore)]
)
def test_a_store_does_what_its_protocol_says(protocol: type, store: type) -> None:
    """A store offers every call of its protocol, with the same signature."""
    assert {name: shape(getattr(protocol, name)) for name in calls(protocol)} == {
        name: shape(getattr(store, name)) for name in calls(protocol)
    }


@pytest.mark.parametrize("store", [SessionStore, AsyncSessionStore])
def test_annotations_are_those_of_the_signature(store: type) -> None:
    """Whoever asks for types gets what a call takes and returns, and nothing of its transaction."""
    for name in calls(store):
        call = getattr(store, name)
        signature = inspect.signature(call)
        said = {it.name: it.annotation for it in signature.parameters.values() if it.name != "self"}

        assert call.__annotations__ == said | {"return": signature.return_annotation}
