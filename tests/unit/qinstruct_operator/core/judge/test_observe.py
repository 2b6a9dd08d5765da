"""What raw objects say about a run: whose they are, which pod counts, whether it is over."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from qinstruct_operator.constants import TRAINING_CONTAINER
from qinstruct_operator.core.children import build_children
from qinstruct_operator.core.judge.observe import Claim, Observed, Snapshot
from qinstruct_operator.core.judge.pods import Container, Pod
from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_operator.kinds import CLAIM
from support.observed import (
    COMPLETE,
    CONFIG_ID,
    CREATED,
    JOB_FAILED,
    OTHER_UID,
    SUCCEEDED,
    Raw,
    claim,
    condition,
    config_map,
    ended,
    plan,
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


CASES = {
    "nothing": Case(snapshot_of(), Observed()),
    "all children of a run that waits": Case(
        snapshot_of(
            config=config_map(),
            prep=prep_job(),
            claims={"x-output": claim(), "qinstruct-cache": claim("qinstruct-cache", "Pending")},
            log=("a", "b"),
        ),
        Observed(
            support=frozenset({CONFIG_ID, OUTPUT_ID, CACHE_ID}),
            prep=Workload("x-prep", "active"),
            claims={"x-output": Claim("Bound"), "qinstruct-cache": Claim("Pending")},
            log=("a", "b"),
        ),
    ),
    "claims that are not there": Case(snapshot_of(claims={"x-output": None}), Observed()),
    "children of an earlier run of the name": Case(
        snapshot_of(
            config=config_map(owner=OTHER_UID),
            prep=prep_job(owner=OTHER_UID),
            training=pytorchjob(owner=OTHER_UID),
            claims={"x-output": claim(owner=OTHER_UID)},
        ),
        Observed(
            leftovers=(
                "ConfigMap x-config",
                "Job x-prep",
                "PyTorchJob x-1",
                "PersistentVolumeClaim x-output",
            ),
            support=frozenset({OUTPUT_ID}),
            claims={"x-output": Claim("Bound")},
        ),
    ),
    "a claim that an earlier run kept may be used again": Case(
        snapshot_of(claims={"x-output": claim(owner=None)}),
        Observed(support=frozenset({OUTPUT_ID}), claims={"x-output": Claim("Bound")}),
    ),
    "names that others have": Case(
        snapshot_of(
            config=config_map(owner=None),
            prep=prep_job(owner=OTHER_UID, ours=False),
            training=pytorchjob(owner=None, ours=False),
        ),
        Observed(taken=("ConfigMap x-config", "Job x-prep", "PyTorchJob x-1")),
    ),
    "an owner that does not control is none": Case(
        snapshot_of(
            prep=prep_job(owner=None)
            | {"metadata": {**prep_job()["metadata"], "ownerReferences": [{"uid": OTHER_UID}]}}
        ),
        Observed(leftovers=("Job x-prep",)),
    ),
    "a finished prep Job": Case(
        snapshot_of(prep=prep_job(condition("SuccessCriteriaMet"), COMPLETE)),
        Observed(prep=Workload("x-prep", "succeeded", "CompletionsReached")),
    ),
    "a prep Job that is about to fail is active": Case(
        snapshot_of(prep=prep_job(condition("FailureTarget", "PodFailurePolicy"))),
        Observed(prep=Workload("x-prep", "active")),
    ),
    "a PyTorchJob in its queue": Case(
        snapshot_of(training=pytorchjob(condition("Created"), condition("Suspended"))),
        Observed(training=Workload("x-1", "active", suspended=True)),
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
                pod(JOB, running(), created="2026-03-01T11:59:00Z"),
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
                    container=Container("waiting", "ContainerCreating"),
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
                pod=Pod("x-1-master-0", "Pending", None, CREATED),
                warnings=("A: first", "B: second"),
            )
        ),
    ),
    "a container that is not ours says nothing": Case(
        snapshot_of(
            training=JOB,
            pods=(
                pod(
                    JOB,
                    containerStatuses=[
                        {"name": "istio-proxy", "state": running()},
                        {"name": TRAINING_CONTAINER, "state": waiting("ErrImagePull")},
                        {"name": "vault-agent", "state": ended(1)},
                    ],
                ),
            ),
        ),
        Observed(
            training=Workload(
                "x-1",
                "active",
                pod=Pod(
                    "x-1-master-0",
                    "Pending",
                    "gpu-1",
                    CREATED,
                    sidecars=("istio-proxy",),
                    container=Container("waiting", "ErrImagePull"),
                ),
            )
        ),
    ),
    "everything that a pod can say": Case(
        snapshot_of(
            training=JOB,
            pods=(
                pod(
                    JOB,
                    ended(137, "OOMKilled", "out"),
                    condition("PodScheduled", "Unschedulable", "0/1 nodes", status="False"),
                    condition("DisruptionTarget", "PreemptionByScheduler"),
                    condition("PodReadyToStartContainers"),
                    phase="Failed",
                    reason="Evicted",
                    message="low on disk",
                ),
            ),
        ),
        Observed(
            training=Workload(
                "x-1",
                "active",
                pod=Pod(
                    "x-1-master-0",
                    "Failed",
                    "gpu-1",
                    CREATED,
                    reason="Evicted",
                    message="low on disk",
                    unschedulable="0/1 nodes",
                    disruption="PreemptionByScheduler",
                    has_sandbox=True,
                    container=Container(
                        "terminated",
                        "OOMKilled",
                        "out",
                        137,
                        started=datetime(2026, 3, 1, 11, 30, tzinfo=UTC),
                        finished=datetime(2026, 3, 1, 11, 59, tzinfo=UTC),
                    ),
                ),
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


def test_created_children_take_the_place_of_absent_ones() -> None:
    config, _, output, prep, training = build_children(plan())
    after = snapshot_of(claims={"x-output": None, "qinstruct-cache": claim("qinstruct-cache")})
    for child, raw in (
        (config, config_map()),
        (output, claim(phase="Pending")),
        (prep, prep_job()),
        (training, pytorchjob()),
    ):
        after = after.with_created(child, raw)
    assert seen(after) == Observed(
        prep=Workload("x-prep", "active"),
        training=Workload("x-1", "active"),
        support=frozenset({CONFIG_ID, OUTPUT_ID, CACHE_ID}),
        claims={"qinstruct-cache": Claim("Bound"), "x-output": Claim("Pending")},
    )
