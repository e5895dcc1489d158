"""Marks on the operations of repositories that define which transaction they need.

An operation takes an open connection and runs SQL on it, and nothing else: no files, no network, no sleep. The
asynchronous store runs it in a greenlet, where other blocking code would block the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import Connection

if TYPE_CHECKING:
    from sqlalchemy import Select

    AnySelect = Select[*tuple[Any, ...]]
    """A SELECT of any columns."""

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

Work = Callable[[Connection], R]
"""A function that runs in an open transaction."""


class Access(Enum):
    """The transaction that an operation needs."""

    READ = "read"
    """One SELECT, which needs no explicit transaction."""
    SINGLE_STATEMENT = "at once"
    """A write of one statement, where the database has one for it; the statement commits itself."""
    WRITE = "write"
    """Several statements; if any of them writes, the first one does."""


class Step(NamedTuple):
    """One transaction of an operation: its work, its access, and the key of the session if it is about one."""

    work: Work[Any]
    access: Access = Access.WRITE
    key: str | None = None


Steps = Generator[Step, Any, R]
"""Steps that run in order, each in a transaction of its own; the result of each is sent back into the generator.

Code before the first ``yield`` runs once, outside any transaction: validate arguments and consume iterables there.
"""


def read_only(operation: F) -> F:
    """Mark an operation as one SELECT."""
    return _mark(operation, Access.READ)


def single_statement(operation: F) -> F:
    """Mark an operation as one statement that writes."""
    return _mark(operation, Access.SINGLE_STATEMENT)


def access_of(operation: Callable[..., Any]) -> Access:
    """Return the mark of an operation; one without a mark writes."""
    access: Access = getattr(operation, "access", Access.WRITE)
    return access


def _mark(operation: F, access: Access) -> F:
    operation.access = access  # type: ignore[attr-defined]
    return operation
