"""GPU-hours: GPUs times the time that all pods of a run have held them."""

from datetime import timedelta

import pytest

from qinstruct_operator.api.status import HeldStatus, Status
from qinstruct_operator.core.judge.gpu_hours import all_gpu_hours, gpu_hours, with_unwritten
from qinstruct_operator.core.judge.node import read_node
from qinstruct_operator.core.judge.pods import read_pod
from qinstruct_operator.core.judge.workloads import Workload
from support.observed import (
    NOW,
    Raw,
    at_time,
    condition,
    ended,
    plan,
    pod,
    pytorchjob,
    running,
    unreachable,
    waiting,
)

JOB = pytorchjob()


def workload(state: Raw | None) -> Workload:
    return Workload("x-1", "active", pod=read_pod(pod(JOB, state)))


@pytest.mark.parametrize(
    ("state", "want"),
    [
        (running(30), 4.0),
        (ended(ran=(90, 30)), 8.0),
        (waiting(), None),
        (None, None),
        (running(-5), 0.0),  # a node whose clock is ahead of ours
    ],
)
def test_eight_gpus(state: Raw | None, want: float | None) -> None:
    assert gpu_hours(plan(), workload(state), NOW) == want


def test_fewer_gpus_and_none() -> None:
    half = plan(gpu={"perNode": 4}, training={"microBatchSize": 4})
    assert gpu_hours(half, workload(running(30)), NOW) == 2.0
    assert gpu_hours(plan(size="Tiny", strategy="mix"), workload(running(30)), NOW) is None
    assert gpu_hours(None, workload(running(30)), NOW) is None
    assert gpu_hours(plan(), None, NOW) is None


