"""What stands before our container: scheduling gates, init containers and native sidecars."""

from typing import Any

import pytest

from qinstruct_operator.core.judge.pods import read_pod
from qinstruct_operator.core.judge.reasons import Waiting
from qinstruct_operator.core.judge.waiting import why_waiting
from qinstruct_operator.core.judge.workloads import Workload
from support.observed import NOW, Raw, condition, ended, pod, pytorchjob, running, waiting

JOB = pytorchjob()
PULL = (
    "rpc error: code = NotFound desc = failed to pull and unpack image "
    '"ghcr.io/qinstruct/trainer:0.1.0": failed to resolve reference '
    '"ghcr.io/qinstruct/trainer:0.1.0": ghcr.io/qinstruct/trainer:0.1.0: not found'
)
IMAGE_FIX = (
    "correct the operator's QINSTRUCT_PREP_IMAGE or QINSTRUCT_TRAINER_IMAGE and create the run "
    "again, or make the image available"
)
NOT_OURS = "it is not ours: mend it, or keep what puts it into this run's pods away"


def gated(*names: str) -> Raw:
    said = "Scheduling is blocked due to non-empty scheduling gates"
    scheduled = condition("PodScheduled", "SchedulingGated", said, status="False")
    gates = {"schedulingGates": [{"name": name} for name in names]}
    return pod(JOB, None, scheduled, node=None, spec=gates)


def behind(state: Raw, *, sidecar: bool = False, ours: Raw | None = None, **more: Any) -> Raw:
    """A pod on its node with an init container in this state."""
    spec = {
        "initContainers": [
            {"name": "proxy-init"} | ({"restartPolicy": "Always"} if sidecar else {})
        ]
    }
    status = {"name": "proxy-init", "state": state, **more}
    return pod(JOB, ours or waiting("PodInitializing"), spec=spec, initContainerStatuses=[status])


CASES: dict[str, tuple[Waiting, Raw]] = {
    "scheduling gates of a policy": (
        Waiting(
            "Gated",
            "x-1-master-0 is kept from the scheduler by its scheduling gates: "
            "example.com/approval, kueue.x-k8s.io/topology; whatever put them on the pod has to "
            "take them off",
        ),
        gated("example.com/approval", "kueue.x-k8s.io/topology"),
    ),
    "scheduling gates of its queue": (
        Waiting(
            "Queued", "x-1-master-0 waits until its queue admits it (kueue.x-k8s.io/admission)"
        ),
        gated("kueue.x-k8s.io/admission"),
    ),
    "an init container runs": (
        Waiting(
            "Initializing",
            "init container proxy-init of x-1-master-0 runs on node gpu-1 since "
            "2026-03-01T11:30:00Z; ours starts when it has ended; `kubectl logs x-1-master-0 -c "
            "proxy-init` shows its log",
        ),
        behind(running()),
    ),
    "an init container has ended, and the next is to come": (
        Waiting("Starting", "x-1-master-0 starts on node gpu-1"),
        pod(
            JOB,
            waiting("PodInitializing"),
            initContainerStatuses=[
                {"name": "a", "state": ended()},
                {"name": "b", "state": waiting("PodInitializing")},
            ],
        ),
    ),
    "the image of an init container does not exist": (
        Waiting(
            "ImageUnavailable",
            "the image of init container proxy-init of x-1-master-0 cannot be pulled on node "
            f"gpu-1: ImagePullBackOff: {PULL}; {NOT_OURS}",
        ),
        behind(waiting("ImagePullBackOff", PULL)),
    ),
    "an init container cannot be made": (
        Waiting(
            "Blocked",
            "init container proxy-init of x-1-master-0 cannot be made on node gpu-1: "
            'CreateContainerConfigError: secret "token" not found; mend what the message names',
        ),
        behind(waiting("CreateContainerConfigError", 'secret "token" not found')),
    ),
    "an init container has failed, which the pod does not say yet": (
        Waiting(
            "Blocked",
            "init container proxy-init of x-1-master-0 fails on node gpu-1, and ours waits for it: "
            f"exit code 3: no such rule (0 restarts); {NOT_OURS}",
        ),
        behind(ended(3, message="no such rule\n")),
    ),
    "a native sidecar fails again and again": (
        Waiting(
            "Blocked",
            "init container proxy-init of x-1-master-0 fails on node gpu-1, and ours waits for it: "
            f"exit code 137 (OOMKilled) (4 restarts); {NOT_OURS}",
        ),
        behind(
            waiting("CrashLoopBackOff", "back-off 1m20s restarting failed container"),
            sidecar=True,
            lastState=ended(137, "OOMKilled"),
            restartCount=4,
        ),
    ),
    "a native sidecar runs, and is not ready": (
        Waiting(
            "Initializing",
            "init container proxy-init of x-1-master-0 runs on node gpu-1 since "
            "2026-03-01T11:30:00Z; ours starts when it is ready; `kubectl logs x-1-master-0 -c "
            "proxy-init` shows its log",
        ),
        behind(running(), sidecar=True, started=False),
    ),
    "a native sidecar is ready, and our image is not there": (
        Waiting(
            "ImageUnavailable",
            f"the image of x-1-master-0 cannot be pulled on node gpu-1: ErrImagePull: {PULL}; "
            f"{IMAGE_FIX}",
        ),
        behind(running(), sidecar=True, started=True, ours=waiting("ErrImagePull", PULL)),
    ),
}


@pytest.mark.parametrize(("want", "raw"), CASES.values(), ids=CASES)
def test_why_ours_waits(want: Waiting, raw: Raw) -> None:
    workload = Workload("x-1", "active", pod=read_pod(raw))
    assert why_waiting(workload, {}, NOW) == want
