"""Files of JSON Lines, whatever is in them: a line is imported exactly as it is, or told by its number and a reason.

Which lines can be imported is said here from the contract, on top of the `json` of Python. A line that says the same
name twice means the last one.
"""

import gzip
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest
from hypothesis import strategies as st

from session_store import ChatMessage, NewMessage, SessionStore
from session_store.testing import Clock
from session_store.transfer import BrokenLine, ImportResult, import_jsonl
from tests.command_line import Command, running_in
from tests.conftest import Database
from tests.fuzz.allowed import is_identifier as is_key
from tests.fuzz.allowed import is_json, is_time, is_word
from tests.fuzz.arguments import any_json, any_text
from tests.fuzz.database import Tables, tables_of
from tests.fuzz.hostile import GOOD_JSON, HARD_TEXTS, SIZED_TEXTS, TIMES
from tests.fuzz.running import fuzz, table_row, timeout
from tests.fuzz.test_calls import same_message
from tests.hosts import ORDERS

pytestmark = [timeout, pytest.mark.once]

ODD: Final = (
    "1e999", "-1e999", "1e308", "1e-400", "-0", "-0.0", "0.1", "1.0000000000000000000001", "1E5", "NaN", "Infinity",
    "-Infinity", "9" * 300, "9" * 3900, "9" * 3915, "9" * 4300, "9" * 4301, "9" * 100_000, f"-{'9' * 4301}", "[1e999]",
    '{"a": NaN}', *("[" * depth + "]" * depth for depth in (99, 100, 101, 900, 3000, 100_000)),
    *('{"a":' * depth + "1" + "}" * depth for depth in (99, 100, 101, 100_000)), "[" * 100_000, '{"a":' * 100_000,
    '{"a":1,"a":2}', '{"a":{"b":1,"b":{}}}', '{"":{"":[]}}', "[]", "{}", "null", "true", '"\\ud800"',
    '"\\udfff\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\u001a\\u0001\\u0001\\u0001"', '"\\u2028"', '"\\/"',
    '"\\x41"', '"\\', '"', '"\\u12"', '"a\tb"', '"\x01"', '"\x00"', "'a'", "tru", "01", "+1", ".5", "1.", "0x1",
    "1_000", "[1,]", "{1:2}", '{"a"}', "//", "", " ", "\ud800", '"\ud800"', "\xa0", '"\x7f\x9b31m\u202e"',
    '"[red]\\u001b[31m[/red]"', "\ufeff1",
)  # fmt: skip
"""Values as JSON has them, and as it should not."""

KEYS: Final = ("telegram_ann", "web_bo", "x" * 512)
TIMES_WRITTEN: Final = (
    *(time.isoformat() for time in TIMES if is_time(time)), "2026-03-05T09:12:03Z", "2026-03-05 09:12:03.5+01:00",
    "20260305T091203Z", "2026-W10-4T09:00+00:00", "2026-03-05", "", "soon", "2026-03-05T09:12:03",
    "2026-13-05T09:12:03Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "2026-03-05T09:12:03+25:00",
    "2026-03-05T24:00:00Z", "2026-03-05T09:12:60Z", "\x1b[31m2026", "[red]", "1e5",
    "2026-03-05T09:12:03+00:00:00.000001", "2026-03-05\ud80009:12:03Z", "\uff12\uff10\uff12\uff16-03-05T09:12:03Z",
    "-2026-03-05T00:00Z",
)  # fmt: skip
TEXTS: Final = (*HARD_TEXTS, *SIZED_TEXTS, "[red]a[/red]", ":smile:", "x" * 20_000)


