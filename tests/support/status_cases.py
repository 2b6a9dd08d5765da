"""Every state of a run, with the verdict on it: its phase, its conditions, what they say."""

from dataclasses import dataclass, field
from typing import Any

from qinstruct_operator.api.status import (
    CheckpointStatus,
    FailureStatus,
    PrepStatus,
    TrainingStatus,
)
from qinstruct_operator.constants import (
    CONDITION_ACCEPTED,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
    CONDITION_SCHEDULED,
    PREP_CONTAINER,
    TRAINING_CONTAINER,
)
from qinstruct_operator.core.observe import Snapshot
from qinstruct_operator.errors import Violation
from support.observed import (
    COMPLETE,
    JOB_FAILED,
    OTHER_UID,
    SUCCEEDED,
    SUSPENDED,
    Raw,
    condition,
    config_map,
    ended,
    exported_event,
    failed_event,
    lines,
    pod,
    prep_event,
    prep_job,
    pytorchjob,
    running,
    saved_event,
    start_event,
    step_event,
    waiting,
    waiting_event,
)

A, P, S, R, C, F = (
    CONDITION_ACCEPTED,
    CONDITION_PREPARED,
    CONDITION_SCHEDULED,
    CONDITION_RUNNING,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
)
YES, NO = "True", "False"
PREP, DONE = prep_job(), prep_job(COMPLETE)
PREP_FAILED = prep_job(condition("Failed", "PodFailurePolicy", "exit code 65"))
JOB, JOB_DONE, JOB_LOST = pytorchjob(), pytorchjob(SUCCEEDED), pytorchjob(JOB_FAILED)
BAD = failed_event("BadData", "record 7 is broken; mend it", 65)
SENTENCE = "record 7 is broken; mend it"

# What every run says before it has come so far.
NOT_YET = {
    A: (YES, "Accepted"),
    S: (NO, "WaitingForData"),
    R: (NO, "WaitingForData"),
    C: (NO, "InProgress"),
    F: (NO, "InProgress"),
}
PREPARED = NOT_YET | {P: (YES, "Prepared"), R: (NO, "WaitingForNode")}


@dataclass(frozen=True)
class Case:
    snapshot: Snapshot
    phase: str
    conditions: dict[str, tuple[str, str]]
    previous: Snapshot | None = None  # judged before
    violations: tuple[Violation, ...] = ()
    refused: str = ""
    says: tuple[str, str] | None = None  # a condition and its message
    fields: dict[str, Any] = field(default_factory=dict)


