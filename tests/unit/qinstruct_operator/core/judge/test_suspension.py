"""When a workload is suspended or let go on, by which patch, and what that waits for."""

from dataclasses import replace
from typing import Any

import pytest

from qinstruct_operator.constants import ANNOTATION_SUSPENDED, LABEL_QUEUE
from qinstruct_operator.core.decide import Patch, decide
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import Observed, Snapshot, observe
from qinstruct_operator.core.judge.suspension import (
    goes_on_without,
    not_suspended,
    queue_decides,
    suspended_twice,
    suspension_due,
)
from qinstruct_operator.core.run import Run
from support.observed import (
    COMPLETE,
    JOB_FAILED,
    NOW,
    SUCCEEDED,
    Raw,
    claim,
    deleting,
    ended,
    message,
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
IN_QUEUE: Raw = {"labels": JOB["metadata"]["labels"] | {LABEL_QUEUE: "gpus"}}
QUEUED = HELD | {"metadata": HELD["metadata"] | IN_QUEUE}
LET_GO = HELD | {"spec": {"runPolicy": {"suspend": False}}}
ENDING = deleting(pod(HELD, running()))
CASES: dict[str, tuple[bool | None, Snapshot, bool | None]] = {
    "training runs": (True, snapshot_of(training=JOB, pods=(pod(JOB, running()),)), True),
    "training waits": (True, snapshot_of(training=JOB), True),
    "training is suspended": (True, snapshot_of(training=HELD), None),
    "somebody let it go on": (
        True,
        snapshot_of(training=LET_GO),
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
    "training has ended, and the verdict is to come": (
        True,
        snapshot_of(training=JOB, pods=(pod(JOB, ended(0)),)),
        None,
    ),
    "prep is between two pods": (True, snapshot_of(prep=PREP, pods=(pod(PREP, ended(69)),)), True),
    "it is being deleted": (True, snapshot_of(training=deleting(JOB)), None),
    "it was suspended, and is being deleted": (False, snapshot_of(training=deleting(HELD)), None),
    "in a queue since it was suspended": (False, snapshot_of(training=QUEUED), None),
    "let go on by somebody, and still marked": (False, snapshot_of(training=LET_GO), False),
    "let go on by somebody, in a queue": (
        False,
        snapshot_of(training=LET_GO | {"metadata": LET_GO["metadata"] | IN_QUEUE}),
        None,
    ),
    "its output is gone": (
        False,
        snapshot_of(training=HELD, claims={"x-output": None}),
        None,
    ),
    "its output is being deleted": (
        False,
        snapshot_of(training=HELD, claims={"x-output": deleting(claim())}),
        None,
    ),
    "prep's claim has lost its volume": (
        False,
        snapshot_of(prep=suspended(PREP), claims={"x-output": claim(phase="Lost")}),
        None,
    ),
    "it is suspended although its output is gone": (
        True,
        snapshot_of(training=JOB, claims={"x-output": None}),
        True,
    ),
    "it is suspended although its ConfigMap cannot be read": (
        True,
        replace(snapshot_of(training=JOB), unread={"support": "no"}),
        True,
    ),
    "nobody can read whether its output is there": (
        False,
        replace(snapshot_of(training=HELD), unread={"support": "no"}),
        None,
    ),
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


@pytest.mark.parametrize(
    ("suspend", "raw", "said"),
    [
        (True, suspended(JOB, by_spec=False), True),
        (False, suspended(JOB, by_spec=False), False),
        (True, HELD, False),
        (True, JOB, False),
        (True, suspended(pytorchjob(queue="gpus"), by_spec=False), False),
    ],
)
def test_what_is_suspended_by_a_person_and_by_the_spec(suspend: bool, raw: Raw, said: bool) -> None:
    run = wanted(suspend)
    workload = observe(run, snapshot_of(training=raw)).training
    assert workload is not None
    want = "; set spec.suspend to false first, or it is suspended again"
    assert suspended_twice(run, workload) == (want if said else "")
    status = judge(run, observe(run, snapshot_of(training=raw)), NOW)
    assert message(status, "Scheduled").endswith(want) == said


def test_a_mark_that_is_left_is_taken_away() -> None:
    patch = patch_of(wanted(False), snapshot_of(training=LET_GO))
    assert patch is not None
    assert patch["metadata"]["annotations"] == {ANNOTATION_SUSPENDED: None}
    assert patch["spec"] == {"runPolicy": {"suspend": False}}


def test_nothing_is_said_of_how_it_goes_on_while_it_is_deleted() -> None:
    run = wanted(False)
    seen = observe(run, snapshot_of(training=deleting(HELD), pods=(ENDING,)))
    assert seen.training is not None
    assert goes_on_without(run, seen, seen.training) == ""


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
