"""Whether the pod that is there is that of which the earlier status speaks."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from qinstruct_operator.core.plan.types import Plan
from support.observed import NOW, condition_reasons, plan, pod, pytorchjob, running, status_of
from support.unread import TRAINS, drop

PLAN = plan()
CPU_PLAN = plan(size="Tiny", strategy="mix")
JOB = pytorchjob()
LATER: Final = NOW + timedelta(seconds=10)


@pytest.mark.parametrize("started", [-30, 0, 30, 24 * 60])
@pytest.mark.parametrize("made", [PLAN, CPU_PLAN], ids=["GPUs", "no GPUs"])
def test_another_pod_is_not_what_the_earlier_one_was(made: Plan, started: int) -> None:
    """Whatever the clock of its node shows; a container is started once, with its pod."""
    before = status_of(TRAINS, made=made)
    fresh = replace(TRAINS, pods=(pod(JOB, running(started), uid="another"),), log=())
    silent = status_of(fresh, before, made=made, now=LATER)
    assert condition_reasons(silent)["Running"] == ("True", "Loading")
    unread = status_of(drop(fresh, "log"), before, made=made, now=LATER)
    assert condition_reasons(unread)["Running"] == ("True", "Unreadable")


@pytest.mark.parametrize("started", [-24 * 60, -30, 30])
@pytest.mark.parametrize("made", [PLAN, CPU_PLAN], ids=["GPUs", "no GPUs"])
def test_the_same_pod_is_what_it_was_whatever_the_clock_of_its_node_shows(
    made: Plan, started: int
) -> None:
    trains = replace(TRAINS, pods=(pod(JOB, running(started)),))
    before = status_of(trains, made=made)
    for snapshot in (replace(trains, log=()), drop(trains, "log")):
        after = status_of(snapshot, before, made=made, now=LATER)
        assert condition_reasons(after)["Running"] == ("True", "Training")
