"""Heads and messages damaged behind the store's back, and mended by ``compact`` while others go on writing."""

import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, update

from session_store import StoreError
from session_store.interface.values import IDLE
from session_store.models.models import MESSAGES, SESSIONS, STATES
from session_store.models.types import truncate_to_minute
from session_store.store.arguments import utc_now
from tests.faults.conftest import SESSIONS as KEYS
from tests.faults.conftest import Scene, times
from tests.faults.fleet import tokens
from tests.faults.racing import Racer
from tests.hosts import host_engine

MESSAGES_TOLD = 6_000
DOUBLE_WITHIN_SECS = 2.0
NEWEST = 5


def persists(racer: Racer) -> None:
    """Append and change states; go on with the next message where a head that is wrong makes a call fail."""
    while racer.goes_on():
        session, kind, begun = racer.session(), racer.chance.random(), time.monotonic_ns()
        try:
            if kind < 0.1:
                racer.store.set_session_state(session, "running", racer.new().token)
            elif kind < 0.15:
                racer.appends_many(session)
            elif kind < 0.3:
                new = racer.new()
                racer.appends(session, new, idempotency_key=new.token)
            else:
                racer.appends(session)
        except StoreError as error:
            if type(error) is not StoreError or "compact" not in str(error):
                raise
            racer.refused(error, begun)
        # On SQLite those who do the damage would hardly ever have the lock.
        racer.pause(racer.chance.uniform(0, 0.005))


def doubled(db: Connection, key: str, chance: random.Random) -> int:
    """Write the last message of a session once more, or several times, as a host's own SQL might; how often."""
    mine = MESSAGES.c.session_key == key
    last = db.execute(select(MESSAGES).where(mine).order_by(MESSAGES.c.seq.desc()).limit(1)).one_or_none()
    if last is None:
        return 0
    copies = chance.randrange(1, 4)
    for n in range(1, copies + 1):
        younger = timedelta(seconds=chance.uniform(0, DOUBLE_WITHIN_SECS))
        copy = {"seq": last.seq + n, "idempotency_key": None, "created_at": last.created_at + younger}
        db.execute(insert(MESSAGES).values({**last._mapping, **copy}))
    db.execute(update(SESSIONS).where(SESSIONS.c.key == key).values(last_seq=last.seq + copies))
    return copies


def damages(db: Connection, key: str, chance: random.Random) -> dict[str, Callable[[], Any]]:
    """What can be wrong with each column of a head.

    A number too low is one behind one that is taken: the next writer is refused, and cannot fill a gap.
    """
    taken = db.scalars(select(MESSAGES.c.seq).where(MESSAGES.c.session_key == key).order_by(MESSAGES.c.seq.desc()))
    newest = taken.all()[:NEWEST]
    states = db.scalar(select(func.count()).where(STATES.c.session_key == key))
    long_ago = utc_now() - timedelta(days=chance.randrange(1, 9999))
    any_time = utc_now() + timedelta(days=chance.uniform(-999, 999))
    possible: dict[str, Callable[[], Any]] = {
        "message_count": lambda: chance.randrange(2 * len(newest) + 2),
        "last_seq": lambda: chance.choice([newest[0] + chance.randrange(1, 9), *(seq - 1 for seq in newest)]),
        "last_activity": lambda: long_ago,
        "active_minute": lambda: truncate_to_minute(any_time),
    }
    if states:
        possible |= {
            "state": lambda: "damaged",
            "turn_id": lambda: chance.choice([None, "damaged"]),
            "state_seq": lambda: chance.randrange(states),
            "state_entered_at": lambda: chance.choice([None, any_time]),
        }
    return possible if newest else {}


def damage(db: Connection, key: str, chance: random.Random) -> tuple[int, int]:
    """Double messages of a session and spoil its head in one transaction; how many doubles and how many columns."""
    lock = update(SESSIONS).where(SESSIONS.c.key == key).values(last_seq=SESSIONS.c.last_seq)
    db.execute(lock)
    copies = doubled(db, key, chance) if chance.random() < 0.5 else 0
    possible = damages(db, key, chance)
    chosen = chance.sample(sorted(possible), chance.randrange(len(possible) + 1))
    if chosen:
        db.execute(update(SESSIONS).where(SESSIONS.c.key == key).values({name: possible[name]() for name in chosen}))
    return copies, len(chosen)


def agrees(db: Connection, key: str) -> bool:
    """Whether a head says what its logs say, all seen at one moment."""

    def of_messages(what: Any) -> Any:
        return select(what).where(MESSAGES.c.session_key == SESSIONS.c.key).correlate(SESSIONS).scalar_subquery()

    def of_the_last_state(what: Any) -> Any:
        log = select(what).where(STATES.c.session_key == SESSIONS.c.key).correlate(SESSIONS)
        return log.order_by(STATES.c.seq.desc()).limit(1).scalar_subquery()

    said = (
        SESSIONS.c.key == key,
        SESSIONS.c.message_count == of_messages(func.count()),
        SESSIONS.c.last_seq >= of_messages(func.max(MESSAGES.c.seq)),
        SESSIONS.c.last_activity >= of_messages(func.max(MESSAGES.c.created_at)),
        SESSIONS.c.state_seq == func.coalesce(of_the_last_state(STATES.c.seq), 0),
        SESSIONS.c.state == func.coalesce(of_the_last_state(STATES.c.state), IDLE),
        func.coalesce(SESSIONS.c.turn_id, "") == func.coalesce(of_the_last_state(STATES.c.turn_id), ""),
        SESSIONS.c.state_entered_at.is_not_distinct_from(of_the_last_state(STATES.c.entered_at)),
    )
    return db.scalar(select(func.count()).where(*said)) == 1


@pytest.mark.timeout(900)
def test_damage_is_mended(scene: Scene) -> None:
    """After compact a head says what the logs say, of doubles one is left, and all that was told is there once."""
    engine = host_engine(scene.database)
    doubles = columns = repaired = 0
    with scene.field() as field:
        field.send(persists, 8)
        with scene.store() as store:
            while field.acknowledged() < times(MESSAGES_TOLD):
                field.raise_if_ended()
                key = scene.chance.choice(KEYS)
                with engine.begin() as db:
                    copies, spoiled = damage(db, key, scene.chance)
                time.sleep(scene.chance.uniform(0, 0.02))
                assert store.compact(key, dry_run=True).duplicates_removed == copies
                mended = store.compact(key)
                assert mended.duplicates_removed == copies
                with engine.connect() as db:
                    assert agrees(db, key) or not copies + spoiled
                doubles, columns, repaired = doubles + copies, columns + spoiled, repaired + mended.head_repaired
        engine.dispose()
        found = scene.audit(field, removed=True)
        notes = field.notes()
    with engine.connect() as db:
        left = tokens(db)
        for last_activity, active_minute in db.execute(select(SESSIONS.c.last_activity, SESSIONS.c.active_minute)):
            assert active_minute == truncate_to_minute(last_activity)
    engine.dispose()
    found.missing = sum(left.get(told.session, {}).get(told.seq) != told.token for told in notes.told)
    seen = f"{columns:,} columns and {doubles:,} doubles, {repaired:,} repairs; {notes.refusals()}"
    scene.report("damage repaired by compact", columns + doubles, found, seen)
