"""States of a training workload that something from outside disturbs."""

from datetime import timedelta

from qinstruct_operator.api.status import TrainingStatus
from support.observed import (
    NOW,
    SUSPENDED,
    Raw,
    alive,
    at_time,
    claim,
    condition,
    deleting,
    ended,
    lines,
    node,
    pod,
    pytorchjob,
    running,
    snapshot_of,
    step_event,
    unreachable,
    waiting,
)
from support.status_cases.case import (
    BAD,
    DONE,
    JOB,
    JOB_DONE,
    JOB_LOST,
    NO,
    PREPARED,
    SENTENCE,
    TRAINING_LOG,
    YES,
    C,
    Case,
    R,
    S,
    of_training,
)

TAKEN = pytorchjob(queue="gpus") | {"spec": {"runPolicy": {"suspend": True}}}
RESUMED = pytorchjob(at_time(SUSPENDED | {"status": NO}, 35))
CUT_OFF = (at_time(condition("Ready", status=NO), 10), condition("ContainersReady"))
TAINTED = condition("DisruptionTarget", "DeletionByTaintManager")
LOST = (
    "nobody can say whether x-1-master-0 still runs there; it goes on if the node comes back; if "
    "not, make sure that the machine is off, and run `kubectl delete pod x-1-master-0 --force`"
)
HALF_AN_HOUR_AGO, AN_HOUR_AGO = NOW - timedelta(minutes=30), NOW - timedelta(minutes=60)


def sized(storage: str) -> Raw:
    return {"resources": {"requests": {"storage": storage}}}


