"""Why a workload's container does not run yet, with the cluster's own messages. Pure.

Kubernetes spreads the answer over the job's events, the pod's conditions, its container's
state and the claims' events; a user should need one place.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from qinstruct_operator.constants import LABEL_QUEUE
from qinstruct_operator.core.judge import reasons
from qinstruct_operator.core.judge.observe import Claim
from qinstruct_operator.core.judge.pods import Pod
from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_operator.core.safe_text import one_line

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


@dataclass(frozen=True)
class Waiting:
    """One CamelCase word and a sentence."""

    reason: str
    message: str


def why_waiting(workload: Workload, claims: Mapping[str, Claim]) -> Waiting:
    """Why the workload's container has not started."""
    pod = workload.pod
    if pod is None:
        return _without_pod(workload)
    if pod.node is None:
        return _without_node(pod, claims)
    return _on_node(workload, pod)


def _without_pod(workload: Workload) -> Waiting:
    if workload.suspended:
        return _suspended(workload)
    if workload.warnings:
        quoted = _sentence(workload.warnings[-1])
        return Waiting(
            reasons.POD_REFUSED,
            f"the cluster refuses the pod of {workload.name}: {quoted}; change "
            "what refuses it (Pod Security, quota, admission policy) or use another namespace",
        )
    return Waiting(reasons.PENDING, f"{workload.name} has no pod yet")


def _suspended(workload: Workload) -> Waiting:
    if workload.queue:
        return Waiting(
            reasons.QUEUED, f"{workload.name} is suspended until queue {workload.queue} admits it"
        )
    return Waiting(
        reasons.SUSPENDED,
        f"{workload.name} is suspended, and no queue will admit it, because it has no label "
        f"{LABEL_QUEUE}; give it that label, or create the run again with prep.queueName (for the "
        "prep Job) or scheduling.queueName (for training)",
    )


def _without_node(pod: Pod, claims: Mapping[str, Claim]) -> Waiting:
    unbound = [(name, claim) for name, claim in claims.items() if claim.phase == "Pending"]
    for name, claim in unbound:
        if claim.warnings:
            quoted = _sentence(claim.warnings[-1])
            return Waiting(
                reasons.CLAIM_PENDING,
                f"claim {name} is not bound: {quoted}; it needs a storage class that "
                "offers ReadWriteMany volumes (spec.output.storageClassName, or the operator's "
                "QINSTRUCT_CACHE_STORAGE_CLASS for the cache)",
            )
    if pod.unschedulable:
        quoted = _sentence(pod.unschedulable.partition(" preemption:")[0])
        names = ", ".join(name for name, _ in unbound)
        # A claim may itself wait for the scheduler: it is named only where the scheduler waits
        # for a claim.
        beside = f" (not bound: {names})" if names and "PersistentVolumeClaim" in quoted else ""
        return Waiting(
            reasons.UNSCHEDULABLE,
            f"no node takes {pod.name}: {quoted}{beside}; it starts as soon as one does, and "
            "`qinstruct plan` says which nodes could",
        )
    return Waiting(reasons.PENDING, f"{pod.name} waits for the scheduler")


def _on_node(workload: Workload, pod: Pod) -> Waiting:
    container = pod.container
    reason = container.reason if container else ""
    message = container.message if container else ""
    if reason in _IMAGE_REASONS:
        return Waiting(
            reasons.IMAGE_UNAVAILABLE,
            f"the image of {pod.name} cannot be pulled on node {pod.node}: {reason}: "
            f"{_sentence(message)}; correct the operator's QINSTRUCT_PREP_IMAGE or "
            "QINSTRUCT_TRAINER_IMAGE and create the run again, or make the image available",
        )
    if reason not in _NORMAL_REASONS:
        return Waiting(
            reasons.BLOCKED,
            f"the container of {pod.name} cannot be made on node {pod.node}: {reason}: "
            f"{_sentence(message)}; mend what the message names",
        )
    # The pod is scheduled, so those warnings are outdated; so are the kubelet's once the pod has
    # a sandbox.
    warnings = [each for each in workload.warnings if not each.startswith("FailedScheduling")]
    if warnings and not pod.has_sandbox:
        return Waiting(
            reasons.BLOCKED,
            f"{pod.name} does not start on node {pod.node}: {_sentence(warnings[-1])}; "
            "it starts as soon as that is mended",
        )
    return Waiting(reasons.STARTING, f"{pod.name} starts on node {pod.node}")


def _sentence(text: str) -> str:
    """Text of the cluster as part of a sentence of ours."""
    return one_line(text).rstrip(".") or "no message"
