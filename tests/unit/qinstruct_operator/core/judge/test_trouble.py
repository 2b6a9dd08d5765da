"""When a pod's own word is doubted, and since when a container is silent.

What is judged of a pod that is deleted or lost is in the cases of `support.status_cases`.
"""

from datetime import datetime, timedelta

import pytest

from qinstruct_operator.core.judge.node import Node
from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.core.judge.pods import read_pod
from qinstruct_operator.core.judge.trouble import is_doubtful, why_silent, why_troubled
from support.observed import (
    NOW,
    Raw,
    at_time,
    condition,
    deleting,
    ended,
    lines,
    pod,
    pytorchjob,
    running,
    seen,
    step_event,
)

JOB = pytorchjob()
RUNS = pod(JOB, running())
MARKED = pod(
    JOB, running(), at_time(condition("Ready", status="False"), 1), condition("ContainersReady")
)
FRESH = lines(step_event(3))
OLD = lines(step_event(3), until=NOW - timedelta(seconds=61))
AHEAD = lines(step_event(3), until=NOW + timedelta(seconds=61))
HALF_AN_HOUR = timedelta(minutes=30)


@pytest.mark.parametrize(
    ("raw", "log", "doubtful"),
    [
        (RUNS, FRESH, False),
        (RUNS, (*FRESH, "plain text"), False),
        (RUNS, OLD, True),
        (RUNS, AHEAD, True),
        (RUNS, (), True),
        (RUNS, ("plain text",), True),
        (MARKED, FRESH, True),
        (deleting(RUNS), FRESH, True),
        (pod(JOB, ended()), (), False),
    ],
    ids=[
        "steps",
        "steps, then text",
        "quiet",
        "by a clock that is ahead",
        "no word",
        "no event",
        "not Ready",
        "being deleted",
        "ended",
    ],
)
def test_when_its_node_is_asked(raw: Raw, log: tuple[str, ...], doubtful: bool) -> None:
    assert is_doubtful(read_pod(raw), log, NOW) == doubtful


@pytest.mark.parametrize(
    ("of_job", "gone"),
    [
        ((), "x-1 is gone"),
        ((RUNS,), "x-1 and x-1-master-0 are gone"),
        ((pod(JOB, ended(), phase="Succeeded"),), "x-1 is gone"),
    ],
)
def test_a_deleted_workload_is_waited_for_with_its_pod(of_job: tuple[Raw, ...], gone: str) -> None:
    workload = seen(Snapshot(training=deleting(JOB), pods=of_job)).training
    assert workload is not None
    trouble = why_troubled(workload, None, NOW)
    assert trouble is not None
    assert trouble.message == (
        "somebody deletes x-1 since 2026-03-01T11:59:00Z; the run goes on with a new one when "
        f"{gone}"
    )


@pytest.mark.parametrize(
    ("last", "node", "silent"),
    [
        (NOW - HALF_AN_HOUR, Node(heartbeat=NOW), True),
        (NOW - HALF_AN_HOUR + timedelta(seconds=1), Node(heartbeat=NOW), False),
        (None, Node(heartbeat=NOW), False),
        (NOW + timedelta(hours=1), Node(heartbeat=NOW), False),
        # By the clock of its node alone, whether that is behind ours or ahead of it.
        (NOW - timedelta(hours=1), Node(heartbeat=NOW - timedelta(minutes=31)), False),
        (NOW - timedelta(hours=1), Node(heartbeat=NOW - timedelta(minutes=29)), True),
        (NOW + timedelta(hours=4), Node(heartbeat=NOW + timedelta(hours=5)), True),
        # Nobody knows what that clock shows.
        (NOW - timedelta(hours=9), Node(heartbeat=None), False),
        (NOW - timedelta(hours=9), Node(exists=False, is_ready=False), False),
        (NOW - timedelta(hours=9), None, False),
    ],
)
def test_silence(last: datetime | None, node: Node | None, silent: bool) -> None:
    said = why_silent(last, node)
    assert bool(said) == silent
    assert not said or said.startswith("has said nothing since 2026-03-01T1")
