"""Every error that the package raises on purpose.

    StoreError
    ├── InvalidKey              also a ValueError
    ├── InvalidMessage          also a ValueError
    ├── InvalidQuery            also a ValueError
    ├── IdempotencyConflict
    ├── SessionInUse
    ├── Conflict
    ├── SchemaOutOfDate
    └── StoreUnavailable

An ``Invalid...`` error is raised before anything is written; an open transaction can continue.
"""

from __future__ import annotations

import shlex
from typing import Final

_MAX_SHOWN: Final = 60
_DIGITS_IN_BITS: Final = 13_000
"""Python refuses to print integers above 4,300 digits, which is 14,284 bits."""


def describe(value: object) -> str:
    """Describe a value for an error message: its type and, for strings and numbers, a truncated repr.

    Other values are left out: they may be long or private.
    """
    if isinstance(value, int) and value.bit_length() > _DIGITS_IN_BITS:
        return f"int of {value.bit_length()} bits"
    if not isinstance(value, str | int | float):
        return type(value).__name__
    return f"{type(value).__name__} {truncate(value)}"


def truncate(value: object) -> str:
    """Return the repr of a value in ASCII, truncated."""
    text = ascii(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


class StoreError(Exception):
    """The base of all errors of the package; ``__cause__`` is the driver's error, if there was one."""


class InvalidKey(StoreError, ValueError):
    """An identifier that cannot be stored: a session's key or owner, a state, a turn or an idempotency key."""


class InvalidMessage(StoreError, ValueError):
    """A message that cannot be stored: its role, content, payload or time."""


class InvalidQuery(StoreError, ValueError):
    """An argument of the wrong type or out of range: a limit, an age, a filter, a name, attributes."""


class IdempotencyConflict(StoreError):
    """The session already has another message under the idempotency key."""

    def __init__(self, key: str, idempotency_key: str) -> None:
        super().__init__(key, idempotency_key)
        self.key = key
        self.idempotency_key = idempotency_key

    def __str__(self) -> str:
        return (
            f"session {truncate(self.key)} holds another message under idempotency key {truncate(self.idempotency_key)}"
        )


class SessionInUse(StoreError):
    """A row of another table refers to the session, which was therefore not deleted.

    ``key`` is None if the database reported the reference only at the commit.
    """

    def __init__(self, key: str | None = None) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        subject = "a session" if self.key is None else f"session {truncate(self.key)}"
        return f"{subject} was not deleted: a row of another table refers to it"


class Conflict(StoreError):
    """The database rolled back the transaction because of a concurrent one: run it again from its start."""


class SchemaOutOfDate(StoreError):
    """The tables are missing, or at another revision than this version of the package needs.

    ``current`` is the revision found, None if there is none or it cannot be read; ``head`` is the revision needed;
    ``schema`` is the PostgreSQL schema that was searched, None for the search path.
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
            # Users copy the command, also from logs: a control character in a name must not reach their terminal.
            option = f" --schema {shlex.quote(self.schema) if self.schema.isprintable() else 'NAME'}"
            argument = f", schema={self.schema!r}"
        return (
            f"the schema of session_store{where} is at {self.current or 'no revision'}, this package needs {self.head};"
            f" run `python -m session_store.migrations upgrade --db URL{option}`,"
            f" or call session_store.migrations.upgrade(engine{argument})"
        )


class StoreUnavailable(StoreError):
    """The database cannot serve now: it is unreachable, full, read-only, or was locked for too long."""
