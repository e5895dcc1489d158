"""Import the sessions of zeroclaw, from its ``sessions.db`` and from files ``KEY.jsonl``.

A session in ``sessions.db`` is converted as follows; older files lack some columns:

* its messages are numbered from 1 in the order of their ``id``, and keep their times;
* ``name`` is its name, ``sender_id`` (the last sender, as named by the channel) its owner; ``agent_alias``,
  ``channel_id`` and ``room_id`` are the attributes ``agent``, ``channel`` and ``room``;
* ``state`` and ``turn_id`` are its state, with one entry in the state log unless it is idle. The state was entered at
  ``turn_started_at``, which zeroclaw has only for a running session, else at ``last_activity``.

A file ``KEY.jsonl`` has roles and contents but no times: each message gets the time of the last change of the file.
zeroclaw renames a file after moving its session to ``sessions.db``. If both have a session, the one in ``sessions.db``
is imported, and the file is skipped.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from session_store.interface.errors import InvalidKey, InvalidMessage, InvalidQuery
from session_store.interface.values import IDLE, ChatMessage
from session_store.models.validation import chat_message, identifier, session_name, state_word, type_error
from session_store.transfer.line_reader import Lines, decode
from session_store.transfer.session_importer import ImportedMessage, ImportedSession, StateEntry
from session_store.transfer.sources import sqlite_file
from session_store.transfer.sources.importer import ForeignImporter, ForeignSession, _KeptEntries, modified_at
from session_store.transfer.sources.sqlite_file import text, time

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from session_store.store.sync import SessionStore
    from session_store.transfer.results import Adjusted, BrokenLine, ImportResult, SkippedSession

DATABASE: Final = "sessions.db"

_FOLDER: Final = "sessions"
_MESSAGES: Final = "sessions"
_METADATA: Final = "session_metadata"
_NEEDED: Final = {"id", "session_key", "role", "content"}
_LABELS: Final = {"agent_alias": "agent", "channel_id": "channel", "room_id": "room"}

_FILE: Final = ".jsonl"
_BEING_MOVED: Final = ".jsonl.importing"
_MOVED: Final = ".jsonl.migrated"


def import_zeroclaw(  # noqa: PLR0913 - one callback for each kind of problem
    store: SessionStore,
    place: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    on_broken: Callable[[BrokenLine], object] | None = None,
    on_skipped: Callable[[SkippedSession], object] | None = None,
    on_adjusted: Callable[[Adjusted], object] | None = None,
) -> ImportResult:
    """Import the sessions of zeroclaw, and return the counts; importing again adds what is new.

    A session of more than 10,000 messages or 8 MB is imported in several transactions.

    Args:
        store: The store, migrated; not inside its ``begin()``.
        place: A workspace, its folder ``sessions``, or a file ``sessions.db`` or ``KEY.jsonl``.
        dry_run: Write nothing, and return what would be imported.
        on_broken: Called with each message that is not imported, by its line or ``id``; the others are.
        on_skipped: Called with each session that is not imported, or not completely.
        on_adjusted: Called with each value that could not be stored, and its replacement.

    Raises:
        OSError: The place does not exist or cannot be opened.
        InvalidQuery: The place has no sessions of zeroclaw, or a database of another program.
        StoreError: The database is damaged or cannot be read; what was read before is in the store.
        StoreUnavailable: The database of the store cannot serve, or was locked for too long.
        SchemaOutOfDate: The tables of the store are missing or at another revision.
        Conflict: The database kept rolling back a transaction because of other writers.
    """
    found = _find(Path(place))
    importer = ForeignImporter(on_broken, on_skipped, on_adjusted)
    if found.database is None:
        return importer.write_all(store, _from_files(found, None, importer), dry_run=dry_run)
    with sqlite_file.open_readonly(found.database) as db:
        sqlite_file.require(db, found.database, _MESSAGES, _NEEDED)
        sessions = chain(_from_database(db, found.database, importer), _from_files(found, db, importer))
        return importer.write_all(store, sessions, dry_run=dry_run)


def is_zeroclaw(place: str | os.PathLike[str]) -> bool:
    """Return whether a place looks like sessions of zeroclaw.

    For a file ``sessions/KEY.jsonl``, its lines decide: lines for `import_jsonl` name the session.
    """
    path = Path(place)
    if path.is_dir():
        folder = _folder(path)
        if folder is None or (folder / DATABASE).exists():
            return folder is not None
        return all(_has_its_lines(file) for file in folder.glob(f"*{_FILE}") if file.is_file())
    if sqlite_file.is_sqlite(path):
        with sqlite_file.open_readonly(path) as db:
            return sqlite_file.columns(db, _MESSAGES) >= _NEEDED
    return path.suffix == _FILE and path.absolute().parent.name == _FOLDER and _has_its_lines(path)


def _has_its_lines(path: Path) -> bool:
    """Return whether the first valid line is one of zeroclaw, or there is no line."""
    with path.open("rb") as file:
        for _, line in Lines().of(str(path), file):
            try:
                fields = _fields(line)
            except InvalidMessage:
                continue
            return "session_key" not in fields and None not in (fields["role"], fields["content"])
    return True


class _Found(NamedTuple):
    """The files with sessions: a database, if there is one, and files by session key.

    ``passed_over`` has the reasons for skipped files, by session key.
    """

    database: Path | None
    files: dict[str, Path]
    passed_over: list[tuple[str, str]]


def _find(place: Path) -> _Found:
    if not place.is_dir():
        return _find_file(place)
    folder = _folder(place)
    if folder is None:
        problem = f"{str(place)!r} has no sessions of zeroclaw: no folder sessions, no sessions.db, no KEY.jsonl"
        raise InvalidQuery(problem)
    paths = sorted(folder.iterdir())
    being_moved, files, moved = (
        {path.name.removesuffix(suffix): path for path in paths if path.name.endswith(suffix)}
        for suffix in (_BEING_MOVED, _FILE, _MOVED)
    )
    twice = [
        (key, f"{being_moved[key]} is skipped: {path.name} exists") for key, path in files.items() if key in being_moved
    ]
    database = folder / DATABASE
    if database.exists():
        return _Found(database, being_moved | files, twice)
    lost = [
        (key, f"{path} was moved to a {DATABASE} that is missing; name this file to import it")
        for key, path in moved.items()
    ]
    return _Found(None, being_moved | files, twice + lost)


def _find_file(path: Path) -> _Found:
    if sqlite_file.is_sqlite(path):
        return _Found(path, {}, [])
    for suffix in (_BEING_MOVED, _FILE, _MOVED):
        if path.name.endswith(suffix):
            return _Found(None, {path.name.removesuffix(suffix): path}, [])
    problem = f"{str(path)!r} is not a file of zeroclaw: neither a SQLite database nor KEY.jsonl"
    raise InvalidQuery(problem)


def _folder(path: Path) -> Path | None:
    """Return the folder with the sessions: one in the directory, or the directory itself."""
    if (path / _FOLDER).is_dir():
        return path / _FOLDER
    its_own = path.name == _FOLDER or (path / DATABASE).exists() or any(path.glob(f"*{_FILE}"))
    return path if its_own else None


def _from_database(db: sqlite3.Connection, path: Path, importer: ForeignImporter) -> Iterator[ForeignSession]:
    metadata = _METADATA if sqlite_file.columns(db, _METADATA) else None
    groups = sqlite_file.groups(db, metadata, _MESSAGES, "session_key")
    for (head, _, messages), kept in importer.sessions(path, groups, "last_activity", _message_from_row):
        sender = kept("sender_id", text)
        owner = None if sender is None else kept("sender_id", _convert_identifier)
        attributes = {label: kept(column, text) for column, label in _LABELS.items()}
        # The value is too long for an owner, for example.
        attributes["sender"] = sender if owner is None else None
        described = head._replace(
            name=kept("name", lambda value, what: session_name(text(value, what))),
            owner=owner,
            attributes={label: value for label, value in attributes.items() if value is not None},
        )
        yield ForeignSession(described, _states(head, kept), messages)


def _states(head: ImportedSession, kept: _KeptEntries) -> list[StateEntry]:
    state = kept("state", lambda value, what: state_word(text(value, what))) or IDLE
    if state == IDLE:
        return []
    return [
        StateEntry(1, state, kept("turn_id", _convert_identifier), kept("turn_started_at", time) or head.last_activity)
    ]


def _convert_identifier(value: object, what: str) -> str:
    return identifier(text(value, what), what)


def _from_files(found: _Found, db: sqlite3.Connection | None, importer: ForeignImporter) -> Iterator[ForeignSession]:
    for key, path in found.files.items():
        try:
            identifier(key, "session_key")
            source = path.open("rb")
        except (InvalidKey, OSError) as error:
            importer.skip(key, f"{path} cannot be imported: {error}")
            continue
        with source:
            in_database = None if db is None else _count(db, key)
            if in_database is not None:
                importer.skip(key, _compare_counts(path, source, in_database))
                continue
            at = modified_at(path)
            yield ForeignSession(
                ImportedSession(key, None, None, {}, at, at), (), _from_lines(path, source, at, importer)
            )
    for key, reason in found.passed_over:
        importer.skip(key, reason)


def _from_lines(path: Path, source: BinaryIO, at: datetime, importer: ForeignImporter) -> Iterator[ImportedMessage]:
    seq = 0
    for number, line in importer.lines.of(str(path), source):
        try:
            message = _message_from_row(_fields(line))
        except InvalidMessage as error:
            importer.lines.tell(str(path), number, str(error))
            continue
        seq += 1
        yield ImportedMessage(seq, at, None, None, message)


def _fields(line: bytes) -> dict[str, Any]:
    fields = decode(line)
    if not isinstance(fields, dict):
        raise InvalidMessage(type_error(fields, "a line", "a JSON object"))
    return {"role": None, "content": None} | fields


def _message_from_row(row: Mapping[str, Any]) -> ChatMessage:
    message, _, _ = chat_message(ChatMessage(text(row["role"], "role"), text(row["content"], "content")))
    return message


def _count(db: sqlite3.Connection, key: str) -> int | None:
    """Return the number of messages of a session in the database; None if it does not exist."""
    is_there = False
    if sqlite_file.columns(db, _METADATA):
        is_there = db.execute("SELECT 1 FROM session_metadata WHERE session_key = ?", [key]).fetchone() is not None
    (count,) = db.execute("SELECT count(*) FROM sessions WHERE session_key = ?", [key]).fetchone()
    return count if is_there or count else None


def _compare_counts(path: Path, source: BinaryIO, in_database: int) -> str:
    """Return the reason for skipping a file."""
    in_file = sum(1 for _ in _from_lines(path, source, modified_at(path), ForeignImporter(None, None, None)))
    if in_file <= in_database:
        return f"{path} is skipped: {DATABASE} has this session"
    return (
        f"{path} is skipped: {DATABASE} has this session, but with {in_database:,} messages and not the "
        f"{in_file:,} of the file; name this file after the import to add those, too"
    )
