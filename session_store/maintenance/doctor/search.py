"""Check the search index: it exists, is used, and matches the messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import DatabaseError

from session_store.database import revisions
from session_store.maintenance.doctor.findings import Finding, Severity
from session_store.maintenance.formatting import format_size, pluralize
from session_store.search import index as search_index
from session_store.search import index_check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.maintenance.doctor.context import CheckContext


def check_index(context: CheckContext) -> Iterator[Finding]:
    """Check which search backend is used, and whether the index is complete and correct."""
    index = search_index.status(context.db, schema=context.schema)
    if index.size is None:
        yield _check_missing_index(context)
        return
    yield Finding("search.engine", Severity.INFO, f"{index.engine} serves: {index.reason}", index.engine)
    message = f"the search index takes {format_size(index.size)}"
    yield Finding("search.size", Severity.INFO, message, index.size, "bytes")
    if not search_index.is_whole(context.db, schema=context.schema):
        message = f"every search reads all messages: {index.reason}"
        yield Finding("search.index", Severity.ERROR, message, index.engine, None, _rebuild(context))
    elif context.on_sqlite:
        # PostgreSQL updates an index itself; FTS5's is updated by triggers, which an application's SQL can bypass.
        try:
            yield from _check_content(context)
        except DatabaseError as error:
            problem = (str(error.orig).splitlines() or [""])[0]
            message = f"the search index is damaged, searches fail: {problem}"
            yield Finding("search.words", Severity.ERROR, message, None, None, _rebuild(context))


def _check_missing_index(context: CheckContext) -> Finding:
    reason = search_index.disabled_reason(context.db)
    if reason is not None:
        return Finding("search.engine", Severity.INFO, f"searches use LIKE: {reason}", "like")
    if (revisions.current(context.db) or revisions.HEAD) < revisions.HEAD:
        return Finding("search.engine", Severity.INFO, "searches use LIKE until the tables are upgraded", "like")
    message = "there is no search index: every search reads all messages"
    return Finding("search.index", Severity.WARNING, message, "like", None, context.command("index", "create"))


def _check_content(context: CheckContext) -> Iterator[Finding]:
    messages, missing, too_many = index_check.counts(context.db)
    if missing or too_many:
        message = (
            f"the search index lacks {missing:,} of {pluralize(messages, 'message')} and has {too_many:,} that do not "
            "exist: searches miss messages, or fail"
        )
        yield Finding("search.rows", Severity.ERROR, message, missing + too_many, "messages", _rebuild(context))
        return
    message = f"the search index has all {pluralize(messages, 'message')}"
    yield Finding("search.rows", Severity.INFO, message, messages, "messages")
    if context.quick:
        return
    compared, different = index_check.sample(context.db)
    message = f"for {different:,} of {pluralize(compared, 'compared message')} the search index has other words"
    if different:
        message += ": searches return deleted text and miss current text"
        yield Finding("search.words", Severity.ERROR, message, different, "messages", _rebuild(context))
    else:
        yield Finding("search.words", Severity.INFO, message, different, "messages")


def _rebuild(context: CheckContext) -> str:
    return context.command("index", "rebuild")
