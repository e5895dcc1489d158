"""The search index: there, kept, used, and what it holds is what the messages say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import DatabaseError

from session_store.database import revisions
from session_store.maintenance.doctor.findings import Finding, Severity, format_size, pluralize
from session_store.search import index as search_index
from session_store.search import index_check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.maintenance.doctor.context import CheckContext


def check_index(context: CheckContext) -> Iterator[Finding]:
    """Say which engine serves words, and whether the index is whole and right."""
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
        # PostgreSQL keeps an index by itself; FTS5's is kept by triggers, which a host's SQL can pass by.
        try:
            yield from _check_content(context)
        except DatabaseError as error:
            said = (str(error.orig).splitlines() or [""])[0]
            message = f"the search index is damaged, searches fail: {said}"
            yield Finding("search.words", Severity.ERROR, message, None, None, _rebuild(context))


def _check_missing_index(context: CheckContext) -> Finding:
    reason = search_index.disabled_reason(context.db)
    if reason is not None:
        return Finding("search.engine", Severity.INFO, f"words are found by LIKE: {reason}", "like")
    if (revisions.current(context.db) or revisions.HEAD) < revisions.HEAD:
        return Finding("search.engine", Severity.INFO, "words are found by LIKE until the tables are upgraded", "like")
    message = "there is no search index: every search reads all messages"
    return Finding("search.index", Severity.WARNING, message, "like", None, context.command("index", "create"))


def _check_content(context: CheckContext) -> Iterator[Finding]:
    messages, missing, too_many = index_check.counts(context.db)
    if missing or too_many:
        message = (
            f"the search index lacks {missing:,} of {pluralize(messages, 'message')} and has {too_many:,} that are not "
            "there: searches miss them, or fail"
        )
        yield Finding("search.rows", Severity.ERROR, message, missing + too_many, "messages", _rebuild(context))
        return
    message = f"the search index has as many messages as there are, {messages:,}"
    yield Finding("search.rows", Severity.INFO, message, messages, "messages")
    if context.quick:
        return
    compared, different = index_check.sample(context.db)
    message = f"of {pluralize(compared, 'message')} compared the search index has other words for {different:,}"
    if different:
        message += ": searches find what was said no more, and not what is said"
        yield Finding("search.words", Severity.ERROR, message, different, "messages", _rebuild(context))
    else:
        yield Finding("search.words", Severity.INFO, message, different, "messages")


def _rebuild(context: CheckContext) -> str:
    return context.command("index", "rebuild")
