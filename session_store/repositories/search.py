"""Find sessions and messages: get candidates from a search backend, and recheck those it may be wrong about.

A search is usually two statements: one estimates the number of candidates, one finds them. Few messages need a
recheck: those with characters that an index tokenizes differently, and phrases in long messages on PostgreSQL.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from session_store.interface.errors import InvalidQuery
from session_store.interface.values import MessageHit, SessionMetadata, SessionQuery, Snippet
from session_store.models.types import as_utc, unescape
from session_store.models.validation import optional_number, type_error
from session_store.repositories import search_statements, session_filters
from session_store.repositories.row_mapping import fetch, metadata_from, session_metadata
from session_store.search import backends, like
from session_store.search.candidates import LOOKUP_LIMIT
from session_store.search.query import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from session_store.repositories.search_statements import MessageQuery
    from session_store.search.candidates import Candidates

_MIN_PAGE_SIZE: Final = 100
_MAX_SCANNED: Final = 1_000
"""The number of newest sessions that a scan reads."""
_MAX_RECHECKED: Final = 20_000
"""The number of messages that a scan rechecks; then the search continues with the index."""
_HIT_BATCH_SIZE: Final = 50


def find_sessions(db: Connection, query: SessionQuery) -> list[SessionMetadata]:
    """Return the matching sessions, newest activity first."""
    candidates = _candidates(db, query.keyword)
    if candidates is None:
        return metadata_from(db, *session_filters.select_heads(query))
    limit = optional_number(query.limit, "limit")
    found: list[SessionMetadata] = []
    few = False
    if limit is not None:
        may_be_few = _may_be_few(db, candidates)
        among_few = _search_few(db, query, candidates, limit) if may_be_few else None
        if among_few is not None:
            return among_few
        are_few = may_be_few and _are_few(db, candidates)
        # Where reading all sessions is cheap, `if_few` lists fewer messages.
        few = are_few and candidates.conditions.one_by_one
        if not are_few:
            found, rest = _scan_newest_first(db, query, candidates, limit)
            if rest is None:
                return found[:limit]
            query = rest
    while True:
        wanted = None if limit is None else max(limit - len(found), _MIN_PAGE_SIZE)
        rows = fetch(db, *search_statements.index_first(replace(query, limit=wanted), candidates, if_few=few))
        found += _recheck_rows(db, candidates, rows)
        if wanted is None or len(rows) < wanted or len(found) >= (limit or 0):
            return found[:limit]
        query = replace(query, after=session_metadata(rows[-1][:-1]).cursor)


def _search_few(
    db: Connection, query: SessionQuery, candidates: Candidates, limit: int
) -> list[SessionMetadata] | None:
    """Return the sessions with one statement if the candidates are few; None if they may not be."""
    if candidates.conditions.if_few is None:
        return None
    rows = fetch(db, *search_statements.index_first(query, candidates, if_few=True))
    found = _recheck_rows(db, candidates, rows)
    return found if 0 < len(rows) < limit or 0 < limit == len(found) else None


def _scan_newest_first(
    db: Connection, query: SessionQuery, candidates: Candidates, limit: int
) -> tuple[list[SessionMetadata], SessionQuery | None]:
    """Scan the newest sessions, as long as enough matches are expected among few sessions.

    Returns:
        The sessions found, and the query for the others; None if there are no others, or enough were found.
    """
    found: list[SessionMetadata] = []
    sessions = messages = 0
    window = _with_margin(limit)
    while sessions + window <= _MAX_SCANNED:
        rows = fetch(db, *search_statements.newest_first(replace(query, limit=window), candidates))
        for *row, doubted in rows:
            session = session_metadata(row)
            if doubted is None and session.last_seq > search_statements.NEWEST and len(found) < limit:
                messages += session.last_seq
                if messages > _MAX_RECHECKED:
                    return found, query
                is_found = _recheck_messages(db, candidates, session.key)
            else:
                is_found = doubted is not None and _recheck_session(db, candidates, session.key, doubted)
            if is_found:
                found.append(session)
            query = replace(query, after=session.cursor)
            messages += min(session.last_seq, search_statements.NEWEST)
        sessions += len(rows)
        if len(found) >= limit or len(rows) < window:
            return found, None
        window = _with_margin((limit - len(found)) * sessions // max(len(found), 1))
        if messages + window * messages // sessions > _MAX_RECHECKED:
            break
    return found, query


def count_sessions(db: Connection, query: SessionQuery) -> int:
    """Return the number of matching sessions on all pages."""
    candidates = _candidates(db, query.keyword)
    if candidates is None:
        return int(fetch(db, *session_filters.count(query))[0][0])
    rows = fetch(db, *search_statements.count_matching(query, candidates))
    return sum(count for key, count in rows if key is None or _recheck_messages(db, candidates, key))


def find_messages(db: Connection, keyword: str, query: MessageQuery) -> list[MessageHit]:
    """Return the matching messages, in the order of the query."""
    if keyword is None:
        raise InvalidQuery(type_error(keyword, "keyword", "a str"))
    candidates = _candidates(db, keyword) or like.match_all()
    few = candidates.conditions.one_by_one and _may_be_few(db, candidates) and _are_few(db, candidates)
    found: list[MessageHit] = []
    page = query
    while True:
        rows = fetch(db, *search_statements.select_hits(page, candidates, if_few=few))
        for *row, content, settled in rows:
            text = unescape(content)
            if settled or candidates.matches(text):
                found.append(_hit(row, candidates.query.snippet(text, candidates.meaning)))
        if len(rows) < page.limit or len(found) >= query.limit:
            return found[: query.limit]
        cursor = _hit(rows[-1][:-2], Snippet("", ())).cursor
        page = page._replace(after=cursor, limit=max(query.limit - len(found), _HIT_BATCH_SIZE))


def _candidates(db: Connection, keyword: str | None) -> Candidates | None:
    parsed = None if keyword is None else parse(keyword)
    return None if parsed is None else backends.candidates_for(db, parsed)


def _with_margin(number: int) -> int:
    return number + number // 4 + 4


def _may_be_few(db: Connection, candidates: Candidates) -> bool:
    may_be_few = candidates.conditions.may_be_few
    return may_be_few is None or may_be_few(db, candidates.values)


def _are_few(db: Connection, candidates: Candidates) -> bool:
    size = candidates.conditions.size
    return size is not None and size(db, candidates.values) <= LOOKUP_LIMIT


def _recheck_rows(db: Connection, candidates: Candidates, rows: Sequence[Any]) -> list[SessionMetadata]:
    return [session_metadata(row) for *row, doubted in rows if _recheck_session(db, candidates, row[0], doubted)]


def _recheck_session(db: Connection, candidates: Candidates, key: str, doubted: str) -> bool:
    """Return whether a session matches, by the candidate that came with its row."""
    text = doubted[1:]
    is_whole = 0 < len(text) < search_statements.MAX_RECHECK_TEXT
    return not doubted or (is_whole and candidates.matches(unescape(text))) or _recheck_messages(db, candidates, key)


def _recheck_messages(db: Connection, candidates: Candidates, key: str) -> bool:
    """Return whether one of the candidates of a session matches."""
    after_seq = 0
    while rows := fetch(db, *search_statements.candidate_texts(candidates, key, after_seq)):
        if any(settled or candidates.matches(unescape(content)) for _, settled, content in rows):
            return True
        after_seq = rows[-1][0]
    return False


def _hit(row: Any, snippet: Snippet) -> MessageHit:
    key, seq, role, created_at, rank = row
    return MessageHit(key, seq, role, as_utc(created_at), float(rank), snippet)
