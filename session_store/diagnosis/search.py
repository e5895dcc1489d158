"""The search index: there, kept, used, and what it holds is what the messages say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from session_store import search_index
from session_store.diagnosis.findings import Finding, Severity, size_in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.diagnosis.examination import Examination


def check_index(asked: Examination) -> Iterator[Finding]:
    """Say which engine serves words, and whether the index is whole."""
    index = search_index.status(asked.db, schema=asked.schema)
    if index.size is None:
        reason = search_index.reason_to_do_without(asked.db)
        if reason is not None:
            yield Finding("search.engine", Severity.INFO, f"words are found by LIKE: {reason}", index.engine)
        else:
            yield Finding(
                "search.index",
                Severity.WARNING,
                "there is no search index: every search reads all messages",
                index.engine,
                None,
                asked.command("index", "create"),
            )
        return
    yield Finding("search.engine", Severity.INFO, f"{index.engine} serves: {index.reason}", index.engine)
    yield Finding(
        "search.size", Severity.INFO, f"the search index takes {size_in_words(index.size)}", index.size, "bytes"
    )
    if not search_index.is_whole(asked.db, schema=asked.schema):
        yield Finding(
            "search.index",
            Severity.ERROR,
            f"every search reads all messages: {index.reason}",
            index.engine,
            None,
            asked.command("index", "rebuild"),
        )
