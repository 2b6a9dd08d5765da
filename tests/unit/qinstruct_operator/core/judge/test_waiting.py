"""Why a container does not run yet, from what schedulers, kubelets and controllers really say."""

from dataclasses import dataclass, field

import pytest

from qinstruct_operator.core.judge.reasons import NEEDS_ATTENTION
from qinstruct_operator.core.judge.waiting import Waiting, why_waiting
from support.observed import (
    SUSPENDED,
    Raw,
    claim,
    condition,
    pod,
    prep_job,
    pytorchjob,
    seen,
    snapshot_of,
    waiting,
    warning,
)

JOB = pytorchjob()
PREP = prep_job()
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
    "kueue.x-k8s.io/queue-name; give it that label, or create the run again with prep.queueName "
    "(for the prep Job) or scheduling.queueName (for training)"
)
IMAGE_FIX = (
    "correct the operator's QINSTRUCT_PREP_IMAGE or QINSTRUCT_TRAINER_IMAGE and create the run "
    "again, or make the image available"
)


def unscheduled(text: str) -> Raw:
    scheduled = condition("PodScheduled", "Unschedulable", text, status="False")
    return pod(JOB, None, scheduled, node=None)


def on_node(reason: str = "ContainerCreating", text: str | None = None, *more: Raw) -> Raw:
    return pod(JOB, waiting(reason, text), *more)


@dataclass(frozen=True)
class Case:
    want: Waiting
    job: Raw = field(default_factory=lambda: JOB)
    pod: Raw | None = None
    claims: tuple[Raw, ...] = ()
    events: tuple[Raw, ...] = ()


