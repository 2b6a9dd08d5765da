"""What is said when a controller, a scheduler or a kubelet dies after it has been heard once."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from qinstruct_operator.api.status import Condition, Status
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import Snapshot, observe
from support.observed import (
    COMPLETE,
    JOB_FAILED,
    NOW,
    OTHER_UID,
    RUN,
    SUCCEEDED,
    Raw,
    at_time,
    condition,
    deleting,
    ended,
    plan,
    pod,
    prep_job,
    pytorchjob,
    run_of,
    running,
    snapshot_of,
    status_of,
    training,
    waiting,
    warning,
    written,
)

P, S, R = "Prepared", "Scheduled", "Running"
MINUTE = timedelta(minutes=1)
PREP, JOB = written(prep_job(), 0), written(pytorchjob(), 0)
SUSPENDED = written(pytorchjob(queue="gpus") | {"spec": {"runPolicy": {"suspend": True}}}, 0)
FINISHED = prep_job(COMPLETE)
GPU = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "8"}}}]}
ITSELF = ", and does not wait for something itself, as with gang scheduling for a PodGroup"
HAD = "has ended, and nothing has changed since 2026-03-01T12:00:00Z"


def of(job: Raw, *pods: Raw, events: tuple[Raw, ...] = ()) -> Snapshot:
    """The run with this workload; all of it was written last at `NOW`."""
    there = tuple(written(each, 0) for each in pods)
    if job["kind"] == "Job":
        return Snapshot(prep=job, pods=there, events=events)
    return Snapshot(prep=FINISHED, training=job, pods=there, events=events)


def over(job: Raw, exit_code: int = 0) -> Raw:
    return pod(job, ended(exit_code, ran=(30, 0)), phase="Failed" if exit_code else "Succeeded")


def failed(job: Raw) -> Raw:
    return job | {"status": {"conditions": [at_time(JOB_FAILED, 0)]}}


@dataclass(frozen=True)
class Case:
    """What is there at `NOW` and stays; what is said of it first, and after how many minutes what
    else is.
    """

    snapshot: Snapshot
    type: str
    first: str
    minutes: int
    then: str
    says: str


THEN = "the run ends, or another attempt begins, only when that pod has ended"
CASES = {
    "a PyTorchJob that had its first status": Case(
        of(JOB), S, "Pending", 2, "NoController",
        "x-1 has no pod, and nothing of it has changed since 2026-03-01T12:00:00Z: the "
        "training-operator does not make one; see that the training-operator runs, and watches "
        f"this namespace{ITSELF}",
    ),
    "a prep Job that had its first status, and may be backing off": Case(
        of(PREP), P, "Pending", 12, "NoController",
        "x-prep has no pod, and nothing of it has changed since 2026-03-01T12:00:00Z: the Job "
        "controller of kube-controller-manager does not make one; see that the Job controller of "
        f"kube-controller-manager runs, and watches this namespace{ITSELF}",
    ),
    "the prep pod has succeeded": Case(
        of(PREP, over(PREP)), P, "Preparing", 2, "NoController",
        f"x-prep-master-0 {HAD}: the Job controller of kube-controller-manager does not act on "
        "it; see that the Job controller of kube-controller-manager runs, and watches this "
        "namespace, and the run goes on",
    ),
    "the prep pod has failed, and is tried again after a while": Case(
        of(PREP, over(PREP, 69)), P, "Retrying", 12, "NoController",
        f"x-prep-master-0 {HAD}: the Job controller of kube-controller-manager does not act on "
        "it; see that the Job controller of kube-controller-manager runs, and watches this "
        "namespace, and the run goes on",
    ),
    "the next prep pod is refused": Case(
        of(PREP, over(PREP, 69), events=(
            warning(PREP, "FailedCreate", "exceeded quota: compute", "2026-03-01T12:00:10Z"),)),
        P, "PodRefused", 0, "PodRefused",
        "the cluster refuses the pod of x-prep: FailedCreate: exceeded quota: compute; change "
        "what refuses it (Pod Security, quota, admission policy) or use another namespace",
    ),
    "an earlier prep pod was refused": Case(
        of(PREP, over(PREP, 69), events=(
            warning(PREP, "FailedCreate", "exceeded quota", "2026-03-01T11:59:50Z"),)),
        P, "Retrying", 11, "Retrying",
        "the cluster starts x-prep again: x-prep-master-0 ended with exit code 69; the log says "
        "more: `qinstruct logs`",
    ),
    "the training pod has succeeded": Case(
        of(JOB, over(JOB)), R, "Finished", 2, "NoController",
        f"x-1-master-0 {HAD}: the training-operator does not act on it; see that the "
        "training-operator runs, and watches this namespace, and the run goes on",
    ),
    "the training pod has failed": Case(
        of(JOB, over(JOB, 70)), R, "Stopping", 2, "NoController",
        f"x-1-master-0 {HAD}: the training-operator does not act on it; see that the "
        "training-operator runs, and watches this namespace, and the run goes on",
    ),
    "the container has ended, and its kubelet does not end the pod": Case(
        of(JOB, pod(JOB, ended(ran=(30, 0)), phase="Running")), R, "Finished", 12, "NoController",
        "our container in x-1-master-0 has ended, and nothing has changed since "
        "2026-03-01T12:00:00Z: the kubelet of node gpu-1 does not end the pod; look at it; if "
        "nothing of the pod runs for sure, run `kubectl delete pod x-1-master-0 --force`",
    ),
    "suspended, and nobody ends its pod": Case(
        of(SUSPENDED, pod(JOB, running(), spec=GPU)), R, "Stopping", 2, "NoController",
        "x-1 is suspended, and nothing of it has changed since 2026-03-01T12:00:00Z, but "
        "x-1-master-0 is still on node gpu-1, and holds its GPUs: the training-operator does not "
        "delete it; see that the training-operator runs, and watches this namespace, or run "
        "`kubectl delete pod x-1-master-0`",
    ),
    "a deletion that its finalizer holds": Case(
        of(deleting(JOB, 0, 0, "example.com/audit")), S, "Deleting", 2, "Stuck",
        "somebody deletes x-1 since 2026-03-01T12:00:00Z, and its finalizers example.com/audit "
        "hold it; see that whatever put them there runs, or take them off; the run goes on with a "
        "new one when it is gone",
    ),
    "a deletion that nobody collects": Case(
        of(deleting(JOB, 0, 0, "foregroundDeletion"), pod(JOB, running())), R, "Deleting", 2,
        "Stuck",
        "somebody deletes x-1 since 2026-03-01T12:00:00Z, and its finalizers foregroundDeletion "
        "hold it, and x-1-master-0 is still on node gpu-1; see that the garbage collector of "
        "kube-controller-manager runs, or take them off, and run `kubectl delete pod "
        "x-1-master-0`; the run goes on with a new one when it is gone",
    ),
    "the same of a prep Job": Case(
        of(deleting(PREP, 0, 0, "orphan")), P, "Deleting", 2, "Stuck",
        "somebody deletes x-prep since 2026-03-01T12:00:00Z, and its finalizers orphan hold it; "
        "see that the garbage collector of kube-controller-manager runs, or take them off; the "
        "run goes on with a new one when it is gone",
    ),
    "a pod that no scheduler looks at": Case(
        of(JOB, pod(JOB, node=None, spec={"schedulerName": "volcano"})), S, "Pending", 2,
        "NoController",
        "x-1-master-0 waits for a node since 2026-03-01T12:00:00Z, and scheduler volcano has not "
        "looked at it; see that one of this name runs",
    ),
    "a pod that its scheduler has looked at": Case(
        of(JOB, pod(JOB, None, condition("PodScheduled", "Unschedulable", "no node", "False"),
                    node=None, spec={"schedulerName": "volcano"})),
        S, "Unschedulable", 60, "Unschedulable",
        "no node takes x-1-master-0: no node; it starts as soon as one does, and `qinstruct plan` "
        "says which nodes could",
    ),
    "a pod that no kubelet takes": Case(
        of(JOB, pod(JOB)), R, "Starting", 2, "NoController",
        "x-1-master-0 has node gpu-1 since 2026-03-01T12:00:00Z, and the kubelet there has not "
        "taken it; look at that kubelet, or run `kubectl delete pod x-1-master-0`",
    ),
    "an image that takes an hour": Case(
        of(JOB, pod(JOB, waiting(), startTime="2026-03-01T12:00:00Z")), R, "Starting", 60,
        "Starting", "x-1-master-0 starts on node gpu-1",
    ),
    "failed, and its pod lives on": Case(
        of(failed(JOB), pod(JOB, running(), spec=GPU)), R, "Stopping", 2, "Stuck",
        "x-1 has failed since 2026-03-01T12:00:00Z (PyTorchJobFailed: PyTorchJob x-1 is failed "
        "because 1 replica failed), but x-1-master-0 is still on node gpu-1, and holds its GPUs, "
        "and nothing deletes it; run `kubectl delete pod x-1-master-0`: what it has saved is kept; "
        + THEN,
    ),
    "failed, and its pod still waits for a node": Case(
        of(failed(JOB), pod(JOB, node=None)), S, "Stopping", 2, "Stuck",
        "x-1 has failed since 2026-03-01T12:00:00Z (PyTorchJobFailed: PyTorchJob x-1 is failed "
        "because 1 replica failed), but x-1-master-0 still waits for a node, and nothing deletes "
        f"it; run `kubectl delete pod x-1-master-0`; {THEN}",
    ),
    "the prep Job has failed, and its pod lives on": Case(
        of(failed(PREP), pod(PREP, running())), P, "Stopping", 2, "Stuck",
        "x-prep has failed since 2026-03-01T12:00:00Z (PyTorchJobFailed: PyTorchJob x-1 is failed "
        "because 1 replica failed), but x-prep-master-0 is still on node gpu-1, and nothing "
        "deletes it; run `kubectl delete pod x-prep-master-0`: what it has saved is kept; "
        + THEN,
    ),
    "succeeded, and its pod lives on": Case(
        of(pytorchjob(at_time(SUCCEEDED, 0)), pod(JOB, running())), R, "Stopping", 2, "Stuck",
        "x-1 has succeeded since 2026-03-01T12:00:00Z (PyTorchJobSucceeded: PyTorchJob x-1 is "
        "successfully completed), but x-1-master-0 is still on node gpu-1, and nothing deletes "
        "it; run `kubectl delete pod x-1-master-0`: what it has saved is kept; "
        + THEN,
    ),
}  # fmt: skip


def condition_of(status: Status, type_: str) -> Condition:
    return next(each for each in status.conditions if each.type == type_)


def judged(case: Case, minutes: float, before: Status | None = None) -> Status:
    return status_of(case.snapshot, before, made=plan(), now=NOW + minutes * MINUTE)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_not_done_is_told(case: Case) -> None:
    status = judged(case, 0)
    for minutes in (0, case.minutes - 0.1, case.minutes):
        status = judged(case, max(minutes, 0), status)
        said = condition_of(status, case.type)
        want = case.then if minutes == case.minutes else case.first
        assert (minutes, said.status, said.reason) == (minutes, "False", want)
    assert said.message == case.says
    assert {condition_of(status, end).status for end in ("Complete", "Failed")} == {"False"}


def test_a_pod_that_has_just_vanished_is_no_omission() -> None:
    """The PyTorchJob was written last when its pod began, an hour ago."""
    job = written(pytorchjob(), 60)
    trains = Snapshot(prep=FINISHED, training=job, pods=(pod(job, running()),))
    gone = replace(trains, pods=())
    status = status_of(trains)
    for minutes, want in ((0.0, "Pending"), (1.9, "Pending"), (2.0, "NoController")):
        status = status_of(gone, status, now=NOW + minutes * MINUTE)
        said = condition_of(status, S)
        assert (minutes, said.reason) == (minutes, want)


def test_what_is_written_begins_the_time_anew() -> None:
    """E.g. a queue that admits a job which was suspended for days."""
    status = status_of(Snapshot(prep=FINISHED, training=written(pytorchjob(), 60)))
    admitted = Snapshot(prep=FINISHED, training=written(pytorchjob(), 1))
    said = condition_of(status_of(admitted, status), S)
    assert said.reason == "Pending"


def test_leftovers_that_nobody_collects() -> None:
    left = snapshot_of(prep=prep_job(owner=OTHER_UID))
    run = replace(RUN, plan=plan(), document=training())
    late = NOW - timedelta(minutes=58)  # an hour after the run's creation less that
    for now, reason in ((late - timedelta(seconds=1), "Pending"), (late, "NoController")):
        said = condition_of(judge(run, observe(run, left), now), P)
        assert said.reason == reason
    assert said.message == (
        "waits since 2026-03-01T11:00:00Z until Job x-prep of an earlier run with this name is "
        "deleted: the garbage collector of kube-controller-manager has not done it; see that it "
        "runs, and which finalizers hold what is left, or delete it"
    )


def test_what_an_old_pod_uses_is_rightly_left() -> None:
    left = snapshot_of(prep=prep_job(owner=OTHER_UID), pods=(pod(pytorchjob(), running()),))
    run = replace(RUN, plan=plan(), document=training())
    said = condition_of(judge(run, observe(run, left), NOW), P)
    assert said.reason == "PodRemains"  # its way out is that of what it uses, too


def test_nobody_is_blamed_for_a_leftover_while_pods_cannot_be_read() -> None:
    """One of them may use it."""
    run = replace(RUN, plan=plan(), document=training())
    left = snapshot_of(prep=prep_job(owner=OTHER_UID))
    unread = replace(left, unread={"pods": "list pods: 503"})
    said = [condition_of(judge(run, observe(run, each), NOW), P) for each in (left, unread)]
    assert [each.reason for each in said] == ["NoController", "Unreadable"]


def test_a_pod_that_a_sidecar_keeps_open_is_named_at_the_end() -> None:
    statuses = [
        {"name": "pytorch", "state": ended()},
        {"name": "istio-proxy", "state": running()},
    ]
    kept = pod(JOB, phase="Running", containerStatuses=statuses)
    for end, want in (
        (SUCCEEDED, "x-1 has finished"),
        (JOB_FAILED, "training goes on when its next pod has a node"),
    ):
        snapshot = Snapshot(prep=FINISHED, training=pytorchjob(end), pods=(kept,))
        said = condition_of(status_of(snapshot), R)
        assert said.message == (
            f"{want}, but istio-proxy, which is not ours, keeps x-1-master-0 open; delete that pod"
        )


def test_without_a_time_of_writing_nothing_is_said() -> None:
    for snapshot in (
        Snapshot(prep=FINISHED, training=pytorchjob()),
        Snapshot(prep=FINISHED, training=pytorchjob(), pods=(over(JOB),)),
        Snapshot(prep=FINISHED, training=pytorchjob(), pods=(pod(JOB),)),
        Snapshot(prep=FINISHED, training=pytorchjob(), pods=(written(over(JOB), 60),)),
        Snapshot(prep=FINISHED, training=written(pytorchjob(), 60), pods=(over(JOB),)),
    ):
        reasons = {each.reason for each in judge(run_of(), observe(RUN, snapshot), NOW).conditions}
        assert "NoController" not in reasons


def test_success_is_not_certain_while_pods_cannot_be_read() -> None:
    """Nor is a controller's omission: what it should have done may be there."""
    lives = CASES["succeeded, and its pod lives on"].snapshot
    trains = status_of(Snapshot(prep=FINISHED, training=JOB, pods=(pod(JOB, running()),)))
    for before, want in ((trains, "False"), (None, "Unknown")):
        unread = replace(lives, pods=(), unread={"pods": "list pods of team: forbidden"})
        assert condition_of(status_of(unread, before), "Complete").status == want
    late = NOW + timedelta(hours=1)
    for case in ("a PyTorchJob that had its first status", "a pod that no kubelet takes"):
        unread = replace(CASES[case].snapshot, pods=(), unread={"pods": "forbidden"})
        said = {each.reason for each in status_of(unread, trains, now=late).conditions}
        assert "NoController" not in said
