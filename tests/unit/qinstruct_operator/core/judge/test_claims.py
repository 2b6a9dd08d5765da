"""Whether an output claim that was there before the run is the one that it asks for."""

from typing import Any

import pytest

from qinstruct_operator.core.judge.claims import claim_mismatch
from support.observed import Raw, claim, plan, run_of, seen, snapshot_of

ASKED = {"size": "600Gi", "storageClassName": "fast"}
WAYS_OUT = "; or delete the claim with all that is saved on it, or give the run another name"
ENLARGE = (
    "claim x-output was there before this run, and has 500Gi where 600Gi is asked for: enlarge it, "
    "`kubectl patch pvc x-output --namespace team --patch "
    """'{"spec":{"resources":{"requests":{"storage":"600Gi"}}}}'`"""
)
CLASS = (
    "has storage class slow, not spec.output.storageClassName fast: create the run again without "
    "that field"
)


def found(
    size: str = "600Gi",
    storage_class: str | None = "fast",
    modes: tuple[str, ...] = ("ReadWriteMany",),
    capacity: str | None = None,
) -> Raw:
    spec: dict[str, Any] = {"resources": {"requests": {"storage": size}}, "accessModes": [*modes]}
    spec |= {"storageClassName": storage_class} if storage_class else {}
    status = {"phase": "Bound"} | ({"capacity": {"storage": capacity}} if capacity else {})
    return claim() | {"spec": spec, "status": status}


CASES: dict[str, tuple[Raw, dict[str, Any], str]] = {
    "as asked": (found(), ASKED, ""),
    "nothing is known of it": (claim(), ASKED, ""),
    "larger": (found("1Ti"), ASKED, ""),
    "in other units": (found("644245094400"), ASKED, ""),
    "the volume is larger than the claim": (found("500Gi", capacity="600Gi"), ASKED, ""),
    "being enlarged": (found("600Gi", capacity="500Gi"), ASKED, ""),
    "a size that is none": (found("many"), ASKED, ""),
    "the cluster's default class": (found(storage_class=None), ASKED, ""),
    "any class will do": (found(storage_class="slow"), {"size": "600Gi"}, ""),
    "smaller": (found("500Gi", capacity="500Gi"), ASKED, ENLARGE + WAYS_OUT),
    "another class": (
        found(storage_class="slow"),
        ASKED,
        f"claim x-output was there before this run, and {CLASS}{WAYS_OUT}",
    ),
    "another access mode": (
        found(modes=("ReadWriteOnce",)),
        ASKED,
        "claim x-output was there before this run, and has access mode ReadWriteOnce, not "
        "ReadWriteMany, which prep and training on different nodes need: create the run again "
        f"with this claim's name as spec.output.claimName to use it as it is{WAYS_OUT}",
    ),
    "all at once": (
        found("500Gi", "slow"),
        ASKED,
        f"{ENLARGE}, and {CLASS}{WAYS_OUT}",
    ),
}


@pytest.mark.parametrize(("raw", "output", "want"), CASES.values(), ids=CASES)
def test_what_is_wrong_with_it(raw: Raw, output: dict[str, Any], want: str) -> None:
    run = run_of(made=plan(output=output))
    assert claim_mismatch(run, seen(snapshot_of(claims={"x-output": raw}))) == want


def test_a_size_that_follows_from_the_run_counts_too() -> None:
    small = seen(snapshot_of(claims={"x-output": found("1Gi", None)}))
    assert "has 1Gi where" in claim_mismatch(run_of(), small)


def test_claims_that_are_not_the_runs_own_are_left_alone() -> None:
    claims = {"mine": found("1Gi", "slow", ("ReadWriteOnce",)), "qinstruct-cache": found("1Gi")}
    observed = seen(snapshot_of(claims=claims))
    assert claim_mismatch(run_of(made=plan(output={"claimName": "mine"})), observed) == ""
    assert claim_mismatch(run_of(), seen(snapshot_of())) == ""
