"""A pod or workload that waits, and what schedulers, kubelets and controllers really say."""

from dataclasses import dataclass, field

from qinstruct_operator.core.judge.reasons import Waiting
from support.observed import Raw, claim, condition, pod, prep_job, pytorchjob, waiting

JOB = pytorchjob()
AVOIDING = JOB | {
    "metadata": JOB["metadata"] | {"annotations": {"qinstruct.dev/avoided-nodes": "gpu-1,gpu-2"}}
}
PREP = prep_job()
SECRET_FIX = (
    "make the Secret or its key that data.tokenSecretRef names (`kubectl create secret generic "
    "NAME --from-literal=token=...`), and it starts by itself"
)
SCHEDULER = (
    "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) didn't match Pod's node "
    "affinity/selector. preemption: 0/3 nodes are available: 1 No preemption victims found for "
    "incoming pod, 2 Preemption is not helpful for scheduling."
)
UNBOUND = (
    "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 "
    "nodes are available: 1 Preemption is not helpful for scheduling."
)
POD_SECURITY = (
    'Error creating: pods "x-1-master-0" is forbidden: violates PodSecurity "restricted:latest": '
    'allowPrivilegeEscalation != false (container "pytorch" must set '
    "securityContext.allowPrivilegeEscalation=false)"
)
QUOTA = (
    'Error creating: pods "x-prep-7xk2p" is forbidden: exceeded quota: compute, requested: '
    "requests.memory=64Gi, used: requests.memory=0, limited: requests.memory=32Gi"
)
PULL = (
    "rpc error: code = NotFound desc = failed to pull and unpack image "
    '"ghcr.io/qinstruct/trainer:0.1.0": failed to resolve reference '
    '"ghcr.io/qinstruct/trainer:0.1.0": ghcr.io/qinstruct/trainer:0.1.0: not found'
)
IMAGE_NAME = (
    'Failed to apply default image tag "ghcr.io/Qinstruct/trainer": '
    "couldn't parse image name "
    '"ghcr.io/Qinstruct/trainer": invalid reference format: repository name (Qinstruct/trainer) '
    "must be lowercase"
)
MOUNT = 'MountVolume.SetUp failed for volume "config" : configmap "x-config" not found'
SANDBOX = (
    "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for "
    'sandbox "3f1e": plugin type="bridge" failed (add): no IP addresses available'
)
DNS = (
    "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver "
    "line is: 10.0.0.1 10.0.0.2 10.0.0.3"
)
PENDING_OUTPUT = claim("x-output", "Pending")
NO_QUEUE = (
    "is suspended, and no queue will admit it, because it has no label "
    "kueue.x-k8s.io/queue-name; if a Kueue has suspended it, give it that label, or create the run "
    "again with prep.queueName (for the prep Job) or scheduling.queueName (for training); if a "
    "person has, `kubectl patch"
)
IMAGE_FIX = (
    "correct the operator's QINSTRUCT_PREP_IMAGE or QINSTRUCT_TRAINER_IMAGE and create the run "
    "again, or make the image available"
)

NOT_RESTRICTED = Waiting(
    "PodRefused",
    f"the cluster refuses the pod of x-1: FailedCreatePod: {POD_SECURITY}; change what "
    "refuses it (Pod Security, quota, admission policy) or use another namespace",
)
NO_GPUS = Waiting(
    "Unschedulable",
    "no node takes x-1-master-0: 0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 "
    "node(s) didn't match Pod's node affinity/selector; it starts as soon as one does, and "
    "`qinstruct plan` says which nodes could",
)
REFUSED_BEFORE = Waiting(
    "PodRefused",
    f"the cluster refuses the pod of x-1: FailedCreatePod: {QUOTA}; change what refuses it (Pod "
    "Security, quota, admission policy) or use another namespace",
)
UNBOUND_BEFORE = Waiting(
    "ClaimPending", "claim x-output is not bound: ProvisioningFailed: no such class; it needs one"
)
UNMOUNTED_BEFORE = Waiting(
    "Blocked", f"x-1-master-0 does not start on node gpu-1: FailedMount: {MOUNT}; it starts soon"
)


def unscheduled(text: str) -> Raw:
    scheduled = condition("PodScheduled", "Unschedulable", text, status="False")
    return pod(JOB, None, scheduled, node=None)


def on_node(reason: str = "ContainerCreating", text: str | None = None, *more: Raw) -> Raw:
    return pod(JOB, waiting(reason, text), *more)


def prep_lacks(text: str) -> Raw:
    return pod(PREP, waiting("CreateContainerConfigError", text), name="x-prep-7xk2p")


def made_just_now(job: Raw) -> Raw:
    return job | {"metadata": job["metadata"] | {"creationTimestamp": "2026-03-01T11:59:50Z"}}


@dataclass(frozen=True)
class Case:
    """What is there, and what is said of it; before: what was said in the pass before."""

    want: Waiting
    job: Raw = field(default_factory=lambda: JOB)
    pod: Raw | None = None
    claims: tuple[Raw, ...] = ()
    events: tuple[Raw, ...] = ()
    before: Waiting | None = None
