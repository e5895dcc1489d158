"""What is killed takes nothing with it that somebody was told."""

import time

import pytest

from tests.faults.conftest import Scene, times

KILLS = 100
APPENDS = 25_000


@pytest.mark.timeout(900)
def test_a_writer_is_killed(scene: Scene) -> None:
    """SIGKILL at any moment of what a writer does: all it was told is there once, and everybody else goes on."""
    kills = times(KILLS)
    with scene.fleet(writers=4) as fleet:
        for _ in range(kills):
            fleet.wait_for(scene.chance.randrange(2 * times(APPENDS) // kills))
            time.sleep(scene.chance.uniform(0, 0.02))
            fleet.kill_one(scene.chance)
        found = scene.audit(fleet)
    scene.report("SIGKILL of a writer", kills, found, fleet.notes().refusals())
