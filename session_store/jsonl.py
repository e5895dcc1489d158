"""JSON Lines into a store: one JSON object a line, each of them one message.

A line has ``session_key``, ``role`` and ``content``, all text, and may have ``created_at`` (ISO 8601 with a time
zone; without it: now) and ``payload`` (any JSON). Other fields are passed over, as are blank lines.

Each message is appended under an idempotency key made of a hash of these fields and of how many lines of the same
file said the same before it. So a file read again adds nothing, one that has grown adds what is new, two files that
overlap are not doubled, and two honest equal lines of one file are two messages.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import time
import zlib
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, NoReturn

from session_store import search_index
from session_store.dialects import engines
from session_store.errors import (
    Conflict,
    IdempotencyConflict,
    InvalidKey,
    InvalidMessage,
    InvalidQuery,
    SchemaOutOfDate,
    StoreError,
    StoreUnavailable,
)
from session_store.validation import chat_message, identifier, moment, not_a
from session_store.values import ChatMessage, NewMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from session_store.store import SessionStore

MAX_LINE_BYTES: Final = 32 * 1024 * 1024
"""A longer line is broken, and read past without being held in memory."""

_BATCH_LINES: Final = 10_000
_BATCH_BYTES: Final = 8 * 1024 * 1024
"""Some 10 MB of memory, and on SQLite a second for which other writers wait."""

_LONG_IMPORT: Final = 50_000
"""After so many messages added it pays to make the search index anew at the end."""

_ATTEMPTS: Final = 5
_LONGEST_PAUSE_SECS: Final = 0.5
_REFUSED_IN_A_ROW: Final = 20
_NEEDED: Final = ("session_key", "role", "content")
_GZIP: Final = b"\x1f\x8b"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class BrokenLine(NamedTuple):
    """A line that was not imported, numbered from 1, and why.

    Where a file cannot be read to its end, ``line`` is the first one missing.
    """

    file: str
    line: int
    reason: str


class Imported(NamedTuple):
    """What became of the lines: each was added, was there already, or was broken; ``sessions`` have the first two."""

    lines: int
    added: int
    already_there: int
    broken: int
    sessions: int


def import_jsonl(
    store: SessionStore,
    files: Iterable[str | os.PathLike[str] | BinaryIO],
    *,
    on_broken: Callable[[BrokenLine], object] | None = None,
    on_read: Callable[[int], object] | None = None,
) -> Imported:
    """Append the messages of JSON Lines files, plain or gzip, to a store, and say what became of the lines.

    They are committed in batches of up to 10,000 lines. Where this ends early, by a crash or an error, the batches
    before are there, and doing it again completes it. Memory grows by about 100 bytes a line of the longest file.
    On SQLite a long import suspends the search index, and makes it anew at the end.

    Args:
        store: Where they go, migrated; not within its ``begin()``.
        files: Paths, or files open for reading bytes.
        on_broken: Told of each line that is not imported; the others are.
        on_read: Told how many more bytes of the files as they are, compressed or not, have been read.

    Raises:
        OSError: A file cannot be opened.
        InvalidQuery: A file is neither a path nor open for reading bytes; the ones before it were read.
        StoreUnavailable: The database cannot serve, or was locked for too long.
        SchemaOutOfDate: The tables are missing or old.
        Conflict: The database gave way to other writers every time.
    """
    work = _Import(store, on_broken)
    try:
        for file in files:
            if not isinstance(file, str | os.PathLike) and not _reads_bytes(file):
                raise InvalidQuery(not_a(file, "a file", "a path, or open for reading bytes"))
            with ExitStack() as closing:
                source = closing.enter_context(open(file, "rb")) if isinstance(file, str | os.PathLike) else file  # noqa: PTH123
                work.read(str(getattr(source, "name", "<bytes>")), _uncompressed(source, on_read))
    finally:
        work.finish()
    return Imported(work.lines, work.added, work.already_there, work.broken, len(work.last_seqs))


def _reads_bytes(file: object) -> bool:
    return callable(getattr(file, "readline", None)) and not isinstance(file, io.TextIOBase)


class _Line(NamedTuple):
    file: str
    number: int
    session_key: str
    message: NewMessage


class _Import:
    """An import on its way: what was counted so far."""

    def __init__(self, store: SessionStore, on_broken: Callable[[BrokenLine], object] | None) -> None:
        self._store = store
        self._on_broken = on_broken
        self._refused_in_a_row = 0
        # An import that was killed may have left it so.
        self._index_is_suspended = search_index.is_suspended(store.engine)
        self.lines = self.added = self.already_there = self.broken = 0
        self.last_seqs: dict[str, int] = {}
        """The last seq of each session met: what comes back with a higher one has been added."""

    def read(self, file: str, source: BinaryIO) -> None:
        """Append the messages of one file."""
        # Of each digest 64 bits are kept. Should two agree in those, one line has a number of its own too many, the
        # same at every reading; what tells messages apart is the whole digest.
        occurrences: dict[int, int] = {}
        batch: list[_Line] = []
        size = 0
        for number, text in self._lines(file, source):
            self.lines += 1
            try:
                key, message = _parsed(text)
            except ValueError as error:
                self._report(file, number, str(error))
                continue
            digest = _digest(key, message)
            short = int.from_bytes(digest[:8])
            occurrence = occurrences[short] = occurrences.get(short, 0) + 1
            once = message._replace(idempotency_key=f"jsonl:{digest.hex()}:{occurrence}")
            batch.append(_Line(file, number, key, once))
            size += len(text)
            if len(batch) >= _BATCH_LINES or size >= _BATCH_BYTES:
                self._write(batch)
                batch, size = [], 0
        self._write(batch)

    def finish(self) -> None:
        """Make the search index anew, if the import went on without it."""
        if self._index_is_suspended:
            search_index.rebuild(self._store.engine)

    def _lines(self, file: str, source: BinaryIO) -> Iterator[tuple[int, bytes]]:
        number = 0
        try:
            while text := source.readline(MAX_LINE_BYTES):
                number += 1
                if len(text) == MAX_LINE_BYTES and not text.endswith(b"\n"):
                    while text and not text.endswith(b"\n"):
                        text = source.readline(MAX_LINE_BYTES)
                    self.lines += 1
                    self._report(file, number, f"longer than {MAX_LINE_BYTES:,} bytes")
                    continue
                if number == 1:
                    text = text.removeprefix(_BYTE_ORDER_MARK)
                if text.strip():
                    yield number, text
        except (OSError, EOFError, zlib.error) as error:
            self.lines += 1
            self._report(file, number + 1, f"cannot be read from here on: {error}")

    def _report(self, file: str, number: int, reason: str) -> None:
        self.broken += 1
        if self._on_broken is not None:
            self._on_broken(BrokenLine(file, number, reason))

    def _write(self, lines: Sequence[_Line]) -> None:
        """Append the messages of these lines in one transaction; of those that are refused, report each."""
        try:
            self._append(lines)
        except (Conflict, SchemaOutOfDate, StoreUnavailable):
            raise
        except StoreError as error:
            if len(lines) > 1:
                middle = len(lines) // 2
                self._write(lines[:middle])
                self._write(lines[middle:])
                return
            about_it = isinstance(error, IdempotencyConflict | InvalidKey | InvalidMessage)
            self._refused_in_a_row += not about_it
            # Then it is not the lines: no right to write, for example.
            if self._refused_in_a_row > _REFUSED_IN_A_ROW:
                raise
            self._report(lines[0].file, lines[0].number, str(error))
        else:
            self._refused_in_a_row = 0

    def _append(self, lines: Sequence[_Line]) -> None:
        if self.added >= _LONG_IMPORT and not self._index_is_suspended:
            self._index_is_suspended = search_index.suspend(self._store.engine)
        sessions: dict[str, list[NewMessage]] = {}
        for line in lines:
            sessions.setdefault(line.session_key, []).append(line.message)
        attempts = 1
        begun = time.monotonic()
        while True:
            try:
                seqs = self._append_to(sessions)
                break
            except Conflict:
                if attempts == _ATTEMPTS:
                    raise
                attempts += 1
                time.sleep(random.uniform(0, _LONGEST_PAUSE_SECS))  # noqa: S311 - nothing secret about it
        time.sleep(engines.rest_after(self._store.engine, time.monotonic() - begun))
        for key, returned in seqs.items():
            added = sum(seq > self.last_seqs.get(key, 0) for seq in returned)
            self.added += added
            self.already_there += len(returned) - added
            self.last_seqs[key] = max(self.last_seqs.get(key, 0), *returned)

    def _append_to(self, sessions: dict[str, list[NewMessage]]) -> dict[str, list[int]]:
        seqs: dict[str, list[int]] = {}
        if not sessions:
            return seqs
        with self._store.begin() as transaction:
            # By key, so that two imports never wait for each other in a ring.
            for key in sorted(sessions):
                if key not in self.last_seqs:
                    head = transaction.get_session_metadata(key)
                    self.last_seqs[key] = 0 if head is None else head.last_seq
                seqs[key] = [stored.seq for stored in transaction.append_many(key, sessions[key])]
        return seqs


class _Reader(io.RawIOBase):
    """A file that says how much of it has been read."""

    def __init__(self, source: BinaryIO, on_read: Callable[[int], object] | None) -> None:
        self._source = source
        self._on_read = on_read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        if self._on_read is not None:
            self._on_read(len(data))
        return len(data)


def _uncompressed(source: BinaryIO, on_read: Callable[[int], object] | None) -> BinaryIO:
    """Return what is in a file, whether it is compressed or not."""
    plain = io.BufferedReader(_Reader(source, on_read), 1 << 16)
    if plain.peek(len(_GZIP)).startswith(_GZIP):
        return gzip.GzipFile(fileobj=plain)  # type: ignore[return-value]
    return plain


def _parsed(text: bytes) -> tuple[str, NewMessage]:
    """Return what a line says.

    Raises:
        ValueError: It cannot be stored; the text is the reason.
    """
    fields = _decoded(text)
    if not isinstance(fields, dict):
        problem = f"must be a JSON object, not {type(fields).__name__}"
        raise InvalidMessage(problem)
    missing = [name for name in _NEEDED if name not in fields]
    if missing:
        problem = f"has no {', '.join(missing)}"
        raise InvalidMessage(problem)
    key = identifier(fields["session_key"], "session_key")
    message, _, _ = chat_message(ChatMessage(fields["role"], fields["content"], fields.get("payload")))
    return key, NewMessage(message, _time(fields.get("created_at")))


def _decoded(text: bytes) -> Any:
    try:
        return _JSON.decode(text.decode().rstrip())
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8: byte {text[error.start]:#04x} at {error.start + 1}"
    except json.JSONDecodeError as error:
        problem = f"is not JSON at character {error.pos + 1}: {error.msg}"
    except RecursionError:
        problem = "is nested too deep"
    except InvalidMessage:
        raise
    except ValueError:
        problem = "holds a whole number of more than 4,300 digits"
    raise InvalidMessage(problem)


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str):
        problem = f"created_at must be a str, not {type(value).__name__}"
        raise InvalidMessage(problem)
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        problem = f"created_at is not a time in ISO 8601: {ascii(value)[:60]}"
        raise InvalidMessage(problem) from None
    return moment(time, "created_at", InvalidMessage)


def _digest(key: str, new: NewMessage) -> bytes:
    created_at = None if new.created_at is None else new.created_at.isoformat()
    said = _CANONICAL.encode([key, new.message.role, new.message.content, new.message.payload, created_at])
    return hashlib.blake2b(said.encode(), digest_size=16).digest()


def _no_constant(name: str) -> NoReturn:
    problem = f"is not JSON: {name}"
    raise InvalidMessage(problem)


_JSON: Final = json.JSONDecoder(parse_constant=_no_constant)
_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
