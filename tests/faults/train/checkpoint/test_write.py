"""A run of checkpoints is killed at each of its file operations: what is then on the disk."""

import subprocess
import sys
from pathlib import Path

import pytest

from support import kill_points
from support.kill_points import DAMAGED_AFTER, LAST_STEP, Moment

pytestmark = pytest.mark.slow

KEEP = 2
TESTS = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> list[Moment]:
    done = subprocess.run(
        [sys.executable, kill_points.__file__, tmp_path_factory.mktemp("runs"), str(KEEP)],
        env={"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    found = [Moment.model_validate_json(line) for line in done.stdout.splitlines()]
    assert max(moment.killed_at for moment in found) > 40
    return found


def test_there_are_never_more_than_the_claim_has_room_for(moments: list[Moment]) -> None:
    for moment in moments:
        assert len(moment.published) + len(moment.partial) <= KEEP + 1, moment
        assert len(moment.partial) <= 1, moment
        assert len(moment.quarantined) <= 1, moment


def test_an_intact_one_is_always_left(moments: list[Moment]) -> None:
    assert [moment for moment in moments if moment.has_trained and not moment.intact] == []


def test_the_bound_is_reached(moments: list[Moment]) -> None:
    """So the plan asks for no more than a run may need."""
    full = [
        moment
        for moment in moments
        if len(moment.published) + len(moment.partial) == KEEP + 1 and moment.quarantined
    ]
    assert full


def test_whoever_takes_over_comes_to_the_end(moments: list[Moment]) -> None:
    by_run = {moment.killed_at: moment for moment in moments}  # the last one of each run
    assert [moment for moment in by_run.values() if not moment.finished] == []
    for moment in by_run.values():
        assert (moment.published[-1], moment.partial) == (LAST_STEP, []), moment
        assert moment.intact == moment.published, moment
        assert len(moment.quarantined) == 1, moment
    assert by_run[max(by_run)].quarantined == [DAMAGED_AFTER[-1]]
