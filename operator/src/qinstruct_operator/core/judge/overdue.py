"""Which program of the cluster should have moved a run on, and has not, since when. Pure.

A controller that dies leaves each object as it wrote it last. What it should have done within
seconds is not awaited for ever: after minutes in which nothing of the object was written, the
program is named.
"""

from datetime import datetime, timedelta
from typing import Final

from qinstruct_operator.core.judge import reasons
from qinstruct_operator.core.judge.pods import Pod
from qinstruct_operator.core.judge.reasons import Waiting
from qinstruct_operator.core.judge.workloads import Quiet, Workload
from qinstruct_operator.core.times import time_text
from qinstruct_trainer.contract.safe_text import one_line

# A controller at work makes a pod within a second, and one that is replaced is back in a minute.
_HEARING: Final = timedelta(seconds=15)
_ACTS: Final = timedelta(minutes=2)
# Sidecars that Kubernetes ends by itself have the pod's grace period, which is 10 minutes.
_KUBELET: Final = timedelta(minutes=12)
_COLLECTOR: Final = "the garbage collector of kube-controller-manager"
_COLLECTED: Final = frozenset({"foregroundDeletion", "orphan"})


def no_pod(workload: Workload, now: datetime, without_since: datetime | None) -> Waiting | None:
    """Of a workload that should have a pod.

    Args:
        workload: one that is active, not suspended, and without a pod.
        now: the current time.
        without_since: since when it is known to have none; None where it may never have had one.
    """
    quiet = workload.quiet
    if quiet is None:
        return None
    if not quiet.was_heard:
        if now - quiet.since < _HEARING:
            return None
        return _no_controller(
            f"{workload.name} has no pod and no status since {time_text(quiet.since)}: "
            f"{quiet.controller} has not seen it; see that it runs, and watches this namespace"
        )
    since = max(quiet.since, without_since or quiet.since)
    if now - since < _ACTS + quiet.backs_off:
        return None
    return _no_controller(
        f"{workload.name} has no pod, and nothing of it has changed since {time_text(since)}: "
        f"{quiet.controller} does not make one; {_see_that_it_runs(quiet)}, and does not wait for "
        "something itself, as with gang scheduling for a PodGroup"
    )


def no_verdict(workload: Workload, pod: Pod, now: datetime) -> Waiting | None:
    """Of a workload without a verdict whose pod has ended, and is held open by nothing."""
    quiet = workload.quiet
    if quiet is None or pod.changed is None:
        return None
    since = max(pod.changed, quiet.since)
    if not pod.has_verdict:
        if now - since < _KUBELET:
            return None
        return _no_controller(
            f"our container in {pod.name} has ended, and nothing has changed since "
            f"{time_text(since)}: the kubelet of node {pod.node} does not end the pod; look at "
            f"it; if nothing of the pod runs for sure, run `kubectl delete pod {pod.name} --force`"
        )
    if now - since < _ACTS + (quiet.backs_off if pod.has_failed else timedelta()):
        return None
    return _no_controller(
        f"{pod.name} has ended, and nothing has changed since {time_text(since)}: "
        f"{quiet.controller} does not act on it; {_see_that_it_runs(quiet)}, and the run goes on"
    )


def not_stopped(workload: Workload, pod: Pod, now: datetime) -> Waiting | None:
    """Of a suspended workload with a pod that nobody deletes."""
    quiet = workload.quiet
    if quiet is None or now - quiet.since < _ACTS:
        return None
    return _no_controller(
        f"{workload.name} is suspended, and nothing of it has changed since "
        f"{time_text(quiet.since)}, but {_still(pod)}: {quiet.controller} does not delete it; "
        f"{_see_that_it_runs(quiet)}, or run `kubectl delete pod {pod.name}`"
    )


def outlived(workload: Workload, pod: Pod, now: datetime) -> Waiting:
    """Of a workload that has its verdict, and a pod that is not over."""
    if workload.ended is None or now - workload.ended < _ACTS:
        return Waiting(
            reasons.STOPPING, f"{workload.name} has {workload.verdict}, and {pod.name} is ending"
        )
    why = ": ".join(filter(None, (workload.reason, one_line(workload.message).rstrip("."))))
    saves = ": what it has saved is kept" if pod.is_running else ""
    return Waiting(
        reasons.STUCK,
        f"{workload.name} has {workload.verdict} since {time_text(workload.ended)} ({why}), but "
        f"{_still(pod)}, and nothing deletes it; run `kubectl delete pod {pod.name}`{saves}; the "
        "run ends, or another attempt begins, only when that pod has ended",
    )


def not_deleted(workload: Workload, since: datetime, now: datetime) -> Waiting | None:
    """Of a workload whose deletion does not come to its end; its pod is not being deleted."""
    if now - since < _ACTS:
        return None
    finalizers = workload.finalizers
    pod = workload.pod if workload.pod and not workload.pod.is_over else None
    beside = f", and {_still(pod)}" if pod else ""
    who = _COLLECTOR if _COLLECTED.intersection(finalizers) else "whatever put them there"
    held = f"its finalizers {', '.join(finalizers)} hold it" if finalizers else "it is still there"
    way_out = f"see that {who} runs, or take them off" if finalizers else "see what keeps it"
    return Waiting(
        reasons.STUCK,
        f"somebody deletes {workload.name} since {time_text(since)}, and {held}{beside}; "
        f"{way_out}{f', and run `kubectl delete pod {pod.name}`' if pod else ''}; the run goes on "
        "with a new one when it is gone",
    )


def not_collected(names: str, since: datetime | None, now: datetime) -> Waiting | None:
    """Of children of an earlier run of the name, which are deleted with it."""
    if since is None or now - since < _ACTS:
        return None
    return _no_controller(
        f"waits since {time_text(since)} until {names} of an earlier run with this name is "
        f"deleted: {_COLLECTOR} has not done it; see that it runs, and which finalizers hold "
        "what is left, or delete it"
    )


def not_looked_at(pod: Pod, now: datetime) -> Waiting | None:
    """Of a pod without a node of which its scheduler has said nothing."""
    if not pod.unseen_by or pod.changed is None or now - pod.changed < _ACTS:
        return None
    return _no_controller(
        f"{pod.name} waits for a node since {time_text(pod.changed)}, and scheduler "
        f"{pod.unseen_by} has not looked at it; see that one of this name runs"
    )


def not_taken(pod: Pod, now: datetime) -> Waiting | None:
    """Of a pod with a node whose kubelet has said nothing."""
    if pod.accepted or pod.container or pod.changed is None or now - pod.changed < _ACTS:
        return None
    return _no_controller(
        f"{pod.name} has node {pod.node} since {time_text(pod.changed)}, and the kubelet there has "
        f"not taken it; look at that kubelet, or run `kubectl delete pod {pod.name}`"
    )


def _no_controller(message: str) -> Waiting:
    return Waiting(reasons.NO_CONTROLLER, message)


def _see_that_it_runs(quiet: Quiet) -> str:
    return f"see that {quiet.controller} runs, and watches this namespace"


def _still(pod: Pod) -> str:
    """What a pod still does, as a clause."""
    if pod.node is None:
        return f"{pod.name} still waits for a node"
    return f"{pod.name} is still on node {pod.node}" + (", and holds its GPUs" if pod.gpus else "")
