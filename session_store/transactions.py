"""The store's own transactions on one engine, and the border at which drivers' errors become ours.

All of it is written for code that blocks. The asynchronous store runs it in a greenlet, where SQLAlchemy turns the
waiting into awaiting; only how to sleep differs, and is given.
"""

from __future__ import annotations

import itertools
import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy.exc import DBAPIError

from session_store import schema
from session_store.dialects import engines
from session_store.dialects.failures import DRIVER_ERRORS, Failure, meaning, refused_by
from session_store.errors import Conflict, SchemaOutOfDate, SessionInUse, StoreError, StoreUnavailable
from session_store.work import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine

    from session_store.work import Work

R = TypeVar("R")

_ATTEMPTS: Final = 10
_FIRST_PAUSE_SECS: Final = 0.002
_LONGEST_PAUSE_SECS: Final = 0.25


class Transactions:
    """Runs work in transactions of its own: committed if it returns, rolled back if it raises."""

    def __init__(self, engine: Engine, sleep: Callable[[float], object] = time.sleep) -> None:
        self._engine = engine
        self._autocommit = engines.autocommit(engine)
        self._transactional = engines.transactional(engine)
        self._sleep = sleep
        # Where one statement does not commit itself, a write is a transaction even if it is one statement.
        self._plain = {Access.READ} if engines.is_sqlite(engine) else {Access.READ, Access.AT_ONCE}

    def run(self, work: Work[R], access: Access) -> R:
        """Run work in a transaction, again where the database gave up on it in favour of another one.

        Raises:
            Conflict: It gave up every time.
            StoreUnavailable: It cannot serve, or was locked for too long.
            SchemaOutOfDate: The tables are missing or old.
        """
        patience_ends = time.monotonic() + engines.BUSY_TIMEOUT_SECS
        for attempt in itertools.count(1):
            try:
                return self._attempt(work, access)
            except (*DRIVER_ERRORS, Conflict) as error:
                failure = Failure.GAVE_WAY if isinstance(error, Conflict) else meaning(error)
                patient = time.monotonic() < patience_ends if failure is Failure.LOCKED else attempt < _ATTEMPTS
                if not (patient and _may_run_again(failure, error)):
                    raise self._told(error, failure) from _driver_error(error)
            self._sleep(random.uniform(0, min(_FIRST_PAUSE_SECS * 2**attempt, _LONGEST_PAUSE_SECS)))  # noqa: S311
        raise AssertionError

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Begin a transaction that will write; never run again.

        Only what is done here is translated: an error that the caller's own code raises within stays as it is.
        """
        with self._border():
            connection = self._transactional.connect()
        with connection as db:
            with self._border():
                engines.begin_writing(db)
            yield db
            with self._border():
                db.commit()

    @contextmanager
    def _border(self) -> Iterator[None]:
        try:
            yield
        except DRIVER_ERRORS as error:
            raise self._told(error, meaning(error)) from _driver_error(error)

    def _attempt(self, work: Work[R], access: Access) -> R:
        if access in self._plain:
            with self._autocommit.connect() as db:
                return work(db)
        with self._transactional.begin() as db:
            return work(db)

    def _told(self, error: BaseException, failure: Failure) -> StoreError:
        if failure is Failure.SCHEMA:
            try:
                with self._engine.connect() as db:
                    schema.require(db)
            except SchemaOutOfDate as outdated:
                return outdated
            except DRIVER_ERRORS:
                return StoreUnavailable(_said(error))
        if failure is Failure.LOCKED:
            return StoreUnavailable(f"locked for too long: {_said(error)}")
        return told(error, failure)


def run_joined(work: Work[R], db: Connection) -> R:
    """Run work in a transaction somebody else began, and will end."""
    try:
        return work(db)
    except DRIVER_ERRORS as error:
        failure = meaning(error)
        if failure is Failure.SCHEMA:
            try:
                schema.require(db)
            except SchemaOutOfDate as outdated:
                raise outdated from _driver_error(error)
            except DRIVER_ERRORS:
                # On PostgreSQL the transaction answers nothing any more, so what it is at stays unknown.
                raise SchemaOutOfDate(None, schema.HEAD) from _driver_error(error)
        raise told(error, failure) from _driver_error(error)


def told(error: BaseException, failure: Failure) -> StoreError:  # noqa: PLR0911 - one for each failure
    """Return our error for a driver's one."""
    if isinstance(error, StoreError):
        return error
    match failure:
        case Failure.LOCKED | Failure.GAVE_WAY:
            return Conflict(f"run the transaction again: {_said(error)}")
        case Failure.DUPLICATE if _is_idempotency_race(error):
            return Conflict(f"the same idempotency key was appended meanwhile: {_said(error)}")
        case Failure.DUPLICATE:
            return StoreError(f"the head of a session disagrees with its log, compact(key) mends it: {_said(error)}")
        case Failure.REFERRED_TO:
            return SessionInUse()
        case Failure.UNAVAILABLE:
            return StoreUnavailable(_said(error))
        case _:
            return StoreError(_said(error))


def _may_run_again(failure: Failure, error: BaseException) -> bool:
    if failure is Failure.DUPLICATE:
        return _is_idempotency_race(error)
    return failure in {Failure.LOCKED, Failure.GAVE_WAY}


def _is_idempotency_race(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and refused_by(
        error, "session_store_messages_idempotency", "session_store_messages.idempotency_key"
    )


def _driver_error(error: BaseException) -> BaseException | None:
    if isinstance(error, StoreError):
        return error.__cause__
    return error.orig if isinstance(error, DBAPIError) else error


def _said(error: BaseException) -> str:
    cause = _driver_error(error) or error
    lines = str(cause).splitlines() or [""]
    return f"{type(cause).__name__}: {lines[0]}"