CASES = {
    "its node has gone silent": Case(
        of_training(JOB, pod(JOB, running(), *CUT_OFF), log=TRAINING_LOG, node=(unreachable(),)),
        "NodeLost",
        PREPARED | {S: (YES, "Scheduled"), R: ("Unknown", "NodeLost")},
        says=(
            R,
            f"node gpu-1 is not Ready since 2026-03-01T11:50:00Z (NodeStatusUnknown: Kubelet "
            f"stopped posting node status): {LOST}",
        ),
        fields={"gpu_hours": 2.67, "node": "gpu-1", "progress": "21%"},
    ),
    "its node has gone silent, and nobody lets us read nodes": Case(
        of_training(JOB, pod(JOB, running(), *CUT_OFF), log=TRAINING_LOG),
        "NodeLost",
        PREPARED | {S: (YES, "Scheduled"), R: ("Unknown", "NodeLost")},
        says=(R, f"node gpu-1 does not answer since 2026-03-01T11:50:00Z: {LOST}"),
        fields={"gpu_hours": 2.67},
    ),
    "its node is deleted": Case(
        of_training(JOB, pod(JOB, running()), node=()),
        "NodeLost",
        PREPARED | {S: (YES, "Scheduled"), R: ("Unknown", "NodeLost")},
        previous=of_training(JOB, pod(JOB, running(20))),
        says=(R, f"node gpu-1 is gone from the cluster: {LOST}"),
        fields={"gpu_hours": 2.67},
    ),
    "its node has gone silent, and the cluster wants its pod away": Case(
        of_training(
            JOB_LOST,
            deleting(pod(JOB_LOST, running(), *CUT_OFF, TAINTED)),
            node=(unreachable(),),
        ),
        "NodeLost",
        PREPARED | {S: (YES, "Scheduled"), R: ("Unknown", "NodeLost")},
        fields={"failure": None, "gpu_hours": 2.67},
    ),
    "its node dies while the image is pulled": Case(
        of_training(JOB, pod(JOB, waiting()), node=(unreachable(),)),
        "NodeLost",
        PREPARED | {S: (YES, "Scheduled"), R: ("Unknown", "NodeLost")},
    ),
    "its node is back": Case(
        of_training(JOB, pod(JOB, running()), log=TRAINING_LOG, node=(node(minutes=0),)),
        "Training",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Training")},
        previous=of_training(JOB, pod(JOB, running(), *CUT_OFF), node=(unreachable(),)),
        fields={"gpu_hours": 4.0},
    ),
    "a container beside it is not ready": Case(
        of_training(
            JOB,
            pod(
                JOB,
                running(),
                condition("Ready", "ContainersNotReady", "istio-proxy", NO),
                condition("ContainersReady", "ContainersNotReady", "istio-proxy", NO),
            ),
            log=TRAINING_LOG,
        ),
        "Training",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Training")},
    ),
    "its pod is being deleted": Case(
        of_training(JOB, deleting(pod(JOB, running(), TAINTED)), log=TRAINING_LOG),
        "Stopping",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "Stopping")},
        says=(
            R,
            "x-1-master-0 is being deleted since 2026-03-01T11:59:00Z (DeletionByTaintManager); it "
            "may still save a checkpoint, and ends by 2026-03-01T12:09:00Z",
        ),
    ),
    "its pod should be gone, and is not": Case(
        of_training(JOB_LOST, deleting(pod(JOB_LOST, running()), 11), node=(node(),)),
        "Stuck",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "Stuck")},
        says=(
            R,
            "x-1-master-0 is being deleted since 2026-03-01T11:49:00Z, should have ended by "
            "2026-03-01T11:59:00Z, and has not; look at the kubelet of node gpu-1; if nothing of "
            "it runs for sure, run `kubectl delete pod x-1-master-0 --force`",
        ),
    ),
    "a pod without a node that its finalizers hold": Case(
        of_training(JOB, deleting(pod(JOB, node=None), 11)),
        "Stuck",
        PREPARED | {S: (NO, "Stuck")},
    ),
    "a pod without a node is being deleted": Case(
        of_training(JOB, deleting(pod(JOB, node=None))),
        "Stopping",
        PREPARED | {S: (NO, "Stopping")},
    ),
    "its PyTorchJob is being deleted, and has no pod": Case(
        of_training(deleting(JOB, 1, 0, "foregroundDeletion")),
        "Deleting",
        PREPARED | {S: (NO, "Deleting")},
        says=(
            S,
            "somebody deletes x-1 since 2026-03-01T11:59:00Z, held by foregroundDeletion; the run "
            "goes on with a new one when x-1 is gone",
        ),
    ),
    "its PyTorchJob is being deleted, its pod runs": Case(
        of_training(deleting(JOB, 1, 0), pod(JOB, running())),
        "Deleting",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "Deleting")},
    ),
    "complete, and its PyTorchJob is being deleted": Case(
        of_training(deleting(JOB_DONE), pod(JOB_DONE, ended())),
        "Complete",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "Finished"), C: (YES, "Complete")},
    ),
    "it has said nothing for long": Case(
        of_training(
            JOB,
            pod(JOB, running(90)),
            log=lines(step_event(43), until=HALF_AN_HOUR_AGO),
            node=(alive(),),
        ),
        "Silent",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Silent")},
        says=(
            R,
            "x-1-master-0 on node gpu-1 has said nothing since 2026-03-01T11:30:00Z; look at "
            "its log (`qinstruct logs`) and its node; if it hangs, delete the pod: what it has "
            "saved is kept",
        ),
    ),
    "its node's clock is an hour behind": Case(
        of_training(
            JOB,
            pod(JOB, running(90)),
            log=lines(step_event(43), until=AN_HOUR_AGO),
            node=(node(lastHeartbeatTime="2026-03-01T10:59:00Z"),),
        ),
        "Training",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Training")},
    ),
    "it has said nothing for long, and nobody lets us read its node's clock": Case(
        of_training(JOB, pod(JOB, running(90)), log=lines(step_event(43), until=AN_HOUR_AGO)),
        "Training",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Training")},
    ),
    "it has said nothing for long, by a clock that is ahead": Case(
        of_training(
            JOB,
            pod(JOB, running(90)),
            log=lines(step_event(43), until=NOW + timedelta(minutes=20)),
            node=(node(lastHeartbeatTime="2026-03-01T12:50:00Z"),),
        ),
        "Silent",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Silent")},
    ),
    "its queue takes it back, and its container saves": Case(
        of_training(TAKEN, pod(TAKEN, running()), log=TRAINING_LOG),
        "Stopping",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "Stopping")},
        says=(
            R,
            "x-1 is suspended, as by its queue, and x-1-master-0 is ending; it may still save a "
            "checkpoint",
        ),
        fields={"failure": None, "node": "gpu-1"},
    ),
    "its queue has taken it back": Case(
        of_training(TAKEN, deleting(pod(TAKEN, ended(75), phase="Failed")), log=TRAINING_LOG),
        "Queued",
        PREPARED | {S: (NO, "Queued")},
        previous=of_training(JOB, pod(JOB, running()), log=TRAINING_LOG),
        fields={
            "failure": None,
            "node": None,
            "gpu_hours": 3.87,
            "eta": None,
            "progress": "21%",
            "training": TrainingStatus(step=43, steps=200, loss=1.2346),
        },
    ),
    "its queue has taken it back, the pod is gone": Case(
        of_training(pytorchjob(SUSPENDED, queue="gpus")),
        "Queued",
        PREPARED | {S: (NO, "Queued")},
        previous=of_training(JOB, pod(JOB, ended(75)), log=TRAINING_LOG),
        fields={"failure": None, "node": None, "gpu_hours": 3.87},
    ),
    "admitted again, the ended pod is still there": Case(
        of_training(RESUMED, pod(RESUMED, ended(75), created="2026-03-01T11:20:00Z")),
        "Pending",
        PREPARED | {S: (NO, "Pending")},
        previous=of_training(JOB, pod(JOB, ended(75)), log=TRAINING_LOG),
        fields={"failure": None, "node": None},
    ),
    "admitted again, another pod trains": Case(
        of_training(
            RESUMED,
            pod(RESUMED, running(30), created="2026-03-01T11:20:00Z", uid="second"),
            log=TRAINING_LOG,
        ),
        "Training",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Training")},
        previous=of_training(JOB, pod(JOB, ended(75)), log=TRAINING_LOG),
        fields={"failure": None, "gpu_hours": 7.87},
    ),
    "the container has ended badly, the PyTorchJob does not know yet": Case(
        of_training(JOB, pod(JOB, ended(65)), log=lines(BAD)),
        "Stopping",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "Stopping")},
        says=(R, f"x-1 is ending: {SENTENCE}"),
    ),
    "complete, after a pod that failed": Case(
        of_training(JOB_DONE, pod(JOB_DONE, ended(), uid="second")),
        "Complete",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "Finished"), C: (YES, "Complete")},
        previous=of_training(JOB, pod(JOB, ended(75)), log=TRAINING_LOG),
        fields={"failure": None, "gpu_hours": 7.74},
    ),
    "an output claim from before that is too small": Case(
        snapshot_of(prep=DONE, claims={"x-output": claim() | {"spec": sized("1Gi"), "status": {}}}),
        "ClaimMismatch",
        PREPARED | {S: (NO, "ClaimMismatch")},
    ),
}
