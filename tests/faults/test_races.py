"""Deletes, removals, cleaning and streaming beside those who append to the same sessions."""

import itertools
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import exists, func, select

from session_store.models.models import MESSAGES, SESSIONS, STATES
from session_store.store.arguments import utc_now
from tests.faults.conftest import Scene, times
from tests.faults.fleet import Notes, tokens
from tests.faults.racing import Field, Racer, without_foreign_keys
from tests.hosts import host_engine

MESSAGES_TOLD = 10_000
LOOK_SECS = 0.1

OF_A_MESSAGE = select(SESSIONS.c.key).where(SESSIONS.c.key == MESSAGES.c.session_key)
OF_A_STATE = select(SESSIONS.c.key).where(SESSIONS.c.key == STATES.c.session_key)
COUNTED = select(func.count()).where(MESSAGES.c.session_key == SESSIONS.c.key).scalar_subquery()
HALVES = select(
    select(func.count()).select_from(MESSAGES).where(~exists(OF_A_MESSAGE)).scalar_subquery(),
    select(func.count()).select_from(STATES).where(~exists(OF_A_STATE)).scalar_subquery(),
    select(func.count()).select_from(SESSIONS).where(SESSIONS.c.message_count != COUNTED).scalar_subquery(),
)
"""How many messages and states have no session, and how many sessions have other messages than they say."""


def watched(field: Field, acknowledged: int) -> int:
    """Wait for so many messages and look meanwhile: no look finds a part of a session; how many looks there were."""
    engine = host_engine(field.database)
    looks = 0
    while field.acknowledged() < acknowledged or not looks:
        field.raise_if_ended()
        with engine.connect() as db:
            assert tuple(db.execute(HALVES).one()) == (0, 0, 0)
        looks += 1
        time.sleep(LOOK_SECS)
    field.stop()
    with engine.connect() as db:
        assert tuple(db.execute(HALVES).one()) == (0, 0, 0)
    engine.dispose()
    return looks


def there(scene: Scene) -> dict[str, dict[int, str]]:
    """The words of the messages in the database."""
    engine = host_engine(scene.database)
    with engine.connect() as db:
        found = tokens(db)
    engine.dispose()
    return dict(found)


# Whole sessions that go.

BLIND = ("blind 0", "blind 1")
SEEN = ("seen 0", "seen 1")


def converses(racer: Racer) -> None:
    """Append, one or several, and change states; sessions that may go by their owner get one."""
    while racer.goes_on():
        session, kind = racer.session(), racer.chance.random()
        if kind < 0.05:
            racer.store.set_session_state(session, "running", f"turn {racer.chance.random()}")
        elif kind < 0.1 and session in BLIND:
            racer.store.set_session_owner(session, "ann")
        elif kind < 0.2:
            racer.appends_many(session)
        else:
            racer.appends(session)


def deletes(racer: Racer) -> None:
    """Delete sessions, by key and by owner."""
    while racer.goes_on():
        racer.pause(racer.chance.uniform(0, 0.03))
        session, begun = racer.chance.choice(BLIND), time.monotonic_ns()
        if racer.chance.random() < 0.7:
            racer.did("delete", session, racer.store.delete_session(session), begun)
        else:
            racer.did("delete by owner", "", racer.store.delete_sessions(owner="ann", batch_size=1), begun)


def looks_and_deletes(racer: Racer) -> None:
    """Delete sessions within a transaction that has locked them and read what is in them."""
    while racer.goes_on():
        racer.pause(racer.chance.uniform(0, 0.03))
        session, begun = racer.chance.choice(SEEN), time.monotonic_ns()
        with racer.store.begin() as transaction:
            transaction.set_session_name(session, "going")
            gone = [(stored.seq, stored.message.content.split()[0]) for stored in transaction.history(session)]
            assert transaction.delete_session(session)
        racer.did("saw", session, gone, begun)


@pytest.mark.timeout(900)
def test_deletes_race_appends(scene: Scene) -> None:
    """What is appended after the last delete is there; each life of a session is numbered from 1 and goes whole."""
    engine = without_foreign_keys if scene.database.name == "sqlite" else None
    with scene.field((*BLIND, *SEEN)) as field:
        field.send(converses, 2)
        field.send(converses, 2, engine=engine)
        field.send(deletes, 1)
        field.send(deletes, 1, engine=engine)
        field.send(looks_and_deletes, 2, engine=engine)
        looks = watched(field, times(MESSAGES_TOLD))
        found = scene.audit(field, removed=True)
        notes = field.notes()
    left = there(scene)
    lives = [*left.values(), *(dict(did.value) for did in notes.did if did.what == "saw")]
    found.missing = lost_to_no_delete(notes, left) + sum(max(life, default=0) - len(life) for life in lives)
    seen = Counter(word for life in lives for word in life.values())
    found.doubled += sum(number - 1 for number in seen.values())
    found.missing += sum(told.session in SEEN and told.token not in seen for told in notes.told)
    assert survivors(notes, left) == []
    gone = sum(did.value for did in notes.did if did.what in {"delete", "delete by owner"})
    went = sum(did.what == "saw" for did in notes.did)
    scene.report("delete racing appends", gone + went, found, f"{looks} looks; {notes.refusals()}")


