"""Why a workload's container does not run yet, with the cluster's own messages. Pure.

Kubernetes spreads the answer over the job's events, the pod's conditions, the states of its
containers and the claims' events; a user should need one place.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from qinstruct_operator.constants import LABEL_QUEUE, SECRET_PREFIX
from qinstruct_operator.core.judge import overdue, reasons
from qinstruct_operator.core.judge.observe import Claim
from qinstruct_operator.core.judge.pods import Container, InitContainer, Pod
from qinstruct_operator.core.judge.reasons import Waiting
from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_operator.core.times import time_text
from qinstruct_trainer.contract.safe_text import one_line

# https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/kubelet/images/types.go
_IMAGE_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_NORMAL_REASONS = frozenset({"", "ContainerCreating", "PodInitializing"})
_CLAIM: Final = "PersistentVolumeClaim"  # as the scheduler names what it waits for
_QUEUE_GATES: Final = "kueue.x-k8s.io/"
# The largest of our images is pulled in that time through a slow line.
_LONG: Final = timedelta(minutes=30)
_SAID_CHARS: Final = 512
_OUR_IMAGE: Final = (
    "correct the operator's QINSTRUCT_PREP_IMAGE or QINSTRUCT_TRAINER_IMAGE and create the run "
    "again, or make the image available"
)
# The kubelet's words: secret "NAME" not found; couldn't find key KEY in Secret NAMESPACE/NAME.
_OF_OUR_SECRET: Final = re.compile(rf'\bsecret ["\w./-]{{0,64}}?\b{SECRET_PREFIX}', re.IGNORECASE)
_OUR_SECRET: Final = (
    "make the Secret or its key that data.tokenSecretRef names (`kubectl create secret generic "
    "NAME --from-literal=token=...`), and it starts by itself"
)
_NOT_OURS: Final = "it is not ours: mend it, or keep what puts it into this run's pods away"
# Reasons that only events tell, and those are deleted after an hour.
_FROM_EVENTS: Final = (reasons.POD_REFUSED, reasons.CLAIM_PENDING, reasons.BLOCKED)
_NOTHING_KNOWN: Final = (
    reasons.PENDING,
    reasons.STARTING,
    reasons.UNSCHEDULABLE,
    reasons.NO_CONTROLLER,
)
_COULD: Final = ", and `qinstruct plan` says which nodes could"
_AND_NOW: Final = "; and now "
BY_OTHERS: Final = "is suspended, and no queue will admit it"
"""In the message of what neither spec.suspend nor a queue has suspended."""


def why_waiting(
    workload: Workload,
    claims: Mapping[str, Claim],
    now: datetime,
    before: Waiting | None = None,
    without_since: datetime | None = None,
    *,
    may_be_deleted: bool = True,
) -> Waiting:
    """Why the workload's container has not started.

    Args:
        workload: one that has not ended.
        claims: the volume claims that it needs, by name.
        now: the current time.
        before: what was said in the pass before.
        without_since: since when it is known to have no pod.
        may_be_deleted: another attempt follows where somebody deletes it.
    """
    pod = workload.pod
    if pod is None:
        why = _without_pod(workload, now, without_since)
        about = f"the cluster refuses the pod of {workload.name}:"
    elif pod.node is None:
        where = _kept_away(workload, may_be_deleted) or _COULD
        why, about = _without_node(pod, claims, now, where), ""
    else:
        why = _on_node(workload, pod, now)
        # With a sandbox the pod is past all that the kubelet's events tell.
        about = "" if pod.has_sandbox else f"{pod.name} does not start on node {pod.node}:"
    if before is None or not _still_holds(before, why, about, claims):
        return why
    also = f"{_AND_NOW}{why.message}" if why.reason == reasons.NO_CONTROLLER else ""
    return Waiting(before.reason, before.message.partition(_AND_NOW)[0] + also)


def _still_holds(before: Waiting, now_is: Waiting, about: str, claims: Mapping[str, Claim]) -> bool:
    """Whether only its events are gone: the same object waits, and nothing else is known of it."""
    if before.reason not in _FROM_EVENTS or now_is.reason not in _NOTHING_KNOWN:
        return False
    if before.reason == reasons.CLAIM_PENDING:
        if now_is.reason == reasons.UNSCHEDULABLE and _CLAIM not in now_is.message:
            return False
        return any(
            claim.phase == "Pending" and before.message.startswith(_not_bound(name))
            for name, claim in claims.items()
        )
    return bool(about) and before.message.startswith(about)


def why_next_pod_is_refused(workload: Workload) -> Waiting | None:
    """Why a workload cannot have its next pod; None where nothing was said against it."""
    refusals = [each for each in workload.warnings if each.startswith("FailedCreate")]
    if not refusals:
        return None
    return Waiting(
        reasons.POD_REFUSED,
        f"the cluster refuses the pod of {workload.name}: {_sentence(refusals[-1])}; change what "
        "refuses it (Pod Security, quota, admission policy) or use another namespace",
    )


def _without_pod(workload: Workload, now: datetime, since: datetime | None) -> Waiting:
    if workload.suspended:
        return _suspended(workload)
    return (
        why_next_pod_is_refused(workload)
        or overdue.no_pod(workload, now, since)
        or Waiting(reasons.PENDING, f"{workload.name} has no pod yet")
    )


def _suspended(workload: Workload) -> Waiting:
    if workload.is_held:
        return Waiting(
            reasons.SUSPENDED,
            f"{workload.name} is suspended by spec.suspend; set that to false, and it goes on from "
            "what it has saved",
        )
    if workload.queue:
        return Waiting(
            reasons.QUEUED, f"{workload.name} is suspended until queue {workload.queue} admits it"
        )
    return Waiting(
        reasons.SUSPENDED,
        f"{workload.name} {BY_OTHERS}, because it has no label "
        f"{LABEL_QUEUE}; if a Kueue has suspended it, give it that label, or create the run again "
        "with prep.queueName (for the prep Job) or scheduling.queueName (for training); if a "
        f"person has, `{workload.resume}`",
    )


def _without_node(pod: Pod, claims: Mapping[str, Claim], now: datetime, where: str) -> Waiting:
    if pod.gates:
        return _gated(pod)
    unbound = [(name, claim) for name, claim in claims.items() if claim.phase == "Pending"]
    for name, claim in unbound:
        if claim.warnings:
            quoted = _sentence(claim.warnings[-1])
            return Waiting(
                reasons.CLAIM_PENDING,
                f"{_not_bound(name)} {quoted}; it needs a storage class that "
                "offers ReadWriteMany volumes (spec.output.storageClassName, or the operator's "
                "QINSTRUCT_CACHE_STORAGE_CLASS for the cache)",
            )
    if pod.unschedulable:
        quoted = _sentence(pod.unschedulable.partition(" preemption:")[0])
        names = ", ".join(name for name, _ in unbound)
        # A claim may itself wait for the scheduler: it is named only where the scheduler waits
        # for a claim.
        beside = f" (not bound: {names})" if names and _CLAIM in quoted else ""
        return Waiting(
            reasons.UNSCHEDULABLE,
            f"no node takes {pod.name}: {quoted}{beside}; it starts as soon as one does{where}",
        )
    return overdue.not_looked_at(pod, now) or Waiting(
        reasons.PENDING, f"{pod.name} waits for the scheduler"
    )


def _kept_away(workload: Workload, may_be_deleted: bool) -> str:
    """From which nodes, and the way back, as a clause; empty where from none."""
    if not workload.avoided:
        return ""
    way_out = (
        f"`kubectl delete pytorchjob {workload.name}` lets the next attempt go there again, and "
        "counts as a disruption"
        if may_be_deleted
        else "another node helps, or the run created again: no disruption is left, so that to "
        f"delete {workload.name} would end the run"
    )
    return (
        f"; it is kept from {', '.join(workload.avoided)}, where this run has failed twice: "
        f"{way_out}"
    )


def _not_bound(claim: str) -> str:
    return f"claim {claim} is not bound:"


def _gated(pod: Pod) -> Waiting:
    names = ", ".join(pod.gates)
    if all(gate.startswith(_QUEUE_GATES) for gate in pod.gates):
        return Waiting(reasons.QUEUED, f"{pod.name} waits until its queue admits it ({names})")
    return Waiting(
        reasons.GATED,
        f"{pod.name} is kept from the scheduler by its scheduling gates: {names}; whatever put "
        "them on the pod has to take them off",
    )


def _on_node(workload: Workload, pod: Pod, now: datetime) -> Waiting:
    if pod.init and (why := _behind(pod, pod.init[0])):
        return why
    if why := _not_made(pod, pod.container, pod.name, f"the container of {pod.name}", _OUR_IMAGE):
        return why
    # The pod is scheduled, so those warnings are outdated; so are the kubelet's once the pod has
    # a sandbox.
    warnings = [each for each in workload.warnings if not each.startswith("FailedScheduling")]
    if warnings and not pod.has_sandbox:
        return Waiting(
            reasons.BLOCKED,
            f"{pod.name} does not start on node {pod.node}: {_sentence(warnings[-1])}; "
            "it starts as soon as that is mended",
        )
    return overdue.not_taken(pod, now) or Waiting(
        reasons.STARTING, _starts(pod, workload.said, now)
    )


def _starts(pod: Pod, said: str, now: datetime) -> str:
    """That a pod starts: since when, and what its kubelet said last."""
    since = f" since {time_text(pod.scheduled)}" if pod.scheduled else ""
    last = f"; its kubelet said last, at {_sentence(said)}" if said else ""
    is_long = pod.scheduled is not None and now - pod.scheduled > _LONG
    hint = f"; that is long: look at `kubectl describe pod {pod.name}` and the kubelet of node "
    return f"{pod.name} starts on node {pod.node}{since}{last}" + (
        f"{hint}{pod.node}" if is_long else ""
    )


def _behind(pod: Pod, init: InitContainer) -> Waiting | None:
    """Why an init container stands before ours; None where it only has not begun."""
    name = f"init container {init.name} of {pod.name}"
    failed = init.state if init.state.exit_code else init.before
    if failed and failed.exit_code:
        return Waiting(
            reasons.BLOCKED,
            f"{name} fails on node {pod.node}, and ours waits for it: {_end(failed)} "
            f"({init.restarts} restarts); {_NOT_OURS}",
        )
    if why := _not_made(pod, init.state, name, name, _NOT_OURS):
        return why
    if init.state.state != "running":
        return None
    started = init.state.started
    since = f" since {time_text(started)}" if started else ""
    until = "is ready" if init.is_sidecar else "has ended"
    return Waiting(
        reasons.INITIALIZING,
        f"{name} runs on node {pod.node}{since}; ours starts when it {until}; "
        f"`kubectl logs {pod.name} -c {init.name}` shows its log",
    )


def _not_made(
    pod: Pod, container: Container | None, image_of: str, subject: str, way_out: str
) -> Waiting | None:
    """Why a container cannot be made; None where nothing speaks against it."""
    if container is None or container.reason in _NORMAL_REASONS or container.state != "waiting":
        return None
    quoted = f"{container.reason}: {_sentence(container.message)}"
    if container.reason in _IMAGE_REASONS:
        return Waiting(
            reasons.IMAGE_UNAVAILABLE,
            f"the image of {image_of} cannot be pulled on node {pod.node}: {quoted}; {way_out}",
        )
    mend = (
        _OUR_SECRET if _OF_OUR_SECRET.search(container.message) else "mend what the message names"
    )
    return Waiting(
        reasons.BLOCKED, f"{subject} cannot be made on node {pod.node}: {quoted}; {mend}"
    )


def _end(container: Container) -> str:
    """How a container ended, as a clause."""
    why = f" ({container.reason})" if container.reason not in ("", "Error") else ""
    said = one_line(container.message).rstrip(".")[-_SAID_CHARS:]
    return f"exit code {container.exit_code}{why}" + (f": {said}" if said else "")


def _sentence(text: str) -> str:
    """Text of the cluster as part of a sentence of ours."""
    return one_line(text).rstrip(".") or "no message"
