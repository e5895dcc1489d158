"""Read sessions with their messages and states, in the order of their keys and in constant memory.

In the order of recency, a session used during the export would be missed. Rows are read in pages, and no connection is
held between two pages.
"""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from itertools import groupby, repeat, takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypedDict

from session_store.database.access import Access
from session_store.interface.errors import InvalidQuery
from session_store.interface.values import SessionMetadata, SessionQuery
from session_store.models.validation import identifier, type_error
from session_store.repositories import bulk_copy_statements, session_filters
from session_store.repositories.bulk_copy import PAGE, SEQ, in_groups, rows_by_key
from session_store.repositories.row_mapping import fetch, session_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Executable

    from session_store.store.sync import SessionStore


class ExportConditions(TypedDict, total=False):
    """Conditions on a session; all must hold.

    Attributes:
        owner: Only sessions of this owner.
        state: Only sessions in this state now.
        attributes: Only sessions with these attributes; values are strings, numbers or booleans.
        active_since: Only sessions last used at this time or later; timezone-aware.
        active_before: Only sessions last used before this time; timezone-aware.
    """

    owner: str | None
    state: str | None
    attributes: Mapping[str, str | int | float | bool] | None
    active_since: datetime | None
    active_before: datetime | None


class ExportFilter(ExportConditions, total=False):
    """A filter of the sessions to export.

    Attributes:
        after: Only sessions with a greater key, compared byte by byte; continues after the last one of another export.
    """

    after: str | None


class ExportResult(NamedTuple):
    """The result of an export; ``last_key`` is the key after which another export continues, None without a session."""

    sessions: int
    messages: int
    last_key: str | None


class ExportedSession(NamedTuple):
    """An exported session: its values, its stored row, and the rows of its states and messages."""

    head: SessionMetadata
    row: Sequence[Any]
    states: Iterator[Any] = iter(())
    messages: Iterator[Any] = iter(())

    @property
    def state_seq(self) -> int:
        """The seq of its newest state."""
        return int(self.row[-1])


class SessionReader:
    """Reads the sessions that match a filter.

    Raises:
        InvalidQuery: A condition has the wrong type.
        InvalidKey: The owner, the state or the key is not a valid identifier.
        SchemaOutOfDate: The tables are missing or at another revision.
        StoreUnavailable: The database cannot be reached.
    """

    def __init__(
        self, store: SessionStore, on_session: Callable[[SessionMetadata], object] | None, which: ExportFilter
    ) -> None:
        query, after = _keyset_pages(**which)
        conditions, values = session_filters.conditions(query)
        self._store = store
        self._on_session = on_session
        self._heads = bulk_copy_statements.heads(conditions)
        self._values = {**values, "limit": PAGE}
        self._sessions = self._messages = 0
        self._last_key: str | None = None
        # Before the file is created: an error must not leave one.
        self._first_page = self._page("" if after is None else identifier(after, "after"))

    @property
    def exported(self) -> ExportResult:
        """The result so far."""
        return ExportResult(self._sessions, self._messages, self._last_key)

    def sessions(self, messages: Executable, states: Executable | None = None) -> Iterator[ExportedSession]:
        """Yield each session with its rows, which must be used before the next session.

        Rows that were added after the session row was read are left to the next export.
        """
        # A session without rows takes memory, too.
        for group in in_groups(self._all(), lambda session: 1 + session.head.message_count + session.state_seq):
            keys = [session.head.key for session in group]
            said = _of_each(keys, rows_by_key(self._read, messages, keys))
            been = _of_each(keys, rows_by_key(self._read, states, keys)) if states is not None else repeat(())
            for session, its_messages, its_states in zip(group, said, been):  # noqa: B905 - the last may have no end
                yield session._replace(
                    states=_up_to(session.state_seq, its_states),
                    messages=self._counted(_up_to(session.head.last_seq, its_messages)),
                )
                self._sessions += 1
                self._last_key = session.head.key
                if self._on_session is not None:
                    self._on_session(session.head)

    def _all(self) -> Iterator[ExportedSession]:
        page, self._first_page = self._first_page, []
        while page:
            yield from page
            page = self._page(page[-1].head.key) if len(page) == PAGE else []

    def _page(self, behind: str) -> list[ExportedSession]:
        rows = self._read(self._heads, {**self._values, "behind": behind})
        return [ExportedSession(session_metadata(row[:-1]), row) for row in rows]

    def _read(self, statement: Executable, values: Mapping[str, Any]) -> Sequence[Any]:
        return self._store._run(lambda db: fetch(db, statement, values), Access.READ, None)  # noqa: SLF001

    def _counted(self, rows: Iterable[Any]) -> Iterator[Any]:
        for row in rows:
            self._messages += 1
            yield row


def _keyset_pages(  # noqa: PLR0913 - no other names than these
    *,
    owner: str | None = None,
    state: str | None = None,
    attributes: Mapping[str, str | int | float | bool] | None = None,
    active_since: datetime | None = None,
    active_before: datetime | None = None,
    after: str | None = None,
) -> tuple[SessionQuery, str | None]:
    query = SessionQuery(
        owner=owner, state=state, attributes=attributes, active_since=active_since, active_before=active_before
    )
    return query, after


def _of_each(keys: Iterable[str], rows: Iterable[Any]) -> Iterator[Iterable[Any]]:
    """Yield the rows of each session, in the order of the keys."""
    groups = groupby(rows, itemgetter(0))
    key, its = next(groups, (None, iter(())))
    for this in keys:
        if this != key:
            yield ()
            continue
        yield its
        key, its = next(groups, (None, iter(())))


def _up_to(seq: int, rows: Iterable[Any]) -> Iterator[Any]:
    return takewhile(lambda row: row[SEQ] <= seq, rows)


@contextmanager
def open_output(out: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """Yield a binary file: the open one, or the file at a path, created or truncated."""
    if isinstance(out, str | os.PathLike):
        with open(out, "wb") as file:  # noqa: PTH123 - a path may be one of bytes
            yield file
    elif callable(getattr(out, "write", None)) and not isinstance(out, io.TextIOBase):
        yield out
    else:
        raise InvalidQuery(type_error(out, "out", "a path, or a file open for writing bytes"))
