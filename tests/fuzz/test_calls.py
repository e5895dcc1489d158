"""Whatever a call is given: it is done, or refused by an error that is documented and then nothing is written.

Calls and their parameters are read from the signatures, so a new one is fuzzed too. The law, of every call:

* An argument that is not allowed is refused by `InvalidKey`, `InvalidMessage` or `InvalidQuery`, in words that are
  short and name it; one that is allowed is not. Besides these come only the errors its docstring names.
* What an iterable, a mapping or a time zone of the caller's raises while it is gone through passes as it is. Of
  nothing else is a method called: not to compare it, and not to print it.
* After an error every row of every table is as it was before the call, and the transaction it came in goes on.
* What was accepted comes back equal.
"""

import asyncio
import inspect
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, cast

import pytest
from hypothesis import strategies as st
from sqlalchemy import orm, select

from session_store import (
    AsyncSessionStore,
    ChatMessage,
    NewMessage,
    SessionQuery,
    SessionStore,
    StoreError,
    models,
)
from session_store.store.operations import AsyncOperations, Operations
from session_store.testing import Clock
from tests.conftest import Database
from tests.fuzz.allowed import all_of, own_errors, plain
from tests.fuzz.arguments import ARGUMENTS, is_query
from tests.fuzz.database import Tables, begin_with_sessions, tables_of
from tests.fuzz.hostile import Stream, call_under_way
from tests.fuzz.running import fuzz, table_row, timeout
from tests.hosts import disagreements
from tests.sync_adapter import SyncAdapter

pytestmark = [timeout, pytest.mark.once]

CALLS: Final[Mapping[str, inspect.Signature]] = {
    name: inspect.signature(call) for name, call in vars(Operations).items() if not name.startswith("_")
}
_READS: Final = ("count_", "get_", "health", "history", "iter_", "list_", "load", "search", "session_exists")
_DOCUMENTED: Final = {
    name: set(re.findall(r"^ +(\w+): ", (inspect.getdoc(call) or "").partition("Raises:\n")[2], re.MULTILINE))
    for name, call in vars(Operations).items()
    if not name.startswith("_")
}
_ALSO: Final = {"IdempotencyConflict", "SessionInUse"}
"""The errors that are not about an argument and can be met here, with nobody else in the database."""

_USUAL: Final = {
    ("sqlite", "sync"): (900, 1.5),
    ("sqlite", "async"): (100, 0.25),
    ("sqlite", "begin"): (200, 0.4),
    ("sqlite", "begin, async"): (40, 0.1),
    ("sqlite", "joined"): (60, 0.2),
    ("postgresql", "sync"): (80, 0.25),
    ("postgresql", "async"): (40, 0.1),
    ("postgresql", "begin"): (40, 0.1),
    ("postgresql", "begin, async"): (20, 0.05),
    ("postgresql", "joined"): (20, 0.05),
}
"""How many examples each makes, and what share of those asked for."""


class Call(NamedTuple):
    """A call that is to be made."""

    name: str
    arguments: dict[str, Any]

    def made_on(self, store: Any) -> Any:
        """Make it, and go through what it returns."""
        given = {
            name: value.generator() if isinstance(value, Stream) else value for name, value in self.arguments.items()
        }
        with call_under_way():
            result = getattr(store, self.name)(**given)
            return list(result) if self.name.startswith("iter_") else result

    def verdicts(self) -> dict[str, bool | None]:
        """Whether each argument is allowed."""
        verdicts = {
            name: ARGUMENTS[name, CALLS[self.name].parameters[name].annotation].allows(value)
            for name, value in self.arguments.items()
        }
        if self.name == "set_session_state" and verdicts["state"] and plain(self.arguments["state"]) == "idle":
            # Idle has no turn: none is looked at.
            verdicts["turn_id"] = None
        query = self.arguments.get("query")
        if self.name == "count_sessions" and isinstance(query, SessionQuery) and verdicts["query"] is False:
            # On all pages: where one begins and how long it is need not be looked at.
            verdicts["query"] = is_query(replace(query, after=None, limit=None)) and None
        if self.name == "trim" and self.arguments.get("keep_last") is None is self.arguments.get("before"):
            # It would remove everything.
            verdicts["keep_last"] = False
        return verdicts


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Any call with any arguments."""
    name = draw(st.sampled_from(sorted(CALLS)))
    given = {}
    for parameter in list(CALLS[name].parameters.values())[1:]:
        if parameter.default is parameter.empty or draw(st.booleans()):
            given[parameter.name] = draw(ARGUMENTS[parameter.name, parameter.annotation].values)
    return Call(name, given)


@dataclass
class Report:
    """What was done."""

    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.perf_counter)

    def row(self, what: str, made: int) -> str:
        """One line for the run's table."""
        calls = Counter({"calls": self.accepted.total() + self.refused.total(), "accepted": self.accepted.total()})
        return f"{table_row(what, made, calls + self.errors)}; {time.perf_counter() - self.began:.0f} s"


