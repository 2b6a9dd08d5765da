"""States of a run from prepared data to its end."""

from qinstruct_operator.api.status import CheckpointStatus, TrainingStatus
from qinstruct_operator.core.judge.observe import Snapshot
from support.kinds import TRAINING_CONTAINER
from support.observed import (
    SUSPENDED,
    alive,
    condition,
    ended,
    exported_event,
    failed_event,
    lines,
    pod,
    pytorchjob,
    restarting_event,
    running,
    snapshot_of,
    step_event,
    waiting,
)
from support.status_cases.case import (
    BAD,
    DONE,
    JOB,
    JOB_DONE,
    JOB_LOST,
    NO,
    PREP,
    PREPARED,
    SENTENCE,
    TRAINING_LOG,
    YES,
    C,
    Case,
    F,
    R,
    S,
    beside,
    of_prep,
    of_training,
)

CASES = {
    "prepared": Case(
        Snapshot(prep=DONE),
        "Pending",
        PREPARED | {S: (NO, "Pending")},
        says=(S, "the PyTorchJob is being created"),
        fields={"attempt": None},
    ),
    "prepared long ago, the prep Job is deleted": Case(
        Snapshot(training=JOB),
        "Pending",
        PREPARED | {S: (NO, "Pending")},
        previous=Snapshot(prep=DONE),
        says=(S, "x-1 has no pod yet"),
    ),
    "the PyTorchJob waits in its queue": Case(
        of_training(pytorchjob(SUSPENDED, queue="gpus")), "Queued", PREPARED | {S: (NO, "Queued")}
    ),
    "the PyTorchJob was deleted and its pod left": Case(
        snapshot_of(pods=(pod(pytorchjob(owner="x"), running()),)),
        "PodRemains",
        PREPARED | {S: (NO, "PodRemains")},
        previous=Snapshot(prep=DONE),
        says=(
            S,
            "a pod is there that no workload of this run controls (x-1-master-0 on node gpu-1); "
            "another one beside it would write to the same output, or not get its name; it goes "
            "on when that pod is gone: let it end, and `kubectl delete pod x-1-master-0`",
        ),
    ),
    "somebody suspended the PyTorchJob": Case(
        of_training(pytorchjob(SUSPENDED)), "Suspended", PREPARED | {S: (NO, "Suspended")}
    ),
    "no node has the GPUs": Case(
        of_training(
            JOB,
            pod(JOB, None, condition("PodScheduled", message="0/3", status=NO), node=None),
        ),
        "Unschedulable",
        PREPARED | {S: (NO, "Unschedulable")},
    ),
    "on its node, the container starts": Case(
        of_training(JOB, pod(JOB, waiting())),
        "Starting",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "Starting")},
        says=(S, "x-1-master-0 has node gpu-1"),
        fields={"node": "gpu-1", "gpu_hours": None},
    ),
    "on its node, the image is not there": Case(
        of_training(JOB, pod(JOB, waiting("ImagePullBackOff", "Back-off"))),
        "ImageUnavailable",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "ImageUnavailable")},
    ),
    "the container runs and has said nothing": Case(
        of_training(JOB, pod(JOB, running(10))),
        "Loading",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Loading")},
        fields={"progress": None, "gpu_hours": 1.33},
    ),
    "it has never said a word since it started": Case(
        of_training(JOB, pod(JOB, running(31)), node=(alive(),)),
        "Silent",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Silent")},
        fields={"progress": None, "eta": None},
    ),
    "its ranks are started again in place": Case(
        of_training(
            JOB,
            pod(JOB, running()),
            log=(*TRAINING_LOG, *lines(failed_event("Killed", "x", 137), restarting_event())),
        ),
        "Restarting",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Restarting")},
        says=(
            R,
            "x-1-master-0 on node gpu-1 starts its processes again in place, retry 1 of 2, from "
            "the last checkpoint: rank 1 was killed (Killed)",
        ),
        fields={"progress": "21%", "eta": None, "failure": None},
    ),
    "it trains after a restart in place": Case(
        of_training(
            JOB,
            pod(JOB, running()),
            log=lines(restarting_event(), step_event(43, restarts=1, lost_seconds=75.0)),
        ),
        "Training",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Training")},
        says=(R, "x-1-master-0 on node gpu-1 trains, after 1 restart in place (1m lost)"),
        fields={"failure": None},
    ),
    "it trains": Case(
        of_training(JOB, pod(JOB, running()), log=TRAINING_LOG),
        "Training",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Training")},
        says=(R, "x-1-master-0 on node gpu-1 trains"),
        fields={
            "progress": "21%",
            "eta": "26m",
            "attempt": 1,
            "training": TrainingStatus(
                step=43, steps=200, loss=1.2346, samples_per_second=12.8, tokens_per_second=9876.5
            ),
            "checkpoint": CheckpointStatus(step=42, time="2026-03-01T11:59:50Z"),
            "model": None,
        },
    ),
    "all steps done": Case(
        of_training(JOB, pod(JOB, running()), log=lines(step_event(200))),
        "Finishing",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Finishing")},
        fields={"progress": "100%", "eta": "0s"},
    ),
    "exported, the steps scrolled away": Case(
        of_training(JOB, pod(JOB, running()), log=lines(exported_event())),
        "Finishing",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Finishing")},
    ),
    "the container has ended, the PyTorchJob does not know yet": Case(
        of_training(JOB, pod(JOB, ended())),
        "Finished",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "Finished")},
    ),
    "the training container has ended, but not the one beside it": Case(
        of_training(JOB, pod(JOB, containerStatuses=beside(TRAINING_CONTAINER, ended()))),
        "SidecarRunning",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "SidecarRunning")},
    ),
    "training, with a container beside it": Case(
        of_training(
            JOB,
            pod(JOB, containerStatuses=beside(TRAINING_CONTAINER, running())),
            log=TRAINING_LOG,
        ),
        "Training",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Training")},
    ),
    "the PyTorchJob has failed, its container still saves": Case(
        of_training(JOB_LOST, pod(JOB_LOST, running()), log=TRAINING_LOG),
        "Stopping",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "Stopping")},
        fields={"failure": None},
    ),
    "the PyTorchJob has failed, and its container has ended": Case(
        of_training(JOB_LOST, pod(JOB_LOST, ended(65)), log=lines(BAD)),
        "Failed",
        PREPARED
        | {
            S: (YES, "Scheduled"),
            R: (NO, "Failed"),
            C: (NO, "Failed"),
            F: (YES, "BadData"),
        },
        says=(F, SENTENCE),
        fields={"gpu_hours": 3.87},
    ),
    "a failed pod that is gone, but was seen": Case(
        of_training(JOB_LOST),
        "Failed",
        PREPARED | {S: (NO, "Failed"), R: (NO, "Failed"), C: (NO, "Failed"), F: (YES, "BadData")},
        previous=of_training(JOB, pod(JOB, ended(65)), log=lines(BAD)),
        fields={"gpu_hours": 3.87, "node": "gpu-1"},
    ),
    "a failure of prep is none of training": Case(
        of_training(JOB_LOST),
        "Recovering",
        PREPARED | {S: (NO, "Recovering")},
        previous=of_prep(PREP, pod(PREP, ended(65)), log=lines(BAD)),
    ),
    "its kubelet refuses it, and its PyTorchJob does not know yet": Case(
        of_training(
            JOB, pod(JOB, phase="Failed", reason="OutOfcpu", message="Pod was rejected: no CPU.")
        ),
        "Stopping",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "Stopping")},
        says=(
            R,
            "x-1 is ending: the kubelet of node gpu-1 refused x-1-master-0 (OutOfcpu): Pod was "
            "rejected: no CPU; something else had taken the place meanwhile; another attempt goes "
            "on from what it has saved; if the same node takes it again, keep the run away from it "
            "until it is mended",
        ),
    ),
    "a container beside ours failed, ours ended well": Case(
        of_training(
            JOB_LOST,
            pod(
                JOB_LOST,
                phase="Failed",
                containerStatuses=[
                    {"name": "istio-proxy", "state": ended(1)},
                    {"name": "pytorch", "state": ended()},
                ],
            ),
        ),
        "Recovering",
        PREPARED | {S: (NO, "Recovering")},
        fields={"node": None, "eta": None},
    ),
    "complete": Case(
        of_training(JOB_DONE, pod(JOB_DONE, ended()), log=(*TRAINING_LOG, *lines(step_event(200)))),
        "Complete",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "Finished"), C: (YES, "Complete")},
        says=(C, "the model is in folder model of claim x-output"),
        fields={"progress": "100%", "eta": None, "model": "x-output:/model", "gpu_hours": 3.87},
    ),
    "complete, its pod is deleted": Case(
        of_training(JOB_DONE),
        "Complete",
        PREPARED | {S: (YES, "Scheduled"), R: (NO, "Finished"), C: (YES, "Complete")},
        fields={"progress": "100%", "model": "x-output:/model"},
    ),
}
