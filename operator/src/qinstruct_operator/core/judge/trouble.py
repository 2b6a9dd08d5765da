"""What is wrong with a workload whose pod is there, though its containers say nothing of it. Pure.

A container's state is what its kubelet said last. It does not tell that the kubelet is gone, that
somebody deletes the pod, or that the process hangs.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from qinstruct_operator.core.judge import overdue, reasons
from qinstruct_operator.core.judge.node import Node, why_lost
from qinstruct_operator.core.judge.pods import Pod
from qinstruct_operator.core.judge.progress import newest_time, read_events
from qinstruct_operator.core.judge.reasons import Waiting
from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_operator.core.times import time_text

_LATE: Final = timedelta(seconds=20)  # a kubelet may need this much beyond the grace period
_QUIET: Final = timedelta(minutes=1)  # a step of the published runs takes some ten seconds
# Longer than anything that a healthy run does without a line: to load or to export a 13B model
# from a slow volume, or to save its checkpoint.
_SILENT: Final = timedelta(minutes=30)


def why_troubled(workload: Workload, node: Node | None, now: datetime) -> Waiting | None:
    """What ends, or may have ended, a workload's pod from outside; None where nothing does.

    Args:
        workload: one that has not ended.
        node: of its pod; None where it was not read.
        now: the current time.
    """
    pod = workload.pod
    if pod and not pod.is_over:
        if lost := why_lost(pod, node):
            return Waiting(
                reasons.NODE_LOST,
                f"{lost.text}: nobody can say whether {pod.name} still runs there; it goes on if "
                "the node comes back; if not, make sure that the machine is off, and run "
                f"`kubectl delete pod {pod.name} --force`",
            )
        if pod.deleted and pod.gone_by:
            return why_deleted(pod, pod.deleted, pod.gone_by, now)
    if workload.deleted:
        return overdue.not_deleted(workload, workload.deleted, now) or _workload_deleted(
            workload, workload.deleted
        )
    if pod is None or pod.is_over:
        return None
    if workload.verdict != "active":
        return overdue.outlived(workload, pod, now)
    if workload.suspended:
        by = "by spec.suspend" if workload.is_held else "as by its queue"
        return overdue.not_stopped(workload, pod, now) or Waiting(
            reasons.STOPPING,
            f"{workload.name} is suspended, {by}, and {pod.name} is ending; it may still save a "
            "checkpoint",
        )
    return None


def is_doubtful(pod: Pod, log: Sequence[str], now: datetime) -> bool:
    """Whether what a pod says of its container may be outdated, so that its node must be asked.

    A log whose clock and ours are far apart, on either side, says nothing of it.
    """
    if pod.is_over:
        return False
    last = newest_time(read_events(log, pod))
    return bool(pod.cut_off or pod.deleted) or last is None or abs(now - last) > _QUIET


def why_silent(last: datetime | None, node: Node | None) -> str:
    """A clause that says since when a container has said nothing; empty where it is not long.

    The node's own clock alone decides, by what its kubelet has written since: ours may be ahead.

    Args:
        last: time of its last line, by its node's clock; None where that is unknown.
        node: None where it was not read: then nobody can say it.
    """
    heartbeat = node.heartbeat if node else None
    if last is None or heartbeat is None or heartbeat - last < _SILENT:
        return ""
    return f"has said nothing since {time_text(last)}"


def why_deleted(pod: Pod, since: datetime, gone_by: datetime, now: datetime) -> Waiting:
    """Of a pod that is being deleted since then: until when it ends, or that it should have."""
    why = f" ({pod.disruption})" if pod.disruption else ""
    if now - gone_by > _LATE:
        where = f"the kubelet of node {pod.node}" if pod.node else "the pod's finalizers"
        return Waiting(
            reasons.STUCK,
            f"{pod.name} is being deleted since {time_text(since)}{why}, should have ended by "
            f"{time_text(gone_by)}, and has not; look at {where}; if nothing of it runs for sure, "
            f"run `kubectl delete pod {pod.name} --force`",
        )
    return Waiting(
        reasons.STOPPING,
        f"{pod.name} is being deleted since {time_text(since)}{why}; it may still save a "
        f"checkpoint, and ends by {time_text(gone_by)}",
    )


def _workload_deleted(workload: Workload, since: datetime) -> Waiting:
    held = f", held by {', '.join(workload.finalizers)}" if workload.finalizers else ""
    pod = workload.pod if workload.pod and not workload.pod.is_over else None
    gone = f"{workload.name} and {pod.name} are gone" if pod else f"{workload.name} is gone"
    return Waiting(
        reasons.DELETING,
        f"somebody deletes {workload.name} since {time_text(since)}{held}; the run goes on with a "
        f"new one when {gone}",
    )
