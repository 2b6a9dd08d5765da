"""Why a container does not run yet, from what schedulers, kubelets and controllers really say."""

import pytest

from qinstruct_operator.core.judge.reasons import NEEDS_ATTENTION, TROUBLES, Waiting
from qinstruct_operator.core.judge.waiting import why_waiting
from support.observed import (
    NOW,
    SUSPENDED,
    at_time,
    child,
    claim,
    condition,
    pod,
    prep_job,
    pytorchjob,
    seen,
    snapshot_of,
    warning,
    written,
)
from support.waiting_case import (
    AVOIDING,
    DNS,
    IMAGE_FIX,
    IMAGE_NAME,
    JOB,
    MOUNT,
    NO_GPUS,
    NO_QUEUE,
    NOT_RESTRICTED,
    PENDING_OUTPUT,
    POD_SECURITY,
    PREP,
    PULL,
    QUOTA,
    REFUSED_BEFORE,
    SANDBOX,
    SCHEDULER,
    SECRET_FIX,
    UNBOUND,
    UNBOUND_BEFORE,
    UNMOUNTED_BEFORE,
    Case,
    made_just_now,
    on_node,
    prep_lacks,
    unscheduled,
)

IDLE = (
    "x-1 has no pod, and nothing of it has changed since 2026-03-01T11:58:00Z: the "
    "training-operator does not make one; see that the training-operator runs, and watches this "
    "namespace, and does not wait for something itself, as with gang scheduling for a PodGroup"
)
NO_NODE = NO_GPUS.message.partition(", and `qinstruct plan`")[0]
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
        Waiting(
            "Suspended",
            f"x-prep {NO_QUEUE} job x-prep --type=merge --patch "
            '\'{"spec":{"suspend":false}}\'`',
        ),
        job=prep_job(SUSPENDED),
    ),
    "a suspended PyTorchJob without a queue": Case(
        Waiting(
            "Suspended",
            f"x-1 {NO_QUEUE} pytorchjob x-1 --type=merge --patch "
            '\'{"spec":{"runPolicy":{"suspend":false}}}\'`',
        ),
        job=pytorchjob(SUSPENDED),
    ),
    "a job that was suspended once does not": Case(
        Waiting("Pending", "x-1 has no pod yet"),
        job=pytorchjob(SUSPENDED | {"status": "False"}),
    ),
    "Pod Security refuses the pod": Case(
        NOT_RESTRICTED,
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
        NO_GPUS,
        pod=unscheduled(SCHEDULER),
        claims=(claim(),),
    ),
    "the nodes that could are those where it has failed": Case(
        Waiting(
            NO_GPUS.reason,
            f"{NO_NODE}; it is kept from gpu-1, gpu-2, where this run has failed twice: "
            "`kubectl delete pytorchjob x-1` lets the next attempt go there again, and counts as "
            "a disruption",
        ),
        job=AVOIDING,
        pod=unscheduled(SCHEDULER),
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
    "a Secret of the run that is not there": Case(
        Waiting(
            "Blocked",
            "the container of x-prep-7xk2p cannot be made on node gpu-1: "
            f'CreateContainerConfigError: secret "qinstruct-hub" not found; {SECRET_FIX}',
        ),
        job=PREP,
        pod=prep_lacks('secret "qinstruct-hub" not found'),
    ),
    "a key that the Secret has not": Case(
        Waiting(
            "Blocked",
            "the container of x-prep-7xk2p cannot be made on node gpu-1: "
            "CreateContainerConfigError: couldn't find key token in Secret ml/qinstruct-hub; "
            f"{SECRET_FIX}",
        ),
        job=PREP,
        pod=prep_lacks("couldn't find key token in Secret ml/qinstruct-hub"),
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
    "a controller that has never been heard of": Case(
        Waiting(
            "NoController",
            "x-1 has no pod and no status since 2026-03-01T11:00:00Z: the training-operator has "
            "not seen it; see that it runs, and watches this namespace",
        ),
        job=JOB | {"status": {}},
    ),
    "the same of a Job, which has empty lists": Case(
        Waiting(
            "NoController",
            "x-prep has no pod and no status since 2026-03-01T11:00:00Z: the Job controller of "
            "kube-controller-manager has not seen it; see that it runs, and watches this namespace",
        ),
        job=PREP | {"status": {"conditions": [], "uncountedTerminatedPods": {}}},
    ),
    "a controller that had no time yet": Case(
        Waiting("Pending", "x-1 has no pod yet"),
        job=made_just_now(JOB) | {"status": {}},
    ),
    "a controller that has said nothing, but an event of its": Case(
        NOT_RESTRICTED,
        job=JOB | {"status": {}},
        events=(warning(JOB, "FailedCreatePod", POD_SECURITY),),
    ),
    "suspended by its spec alone": Case(
        Waiting("Queued", "x-1 is suspended until queue gpus admits it"),
        job=pytorchjob(queue="gpus") | {"spec": {"runPolicy": {"suspend": True}}, "status": {}},
    ),
    "a Job that is suspended by its spec": Case(
        Waiting("Queued", "x-prep is suspended until queue gpus admits it"),
        job=child("Job", "x-prep", queue="gpus") | {"spec": {"suspend": True}},
    ),
    "resumed, which its condition does not know yet": Case(
        Waiting("Pending", "x-1 has no pod yet"),
        job=pytorchjob(SUSPENDED) | {"spec": {"runPolicy": {"suspend": False}}},
    ),
    "what refused it before its queue took it back is of no account": Case(
        Waiting("Pending", "x-1 has no pod yet"),
        job=pytorchjob(at_time(SUSPENDED | {"status": "False"}, 20)),
        events=(warning(JOB, "FailedCreatePod", QUOTA, last="2026-03-01T11:30:00Z"),),
    ),
    "the quota's event is deleted after an hour": Case(REFUSED_BEFORE, before=REFUSED_BEFORE),
    "the same, and by now its controller may be gone as well": Case(
        Waiting("PodRefused", f"{REFUSED_BEFORE.message}; and now {IDLE}"),
        job=written(JOB, 2),
        before=REFUSED_BEFORE,
    ),
    "the same at the next look": Case(
        Waiting("PodRefused", f"{REFUSED_BEFORE.message}; and now {IDLE}"),
        job=written(JOB, 2),
        before=Waiting("PodRefused", f"{REFUSED_BEFORE.message}; and now {IDLE}"),
    ),
    "the same when its controller is back": Case(
        REFUSED_BEFORE,
        job=written(JOB, 0),
        before=Waiting("PodRefused", f"{REFUSED_BEFORE.message}; and now {IDLE}"),
    ),
    "of another job the word before is none": Case(
        Waiting("Pending", "x-prep has no pod yet"), job=PREP, before=REFUSED_BEFORE
    ),
    "refused before, in its queue now": Case(
        Waiting("Queued", "x-1 is suspended until queue gpus admits it"),
        job=pytorchjob(SUSPENDED, queue="gpus"),
        before=REFUSED_BEFORE,
    ),
    "refused before, and it has a pod now": Case(
        Waiting("Pending", "x-1-master-0 waits for the scheduler"),
        pod=pod(JOB, node=None),
        before=REFUSED_BEFORE,
    ),
    "the provisioner's event is deleted after an hour": Case(
        UNBOUND_BEFORE,
        pod=unscheduled(UNBOUND),
        claims=(PENDING_OUTPUT,),
        before=UNBOUND_BEFORE,
    ),
    "the claim is bound meanwhile": Case(
        Waiting("Pending", "x-1-master-0 waits for the scheduler"),
        pod=pod(JOB, node=None),
        claims=(claim(),),
        before=UNBOUND_BEFORE,
    ),
    "the claim could be made, but no node has GPUs": Case(
        NO_GPUS,
        pod=unscheduled(SCHEDULER),
        claims=(PENDING_OUTPUT,),
        before=UNBOUND_BEFORE,
    ),
    "the kubelet's event is deleted after an hour": Case(
        UNMOUNTED_BEFORE, pod=on_node(), before=UNMOUNTED_BEFORE
    ),
    "it can be mounted meanwhile": Case(
        Waiting("Starting", "x-1-master-0 starts on node gpu-1"),
        pod=on_node("ContainerCreating", None, condition("PodReadyToStartContainers")),
        before=UNMOUNTED_BEFORE,
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
    assert why_waiting(workload, observed.claims, NOW, case.before) == case.want


def test_every_reason_that_needs_attention_is_in_a_case() -> None:
    # These may be said before there is a workload: see test_conditions.py.
    before = {"Refused", "ClaimMismatch", "ClaimNotAllowed", "ClaimLost", "PodRemains"}
    # Gated: see test_waiting_before_ours.py.
    reasons = {case.want.reason for case in CASES.values()} | {"Gated"}
    assert reasons & NEEDS_ATTENTION == NEEDS_ATTENTION - before - set(TROUBLES)
