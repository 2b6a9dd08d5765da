"""What a workload says of itself, its newest pod, and the events about both."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from qinstruct_operator.core.judge.observe import Observed, Snapshot
from qinstruct_operator.core.judge.pods import Container, Pod
from qinstruct_operator.core.judge.workloads import Quiet, Workload
from qinstruct_operator.kinds import CLAIM
from support.observed import (
    COMPLETE,
    CREATED,
    JOB_FAILED,
    SUCCEEDED,
    Raw,
    condition,
    deleting,
    ended,
    pod,
    prep_job,
    pytorchjob,
    running,
    seen,
    snapshot_of,
    waiting,
    warning,
)

JOB = pytorchjob()
FAILED_JOB = pytorchjob(JOB_FAILED)


OUTPUT_ID, CACHE_ID = (CLAIM, "x-output"), (CLAIM, "qinstruct-cache")


@dataclass(frozen=True)
class Case:
    snapshot: Snapshot
    want: Observed = field(default_factory=Observed)


RESUME = (
    'kubectl patch pytorchjob x-1 --type=merge --patch \'{"spec":{"runPolicy":{"suspend":false}}}\''
)
CASES = {
    "a finished prep Job": Case(
        snapshot_of(prep=prep_job(condition("SuccessCriteriaMet"), COMPLETE)),
        Observed(prep=Workload("x-prep", "succeeded", "CompletionsReached")),
    ),
    "a prep Job that is about to fail is active": Case(
        snapshot_of(prep=prep_job(condition("FailureTarget", "PodFailurePolicy"))),
        Observed(prep=Workload("x-prep", "active")),
    ),
    "a PyTorchJob in its queue": Case(
        snapshot_of(training=pytorchjob(condition("Created"), condition("Suspended"), queue="a")),
        Observed(training=Workload("x-1", "active", suspended=True, queue="a", resume=RESUME)),
    ),
    "a PyTorchJob that its queue takes back": Case(
        snapshot_of(
            training=pytorchjob() | {"spec": {"runPolicy": {"suspend": True}}},
            pods=(pod(JOB, node=None),),
        ),
        Observed(
            training=Workload(
                "x-1",
                "active",
                suspended=True,
                resume=RESUME,
                pod=Pod("x-1-master-0", "Pending", None, CREATED, uid="uid-x-1-master-0"),
            )
        ),
    ),
    "a pod that failed when its queue took it back": Case(
        snapshot_of(
            training=pytorchjob() | {"spec": {"runPolicy": {"suspend": True}}},
            pods=(pod(JOB, None, phase="Failed", node=None),),
        ),
        Observed(
            training=Workload(
                "x-1",
                "active",
                suspended=True,
                resume=RESUME,
                suspended_pod=Pod("x-1-master-0", "Failed", None, CREATED, uid="uid-x-1-master-0"),
            )
        ),
    ),
    "a PyTorchJob that ended, and is suspended as well": Case(
        snapshot_of(
            training=pytorchjob(SUCCEEDED) | {"spec": {"runPolicy": {"suspend": True}}},
        ),
        Observed(
            training=Workload(
                "x-1",
                "succeeded",
                "PyTorchJobSucceeded",
                "PyTorchJob x-1 is successfully completed.",
            )
        ),
    ),
    "a prep Job that is being deleted": Case(
        snapshot_of(prep=deleting(prep_job(), 2, 60, "foregroundDeletion")),
        Observed(
            prep=Workload(
                "x-prep",
                "active",
                deleted=datetime(2026, 3, 1, 11, 58, tzinfo=UTC),
                finalizers=("foregroundDeletion",),
            )
        ),
    ),
    "a PyTorchJob that nobody has seen": Case(
        snapshot_of(training=JOB | {"status": {}}),
        Observed(
            training=Workload(
                "x-1",
                "active",
                quiet=Quiet(
                    "the training-operator",
                    datetime(2026, 3, 1, 11, 0, tzinfo=UTC),
                    was_heard=False,
                ),
            )
        ),
    ),
    "a finished PyTorchJob": Case(
        snapshot_of(training=pytorchjob(condition("Running", status="False"), SUCCEEDED)),
        Observed(
            training=Workload(
                "x-1",
                "succeeded",
                "PyTorchJobSucceeded",
                "PyTorchJob x-1 is successfully completed.",
            )
        ),
    ),
    "the newest of its pods, by time and then by name": Case(
        snapshot_of(
            prep=prep_job(),
            pods=(
                pod(prep_job(), waiting(), name="x-prep-b", created="2026-03-01T11:05:00Z"),
                pod(prep_job(), ended(69), name="x-prep-z", created="2026-03-01T11:04:00Z"),
                pod(prep_job(), waiting(), name="x-prep-a", created="2026-03-01T11:05:00Z"),
                pod(JOB, ended(), name="x-9", created="2026-03-01T11:59:00Z"),
            ),
        ),
        Observed(
            prep=Workload(
                "x-prep",
                "active",
                pod=Pod(
                    "x-prep-b",
                    "Pending",
                    "gpu-1",
                    "2026-03-01T11:05:00Z",
                    container=Container("waiting", "ContainerCreating", name="prep"),
                    uid="uid-x-prep-b",
                ),
            )
        ),
    ),
    "a pod and its warnings, each once, newest last": Case(
        snapshot_of(
            training=JOB,
            pods=(pod(JOB, node=None),),
            events=(
                warning(JOB, "B", "second", last="2026-03-01T11:20:00Z"),
                warning(pod(JOB), "A", "first", last="2026-03-01T11:10:00Z"),
                warning(JOB, "B", "second", last="2026-03-01T11:05:00Z"),
                warning(JOB, "C", "normal") | {"type": "Normal"},
                warning(prep_job(), "D", "of another"),
            ),
        ),
        Observed(
            training=Workload(
                "x-1",
                "active",
                pod=Pod("x-1-master-0", "Pending", None, CREATED, uid="uid-x-1-master-0"),
                warnings=("A: first", "B: second"),
            )
        ),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_a_snapshot_says(case: Case) -> None:
    assert seen(case.snapshot) == case.want


OVER = {
    "active, no pod": (JOB, None, (False, False)),
    "active, its pod runs": (JOB, pod(JOB, running(), phase="Running"), (False, False)),
    "active, its pod ended well": (JOB, pod(JOB, ended()), (False, False)),
    "active, its pod ended badly": (JOB, pod(JOB, ended(1)), (False, True)),
    "failed, its container still saves": (
        FAILED_JOB,
        pod(FAILED_JOB, running(), phase="Running"),
        (False, False),
    ),
    "failed, its container has ended": (FAILED_JOB, pod(FAILED_JOB, ended(75)), (True, True)),
    "failed, its container ended well": (FAILED_JOB, pod(FAILED_JOB, ended()), (True, True)),
    "failed, its pod never had a container": (
        FAILED_JOB,
        pod(FAILED_JOB, None, phase="Failed"),
        (True, True),
    ),
    "failed, its pod is gone": (FAILED_JOB, None, (True, True)),
    "succeeded, its pod is gone": (pytorchjob(SUCCEEDED), None, (True, False)),
}


@pytest.mark.parametrize(("job", "of_job", "want"), OVER.values(), ids=OVER)
def test_whether_it_is_over_and_has_failed(
    job: Raw, of_job: Raw | None, want: tuple[bool, bool]
) -> None:
    workload = seen(snapshot_of(training=job, pods=(of_job,) if of_job else ())).training
    assert workload is not None
    assert (workload.is_over, workload.has_failed) == want
