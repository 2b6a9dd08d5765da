"""States of a run until its data are prepared."""

from datetime import timedelta

from qinstruct_operator.api.status import FailureStatus, PrepStatus
from qinstruct_operator.constants import PREP_CONTAINER
from qinstruct_operator.errors import Violation
from support.observed import (
    COMPLETE,
    NOW,
    OTHER_UID,
    alive,
    child,
    claim,
    condition,
    config_map,
    deleting,
    ended,
    failed_event,
    lines,
    node,
    pod,
    prep_event,
    prep_job,
    pytorchjob,
    running,
    snapshot_of,
    waiting,
    waiting_event,
)
from support.status_cases.case import (
    BAD,
    DONE,
    NO,
    NOT_YET,
    PREP,
    PREP_FAILED,
    PREPARED,
    SENTENCE,
    YES,
    A,
    C,
    Case,
    F,
    P,
    S,
    beside,
    of_prep,
)

FETCHED = PrepStatus(stage="fetch", item="labels", done=30, total=100, unit="files")

CASES = {
    "nothing is there": Case(
        snapshot_of(),
        "Pending",
        NOT_YET | {P: (NO, "Pending")},
        says=(P, "the prep Job is being created"),
        fields={"progress": None, "eta": None, "attempt": None, "observed_generation": 1},
    ),
    "a spec with faults": Case(
        snapshot_of(),
        "Rejected",
        NOT_YET | {A: (NO, "InvalidSpec"), P: (NO, "NotAccepted")},
        violations=(
            Violation("spec.a", 1, "is bad", "use 2"),
            Violation("spec.b", None, "is missing", "add it"),
        ),
        says=(A, "spec.a 1: is bad; use 2\nspec.b: is missing; add it"),
    ),
    "a spec with very many faults": Case(
        snapshot_of(),
        "Rejected",
        NOT_YET | {A: (NO, "InvalidSpec"), P: (NO, "NotAccepted")},
        violations=tuple(Violation(f"spec.{n}", "x" * 80, "is" * 99, "use 2") for n in range(99)),
    ),
    "a name that another has": Case(
        snapshot_of(config=config_map(owner=None)),
        "Rejected",
        NOT_YET | {A: (NO, "NameTaken"), P: (NO, "NotAccepted")},
        says=(
            A,
            "ConfigMap x-config is there and was not made for this run; delete it, or choose "
            "another name for the run",
        ),
    ),
    "the PyTorchJob's name is taken": Case(
        snapshot_of(prep=DONE, training=pytorchjob(owner=None, ours=False)),
        "Rejected",
        PREPARED | {A: (NO, "NameTaken"), S: (NO, "NotAccepted")},
    ),
    "a foreign prep Job that is complete, with its own log": Case(
        snapshot_of(prep=prep_job(COMPLETE, owner=None, ours=False), log=lines(prep_event(30))),
        "Rejected",
        NOT_YET | {A: (NO, "NameTaken"), P: (NO, "NotAccepted")},
        fields={"prep": None, "progress": None},
    ),
    "leftovers of an earlier run": Case(
        snapshot_of(config=config_map(owner=OTHER_UID), prep=prep_job(owner=OTHER_UID)),
        "Pending",
        NOT_YET | {P: (NO, "Pending")},
        says=(
            P,
            "waits until ConfigMap x-config, Job x-prep of an earlier run with this name is "
            "deleted",
        ),
    ),
    "a PyTorchJob of an earlier run": Case(
        snapshot_of(prep=DONE, training=pytorchjob(owner=OTHER_UID)),
        "Pending",
        PREPARED | {S: (NO, "Pending")},
        says=(S, "waits until PyTorchJob x-1 of an earlier run with this name is deleted"),
    ),
    "the cluster refuses the prep Job": Case(
        snapshot_of(),
        "Refused",
        NOT_YET | {P: (NO, "Refused")},
        refused="apply Job team/x-prep: no",
        says=(P, "apply Job team/x-prep: no; it is tried again until the cluster takes it"),
    ),
    "the cluster refuses the PyTorchJob": Case(
        snapshot_of(prep=DONE),
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
            pod(PREP, running(10), name="x-prep-b", created="2026-03-01T11:40:00Z"),
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
    "the prep pod is evicted, and its containers were last heard of at work": Case(
        of_prep(
            PREP,
            pod(
                PREP,
                phase="Failed",
                reason="Evicted",
                containerStatuses=beside(PREP_CONTAINER, running()),
            ),
        ),
        "Retrying",
        NOT_YET | {P: (NO, "Retrying")},
    ),
    "the prep pod's node is gone": Case(
        of_prep(PREP, pod(PREP, running()), node=()),
        "NodeLost",
        NOT_YET | {P: (NO, "NodeLost")},
    ),
    "the prep pod is being deleted": Case(
        of_prep(PREP, deleting(pod(PREP, running()))),
        "Stopping",
        NOT_YET | {P: (NO, "Stopping")},
    ),
    "the prep pod should be gone, and is not": Case(
        of_prep(PREP, deleting(pod(PREP, running()), 5, 60), node=(node(),)),
        "Stuck",
        NOT_YET | {P: (NO, "Stuck")},
    ),
    "the prep Job is being deleted": Case(
        of_prep(deleting(PREP, 1, 0, "foregroundDeletion")),
        "Deleting",
        NOT_YET | {P: (NO, "Deleting")},
        says=(
            P,
            "somebody deletes x-prep since 2026-03-01T11:59:00Z, held by foregroundDeletion; the "
            "run goes on with a new one when x-prep is gone",
        ),
    ),
    "the prep Job is being deleted, its pod runs": Case(
        of_prep(deleting(PREP, 1, 0), pod(PREP, running())),
        "Deleting",
        NOT_YET | {P: (NO, "Deleting")},
        says=(
            P,
            "somebody deletes x-prep since 2026-03-01T11:59:00Z; the run goes on with a new one "
            "when x-prep and x-prep-master-0 are gone",
        ),
    ),
    "prep has said nothing for long": Case(
        of_prep(
            PREP,
            pod(PREP, running()),
            log=lines(prep_event(30), until=NOW - timedelta(minutes=30)),
            node=(alive(),),
        ),
        "Silent",
        NOT_YET | {P: (NO, "Silent")},
    ),
    "prep has said nothing for long, but for whom it waits": Case(
        of_prep(
            PREP, pod(PREP, running()), log=lines(waiting_event(), until=NOW - timedelta(hours=3))
        ),
        "WaitingForRun",
        NOT_YET | {P: (NO, "WaitingForRun")},
    ),
    "a queue nobody asked for takes prep back": Case(
        of_prep(PREP | {"spec": {"suspend": True}}, pod(PREP, ended(143), phase="Failed")),
        "Suspended",
        NOT_YET | {P: (NO, "Suspended")},
        fields={"failure": None},
    ),
    "a prep pod is preempted: nobody has to do anything": Case(
        of_prep(
            PREP, pod(PREP, ended(143), condition("DisruptionTarget", "PreemptionByScheduler"))
        ),
        "Retrying",
        NOT_YET | {P: (NO, "Retrying")},
        says=(
            P,
            "the cluster starts x-prep again: x-prep-master-0 ended with exit code 143: the "
            "cluster took its place (PreemptionByScheduler); the cluster starts it again, and it "
            "goes on from what it has saved",
        ),
    ),
    "a failure of a prep pod is of no account when prep has succeeded": Case(
        of_prep(DONE),
        "Pending",
        PREPARED | {S: (NO, "Pending")},
        previous=of_prep(PREP, pod(PREP, ended(69)), log=lines(BAD)),
        fields={"failure": None},
    ),
    "an output claim from before without the access mode": Case(
        snapshot_of(claims={"x-output": claim() | {"spec": {"accessModes": ["ReadWriteOnce"]}}}),
        "ClaimMismatch",
        NOT_YET | {P: (NO, "ClaimMismatch")},
    ),
    "a claim of the output's name that no run has made": Case(
        snapshot_of(claims={"x-output": child("PersistentVolumeClaim", "x-output", ours=False)}),
        "ClaimNotAllowed",
        NOT_YET | {P: (NO, "ClaimNotAllowed")},
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
}
