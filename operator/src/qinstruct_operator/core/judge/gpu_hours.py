"""How many GPU-hours a run has used: GPUs times the time that its pods have held them. Pure.

A pod holds its GPUs from the moment that it has its node, whatever stands before its container.
Each span is measured by one clock: that of a pod that has ended by its node's, that of another by
the cluster's. Where nobody can say that GPUs are still held, they are not counted.
"""

from datetime import datetime, timedelta
from typing import Final

from qinstruct_operator.api.status import HeldStatus, Status
from qinstruct_operator.core.judge.node import Node, why_lost
from qinstruct_operator.core.judge.pods import Pod
from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.core.times import parse_time

NEWS_GPU_HOURS: Final = 1.0
"""So many more are worth a write of the status, even where they are all that is new."""

_HOUR: Final = timedelta(hours=1)


def gpu_hours(
    plan: Plan | None, training: Workload | None, now: datetime, node: Node | None = None
) -> float | None:
    """Of the newest pod of a workload; None without GPUs, and where it cannot be known."""
    pod = _newest(training)
    if pod is None:
        return None
    gpus, held = gpus_of(plan, training), _held(pod, node, now)
    if not gpus or held is None:
        return None
    return round(max(held / _HOUR, 0.0) * gpus, 2)


def gpus_of(plan: Plan | None, training: Workload | None) -> int | None:
    """GPUs of the newest pod, or before there is one those that the plan asks for."""
    pod = _newest(training)
    planned = plan.gpu.per_node if plan and plan.gpu else None
    return planned if pod is None or pod.gpus is None else pod.gpus


def all_gpu_hours(
    previous: Status, training: Workload | None, hours: float | None
) -> tuple[float | None, HeldStatus | None]:
    """The sum over all pods so far, and what it takes to go on with it.

    Args:
        previous: the status before.
        training: the present workload.
        hours: of its newest pod; None where they are not known: then nothing is added.
    """
    pod, before, total = _newest(training), previous.held, previous.gpu_hours
    if pod is None or (before is None and hours is None and total is not None):
        return total, before
    if before is None or before.pod == pod.uid:
        # The sum of an operator that kept no pod is that of the pod that is there.
        earlier = before.earlier_hours if before else 0.0
    else:
        earlier = total or 0.0
    held = HeldStatus(pod=pod.uid, earlier_hours=earlier)
    return (total if hours is None else round(earlier + hours, 2)), held


def with_unwritten(stored: Status, judged: Status | None) -> Status:
    """A status as it was read, with the hours of its pod that were judged since and not written."""
    if judged is None or judged.held is None or judged.held != stored.held:
        return stored
    hours = max(stored.gpu_hours or 0.0, judged.gpu_hours or 0.0)
    return stored.model_copy(update={"gpu_hours": hours}) if hours else stored


def _newest(training: Workload | None) -> Pod | None:
    return (training.pod or training.suspended_pod) if training else None


def _held(pod: Pod, node: Node | None, now: datetime) -> timedelta | None:
    began = pod.accepted or (pod.container.started if pod.container else None)
    if pod.is_over and not pod.is_held_open:
        if pod.ended and began:
            return pod.ended - began
        return pod.given_up - pod.scheduled if pod.given_up and pod.scheduled else None
    lost = why_lost(pod, node)
    end = lost.since if lost else now
    start = pod.scheduled or began
    if start is None or end is None:
        return None
    return end - max(start, parse_time(pod.created) or start)