def judge(call: Call, error: Exception | None, report: Report) -> None:
    """Hold what a call did against the law, but for what it wrote."""
    verdicts = call.verdicts()
    if error is None:
        report.accepted[call.name] += 1
        assert all_of(verdicts.values()) is not False, f"accepted, though {verdicts}"
        return
    report.refused[call.name] += 1
    if any(error is own for value in call.arguments.values() for own in own_errors(value)):
        report.errors["of the caller's own"] += 1
        return
    report.errors[type(error).__name__] += 1
    if not isinstance(error, StoreError):
        raise error
    told = str(error)
    assert 0 < len(told) < 500
    assert told.isprintable()
    if type(error).__name__ in _ALSO:
        assert type(error).__name__ in _DOCUMENTED[call.name]
        assert all_of(verdicts.values()) is not False
        return
    suspects = [
        ARGUMENTS[name, CALLS[call.name].parameters[name].annotation]
        for name, verdict in verdicts.items()
        if verdict is not True
    ]
    assert any(type(error) in suspect.errors for suspect in suspects), f"refused by {error!r}, though {verdicts}"
    assert any(word in told for suspect in suspects for word in suspect.words), told


def same(given: Any, back: Any) -> bool:
    """Whether a value came back as JSON has it: numbers by their value, and text by its characters."""
    match given:
        case dict():
            return given.keys() == back.keys() and all(same(item, back[name]) for name, item in given.items())
        case list() | tuple():
            return isinstance(back, list) and len(given) == len(back) and all(map(same, given, back))
        case str():
            return type(back) is str and plain(given) == back
        case bool() | None:
            return given is back
        case float():
            return not isinstance(back, bool) and float(back) == given
        case _:
            return not isinstance(back, bool) and given == back


def same_message(given: ChatMessage, back: ChatMessage) -> bool:
    """Whether a message came back."""
    return (plain(given.role), plain(given.content)) == (back.role, back.content) and same(given.payload, back.payload)


def is_there(store: SessionStore, call: Call, result: Any) -> bool:  # noqa: PLR0911 - a case for each call
    """Whether what a call wrote comes back."""
    given = dict(call.arguments)
    key = given.get("key")
    match call.name:
        case "append":
            last = store.history(key, after_seq=result.seq - 1, limit=1)
            at = given.get("created_at")
            # Under an idempotency key that is known the time of the first one stays.
            return (
                last == [result]
                and same_message(given["message"], result.message)
                and (at is None or given.get("idempotency_key") is not None or result.created_at == at)
            )
        case "append_many":
            items = given["messages"].items if isinstance(given["messages"], Stream) else list(given["messages"])
            new = [item if isinstance(item, NewMessage) else NewMessage(item) for item in items]
            log = {message.seq: message for message in store.history(key)}
            return (
                len(new) == len(result)
                and all(same_message(one.message, stored.message) for one, stored in zip(new, result, strict=True))
                and all(log[stored.seq] == stored for stored in result)
            )
        case "update_last" if result:
            return same_message(given["message"], store.load(key, last=1)[0])
        case "set_session_name":
            return same(given["name"] or None, store.get_session_name(key))
        case "set_session_owner":
            return same(given["owner"], _metadata(store, key).owner)
        case "set_session_attributes":
            kept = _metadata(store, key).attributes
            return all(
                plain(name) not in kept if value is None else same(value, kept[plain(name)])
                for name, value in given["attributes"].items()
            )
        case "create_session" if result:
            born = _metadata(store, key)
            labels = {name: value for name, value in (given.get("attributes") or {}).items() if value is not None}
            return (
                same(given.get("name") or None, born.name)
                and same(given.get("owner"), born.owner)
                and same(labels, born.attributes)
            )
        case "set_session_state" if result:
            now = store.get_session_state(key)
            turn = None if plain(given["state"]) == "idle" else given.get("turn_id")
            return now is not None and same(given["state"], now.state) and same(turn, now.turn_id)
        case _:
            return True


def _metadata(store: SessionStore, key: Any) -> Any:
    found = store.get_session_metadata(key)
    assert found is not None
    return found