GPUS = {"containers": [{"name": "pytorch", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]}
ON_NODE = at_time(condition("PodScheduled"), 45)
TAKEN_AT: Raw = {"startTime": "2026-03-01T11:15:00Z"}
A_DAY_BEHIND = {"running": {"startedAt": "2026-02-28T11:30:00Z"}}
CUT_OFF = (at_time(condition("Ready", status="False"), 15), condition("ContainersReady"))
BESIDE = [
    {"name": "pytorch", "state": ended(ran=(40, 30))},
    {"name": "istio-proxy", "state": ended(ran=(40, 15))},
]
HELD: dict[str, tuple[Raw, float | None]] = {
    "from the moment when it has its node": (pod(JOB, running(30), ON_NODE), 6.0),
    "before its container has started": (pod(JOB, waiting("ImagePullBackOff"), ON_NODE), 6.0),
    "its kubelet took it, and says nothing else": (pod(JOB, None, **TAKEN_AT), 6.0),
    "without a node": (pod(JOB, node=None), None),
    "to its end, by the clock of its node": (
        pod(JOB, ended(ran=(40, 30)), ON_NODE, **TAKEN_AT),
        2.0,
    ),
    "by that clock, though it is a day behind": (
        pod(
            JOB,
            {
                "terminated": {
                    "exitCode": 0,
                    "startedAt": "2026-02-28T11:30:00Z",
                    "finishedAt": "2026-02-28T11:45:00Z",
                }
            },
            ON_NODE,
            startTime="2026-02-28T11:15:00Z",
        ),
        4.0,
    ),
    "of a node a day behind, while it runs": (pod(JOB, A_DAY_BEHIND, ON_NODE), 6.0),
    "of a node a day behind, not longer than it is there": (pod(JOB, A_DAY_BEHIND), 8.0),
    "of a node a day ahead, while it runs": (
        pod(JOB, {"running": {"startedAt": "2026-03-02T11:30:00Z"}}, ON_NODE),
        6.0,
    ),
    "to the end of the last of its containers": (
        pod(JOB, containerStatuses=BESIDE, phase="Succeeded", **TAKEN_AT),
        4.0,
    ),
    "as long as another container holds it open": (
        pod(
            JOB,
            None,
            ON_NODE,
            containerStatuses=[BESIDE[0], {"name": "istio-proxy", "state": running(40)}],
        ),
        6.0,
    ),
    "until its node was lost": (pod(JOB, running(30), ON_NODE, *CUT_OFF), 4.0),
    "until the cluster gave it up": (
        pod(
            JOB,
            running(30),
            ON_NODE,
            at_time(condition("DisruptionTarget", "DeletionByPodGC"), 30),
            phase="Failed",
        ),
        2.0,
    ),
    "nobody says when it ended": (pod(JOB, running(30), phase="Failed"), None),
    "of its own GPUs, whatever the spec says today": (pod(JOB, running(30), spec=GPUS), 1.0),
}


@pytest.mark.parametrize(("raw", "want"), HELD.values(), ids=HELD)
def test_what_a_pod_has_held(raw: Raw, want: float | None) -> None:
    assert gpu_hours(plan(), Workload("x-1", "active", pod=read_pod(raw)), NOW) == want


@pytest.mark.parametrize("days", [0, 1, 5])
def test_a_lost_node_holds_nothing_more(days: int) -> None:
    later = NOW + timedelta(days=days)
    lost = Workload("x-1", "active", pod=read_pod(pod(JOB, running(30), ON_NODE)))
    assert gpu_hours(plan(), lost, later, read_node((unreachable(),))) == 4.67
    assert gpu_hours(plan(), lost, later, read_node(())) is None


def test_the_spec_of_a_running_pod_is_no_longer_needed() -> None:
    assert gpu_hours(None, workload_of(pod(JOB, running(30), spec=GPUS)), NOW) == 1.0


def workload_of(raw: Raw) -> Workload:
    return Workload("x-1", "active", pod=read_pod(raw))


def test_all_pods_are_added_up() -> None:
    first, second = (workload_of(pod(JOB, running(30), uid=uid)) for uid in ("a", "b"))
    status = Status()
    for training, hours, want in (
        (None, None, None),
        (first, 0.0, 0.0),
        (first, 2.5, 2.5),
        (first, 2.75, 2.75),
        (None, None, 2.75),
        (first, None, 2.75),
        (second, None, 2.75),
        (second, 0.5, 3.25),
        (second, 1.5, 4.25),
        (None, None, 4.25),
    ):
        total, held = all_gpu_hours(status, training, hours)
        status = Status(gpu_hours=total, held=held)
        assert status.gpu_hours == want


def test_the_pod_is_known_before_its_hours_are() -> None:
    first, second = (workload_of(pod(JOB, running(30), uid=uid)) for uid in ("a", "b"))
    total, held = all_gpu_hours(Status(), first, None)
    assert (total, held) == (None, HeldStatus(pod="a", earlier_hours=0.0))
    total, held = all_gpu_hours(Status(gpu_hours=2.5, held=held), second, None)
    assert (total, held) == (2.5, HeldStatus(pod="b", earlier_hours=2.5))
    older = Status(gpu_hours=4.0)  # of an older operator: of the pod that is there
    assert all_gpu_hours(older, first, None) == (4.0, None)


HELD_BY_A = HeldStatus(pod="a", earlier_hours=1.0)


@pytest.mark.parametrize(
    ("judged", "want"),
    [
        (None, 2.0),
        (Status(gpu_hours=2.5, held=HELD_BY_A), 2.5),
        (Status(gpu_hours=1.5, held=HELD_BY_A), 2.0),  # another operator has written meanwhile
        (Status(gpu_hours=2.5, held=HeldStatus(pod="b", earlier_hours=1.0)), 2.0),
        (Status(gpu_hours=2.5, held=HeldStatus(pod="a", earlier_hours=0.0)), 2.0),
        (Status(gpu_hours=2.5), 2.0),
    ],
)
def test_hours_that_were_not_written(judged: Status | None, want: float) -> None:
    stored = Status(gpu_hours=2.0, held=HELD_BY_A, phase="Training")
    amended = with_unwritten(stored, judged)
    assert amended == stored.model_copy(update={"gpu_hours": want})


def test_the_sum_of_an_older_operator_is_that_of_the_present_pod() -> None:
    total, held = all_gpu_hours(Status(gpu_hours=4.0), workload(running(30)), 4.1)
    assert (total, held and held.earlier_hours) == (4.1, 0.0)


def test_a_pod_that_a_suspension_has_ended_counts() -> None:
    ended_pod = read_pod(pod(JOB, ended(ran=(90, 30))))
    assert gpu_hours(plan(), Workload("x-1", "active", suspended_pod=ended_pod), NOW) == 8.0


def test_they_grow_with_the_clock() -> None:
    later = NOW + timedelta(minutes=30)
    assert gpu_hours(plan(), workload(running(30)), later) == 8.0
