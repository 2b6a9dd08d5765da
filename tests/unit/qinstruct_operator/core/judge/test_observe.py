"""What raw objects say about a run: whose they are, which pod counts, whether it is over."""

from dataclasses import dataclass, field, replace

import pytest

from qinstruct_operator.core.children import build_children
from qinstruct_operator.core.judge.observe import Claim, Observed, Snapshot
from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_operator.kinds import CLAIM
from support.observed import (
    CONFIG_ID,
    CREATED,
    JOB_FAILED,
    OTHER_UID,
    claim,
    config_map,
    plan,
    prep_job,
    pytorchjob,
    seen,
    snapshot_of,
)

OUTPUT = Claim("Bound", created=CREATED, is_ours=True, made_for="x")
CACHE = replace(OUTPUT, made_for="")

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
            claims={
                "x-output": OUTPUT,
                "qinstruct-cache": replace(CACHE, phase="Pending"),
            },
            log=("a", "b"),
        ),
    ),
    "claims that are not there": Case(
        snapshot_of(claims={"x-output": None}), Observed(absent_claims=("x-output",))
    ),
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
            claims={"x-output": OUTPUT},
        ),
    ),
    "a claim that an earlier run kept may be used again": Case(
        snapshot_of(claims={"x-output": claim(owner=None)}),
        Observed(support=frozenset({OUTPUT_ID}), claims={"x-output": OUTPUT}),
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
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_a_snapshot_says(case: Case) -> None:
    assert seen(case.snapshot) == case.want


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
        claims={
            "qinstruct-cache": CACHE,
            "x-output": replace(OUTPUT, phase="Pending"),
        },
    )
