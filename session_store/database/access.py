"""What a repository says about its operations, for the stores that lend them a transaction.

An operation is a method that takes an open connection and does SQL with it, and nothing else: no files, no
network, no sleeping, because in the asynchronous store no ``await`` marks the spot.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

Work = Callable[[Connection], R]
"""A function of the open transaction."""


class Access(Enum):
    """What an operation needs of the transaction it is lent."""

    READ = "read"
    """One SELECT: no transaction has to be begun for it."""
    SINGLE_STATEMENT = "at once"
    """A write that is one statement where the database can say it in one, and then commits itself."""
    WRITE = "write"
    """Several statements; if they write, the first one does."""


class Step(NamedTuple):
    """One of the works of a plan, the access it needs, and the session it is about if it is one."""

    work: Work[Any]
    access: Access = Access.WRITE
    key: str | None = None


Steps = Generator[Step, Any, R]
"""Steps to run one after the other, each in a transaction of its own; each result is sent back in.

What comes before the first step runs once, outside of any transaction: there arguments are checked and used up.
"""


def read_only(operation: F) -> F:
    """Mark an operation as one SELECT."""
    return _mark(operation, Access.READ)


def single_statement(operation: F) -> F:
    """Mark an operation as one statement that writes."""
    return _mark(operation, Access.SINGLE_STATEMENT)


def access_of(operation: Callable[..., Any]) -> Access:
    """Return how an operation was marked; an operation without a mark writes."""
    access: Access = getattr(operation, "access", Access.WRITE)
    return access


def _mark(operation: F, access: Access) -> F:
    operation.access = access  # type: ignore[attr-defined]
    return operation