def spelled(usual: Sequence[Any], seldom: Sequence[Any], made: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    """JSON of one of these, or of something new, in both spellings."""
    both = [
        [json.dumps(value, ensure_ascii=ascii_only) for ascii_only in (True, False) for value in values]
        for values in (usual, seldom)
    ]
    pool = [*both[0] * (1 + 2 * len(both[1]) // len(both[0])), *both[1]]
    new = made.map(json.dumps)

    @st.composite
    def values(draw: st.DrawFn) -> str:
        number = draw(st.integers(0, len(pool) + len(pool) // 20))
        return pool[number] if number < len(pool) else draw(new)

    return values()


FIELDS: Final = {
    "session_key": spelled(KEYS, TEXTS, any_text),
    "role": spelled(("user", "assistant"), TEXTS, any_text),
    "content": spelled(("hello",), TEXTS, any_text),
    "created_at": spelled((None, "2026-03-05T09:12:03Z"), TIMES_WRITTEN, any_text),
    "payload": spelled((None, {"a": 1}), GOOD_JSON, any_json),
    "other": spelled((1,), TEXTS, any_json),
}
_NEEDED: Final = ("session_key", "role", "content")
_MORE: Final = ((), (), ("payload",), ("created_at",), ("created_at", "payload"), ("other", "payload"), _NEEDED)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line: one that can be imported, mostly but for one thing."""
    pairs = [(name, draw(FIELDS[name])) for name in (*_NEEDED, *draw(st.sampled_from(_MORE)))]
    what, chance = draw(st.integers(0, 11)), draw(st.integers(0, 1 << 20))
    place = chance % len(pairs)
    if what in {1, 2, 3, 4}:
        # In any field, in the payload most of all: there nearly everything is allowed.
        pairs.insert(place, ("payload" if what > 2 else pairs[place][0], ODD[chance % len(ODD)]))
        pairs.reverse()
    elif what == 5:
        del pairs[place]
    line = "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in pairs) + "}"
    data = line.encode("utf-8", "surrogatepass")
    if what == 6:
        at = chance % (len(data) + 1)
        data = data[:at] + _BYTES[chance % len(_BYTES)] + data[at + chance % 3 :]
    elif what == 7:
        data = data[: chance % len(data)]
    elif what == 8:
        data = _AROUND[chance % len(_AROUND)] + data + _AROUND[chance % 97 % len(_AROUND)]
    elif what == 9:
        data = ODD[chance % len(ODD)].encode("utf-8", "surrogatepass")
    return data.replace(b"\n", b" ")


_BYTES: Final = (
    b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\x80", b"\0", b"\r", b"\x0b", b"\x1b[2J", b'"',
    b"\\", b"}",
)  # fmt: skip
_AROUND: Final = (
    b"", b" ", b"\t", b"\r", b"\xef\xbb\xbf", "\u2028".encode(), "\xa0".encode(), b"\x0c", b"\x1c", b"\0", b"[", b"]",
    b"{}", b",",
)  # fmt: skip
_BLANK: Final = (b"", b" \t", b"\r")


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Some lines, with what Windows and editors add."""
    chance = draw(st.integers(0, 1 << 20))
    several = [draw(lines()) for _ in range(chance % 4)]
    several[chance % 3 : 0] = [_BLANK[chance % 11 % 3]] * (chance % 5 == 0)
    end = (b"", b"\n", b"\n\n", b"\r\n")[chance % 7 % 4]
    return (b"\xef\xbb\xbf" if chance % 13 == 0 else b"") + (b"\r\n" if chance % 17 == 0 else b"\n").join(several) + end


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def said(line: bytes) -> tuple[str, NewMessage] | None:
    """What a line says, None if it cannot be imported."""
    try:
        fields = json.loads(line.decode().rstrip(), parse_constant=_no_constant)
        if not isinstance(fields, dict):
            return None
        key, message = fields["session_key"], ChatMessage(fields["role"], fields["content"], fields.get("payload"))
        at = None if fields.get("created_at") is None else datetime.fromisoformat(fields["created_at"])
    except (KeyError, RecursionError, TypeError, ValueError):
        return None
    good = is_key(key) and is_word(message.role) and isinstance(message.content, str) and is_json(message.payload)
    return (key, NewMessage(message, at)) if good and (at is None or is_time(at)) else None


def read(data: bytes) -> dict[int, tuple[str, NewMessage] | None]:
    """What each line of a file says that is not blank, by its number."""
    every = enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1)
    return {number: said(line) for number, line in every if line.strip()}


def is_there(store: SessionStore, clock: Clock, expected: list[tuple[str, NewMessage]]) -> bool:
    """Whether the store has these messages, in this order, and no others."""
    logs: dict[str, list[NewMessage]] = {}
    for key, new in expected:
        logs.setdefault(key, []).append(new)
    return sorted(store.list_sessions()) == sorted(logs) and all(
        len(stored := store.history(key)) == len(log)
        and all(
            same_message(new.message, back.message) and (new.created_at or clock.now) == back.created_at
            for new, back in zip(log, stored, strict=True)
        )
        for key, log in logs.items()
    )


@contextmanager
def emptied(database: Database, clock: Clock) -> Iterator[tuple[SessionStore, Tables]]:
    """A store with nothing in it, and what makes it so again."""
    with SessionStore(database.url, clock=clock) as store:
        with store.engine.begin() as db:
            ORDERS.create(db, checkfirst=True)
        with tables_of(database) as tables:
            yield store, tables
            tables.check_search_index()


def run(store: SessionStore, data: bytes) -> tuple[ImportResult, list[BrokenLine]]:
    """Import a file with this content."""
    broken: list[BrokenLine] = []
    return import_jsonl(store, [io.BytesIO(data)], on_broken=broken.append), broken


def shown(text: str) -> bool:
    """Whether a text steers no terminal: line feeds and tabs do not."""
    return all(char in "\n\t" or _is_harmless(char) for char in text)


def _is_harmless(char: str) -> bool:
    return unicodedata.category(char) not in {"Cc", "Cs", "Zl", "Zp"} and unicodedata.bidirectional(char) not in _TURNS


_TURNS: Final = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}


def test_lines(database: Database, clock: Clock, record_property: Callable[[str, object], None]) -> None:
    """Those that can be imported are there as given, the others are told; a second time adds nothing."""
    done: Counter[str] = Counter()

    with emptied(database, clock) as (store, tables):

        def example(given: tuple[bytes, bool]) -> None:
            data, compressed = given
            file = gzip.compress(data, 1) if compressed else data
            every = read(data)
            good = [line for line in every.values() if line is not None]
            done["lines"] += len(every)
            done["imported"] += len(good)

            result, broken = run(store, file)
            assert sorted(line.line for line in broken) == [number for number, line in every.items() if line is None]
            assert all(0 < len(line.reason) < 300 and line.reason.isprintable() for line in broken)
            assert is_there(store, clock, good)
            keys = {key for key, _ in good}
            assert result == ImportResult(len(every), len(good), 0, len(broken), len(keys))
            if good and compressed:
                again, _ = run(store, file)
                assert again == ImportResult(len(every), 0, len(good), len(broken), len(keys))
                assert is_there(store, clock, good)
            if good:
                tables.restore()

        made = fuzz(example, st.tuples(files(), st.booleans()), 120, 0.6 if database.name == "sqlite" else 0.15)
    record_property("table", table_row(f"lines to import, {database.name}", made, done))


@st.composite
def damaged(draw: st.DrawFn) -> tuple[bytes, bytes | None]:
    """A compressed file that was cut, changed, or goes on with rubbish; and what is in it, if that is still known."""
    data = draw(files())
    whole = gzip.compress(data, draw(st.sampled_from([0, 9])))
    match draw(st.integers(0, 3)):
        case 0:
            return whole[: draw(st.integers(2, len(whole) - 1))], data
        case 1:
            return whole + draw(
                st.sampled_from([b"rubbish", b"\x1f\x8b", b"\x1f\x8b\x08\0", b"\0" * 20 + b"\x01"])
            ), data
        case 2:
            return whole + gzip.compress(draw(files()))[:-4], None
        case _:
            at = draw(st.integers(2, len(whole) - 1))
            return whole[:at] + draw(st.binary(min_size=1, max_size=2)) + whole[at + 1 :], None


def test_damaged_files(database: Database, clock: Clock, record_property: Callable[[str, object], None]) -> None:
    """What stands before the damage is imported, and the damage is told as the last line."""
    done: Counter[str] = Counter()

    with emptied(database, clock) as (store, tables):

        def example(given: tuple[bytes, bytes | None]) -> None:
            file, data = given
            result, broken = run(store, file)
            seen = {key: store.load(key) for key in store.list_sessions()}
            assert result.lines == result.added + result.broken
            assert result.added == sum(map(len, seen.values()))
            assert all(0 < len(line.reason) < 300 for line in broken)
            if data is not None:
                done["damage told"] += broken[-1:] != [] and "cannot be read from here on" in broken[-1].reason
                assert "cannot be read from here on" in broken[-1].reason
                known = [line for number, line in read(data).items() if number < broken[-1].line and line is not None]
                assert is_there(store, clock, known)
            if seen:
                tables.restore()

        made = fuzz(example, damaged(), 60, 0.2 if database.name == "sqlite" else 0.05)
    record_property("table", table_row(f"damaged files, {database.name}", made, done))


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command, in a directory of its own."""
    return running_in(tmp_path, capsys, monkeypatch)


NAMES: Final = (
    "chats.jsonl", "[red]x.gz", "a\x1b[31m\n\u202e.jsonl", "\udc80.jsonl", ":1: .jsonl", "{}%s -.jsonl", "\u2028\x9b",
)  # fmt: skip


@pytest.mark.once
def test_on_the_command_line(
    database: Database, clock: Clock, command: Command, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The exit code says whether all was imported, each line that was not is told in one, and no text steers."""
    done: Counter[str] = Counter()

    with emptied(database, clock) as (store, tables):

        def example(given: tuple[bytes, str]) -> None:
            data, name = given
            (tmp_path / name).write_bytes(data)
            every = read(data)
            good = {line[0] for line in every.values() if line is not None}
            broken = [number for number, line in every.items() if line is None]
            done["told"] += len(broken)

            ran = command("import", "--db", database, "--", tmp_path / name)
            assert (ran.code, "Traceback" in ran.err) == (int(bool(broken)), False)
            told = ran.err.splitlines()
            numbers = [
                int(number)
                for line in told
                for number in re.findall(r"(?::)(\d+): ", line.partition(".jsonl")[2] or line)[:1]
            ]
            assert len(told) == len(broken)
            assert numbers == broken or name not in {"chats.jsonl", "[red]x.gz"}
            assert ran.out.count("\n") == 1
            assert f"{len(broken):,} broken" in ran.out
            assert shown(ran.err + ran.out)
            assert sorted(store.list_sessions()) == sorted(good)

            listed = command("list", "--db", database)
            assert (listed.code, listed.out.count("\n"), shown(listed.out)) == (0, len(good), True)
            for key in sorted(good)[:1]:
                seen = command("show", "--db", database, "--", key)
                assert (seen.code, seen.err, shown(seen.out)) == (0, "", True)
            if good:
                tables.restore()

        made = fuzz(example, st.tuples(files(), st.sampled_from(NAMES)), 15, 0.02)
    record_property("table", table_row(f"the import command, {database.name}", made, done))