CASES = {
    "no pod yet": Case(Waiting("Pending", "x-1 has no pod yet")),
    "a suspended job waits in its queue": Case(
        Waiting("Queued", "x-1 is suspended until queue gpus admits it"),
        job=pytorchjob(SUSPENDED, queue="gpus"),
    ),
    "so does a suspended prep Job": Case(
        Waiting("Queued", "x-prep is suspended until queue cpus admits it"),
        job=prep_job(SUSPENDED, queue="cpus"),
    ),
    "a suspended prep Job without a queue": Case(
        Waiting("Suspended", f"x-prep {NO_QUEUE}"), job=prep_job(SUSPENDED)
    ),
    "a suspended PyTorchJob without a queue": Case(
        Waiting("Suspended", f"x-1 {NO_QUEUE}"), job=pytorchjob(SUSPENDED)
    ),
    "a job that was suspended once does not": Case(
        Waiting("Pending", "x-1 has no pod yet"),
        job=pytorchjob(SUSPENDED | {"status": "False"}),
    ),
    "Pod Security refuses the pod": Case(
        Waiting(
            "PodRefused",
            f"the cluster refuses the pod of x-1: FailedCreatePod: {POD_SECURITY}; change what "
            "refuses it (Pod Security, quota, admission policy) or use another namespace",
        ),
        events=(warning(JOB, "FailedCreatePod", POD_SECURITY),),
    ),
    "a quota refuses the prep pod; the newest word counts": Case(
        Waiting(
            "PodRefused",
            f"the cluster refuses the pod of x-prep: FailedCreate: {QUOTA}; change what refuses "
            "it (Pod Security, quota, admission policy) or use another namespace",
        ),
        job=PREP,
        events=(
            warning(PREP, "FailedCreate", QUOTA, last="2026-03-01T11:40:00Z"),
            warning(PREP, "FailedCreate", "Error creating: timeout", last="2026-03-01T11:20:00Z"),
        ),
    ),
    "an event about something else says nothing": Case(
        Waiting("Pending", "x-1 has no pod yet"),
        events=(warning(PREP, "FailedCreate", QUOTA),),
    ),
    "the scheduler has not decided": Case(
        Waiting("Pending", "x-1-master-0 waits for the scheduler"), pod=pod(JOB, node=None)
    ),
    "no node has the GPUs": Case(
        Waiting(
            "Unschedulable",
            "no node takes x-1-master-0: 0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 "
            "node(s) didn't match Pod's node affinity/selector; it starts as soon as one does, and "
            "`qinstruct plan` says which nodes could",
        ),
        pod=unscheduled(SCHEDULER),
        claims=(claim(),),
    ),
    "a claim without provisioner words": Case(
        Waiting(
            "Unschedulable",
            "no node takes x-1-master-0: 0/1 nodes are available: pod has unbound immediate "
            "PersistentVolumeClaims (not bound: x-output); it starts as soon as one does, and "
            "`qinstruct plan` says which nodes could",
        ),
        pod=unscheduled(UNBOUND),
        claims=(claim("qinstruct-cache"), PENDING_OUTPUT),
    ),
    "a claim whose storage class does not exist": Case(
        Waiting(
            "ClaimPending",
            "claim x-output is not bound: ProvisioningFailed: storageclass.storage.k8s.io "
            '"fast" not found; it needs a storage class that offers ReadWriteMany volumes '
            "(spec.output.storageClassName, or the operator's QINSTRUCT_CACHE_STORAGE_CLASS for "
            "the cache)",
        ),
        pod=unscheduled(UNBOUND),
        claims=(claim("qinstruct-cache", "Pending"), PENDING_OUTPUT),
        events=(
            warning(
                PENDING_OUTPUT,
                "ProvisioningFailed",
                'storageclass.storage.k8s.io "fast" not found',
            ),
        ),
    ),
    "a claim that is bound by now": Case(
        Waiting("Pending", "x-1-master-0 waits for the scheduler"),
        pod=pod(JOB, node=None),
        claims=(claim(),),
        events=(warning(claim(), "ProvisioningFailed", "timeout"),),
    ),
    "on its node, nothing said": Case(
        Waiting("Starting", "x-1-master-0 starts on node gpu-1"), pod=pod(JOB)
    ),
    "the container is created": Case(
        Waiting("Starting", "x-1-master-0 starts on node gpu-1"), pod=on_node()
    ),
    "the image does not exist": Case(
        Waiting(
            "ImageUnavailable",
            "the image of x-1-master-0 cannot be pulled on node gpu-1: ErrImagePull: "
            f"{PULL}; {IMAGE_FIX}",
        ),
        pod=on_node("ErrImagePull", PULL),
    ),
    "the image does not exist, still": Case(
        Waiting(
            "ImageUnavailable",
            "the image of x-1-master-0 cannot be pulled on node gpu-1: ImagePullBackOff: Back-off "
            f'pulling image "ghcr.io/qinstruct/trainer:0.1.0": ErrImagePull: {PULL}; {IMAGE_FIX}',
        ),
        pod=on_node(
            "ImagePullBackOff",
            f'Back-off pulling image "ghcr.io/qinstruct/trainer:0.1.0": ErrImagePull: {PULL}',
        ),
    ),
    "the image has no possible name": Case(
        Waiting(
            "ImageUnavailable",
            "the image of x-1-master-0 cannot be pulled on node gpu-1: InvalidImageName: "
            f"{IMAGE_NAME}; {IMAGE_FIX}",
        ),
        pod=on_node("InvalidImageName", IMAGE_NAME),
    ),
    "a Secret that is not there": Case(
        Waiting(
            "Blocked",
            "the container of x-1-master-0 cannot be made on node gpu-1: "
            'CreateContainerConfigError: secret "token" not found; mend what the message names',
        ),
        pod=on_node("CreateContainerConfigError", 'secret "token" not found'),
    ),
    "a reason without a word": Case(
        Waiting(
            "Blocked",
            "the container of x-1-master-0 cannot be made on node gpu-1: CreateContainerError: no "
            "message; mend what the message names",
        ),
        pod=on_node("CreateContainerError"),
    ),
    "a volume that cannot be mounted": Case(
        Waiting(
            "Blocked",
            f"x-1-master-0 does not start on node gpu-1: FailedMount: {MOUNT}; it starts as soon "
            "as that is mended",
        ),
        pod=on_node(),
        events=(warning(pod(JOB), "FailedMount", MOUNT),),
    ),
    "a network that cannot be set up": Case(
        Waiting(
            "Blocked",
            f"x-1-master-0 does not start on node gpu-1: FailedCreatePodSandBox: {SANDBOX}; it "
            "starts as soon as that is mended",
        ),
        pod=on_node(
            "ContainerCreating", None, condition("PodReadyToStartContainers", status="False")
        ),
        events=(warning(pod(JOB), "FailedCreatePodSandBox", SANDBOX),),
    ),
    "a long pull after what was mended, with a harmless warning": Case(
        Waiting("Starting", "x-1-master-0 starts on node gpu-1"),
        pod=on_node("ContainerCreating", None, condition("PodReadyToStartContainers")),
        events=(
            warning(pod(JOB), "FailedMount", MOUNT),
            warning(pod(JOB), "DNSConfigForming", DNS, last="2026-03-01T11:50:00Z"),
        ),
    ),
    "words that would rewrite a terminal": Case(
        Waiting(
            "Blocked",
            "the container of x-1-master-0 cannot be made on node gpu-1: CreateContainerError: "
            "?[2J two lines; mend what the message names",
        ),
        pod=on_node("CreateContainerError", "\x1b[2J two\n lines.\r\n"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_why_a_container_waits(case: Case) -> None:
    is_prep = case.job["kind"] == "Job"
    observed = seen(
        snapshot_of(
            prep=case.job if is_prep else None,
            training=None if is_prep else case.job,
            claims={each["metadata"]["name"]: each for each in case.claims},
            pods=(case.pod,) if case.pod else (),
            events=case.events,
        )
    )
    workload = observed.prep or observed.training
    assert workload is not None
    assert why_waiting(workload, observed.claims) == case.want


def test_every_reason_that_needs_attention_is_in_a_case() -> None:
    # These are said before there is a workload: see test_conditions.py.
    reasons = {case.want.reason for case in CASES.values()}
    assert reasons & NEEDS_ATTENTION == NEEDS_ATTENTION - {"Refused", "PodRemains"}
