"""How many statements a call makes, and how often it waits for the server: counted in sqlite3, and on the wire."""

from __future__ import annotations

import selectors
import socket
import sqlite3
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

_CHUNK = 65_536
_HEADER = 5
"""Bytes of a message's type and length, of which the type is the first."""
_STATEMENTS = frozenset(b"QE")
"""Simple queries, and executions of what was prepared."""


class Count(NamedTuple):
    """What a call makes."""

    statements: int
    round_trips: int | None
    """None where nothing travels."""


class Counter:
    """Counts until it is asked."""

    def __init__(self) -> None:
        self.statements = 0
        self.round_trips: int | None = None

    def taken(self) -> Count:
        """Return what was counted, and begin again."""
        count = Count(self.statements, self.round_trips)
        self.statements = 0
        self.round_trips = None if self.round_trips is None else 0
        return count


@contextmanager
def counted(url: URL) -> Iterator[tuple[URL, Counter]]:
    """Lend a URL for the same database, and what counts whatever is done on connections that are made now."""
    with _in_sqlite3(url) if url.get_backend_name() == "sqlite" else _on_the_wire(url) as (url_to_use, counter):
        yield url_to_use, counter


@contextmanager
def _in_sqlite3(url: URL) -> Iterator[tuple[URL, Counter]]:
    counter = Counter()
    connect = sqlite3.connect

    def note(statement: str) -> None:
        # What a trigger does is told as a comment.
        counter.statements += not statement.startswith("--")

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(note)
        return connection

    with patch.object(sqlite3, "connect", traced), patch.object(sqlite3.dbapi2, "connect", traced):
        yield url, counter


@contextmanager
def _on_the_wire(url: URL) -> Iterator[tuple[URL, Counter]]:
    """Stand between driver and server, on a socket of our own."""
    counter = Counter()
    counter.round_trips = 0
    name = f".s.PGSQL.{url.port or 5432}"
    server = Path(str(url.query["host"]), name)
    with tempfile.TemporaryDirectory(prefix="session_store-") as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(Path(directory, name)))
        listener.listen()

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_relay, args=(client, server, counter), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield url.update_query_dict({"host": directory}), counter
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _relay(client: socket.socket, server_at: Path, counter: Counter) -> None:
    with client, socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as both:
        server.connect(str(server_at))
        both.register(client, selectors.EVENT_READ, server)
        both.register(server, selectors.EVENT_READ, client)
        said = _startup(client)
        server.sendall(said)
        waits = True
        unread = b""
        while True:
            for key, _ in both.select():
                chunk = key.fileobj.recv(_CHUNK)  # type: ignore[union-attr]
                if not chunk:
                    return
                if key.fileobj is client:
                    # Counted before it is sent: the answer may be there before the next line is reached.
                    unread = _statements_in(unread + chunk, counter)
                    counter.round_trips = (counter.round_trips or 0) + (not waits)
                waits = key.fileobj is client
                key.data.sendall(chunk)


def _startup(client: socket.socket) -> bytes:
    """Read the one message that has no type."""
    length = client.recv(4, socket.MSG_WAITALL)
    return length + client.recv(int.from_bytes(length, "big") - 4, socket.MSG_WAITALL)


def _statements_in(said: bytes, counter: Counter) -> bytes:
    """Count the statements, and return the beginning of a message that is not complete."""
    while len(said) >= _HEADER:
        end = 1 + int.from_bytes(said[1:_HEADER], "big")
        if len(said) < end:
            break
        counter.statements += said[0] in _STATEMENTS
        said = said[end:]
    return said
