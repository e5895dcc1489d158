"""A server that is killed, or loses its connections one by one, has all it said it had."""

from typing import Any

import psycopg
import pytest

from tests.conftest import Database
from tests.faults.conftest import LEFT_OUT, Scene, one_way, times
from tests.servers import OwnServer

APPENDS = 20_000
RESTARTS = 10
TERMINATIONS = 200

STARTED_AT = "SELECT pg_postmaster_start_time()"
TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM (
        SELECT pid FROM pg_stat_activity WHERE datname = %s AND state = %s AND pid <> pg_backend_pid()
        ORDER BY random() LIMIT 1
    ) AS one
"""


def asked(server: OwnServer, question: str) -> Any:
    """What a server answers."""
    with psycopg.connect(str(Database("postgresql", server.url))) as db:
        (answer,) = db.execute(question.encode()).fetchone() or (None,)
    return answer


@one_way(own_scene="async")
@pytest.mark.timeout(900)
def test_postgresql_is_killed(own_scene: Scene, own_server: OwnServer) -> None:
    """SIGKILL of all its processes: callers are told it is away, and go on when it has recovered."""
    restarts = times(RESTARTS)
    starts = [asked(own_server, STARTED_AT)]
    with own_scene.fleet() as fleet:
        for _ in range(restarts):
            fleet.wait_for(own_scene.chance.randrange(2 * times(APPENDS) // restarts))
            own_server.kill()
            fleet.wait_for_refusals(1)
            own_server.start()
            starts.append(asked(own_server, STARTED_AT))
        fleet.wait_for(times(APPENDS) // restarts)
        found = own_scene.audit(fleet)
    notes = fleet.notes()
    assert len(set(starts)) == restarts + 1
    own_scene.report("SIGKILL of PostgreSQL, and its restart", restarts, found, notes.refusals() + LEFT_OUT)

    assert set(notes.refused) == {"StoreUnavailable"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("state", ["idle", "active"])
def test_backends_are_terminated(scene: Scene, state: str) -> None:
    """A call under way is told that its connection is gone, and so is the next call on one that was idle."""
    terminations, ended = times(TERMINATIONS), 0
    with scene.fleet() as fleet, psycopg.connect(str(scene.database), autocommit=True) as db:
        while ended < terminations:
            fleet.wait_for(scene.chance.randrange(2 * times(APPENDS) // terminations))
            ended += db.execute(TERMINATE, [scene.database.url.database, state]).fetchone() == (True,)
        fleet.wait_for(times(APPENDS) // 10)
        db.close()
        found = scene.audit(fleet)
    notes = fleet.notes()
    words = {"idle": "pg_terminate_backend of an idle connection", "active": "pg_terminate_backend of a busy one"}
    scene.report(words[state], ended, found, notes.refusals())

    # Whoever comes to a connection that was ended pays for it, and nobody else.
    assert set(notes.refused) == {"StoreUnavailable"}
    assert notes.refused.total() <= ended
