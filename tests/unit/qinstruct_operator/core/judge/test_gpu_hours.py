"""GPU-hours: GPUs times the time that the container had them."""

from datetime import timedelta

import pytest

from qinstruct_operator.core.judge.gpu_hours import gpu_hours
from qinstruct_operator.core.judge.pods import read_pod
from qinstruct_operator.core.judge.workloads import Workload
from support.observed import NOW, Raw, ended, plan, pod, pytorchjob, running, waiting

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


def test_they_grow_with_the_clock() -> None:
    later = NOW + timedelta(minutes=30)
    assert gpu_hours(plan(), workload(running(30)), later) == 8.0
