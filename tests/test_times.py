"""A time that goes in comes out: aware, UTC, to the microsecond, on every database."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, orm, select, text

from session_store import ChatMessage, NewMessage, SessionQuery, SessionStore
from session_store.models import Message, Session, State
from session_store.testing import Clock
from tests.conftest import Database, examples
from tests.test_exact import any_json, any_text, new_key, spelled

zones = st.timezones() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
any_time = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 28), timezones=zones)  # noqa: DTZ001 - zones are added

EXTREMES: Final = [
    datetime(1, 1, 2, tzinfo=UTC),
    datetime(1, 1, 1, 1, 0, 0, 1, tzinfo=timezone(timedelta(hours=-23))),
    datetime(900, 2, 28, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(1582, 10, 10, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(1986, 1, 1, tzinfo=ZoneInfo("Asia/Kathmandu")),
    datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=0),
    datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    datetime(9999, 12, 30, tzinfo=UTC),
]


def times_come_back(store: SessionStore, clock: Clock, times: list[datetime]) -> None:
    """Write each time in every place there is for one, and read them all."""
    for time in times:
        key = new_key()
        clock.set(time)
        store.append(key, ChatMessage.user("x"))
        store.append_many(key, [NewMessage(ChatMessage.user("x"), time), ChatMessage.user("x")])
        store.set_session_state(key, "running", "t1")
        metadata, state = store.get_session_metadata(key), store.get_session_state(key)
        assert metadata is not None
        assert state is not None
        back = [
            *(message.created_at for message in store.history(key)),
            metadata.created_at,
            metadata.last_activity,
            metadata.state_entered_at,
            state.entered_at,
            state.turn_started_at,
        ]

        assert back == [time.astimezone(UTC)] * 8
        assert {moment and moment.tzinfo for moment in back} == {UTC}
        assert key in store.list_sessions(SessionQuery(active_since=time))
        assert key not in store.list_sessions(SessionQuery(active_before=time))
        assert store.list_sessions(SessionQuery(after=metadata.cursor, active_since=time)) == []
        assert store.delete_session(key)


@pytest.mark.parametrize("time", EXTREMES, ids=str)
def test_a_time_at_the_end_of_time_comes_back(store: SessionStore, clock: Clock, time: datetime) -> None:
    """From the year 1 to 9999, in the hour that happens twice, before zones were: it is the moment it was."""
    times_come_back(store, clock, [time])


@examples(15)
@given(time=any_time)
def test_any_time_comes_back(store: SessionStore, clock: Clock, time: datetime) -> None:
    """An aware time is the same moment later, in UTC, to the microsecond, wherever it is kept."""
    times_come_back(store, clock, [time])


@examples(30)
@given(times=st.lists(any_time, min_size=2, max_size=8))
def test_times_are_sorted_by_the_database(store: SessionStore, engine: Engine, times: list[datetime]) -> None:
    """SQL orders times as they are, on SQLite as text of one width; lists do too."""
    keys = {new_key(): time.astimezone(UTC) for time in times}
    for key, time in keys.items():
        store.append(key, ChatMessage.user("x"), created_at=time)
    with engine.connect() as db:
        rows = db.execute(
            text("SELECT created_at, session_key FROM session_store_messages ORDER BY created_at, session_key")
        ).all()
    mine = [key for _, key in rows if key in keys]

    assert mine == sorted(keys, key=lambda key: (keys[key], key.encode()))
    assert [key for key in store.list_sessions() if key in keys] == mine[::-1]
    assert engine.dialect.name == "postgresql" or {len(time) for time, _ in rows} == {32}


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "UTC"])
@pytest.mark.parametrize("time", [EXTREMES[0], EXTREMES[-1]], ids=["first", "last"])
def test_the_zone_of_the_server_does_not_matter(database: Database, clock: Clock, zone: str, time: datetime) -> None:
    """Where it is another day, maybe of a year that is none, the time is still the same moment."""
    options = {"options": f"-c timezone={zone}"} if database.name == "postgresql" else {}
    with SessionStore(database.url.update_query_dict(options), clock=clock) as store:
        times_come_back(store, clock, [time])


def test_a_clock_may_be_in_any_zone(store: SessionStore, clock: Clock) -> None:
    """What the clock says is the moment it means."""
    clock.set(datetime(2026, 1, 1, 5, 45, tzinfo=ZoneInfo("Asia/Kathmandu")))

    assert store.append("s", ChatMessage.user("x")).created_at == datetime(2026, 1, 1, tzinfo=UTC)


@examples(30)
@given(said=any_text, payload=any_json, time=any_time)
def test_the_models_read_what_the_store_wrote(  # noqa: PLR0913, PLR0917 - three fixtures, three things drawn
    store: SessionStore, engine: Engine, clock: Clock, said: str, payload: Any, time: datetime
) -> None:
    """A host's ORM gets the same text, JSON and times, and finds a message or a session by them."""
    key = new_key()
    clock.set(time)
    store.create_session(key, name="name" + said, attributes={"it": payload or 0})
    store.set_session_state(key, "running", "t1")
    (message,) = store.append_many(key, [ChatMessage("user", said, payload)])
    metadata = store.get_session_metadata(key)
    assert metadata is not None
    with orm.Session(engine) as db:
        held = db.get_one(Session, key)
        found = db.scalars(select(Message).where(Message.session_key == key, Message.content == said)).one()
        entered = db.scalars(held.states.select()).one()

        assert (found.content, found.created_at, found.turn_id) == (said, message.created_at, "t1")
        assert spelled(found.payload) == spelled(message.message.payload)
        assert (held.name, held.created_at, held.last_activity) == (metadata.name, *metadata[4:6])
        assert spelled(held.attributes) == spelled(metadata.attributes)
        assert entered.entered_at == held.state_entered_at == metadata.state_entered_at
        assert {found.created_at.tzinfo, held.created_at.tzinfo, entered.entered_at.tzinfo} == {UTC}
        assert key in db.scalars(select(Session.key).where(Session.name == "name" + said)).all()
        assert db.scalar(select(State.entered_at).where(State.session_key == key, State.entered_at == time))