def of_prep(job: Raw, *pods: Raw, log: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot(prep=job, pods=pods, log=log)


def of_training(job: Raw, *pods: Raw, log: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot(prep=DONE, training=job, pods=pods, log=log)


def beside(container: str, state: Raw) -> list[Raw]:
    """Statuses of our container and of one that an admission webhook put into its pod."""
    return [{"name": "istio-proxy", "state": running()}, {"name": container, "state": state}]


TRAINING_LOG = lines(start_event(), step_event(42), saved_event(42), step_event(43))
FETCHED = PrepStatus(stage="fetch", item="labels", done=30, total=100, unit="files")

CASES = {
    "nothing is there": Case(
        Snapshot(),
        "Pending",
        NOT_YET | {P: (NO, "Pending")},
        says=(P, "the prep Job is being created"),
        fields={"progress": None, "eta": None, "attempt": None, "observed_generation": 1},
    ),
    "a spec with faults": Case(
        Snapshot(),
        "Rejected",
        NOT_YET | {A: (NO, "InvalidSpec"), P: (NO, "NotAccepted")},
        violations=(
            Violation("spec.a", 1, "is bad", "use 2"),
            Violation("spec.b", None, "is missing", "add it"),
        ),
        says=(A, "spec.a 1: is bad; use 2\nspec.b: is missing; add it"),
    ),
    "a spec with very many faults": Case(
        Snapshot(),
        "Rejected",
        NOT_YET | {A: (NO, "InvalidSpec"), P: (NO, "NotAccepted")},
        violations=tuple(Violation(f"spec.{n}", "x" * 80, "is" * 99, "use 2") for n in range(99)),
    ),
    "a name that another has": Case(
        Snapshot(config=config_map(owner=None)),
        "Rejected",
        NOT_YET | {A: (NO, "NameTaken"), P: (NO, "NotAccepted")},
        says=(
            A,
            "ConfigMap x-config is there and was not made for this run; delete it, or choose "
            "another name for the run",
        ),
    ),
    "the PyTorchJob's name is taken": Case(
        Snapshot(prep=DONE, training=pytorchjob(owner=None, ours=False)),
        "Rejected",
        PREPARED | {A: (NO, "NameTaken"), S: (NO, "NotAccepted")},
    ),
    "a foreign prep Job that is complete, with its own log": Case(
        Snapshot(prep=prep_job(COMPLETE, owner=None, ours=False), log=lines(prep_event(30))),
        "Rejected",
        NOT_YET | {A: (NO, "NameTaken"), P: (NO, "NotAccepted")},
        fields={"prep": None, "progress": None},
    ),
    "leftovers of an earlier run": Case(
        Snapshot(config=config_map(owner=OTHER_UID), prep=prep_job(owner=OTHER_UID)),
        "Pending",
        NOT_YET | {P: (NO, "Pending")},
        says=(
            P,
            "waits until ConfigMap x-config, Job x-prep of an earlier run with this name is "
            "deleted",
        ),
    ),
    "a PyTorchJob of an earlier run": Case(
        Snapshot(prep=DONE, training=pytorchjob(owner=OTHER_UID)),
        "Pending",
        PREPARED | {S: (NO, "Pending")},
        says=(S, "waits until PyTorchJob x-1 of an earlier run with this name is deleted"),
    ),
    "the cluster refuses the prep Job": Case(
        Snapshot(),
        "Refused",
        NOT_YET | {P: (NO, "Refused")},
        refused="apply Job team/x-prep: no",
        says=(P, "apply Job team/x-prep: no; it is tried again until the cluster takes it"),
    ),
    "the cluster refuses the PyTorchJob": Case(
        Snapshot(prep=DONE),
        "Refused",
        PREPARED | {S: (NO, "Refused")},
        refused="apply PyTorchJob team/x-1: no",
    ),
    "the prep Job is created": Case(
        of_prep(PREP), "Pending", NOT_YET | {P: (NO, "Pending")}, says=(P, "x-prep has no pod yet")
    ),
    "the prep pod's image is not there": Case(
        of_prep(PREP, pod(PREP, waiting("ErrImagePull", "not found"))),
        "ImageUnavailable",
        NOT_YET | {P: (NO, "ImageUnavailable")},
    ),
    "prep runs": Case(
        of_prep(PREP, pod(PREP, running()), log=lines(prep_event(20), prep_event(30))),
        "Preparing",
        NOT_YET | {P: (NO, "Preparing")},
        says=(P, "x-prep-master-0 prepares data and model on node gpu-1"),
        fields={"progress": "fetch 30%", "eta": "1m", "prep": FETCHED, "attempt": None},
    ),
    "prep runs, its total unknown": Case(
        of_prep(PREP, pod(PREP, running()), log=lines(prep_event(30, None))),
        "Preparing",
        NOT_YET | {P: (NO, "Preparing")},
        fields={"progress": "fetch", "eta": None},
    ),
    "prep waits for another run": Case(
        of_prep(PREP, pod(PREP, running()), log=lines(waiting_event("run-a"))),
        "WaitingForRun",
        NOT_YET | {P: (NO, "WaitingForRun")},
        says=(P, "run run-a builds what this one needs"),
        fields={"progress": "model"},
    ),
    "a prep pod has failed for good, the Job does not say so yet": Case(
        of_prep(PREP, pod(PREP, ended(65)), log=lines(BAD)),
        "Stopping",
        NOT_YET | {P: (NO, "Stopping")},
        says=(P, f"x-prep is ending: {SENTENCE}"),
    ),
    "a prep pod has failed, the Job tries again": Case(
        of_prep(PREP, pod(PREP, ended(69)), log=lines(failed_event("Unavailable", SENTENCE, 69))),
        "Retrying",
        NOT_YET | {P: (NO, "Retrying")},
        says=(P, f"the cluster starts x-prep again: {SENTENCE}"),
        fields={
            "failure": FailureStatus(
                reason="Unavailable",
                message=SENTENCE,
                exit_code=69,
                log_tail=lines(failed_event("Unavailable", SENTENCE, 69))[0],
            )
        },
    ),
    "the second prep pod runs; the first one's failure is kept": Case(
        of_prep(
            PREP,
            pod(PREP, ended(69), name="x-prep-a"),
            pod(PREP, running(), name="x-prep-b", created="2026-03-01T11:40:00Z"),
        ),
        "Preparing",
        NOT_YET | {P: (NO, "Preparing")},
        previous=of_prep(PREP, pod(PREP, ended(69), name="x-prep-a"), log=lines(BAD)),
        fields={
            "failure": FailureStatus(
                reason="BadData", message=SENTENCE, exit_code=69, log_tail=lines(BAD)[0]
            )
        },
    ),
    "the prep pod has ended well, the Job does not know yet": Case(
        of_prep(PREP, pod(PREP, ended())),
        "Preparing",
        NOT_YET | {P: (NO, "Preparing")},
        says=(P, "x-prep-master-0 has ended"),
    ),
    "the prep container has ended, but not the one that a webhook put beside it": Case(
        of_prep(PREP, pod(PREP, containerStatuses=beside(PREP_CONTAINER, ended(69)))),
        "SidecarRunning",
        NOT_YET | {P: (NO, "SidecarRunning")},
        says=(
            P,
            "the work in x-prep-master-0 has ended, but the pod does not, because of istio-proxy, "
            "which is not ours; keep what injects it away from this run's pods, and delete the pod",
        ),
    ),
    "prep has failed, its container still ends": Case(
        of_prep(PREP_FAILED, pod(PREP_FAILED, running())),
        "Stopping",
        NOT_YET | {P: (NO, "Stopping")},
    ),
    "prep has failed for good": Case(
        of_prep(PREP_FAILED, pod(PREP_FAILED, ended(65)), log=lines(BAD)),
        "Failed",
        NOT_YET | {P: (NO, "Failed"), C: (NO, "Failed"), F: (YES, "BadData")},
        says=(F, SENTENCE),
        fields={
            "eta": None,
            "failure": FailureStatus(
                reason="BadData", message=SENTENCE, exit_code=65, log_tail=lines(BAD)[0]
            ),
        },
    ),
    "prep has failed, its pod is gone, but was seen": Case(
        of_prep(PREP_FAILED),
        "Failed",
        NOT_YET | {P: (NO, "Failed"), C: (NO, "Failed"), F: (YES, "BadData")},
        previous=of_prep(PREP, pod(PREP, ended(65)), log=lines(BAD)),
        says=(F, SENTENCE),
    ),
    "prep has failed, its pod is gone and was never seen": Case(
        of_prep(PREP_FAILED),
        "Failed",
        NOT_YET | {P: (NO, "Failed"), C: (NO, "Failed"), F: (YES, "PodLost")},
    ),
    "prepared": Case(
        Snapshot(prep=DONE),
        "Pending",
        PREPARED | {S: (NO, "Pending")},
        says=(S, "the PyTorchJob is being created"),
        fields={"attempt": 1},
    ),
    "prepared long ago, the prep Job is deleted": Case(
        Snapshot(training=JOB),
        "Pending",
        PREPARED | {S: (NO, "Pending")},
        previous=Snapshot(prep=DONE),
        says=(S, "x-1 has no pod yet"),
    ),
    "the PyTorchJob waits in its queue": Case(
        of_training(pytorchjob(SUSPENDED)), "Queued", PREPARED | {S: (NO, "Queued")}
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
        of_training(JOB, pod(JOB, running())),
        "Loading",
        PREPARED | {S: (YES, "Scheduled"), R: (YES, "Loading")},
        fields={"progress": None, "gpu_hours": 4.0},
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
        "Failed",
        PREPARED | {S: (NO, "Failed"), R: (NO, "Failed"), C: (NO, "Failed"), F: (YES, "PodLost")},
        previous=of_prep(PREP, pod(PREP, ended(65)), log=lines(BAD)),
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
