"""Import the SQLite file of the OpenAI Agents SDK (`SQLiteSession` and the classes based on it).

The SDK stores items: messages, tool calls, their outputs, and reasoning. Each becomes a message. If its role and
content do not say everything, ``payload["item"]`` has the original item. This restores the items of the SDK::

    [(message.payload or {}).get("item", {"role": message.role, "content": message.content}) for message in messages]
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from session_store.interface.errors import InvalidMessage
from session_store.interface.values import ChatMessage
from session_store.models.validation import chat_message, type_error
from session_store.transfer.line_reader import decode
from session_store.transfer.sources import sqlite_file
from session_store.transfer.sources.importer import ForeignImporter
from session_store.transfer.sources.sqlite_file import text

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from session_store.store.sync import SessionStore
    from session_store.transfer.results import Adjusted, BrokenLine, ImportResult, SkippedSession

SESSIONS: Final = "agent_sessions"
MESSAGES: Final = "agent_messages"

_KEY: Final = "session_id"
_NEEDED: Final = {"id", _KEY, "message_data"}

_SAID: Final = ("summary", "content", "text", "code", "output", "outputs")
"""The fields of an item that may have text; others have images or encrypted data."""

_WORDS: Final = ("text", "refusal", "logs", "stdout", "stderr")
"""The same for a part of an item."""


def import_openai_agents(  # noqa: PLR0913 - each is an option of its own
    store: SessionStore,
    file: str | os.PathLike[str],
    *,
    sessions_table: str = SESSIONS,
    messages_table: str = MESSAGES,
    dry_run: bool = False,
    on_broken: Callable[[BrokenLine], object] | None = None,
    on_skipped: Callable[[SkippedSession], object] | None = None,
    on_adjusted: Callable[[Adjusted], object] | None = None,
) -> ImportResult:
    """Import the sessions of the OpenAI Agents SDK, and return the counts.

    Importing again adds what is new. A session of more than 10,000 messages or 8 MB is imported in several
    transactions.

    Args:
        store: The store, migrated; not inside its ``begin()``.
        file: The SQLite file.
        sessions_table: The name of the SDK's table of sessions.
        messages_table: The name of the SDK's table of messages.
        dry_run: Write nothing, and return what would be imported.
        on_broken: Called with each item that is not imported, by its ``id``; the others are.
        on_skipped: Called with each session that is not imported, or not completely.
        on_adjusted: Called with each time that could not be stored, and its replacement.

    Raises:
        OSError: The file does not exist or cannot be opened.
        InvalidQuery: It is not a file of the SDK.
        StoreError: The file is damaged or cannot be read; what was read before is in the store.
        StoreUnavailable: The database of the store cannot serve, or was locked for too long.
        SchemaOutOfDate: The tables of the store are missing or at another revision.
        Conflict: The database kept rolling back a transaction because of other writers.
    """
    path = Path(file)
    importer = ForeignImporter(on_broken, on_skipped, on_adjusted)
    with sqlite_file.open_readonly(path) as db:
        sqlite_file.require(db, path, messages_table, _NEEDED)
        sqlite_file.require(db, path, sessions_table, {_KEY})
        groups = sqlite_file.groups(db, sessions_table, messages_table, _KEY)
        sessions = importer.sessions(path, groups, "updated_at", _message_from_row)
        return importer.write_all(store, (session for session, _ in sessions), dry_run=dry_run)


def is_openai_agents(file: str | os.PathLike[str]) -> bool:
    """Return whether a file is a database with the tables of the SDK."""
    path = Path(file)
    if path.is_dir() or not sqlite_file.is_sqlite(path):
        return False
    with sqlite_file.open_readonly(path) as db:
        return sqlite_file.columns(db, MESSAGES) >= _NEEDED and _KEY in sqlite_file.columns(db, SESSIONS)


def _message_from_row(row: Mapping[str, Any]) -> ChatMessage:
    return to_message(decode(text(row["message_data"], "message_data").encode()))


def to_message(item: Any) -> ChatMessage:
    """Convert an item to a message.

    Raises:
        InvalidMessage: The item cannot be converted; the message says why.
    """
    if not isinstance(item, dict):
        raise InvalidMessage(type_error(item, "an item", "a JSON object"))
    if "__enc__" in item:
        problem = "is encrypted, and the key is not available"
        raise InvalidMessage(problem)
    role, kind, payload = item.get("role"), item.get("type"), dict[str, Any]()
    if isinstance(role, str):
        content = _text(item.get("content"))
    else:
        role = "assistant"
        content = _join_texts(_text(item.get(field)) for field in _SAID)
        if isinstance(kind, str) and kind.endswith("_output"):
            role = "tool"
            if isinstance(item.get("call_id"), str):
                payload["tool_call_id"] = item["call_id"]
        elif isinstance(kind, str) and kind.endswith("_call") and isinstance(item.get("name"), str):
            payload["tool_calls"] = [_call(item)]
    plain = {"role": role, "content": content}
    if item not in (plain, plain | {"type": "message"}):
        payload["item"] = item
    message, _, _ = chat_message(ChatMessage(role, content, payload or None))
    return message


def _call(item: dict[str, Any]) -> dict[str, Any]:
    fields = {
        "name": item["name"],
        "id": item.get("call_id", item.get("id")),
        "arguments": item.get("arguments", item.get("input")),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _text(value: Any) -> str:
    """Return the text of a field, or the texts of its parts."""
    parts = value if isinstance(value, list) else [value]
    texts = (part if isinstance(part, str) else _of_part(part) for part in parts)
    return _join_texts(texts)


def _of_part(part: Any) -> str:
    if not isinstance(part, dict):
        return ""
    return _join_texts(part[word] for word in _WORDS if isinstance(part.get(word), str))


def _join_texts(texts: Iterable[str]) -> str:
    return "\n".join(text for text in texts if text)
