"""Every error raised on purpose.

    StoreError
    ├── InvalidKey              also a ValueError
    ├── InvalidMessage          also a ValueError
    ├── InvalidQuery            also a ValueError
    ├── IdempotencyConflict
    ├── SessionInUse
    ├── Conflict
    ├── SchemaOutOfDate
    └── StoreUnavailable

After an ``Invalid...`` error nothing was written, and a transaction it was raised in can go on.
"""

from __future__ import annotations

import shlex
from typing import Final

_MAX_SHOWN: Final = 60
_DIGITS_IN_BITS: Final = 13_000
"""Python writes whole numbers of up to 4,300 digits, which is 14,284 bits."""


def describe(value: object) -> str:
    """Return a value as an error shows it, of anything but a word or a number only the kind, and of a long one a part.

    It may be long, or nobody else's business.
    """
    if isinstance(value, int) and value.bit_length() > _DIGITS_IN_BITS:
        return f"int of {value.bit_length()} bits"
    if not isinstance(value, str | int | float):
        return type(value).__name__
    return f"{type(value).__name__} {truncate(value)}"


def truncate(value: object) -> str:
    """Return a value as Python writes it, in ASCII, or the beginning of that."""
    text = ascii(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


class StoreError(Exception):
    """Whatever the store could not do; ``__cause__`` is the driver's error where there was one."""


class InvalidKey(StoreError, ValueError):
    """An identifier that cannot be stored: a session's key or owner, a state, a turn or an idempotency key."""


class InvalidMessage(StoreError, ValueError):
    """A message that cannot be stored: its role, content, payload or time."""


class InvalidQuery(StoreError, ValueError):
    """An argument that is not of its kind or out of its range: a limit, an age, a filter, a name, attributes."""


class IdempotencyConflict(StoreError):
    """Another message was already appended to this session under the same idempotency key."""

    def __init__(self, key: str, idempotency_key: str) -> None:
        super().__init__(key, idempotency_key)
        self.key = key
        self.idempotency_key = idempotency_key

    def __str__(self) -> str:
        return (
            f"session {truncate(self.key)} holds another message under idempotency key {truncate(self.idempotency_key)}"
        )


class SessionInUse(StoreError):
    """A row of another table refers to the session, so it was not deleted.

    ``key`` is None where the database told only at the commit.
    """

    def __init__(self, key: str | None = None) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        subject = "a session" if self.key is None else f"session {truncate(self.key)}"
        return f"{subject} is referred to by another table and was not deleted"


class Conflict(StoreError):
    """The database gave up on this transaction in favour of another one: run it again from its start."""


class SchemaOutOfDate(StoreError):
    """The tables are missing or of another revision than this package needs.

    ``current`` is the revision found, None if there is none or it cannot be read; ``head`` the one needed; ``schema``
    the PostgreSQL schema in which it was looked for, None if no certain one.
    """

    def __init__(self, current: str | None, head: str, schema: str | None = None) -> None:
        super().__init__(current, head, schema)
        self.current = current
        self.head = head
        self.schema = schema

    def __str__(self) -> str:
        where = option = argument = ""
        if self.schema is not None:
            where = f" in {self.schema!r}"
            # The command is there to be copied, from a log too: no control character of a name gets there.
            option = f" --schema {shlex.quote(self.schema) if self.schema.isprintable() else 'NAME'}"
            argument = f", schema={self.schema!r}"
        return (
            f"the schema of session_store{where} is at {self.current or 'no revision'}, this package needs {self.head};"
            f" run `python -m session_store.migrations upgrade --db URL{option}`,"
            f" or call session_store.migrations.upgrade(engine{argument})"
        )


class StoreUnavailable(StoreError):
    """The database cannot serve now: connection lost, disk full, read-only, or locked for too long."""