def lost_to_no_delete(notes: Notes, left: dict[str, dict[int, str]]) -> int:
    """How many messages are gone whose append began after the last call that deleted their session had ended."""
    last = dict.fromkeys(BLIND, 0)
    for did in notes.did:
        if did.what in {"delete", "delete by owner"} and did.value:
            for session in [did.session] if did.session else BLIND:
                last[session] = max(last[session], did.ended)
    return sum(
        told.begun > last[told.session] and left.get(told.session, {}).get(told.seq) != told.token
        for told in notes.told
        if told.session in last
    )


def survivors(notes: Notes, left: dict[str, dict[int, str]]) -> Sequence[str]:
    """The messages that are there although their session was deleted after they had been told."""
    last = {did.session: did.begun for did in sorted(notes.did, key=lambda did: did.begun) if did.what == "delete"}
    words = {word for messages in left.values() for word in messages.values()}
    return [told.token for told in notes.told if told.ended < last.get(told.session, 0) and told.token in words]


# Messages that go.

COUNTED_ONLY = ("counted 0", "counted 1")
TAKEN = ("taken 0", "taken 1")


def takes(racer: Racer) -> None:
    """Take the last message away in every way there is, and say which one or how many."""
    while racer.goes_on():
        racer.pause(racer.chance.uniform(0, 0.01))
        session, kind, begun = racer.session(), racer.chance.random(), time.monotonic_ns()
        if kind < 0.4:
            last = racer.store.pop_last(session)
            if last is not None:
                racer.did("took", session, [last.seq, last.message.content.split()[0]], begun)
        elif session in TAKEN:
            for last in racer.store.history(session, before_seq=2**60, limit=1):
                if racer.store.remove_last(session, seq=last.seq):
                    racer.did("took", session, [last.seq, last.message.content.split()[0]], begun)
        elif kind < 0.8:
            racer.did("took some", session, int(racer.store.remove_last(session)), begun)
        elif kind < 0.9:
            trimmed = racer.store.trim(session, keep_last=racer.chance.randrange(5), batch_size=2)
            racer.did("took some", session, trimmed, begun)
        else:
            racer.did("took some", session, racer.store.clear_messages(session), begun)


@pytest.mark.timeout(900)
def test_removals_race_appends(scene: Scene) -> None:
    """Each message told is there, or was taken away by one caller; no number is used twice."""
    with scene.field((*COUNTED_ONLY, *TAKEN)) as field:
        field.send(converses, 4)
        field.send(takes, 4)
        looks = watched(field, times(MESSAGES_TOLD))
        found = scene.audit(field, removed=True)
        notes = field.notes()
    left = there(scene)
    taken = [(did.session, *did.value) for did in notes.did if did.what == "took"]
    known = Counter([*taken, *((session, seq, word) for session, has in left.items() for seq, word in has.items())])
    found.missing = sum(
        (told.session, told.seq, told.token) not in known for told in notes.told if told.session in TAKEN
    )
    found.doubled += sum(number - 1 for number in known.values())
    found.doubled += len(notes.told) - len({(told.session, told.seq) for told in notes.told})
    for session in COUNTED_ONLY:
        some = sum(did.value for did in notes.did if did.what == "took some" and did.session == session)
        one_by_one = sum(one[0] == session for one in taken)
        told = sum(told.session == session for told in notes.told)
        found.missing += abs(told - some - one_by_one - len(left.get(session, ())))
    some = sum(did.value for did in notes.did if did.what == "took some")
    scene.report("removals racing appends", len(taken) + some, found, f"{looks} looks; {notes.refusals()}")


# Streaming.


def streams(racer: Racer) -> None:
    """Append an answer and let it grow until somebody else has spoken."""
    while racer.goes_on():
        session, new = racer.session(), racer.new()
        seq = racer.appends(session, new).seq
        version = refused = 0
        while version < 30 and refused < 2 and racer.goes_on():
            version += 1
            begun = time.monotonic_ns()
            kept = racer.store.update_last(session, racer.message(new.number, version), seq=seq)
            racer.did("update", session, [seq, version, kept], begun)
            refused += not kept


