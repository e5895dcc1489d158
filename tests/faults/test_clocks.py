"""Clocks that jump, and clocks that are hours apart, on the same sessions."""

import itertools
import random
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from session_store.models.models import MESSAGES, SESSIONS, STATES
from session_store.models.types import truncate_to_minute
from session_store.store.arguments import utc_now
from tests.faults.conftest import Scene, times
from tests.faults.fleet import Audit, Notes, tokens
from tests.faults.racing import Field, Racer, out_of_turn
from tests.hosts import host_engine

MESSAGES_TOLD = 15_000
APART = timedelta(hours=3)
LONG_AGO = timedelta(days=3)


def jumping() -> datetime:
    """Any time within three hours of now."""
    return utc_now() + random.uniform(-1, 1) * APART  # noqa: S311 - no secret


def shifted(by: timedelta) -> datetime:
    """The time by a clock that is wrong by so much."""
    return utc_now() + by


fast, slow = partial(shifted, APART), partial(shifted, -APART)


def converses(racer: Racer) -> None:
    """Append, start and end turns, and note the times that the store says messages got."""
    while racer.goes_on():
        session, kind, begun = racer.session(), racer.chance.random(), time.monotonic_ns()
        if kind < 0.15:
            racer.store.set_session_state(session, racer.chance.choice(("running", "idle", "error")), racer.new().token)
        else:
            stored = racer.appends(session)
            racer.did("made", session, [stored.seq, stored.created_at.isoformat()], begun)


def looks(racer: Racer) -> None:
    """Ask for sessions in every way that has to do with time."""
    while racer.goes_on():
        for session in racer.sessions:
            begun = time.monotonic_ns()
            head = racer.store.get_session_metadata(session)
            if head is not None:
                entered_at = head.state_entered_at and head.state_entered_at.isoformat()
                racer.did("head", session, [head.last_activity.isoformat(), entered_at], begun)
        listed = racer.store.list_sessions_with_metadata()
        assert listed == sorted(listed, key=lambda head: (head.last_activity, head.key), reverse=True)
        stuck = racer.store.list_stuck_sessions(3600)
        assert stuck == sorted(stuck, key=lambda head: (head.state_entered_at, head.key))
        racer.did("listed", "", [len(listed), len(stuck)], begun)
        racer.pause(0.005)


def cleans(racer: Racer) -> None:
    """Make a session that is old by every clock, and delete what is older than an hour by this one's."""
    for number in itertools.count():
        if not racer.goes_on():
            break
        begun = time.monotonic_ns()
        racer.store.append(f"old {racer.name}{number}", racer.new().message, created_at=utc_now() - LONG_AGO)
        racer.did("cleaned", "", racer.store.cleanup_stale(1, include_running=True), begun)
        racer.pause(0.005)


def audited(scene: Scene, field: Field, *, removed: bool = False) -> tuple[Audit, Notes, int]:
    """What is lost, in time too; what was noted; and how many messages are older than the one before them."""
    found = scene.audit(field, removed=removed)
    notes = field.notes()
    engine = host_engine(scene.database)
    with engine.connect() as db:
        messages = db.execute(select(MESSAGES.c.session_key, MESSAGES.c.seq, MESSAGES.c.created_at)).all()
        states = db.execute(select(STATES.c.session_key, STATES.c.seq, STATES.c.entered_at)).all()
        heads = db.execute(select(SESSIONS)).all()
    engine.dispose()
    made = {(key, seq): created_at.isoformat() for key, seq, created_at in messages}
    newest = {key: max(row.created_at for row in rows) for key, rows in by_session(messages)}

    assert all(made.get((did.session, did.value[0])) == did.value[1] for did in notes.did if did.what == "made")
    assert [head.last_activity for head in heads] == [newest[head.key] for head in heads]
    assert [head.active_minute for head in heads] == [truncate_to_minute(head.last_activity) for head in heads]
    seen = [did for did in notes.did if did.what == "head"]
    last_activities = [(did.session, did.begun, did.value[0]) for did in seen]
    entered = [(did.session, did.begun, did.value[1] or "") for did in seen]
    found.disordered += out_of_turn(notes.told) + sum(map(backwards, (states, last_activities, entered)))
    return found, notes, backwards(messages)


def by_session(rows: Iterable[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Rows that begin with a key and a number, session by session and in order."""
    for key, of_one in itertools.groupby(sorted(rows, key=lambda row: row[:2]), lambda row: row[0]):
        yield key, list(of_one)


def backwards(rows: Iterable[Any]) -> int:
    """How many rows of a session, whose third column is a time, are older than the one before them."""
    return sum(after[2] < before[2] for _, of_one in by_session(rows) for before, after in itertools.pairwise(of_one))


@pytest.mark.timeout(900)
def test_clocks_that_jump(scene: Scene) -> None:
    """Whatever the clocks say, messages are numbered in the order of their commits, and no head goes back in time."""
    with scene.field() as field:
        field.send(converses, 8, clock=jumping)
        field.send(looks, 1, clock=jumping)
        field.wait_for(times(MESSAGES_TOLD))
        found, notes, jumps = audited(scene, field)
    asked = sum(did.what == "listed" for did in notes.did)
    scene.report("clocks that jump", jumps, found, f"{asked:,} looks; {notes.refusals()}")


@pytest.mark.timeout(900)
def test_clocks_that_are_apart(scene: Scene) -> None:
    """Two stores whose clocks are hours apart share sessions; the slow one's cleaning keeps what is fresh to either."""
    with scene.field() as field:
        field.send(converses, 4, clock=fast)
        field.send(converses, 2, clock=slow)
        field.send(looks, 1, clock=slow)
        field.send(cleans, 2, clock=slow)
        field.wait_for(times(MESSAGES_TOLD))
        found, notes, jumps = audited(scene, field, removed=True)
    cleaned = sum(did.value for did in notes.did if did.what == "cleaned")
    assert cleaned > 0
    engine = host_engine(scene.database)
    with engine.connect() as db:
        left = tokens(db)
    engine.dispose()
    found.missing = sum(left.get(told.session, {}).get(told.seq) != told.token for told in notes.told)
    found.missing += sum(max(messages) - len(messages) for messages in left.values())
    scene.report("clocks hours apart", jumps, found, f"{cleaned:,} old sessions cleaned; {notes.refusals()}")
