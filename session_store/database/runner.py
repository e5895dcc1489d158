"""Run operations in transactions of the store or of the application, and translate errors of the driver.

The code blocks. The asynchronous store runs it in a greenlet, where SQLAlchemy awaits instead of blocking; only the
sleep differs, and is an argument.
"""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from session_store.database import engines, identity_map, revisions, schemas, transactions
from session_store.database.access import Access
from session_store.database.driver_errors import ErrorKind, classify, driver_errors, violates
from session_store.database.functions import is_autocommit
from session_store.interface.errors import Conflict, SchemaOutOfDate, SessionInUse, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine, orm

    from session_store.database.access import Work

R = TypeVar("R")

_ATTEMPTS: Final = 10
_MIN_PAUSE_SECS: Final = 0.002
_MAX_PAUSE_SECS: Final = 0.25


class TransactionRunner:
    """Runs work in transactions of the store: committed when it returns, rolled back when it raises."""

    def __init__(
        self, engine: Engine, schema: str | None = None, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._engine = schemas.in_schema(engine, schema)
        self._autocommit = engines.autocommit_options(self._engine)
        self._transactional = engines.transaction_options(self._engine)
        self._sleep = sleep
        # On SQLite a statement does not commit itself, so even a single write needs a transaction.
        self._plain = {Access.READ} if engines.is_sqlite(engine) else {Access.READ, Access.SINGLE_STATEMENT}

    def run(self, work: Work[R], access: Access) -> R:
        """Run work in a transaction, and retry if the database rolls it back because of a concurrent one.

        Raises:
            Conflict: Every attempt was rolled back.
            StoreUnavailable: The database cannot serve, or was locked for too long.
            SchemaOutOfDate: The tables are missing or at another revision.
        """
        patience_ends = time.monotonic() + engines.BUSY_TIMEOUT_SECS
        attempt = 1
        while True:
            try:
                return self._attempt(work, access)
            except _log_retries() as error:
                failure = ErrorKind.SERIALIZATION_FAILURE if isinstance(error, Conflict) else classify(error)
                may_wait = time.monotonic() < patience_ends if failure is ErrorKind.LOCKED else attempt < _ATTEMPTS
                if not (may_wait and _is_retryable(failure, error)):
                    raise self._translate(error) from _driver_error(error)
            self._sleep(random.uniform(0, min(_MIN_PAUSE_SECS * 2**attempt, _MAX_PAUSE_SECS)))  # noqa: S311
            attempt += 1

    def yield_to_writers(self, held_secs: float) -> bool:
        """Pause after having held the write lock for ``held_secs``; return False if no pause is needed yet."""
        pause = engines.yield_to_writers(self._engine, held_secs)
        if pause:
            self._sleep(pause)
        return pause > 0

    @contextmanager
    def begin(self) -> Iterator[ExternalTransaction]:
        """Begin a transaction that will write; it is not retried.

        Errors raised by the caller's code are not translated. A serialization failure is raised on exit even if the
        caller swallowed it: COMMIT would silently roll back.
        """
        with self._boundary():
            connection = engines.connect(self._engine, self._transactional)
        with connection as db:
            with self._boundary():
                transactions.begin_writing(db)
            joined = ExternalTransaction(db)
            yield joined
            if joined.failure is not None:
                raise joined.failure
            with self._boundary():
                transactions.commit(db)

    def _attempt(self, work: Work[R], access: Access) -> R:
        if access in self._plain:
            with engines.connect(self._engine, self._autocommit) as db:
                return work(db)
        with engines.connect(self._engine, self._transactional) as db:
            transactions.begin(db)
            result = work(db)
            transactions.commit(db)
            return result

    @contextmanager
    def _boundary(self) -> Iterator[None]:
        try:
            yield
        except driver_errors() as error:
            raise self._translate(error) from _driver_error(error)

    def _translate(self, error: BaseException) -> StoreError:
        if isinstance(error, DBAPIError) and classify(error) is ErrorKind.SCHEMA:
            try:
                with engines.connect(self._engine) as db:
                    return translate_error(error, ask=db)
            except _reasons_not_to_ask():
                return StoreUnavailable(first_line(error))
        return translate_error(error, is_own=True)


class ExternalTransaction:
    """Runs work in a transaction that the application or `TransactionRunner.begin` ends."""

    def __init__(self, host: orm.Session | Connection, schema: str | None = None) -> None:
        self._host = host
        self._schema = schema
        self.failure: StoreError | None = None
        """The error by which the database rolled back the transaction, even if the caller swallowed it."""

    def run(self, work: Work[R], access: Access, key: str | None) -> R:
        """Run work on the session with this key (None: on several), and update the objects of an ORM session."""
        db = self._connection()
        with schemas.schema_translate(db, self._schema):
            try:
                result = work(db)
                if not isinstance(self._host, Connection) and access is not Access.READ:
                    identity_map.refresh(self._host, db, key)
            except driver_errors() as error:
                self.failure = translate_error(error, ask=db)
                raise self.failure from _driver_error(error)
            return result

    def _connection(self) -> Connection:
        if isinstance(self._host, Connection):
            db = self._host
        else:
            # SQLAlchemy 2.0 flushes before a query, but not before the INSERT or UPDATE of Core.
            self._host.flush()
            db = self._host.connection(bind_arguments=identity_map.bind_arguments())
        problem = None
        if db.closed:
            problem = "this transaction has ended: its connection is closed"
        elif is_autocommit(db):
            problem = "joined_to needs a transaction, but this connection is in autocommit mode"
        if problem is not None:
            raise StoreError(problem)
        return db


def translate_error(error: BaseException, *, is_own: bool = False, ask: Connection | None = None) -> StoreError:
    """Translate an error of the driver into one of the package.

    Args:
        error: The exception raised by the call.
        is_own: The transaction belongs to the store, so the caller cannot run it again.
        ask: A connection on which the revision of the tables can be read.
    """
    if isinstance(error, StoreError):
        return error
    match classify(error):
        case ErrorKind.LOCKED if is_own:
            problem: StoreError = StoreUnavailable(f"locked for too long: {first_line(error)}")
        case ErrorKind.LOCKED | ErrorKind.SERIALIZATION_FAILURE:
            problem = Conflict(f"run the transaction again: {first_line(error)}")
        case ErrorKind.UNIQUE_VIOLATION if _is_idempotency_race(error):
            problem = Conflict(f"another transaction appended the same idempotency key: {first_line(error)}")
        case ErrorKind.UNIQUE_VIOLATION:
            problem = StoreError(
                f"the session row does not match its messages or states, compact(key) repairs it: {first_line(error)}"
            )
        case ErrorKind.FOREIGN_KEY_VIOLATION:
            problem = SessionInUse()
        case ErrorKind.UNAVAILABLE:
            problem = StoreUnavailable(first_line(error))
        case ErrorKind.SCHEMA:
            problem = (ask and _check_revision(ask)) or StoreError(first_line(error))
        case ErrorKind.OTHER:
            problem = StoreError(first_line(error))
    return problem


def _check_revision(db: Connection) -> SchemaOutOfDate | None:
    try:
        if revisions.require(db) is not None:
            return None
    except SchemaOutOfDate as outdated:
        return outdated
    except driver_errors():
        # A failed transaction on PostgreSQL answers no query: the revision stays unknown.
        pass
    return SchemaOutOfDate(None, revisions.HEAD, schemas.schema_of(db))


def _log_retries() -> tuple[type[Exception], ...]:
    return (*driver_errors(), Conflict)


def _reasons_not_to_ask() -> tuple[type[Exception], ...]:
    return (*driver_errors(), StoreUnavailable)


def _is_retryable(failure: ErrorKind, error: BaseException) -> bool:
    if failure is ErrorKind.UNIQUE_VIOLATION:
        return _is_idempotency_race(error)
    return failure in {ErrorKind.LOCKED, ErrorKind.SERIALIZATION_FAILURE}


def _is_idempotency_race(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and violates(
        error, "session_store_messages_idempotency", "session_store_messages.idempotency_key"
    )


def _driver_error(error: BaseException) -> BaseException | None:
    if isinstance(error, StoreError):
        return error.__cause__
    return error.orig if isinstance(error, DBAPIError) else error


def first_line(error: BaseException) -> str:
    """Return the class of the driver's error and the first line of its message."""
    cause = _driver_error(error) or error
    lines = str(cause).splitlines() or [""]
    return f"{type(cause).__name__}: {lines[0]}"