@contextmanager
def store_on(database: Database, clock: Clock, *, awaited: bool) -> Iterator[SessionStore]:
    """A store; the async one is called without awaiting."""
    if not awaited:
        with SessionStore(database.url, clock=clock) as store:
            yield store
        return
    with asyncio.Runner() as runner, SyncAdapter(AsyncSessionStore(database.url, clock=clock), runner.run) as store:
        yield cast("SessionStore", store)


@contextmanager
def fuzzed(database: Database, clock: Clock, *, awaited: bool) -> Iterator[tuple[SessionStore, Tables, Report]]:
    """A store with some sessions in it; at the end heads, logs and search index agree."""
    with SessionStore(database.url, clock=clock) as store:
        begin_with_sessions(store, clock)
    with tables_of(database) as tables, store_on(database, clock, awaited=awaited) as store:
        yield store, tables, Report()
        tables.check_search_index()
    with SessionStore(database.url) as store, store.engine.connect() as db:
        assert disagreements(db) == []


def test_every_parameter_has_values() -> None:
    """A parameter that is new needs a line in the table, or it would not be fuzzed."""
    parameters = {
        (parameter.name, parameter.annotation)
        for signature in CALLS.values()
        for parameter in list(signature.parameters.values())[1:]
    }

    assert parameters - ARGUMENTS.keys() == set()
    assert {
        name: inspect.signature(call).replace(return_annotation=CALLS[name].return_annotation)
        for name, call in vars(AsyncOperations).items()
        if not name.startswith("_")
    } == CALLS


def outcome(call: Call, store: Any) -> tuple[Any, Exception | None]:
    """What a call returned, or raised."""
    try:
        return call.made_on(store), None
    except Exception as error:  # noqa: BLE001 - which ones may be is judged
        return None, error


@pytest.mark.parametrize("way", ["sync", "async"])
def test_calls_by_themselves(
    database: Database, clock: Clock, way: str, record_property: Callable[[str, object], None]
) -> None:
    """Each call is a transaction of its own."""
    with fuzzed(database, clock, awaited=way == "async") as (store, tables, report):
        begun: Any = tables.contents()
        start = begun

        def example(several: list[Call]) -> None:
            nonlocal begun
            if begun != start:
                tables.restore()
                begun = start
            for call in several:
                before, begun = begun or tables.contents(), None
                result, error = outcome(call, store)
                judge(call, error, report)
                if error is not None:
                    assert tables.contents() == before, "something was written"
                if error is not None or call.name.startswith(_READS):
                    begun = before
                else:
                    assert is_there(store, call, result)

        usual, share = _USUAL[database.name, way]
        made = fuzz(example, st.lists(calls(), min_size=1, max_size=3), usual, share)
        if made >= 5_000:
            assert report.accepted.keys() == CALLS.keys(), "each was done"
            assert CALLS.keys() - report.refused.keys() <= {"health", "list_running_sessions"}, "each was refused"
        record_property("table", report.row(f"calls, {database.name}, {way}", made))


@pytest.mark.parametrize("way", ["begin", "begin, async", "joined"])
def test_calls_in_a_transaction(
    database: Database, clock: Clock, way: str, record_property: Callable[[str, object], None]
) -> None:
    """What succeeded is committed, as if the calls that were refused had not been made."""
    with fuzzed(database, clock, awaited=way == "begin, async") as (store, tables, report):
        start = tables.contents()
        as_begun = True

        @contextmanager
        def transaction() -> Iterator[Any]:
            if way != "joined":
                with store.begin() as begun:
                    yield begun
                return
            with orm.Session(store.engine) as db, db.begin():
                assert db.scalars(select(models.Session)).all()
                yield store.joined_to(db)

        def example(several: list[Call]) -> None:
            nonlocal as_begun
            if not as_begun:
                tables.restore()
            as_begun = False
            accepted = []
            with transaction() as begun:
                for call in several:
                    result, error = outcome(call, begun)
                    judge(call, error, report)
                    if error is None:
                        accepted.append(call)
                        assert is_there(begun, call, result)
            written = tables.contents()
            if len(accepted) < len(several):
                if written != start:
                    tables.restore()
                with transaction() as begun:
                    for call in accepted:
                        call.made_on(begun)
                assert tables.contents() == written, "a call that was refused has written"
            as_begun = written == start

        usual, share = _USUAL[database.name, way]
        made = fuzz(example, st.lists(calls(), min_size=2, max_size=3), usual, share)
        record_property("table", report.row(f"calls in a transaction, {database.name}, {way}", made))
