"""When a workload is suspended or let go on, by which patch, and what that waits for."""

from dataclasses import replace
from typing import Any

import pytest

from qinstruct_operator.core.decide import Patch, decide
from qinstruct_operator.core.judge.observe import Observed, Snapshot, observe
from qinstruct_operator.core.judge.suspension import (
    goes_on_without,
    not_suspended,
    queue_decides,
    suspension_due,
)
from qinstruct_operator.core.run import Run
from support.observed import (
    COMPLETE,
    JOB_FAILED,
    NOW,
    SUCCEEDED,
    Raw,
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
)

JOB, PREP, DONE = pytorchjob(), prep_job(), prep_job(COMPLETE)
PREPARED = status_of(snapshot_of(prep=DONE))


def wanted(suspend: bool | None) -> Run:
    spec = None if suspend is None else plan(suspend=suspend).spec
    return replace(run_of(PREPARED), spec=spec)


def suspended(raw: Raw, by_spec: bool = True) -> Raw:
    """A workload that is suspended, by the run's spec or by somebody else."""
    notes = {"annotations": {"qinstruct.dev/suspended": "true"}} if by_spec else {}
    flag = {"runPolicy": {"suspend": True}} if raw["kind"] == "PyTorchJob" else {"suspend": True}
    return raw | {"metadata": raw["metadata"] | notes, "spec": flag}


HELD = suspended(JOB)
ENDING = deleting(pod(HELD, running()))
CASES: dict[str, tuple[bool | None, Snapshot, bool | None]] = {
    "training runs": (True, snapshot_of(training=JOB, pods=(pod(JOB, running()),)), True),
    "training waits": (True, snapshot_of(training=JOB), True),
    "training is suspended": (True, snapshot_of(training=HELD), None),
    "somebody let it go on": (
        True,
        snapshot_of(training=HELD | {"spec": {"runPolicy": {"suspend": False}}}),
        True,
    ),
    "prep runs": (True, snapshot_of(prep=PREP, pods=(pod(PREP, running()),)), True),
    "prep is suspended": (True, snapshot_of(prep=suspended(PREP)), None),
    "nobody wants it": (False, snapshot_of(training=JOB, pods=(pod(JOB, running()),)), None),
    "training goes on": (False, snapshot_of(training=HELD), False),
    "its pod is still ending": (False, snapshot_of(training=HELD, pods=(ENDING,)), None),
    "its pod is over, and still there": (
        False,
        snapshot_of(training=HELD, pods=(pod(HELD, ended(75), phase="Failed"),)),
        None,
    ),
    "a second pod of it": (
        False,
        snapshot_of(
            training=HELD, pods=(pod(HELD, ended(75)), pod(HELD, running(), name="x-1-master-1"))
        ),
        None,
    ),
    "prep goes on beside its pod": (
        False,
        snapshot_of(prep=suspended(PREP), pods=(deleting(pod(PREP, running())),)),
        False,
    ),
    "somebody else has suspended it": (
        False,
        snapshot_of(training=suspended(JOB, by_spec=False)),
        None,
    ),
    "in a queue": (True, snapshot_of(training=pytorchjob(queue="gpus")), None),
    "held by a queue": (False, snapshot_of(training=suspended(pytorchjob(queue="gpus"))), None),
    "training has failed": (True, snapshot_of(training=pytorchjob(JOB_FAILED)), None),
    "training has succeeded": (True, snapshot_of(training=pytorchjob(SUCCEEDED)), None),
    "nobody can read what is wanted": (None, snapshot_of(training=HELD), None),
    "the same of what runs": (None, snapshot_of(training=JOB), None),
}


def patch_of(run: Run, snapshot: Snapshot) -> dict[str, Any] | None:
    """What the run's pass sends, if that is a patch; a suspended run creates nothing."""
    actions = decide(run, observe(run, snapshot), NOW)
    assert not run.suspend or all(isinstance(each, Patch) for each in actions)
    return next((each.child.manifest for each in actions if isinstance(each, Patch)), None)


@pytest.mark.parametrize(("suspend", "snapshot", "due"), CASES.values(), ids=CASES)
def test_what_is_due(suspend: bool | None, snapshot: Snapshot, due: bool | None) -> None:
    run = wanted(suspend)
    seen = observe(run, snapshot)
    workload = seen.training or seen.prep
    assert workload is not None
    assert suspension_due(run, seen, workload) == due
    patch = patch_of(run, snapshot)
    assert (patch is not None) == (due is not None)
    assert patch is None or patch["metadata"]["name"] == workload.name


def test_the_patch_is_of_the_version_that_was_seen() -> None:
    raw = JOB | {"metadata": JOB["metadata"] | {"resourceVersion": "41"}}
    assert patch_of(wanted(True), snapshot_of(training=raw)) == {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {
            "name": "x-1",
            "namespace": "team",
            "resourceVersion": "41",
            "annotations": {"qinstruct.dev/suspended": "true"},
        },
        "spec": {"runPolicy": {"suspend": True}},
    }
    raw = suspended(PREP | {"metadata": PREP["metadata"] | {"resourceVersion": "42"}})
    assert patch_of(wanted(False), snapshot_of(prep=raw)) == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "x-prep",
            "namespace": "team",
            "resourceVersion": "42",
            "annotations": {"qinstruct.dev/suspended": None},
        },
        "spec": {"suspend": False},
    }


@pytest.mark.parametrize("snapshot", [snapshot_of(), snapshot_of(prep=DONE)])
def test_nothing_is_made_of_a_suspended_run(snapshot: Snapshot) -> None:
    assert decide(wanted(True), observe(wanted(True), snapshot), NOW) == ()
    assert decide(wanted(False), observe(wanted(False), snapshot), NOW)


def test_nothing_is_patched_beside_what_could_not_be_read() -> None:
    run = wanted(False)
    snapshot = replace(snapshot_of(training=HELD), unread={"pods": "no"})
    assert decide(run, observe(run, snapshot), NOW) == ()


def test_what_it_waits_for_and_why_it_cannot_be() -> None:
    run, snapshot = wanted(False), snapshot_of(training=HELD, pods=(ENDING,))
    seen = observe(run, snapshot)
    assert seen.training is not None
    said = "x-1 was suspended, and goes on when x-1-master-0 is gone"
    assert goes_on_without(run, seen, seen.training) == said
    assert goes_on_without(wanted(True), seen, seen.training) == ""
    assert not_suspended(Observed()) == ""
    assert not_suspended(Observed(refused="no")) == "; it cannot be suspended yet: no"
    assert (
        queue_decides(replace(seen.training, queue="gpus"))
        .sentence()
        .endswith(
            "what is in a queue (gpus); set spec.active of its Kueue Workload to false instead"
        )
    )
