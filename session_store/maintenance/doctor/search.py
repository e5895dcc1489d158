"""The search index: there, kept, used, and what it holds is what the messages say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import DatabaseError

from session_store.database import revisions
from session_store.maintenance.doctor.findings import Finding, Severity, counted, size_in_words
from session_store.search import index as search_index
from session_store.search import index_check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.maintenance.doctor.context import Examination


def check_index(asked: Examination) -> Iterator[Finding]:
    """Say which engine serves words, and whether the index is whole and right."""
    index = search_index.status(asked.db, schema=asked.schema)
    if index.size is None:
        yield _none(asked)
        return
    yield Finding("search.engine", Severity.INFO, f"{index.engine} serves: {index.reason}", index.engine)
    message = f"the search index takes {size_in_words(index.size)}"
    yield Finding("search.size", Severity.INFO, message, index.size, "bytes")
    if not search_index.is_whole(asked.db, schema=asked.schema):
        message = f"every search reads all messages: {index.reason}"
        yield Finding("search.index", Severity.ERROR, message, index.engine, None, _rebuild(asked))
    elif asked.on_sqlite:
        # PostgreSQL keeps an index by itself; FTS5's is kept by triggers, which a host's SQL can pass by.
        try:
            yield from _content(asked)
        except DatabaseError as error:
            said = (str(error.orig).splitlines() or [""])[0]
            message = f"the search index is damaged, searches fail: {said}"
            yield Finding("search.words", Severity.ERROR, message, None, None, _rebuild(asked))


def _none(asked: Examination) -> Finding:
    reason = search_index.reason_to_do_without(asked.db)
    if reason is not None:
        return Finding("search.engine", Severity.INFO, f"words are found by LIKE: {reason}", "like")
    if (revisions.current(asked.db) or revisions.HEAD) < revisions.HEAD:
        return Finding("search.engine", Severity.INFO, "words are found by LIKE until the tables are upgraded", "like")
    message = "there is no search index: every search reads all messages"
    return Finding("search.index", Severity.WARNING, message, "like", None, asked.command("index", "create"))


def _content(asked: Examination) -> Iterator[Finding]:
    messages, missing, too_many = index_check.counts(asked.db)
    if missing or too_many:
        message = (
            f"the search index lacks {missing:,} of {counted(messages, 'message')} and has {too_many:,} that are not "
            "there: searches miss them, or fail"
        )
        yield Finding("search.rows", Severity.ERROR, message, missing + too_many, "messages", _rebuild(asked))
        return
    message = f"the search index has as many messages as there are, {messages:,}"
    yield Finding("search.rows", Severity.INFO, message, messages, "messages")
    if asked.quick:
        return
    compared, different = index_check.sample(asked.db)
    message = f"of {counted(compared, 'message')} compared the search index has other words for {different:,}"
    if different:
        message += ": searches find what was said no more, and not what is said"
        yield Finding("search.words", Severity.ERROR, message, different, "messages", _rebuild(asked))
    else:
        yield Finding("search.words", Severity.INFO, message, different, "messages")


def _rebuild(asked: Examination) -> str:
    return asked.command("index", "rebuild")