def speaks(racer: Racer) -> None:
    """Append a message every now and then."""
    while racer.goes_on():
        racer.appends(racer.session())
        racer.pause(racer.chance.uniform(0, 0.01))


@pytest.mark.timeout(900)
def test_streaming_races_users(scene: Scene) -> None:
    """A streamed message has the last text that update_last took, which takes one as long as it is the last message."""
    with scene.field() as field:
        field.send(speaks, 4)
        field.send(streams, 4)
        field.wait_for(times(MESSAGES_TOLD))
        found = scene.audit(field)
        notes = field.notes()
    updates = [did for did in notes.did if did.what == "update"]
    versions = {(told.session, told.seq): 0 for told in notes.told}
    versions |= {
        (did.session, did.value[0]): did.value[1] for did in sorted(updates, key=lambda did: did.begun) if did.value[2]
    }
    engine = host_engine(scene.database)
    with engine.connect() as db:
        rows = db.execute(select(MESSAGES.c.session_key, MESSAGES.c.seq, MESSAGES.c.content)).all()
    engine.dispose()

    assert {(key, seq): int(content.split()[4]) for key, seq, content in rows} == versions
    assert answered_wrongly(notes) == []
    cut = sum(not did.value[2] for did in updates)
    scene.report("streaming racing users", cut, found, f"{len(updates):,} updates; {notes.refusals()}")


def answered_wrongly(notes: Notes) -> Sequence[object]:
    """The updates that were taken though another message had come before, or refused though none came."""
    begun: dict[tuple[str, int], int] = {}
    ended: dict[tuple[str, int], int] = {}
    never = time.monotonic_ns()
    of_the_next: dict[str, tuple[int, int]] = {}
    for told in sorted(notes.told, key=lambda told: -told.seq):
        first_begun, first_ended = of_the_next.get(told.session, (never, never))
        begun[told.session, told.seq], ended[told.session, told.seq] = first_begun, first_ended
        of_the_next[told.session] = (min(first_begun, told.begun), min(first_ended, told.ended))
    return [
        did
        for did in notes.did
        if did.what == "update"
        and (
            ended[did.session, did.value[0]] < did.begun
            if did.value[2]
            else begun[did.session, did.value[0]] > did.ended
        )
    ]


# Cleaning.

TTL_HOURS = 24
LONG_AGO = timedelta(days=3)
OF_THOSE_FRESH = 0.4


def comes_back(racer: Racer) -> None:
    """Go from one old session to the next; some get another old message, some a new one."""
    for number in itertools.count():
        if not racer.goes_on():
            break
        session, kind = f"stale {number}", racer.chance.random()
        if kind < 0.2:
            racer.appends(session)
        elif kind < 0.5:
            begun = time.monotonic_ns()
            racer.store.append(session, racer.new().message, created_at=utc_now() - LONG_AGO)
            racer.did("old", session, 1, begun)
        elif kind < 0.55:
            racer.pause(racer.chance.uniform(0, 0.02))


def cleans(racer: Racer) -> None:
    """Delete what is old, again and again."""
    while racer.goes_on():
        begun = time.monotonic_ns()
        cleaned = racer.store.cleanup_stale(TTL_HOURS, batch_size=racer.chance.choice((1, 3, 500)))
        racer.did("cleaned", "", cleaned, begun)


@pytest.mark.timeout(900)
def test_cleaning_races_appends(scene: Scene) -> None:
    """A session that gets a message is kept or made anew, whatever the cleaning does; all the others go."""
    with scene.field() as field:
        field.send(comes_back, 6)
        field.send(cleans, 2)
        looks = watched(field, times(round(OF_THOSE_FRESH * MESSAGES_TOLD)))
        with scene.store() as store:
            at_last = store.cleanup_stale(TTL_HOURS)
        found = scene.audit(field, removed=True)
        notes = field.notes()
    left = there(scene)
    found.missing = sum(left.get(told.session, {}).get(told.seq) != told.token for told in notes.told)
    found.missing += sum(max(messages) - len(messages) for messages in left.values())
    saved = {told.session for told in notes.told if told.seq > 1}
    found.acknowledged += sum(did.what == "old" for did in notes.did)
    cleaned = sum(did.value for did in notes.did if did.what == "cleaned")

    assert set(left) == {told.session for told in notes.told}
    seen = f"{len(saved):,} saved by a message, {at_last:,} left for the end, {looks} looks; {notes.refusals()}"
    scene.report("cleanup racing appends", cleaned, found, seen)
