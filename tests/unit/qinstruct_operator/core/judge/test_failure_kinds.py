"""Each way in which an attempt can end, and what it means for its run."""

import re
from typing import Any, Final

import pytest

from qinstruct_operator.api.status import FailureKind, FailureStatus
from qinstruct_operator.core.judge.failure import failure, lost
from qinstruct_operator.core.judge.failure_kinds import CASES, Ended, case_of
from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.core.judge.reasons import FAILURES
from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_trainer.contract import errors
from qinstruct_trainer.contract.errors import EXIT_OK, EXIT_SOFTWARE
from qinstruct_trainer.supervisor.decide import TRANSIENT
from support.observed import (
    JOB_FAILED,
    Raw,
    condition,
    deleting,
    ended,
    failed_event,
    lines,
    pod,
    pytorchjob,
    seen,
)
from support.operator_documents import ROOT

JOB: Final = pytorchjob(JOB_FAILED)
TAINTED: Final = condition("DisruptionTarget", "DeletionByTaintManager")
PREEMPTED: Final = condition("DisruptionTarget", "PreemptionByScheduler")


def exits(code: int, *conditions: Raw, reason: str | None = None, **status: Any) -> Raw:
    return pod(JOB, ended(code, reason), *conditions, phase="Failed", **status)


def says(word: str, code: int, *conditions: Raw, **status: Any) -> Raw:
    """A pod whose trainer has left its last word."""
    (line,) = lines(failed_event(word, "why", code))
    return pod(JOB, ended(code, message=line), *conditions, phase="Failed", **status)


def refused(word: str) -> Raw:
    return pod(JOB, phase="Failed", reason=word, message="Pod was rejected: no")


def evicted(message: str) -> Raw:
    return pod(JOB, ended(137), phase="Failed", reason="Evicted", message=message)


KINDS: Final[dict[str, tuple[Raw | None, FailureKind]]] = {
    # By exit code alone.
    "1: nobody says why": (exits(1), "Transient"),
    "65: bad data": (exits(65), "Permanent"),
    "69: a source is away": (exits(69), "Transient"),
    "70: its word is lost": (exits(70), "Permanent"),
    "71: a GPU": (exits(71), "Transient"),
    "74: a disk": (exits(74), "Transient"),
    "75: asked to stop": (exits(75), "Disruption"),
    "76: a peer": (exits(76), "Transient"),
    "78: bad configuration": (exits(78), "Permanent"),
    "124: a rank hangs": (exits(124), "Transient"),
    "134": (exits(134), "Transient"),
    "137, and no word of memory": (exits(137), "Transient"),
    "139": (exits(139), "Transient"),
    "143: SIGTERM": (exits(143), "Disruption"),
    "0, beside a verdict of failure": (exits(0), "Transient"),
    # By the trainer's own word.
    "BadConfig": (says("BadConfig", 78), "Permanent"),
    "BadData": (says("BadData", 65), "Permanent"),
    "OutOfMemory": (says("OutOfMemory", 70), "Permanent"),
    "Bug": (says("Bug", 70), "Permanent"),
    "NonFiniteLoss, the first time": (says("NonFiniteLoss", 70), "Transient"),
    "GpuFailed": (says("GpuFailed", 71), "Transient"),
    "PeerLost": (says("PeerLost", 76), "Transient"),
    "Stalled": (says("Stalled", 124), "Transient"),
    "Killed": (says("Killed", 137), "Transient"),
    "Storage": (says("Storage", 74), "Transient"),
    "Unavailable": (says("Unavailable", 69), "Transient"),
    "OutputBusy: what nobody sees may still hold the lease": (says("OutputBusy", 69), "Transient"),
    "a word of a newer trainer": (says("Earthquake", 99), "Transient"),
    "a newer word for a bad configuration": (says("BadWeather", 78), "Permanent"),
    "a newer word for a stop": (says("Sunset", 143), "Disruption"),
    # By what the cluster did.
    "OOMKilled": (exits(137, reason="OOMKilled"), "Permanent"),
    "preempted": (exits(143, PREEMPTED), "Disruption"),
    "its node is lost": (exits(137, TAINTED), "Disruption"),
    "drained, and its ranks lost each other": (says("PeerLost", 76, TAINTED), "Disruption"),
    "drained, and its configuration is bad": (says("BadConfig", 78, TAINTED), "Permanent"),
    "Evicted": (pod(JOB, ended(137), phase="Failed", reason="Evicted"), "Disruption"),
    "Evicted, and it said so": (says("Killed", 137, reason="Evicted"), "Disruption"),
    "NodeShutdown": (refused("NodeShutdown"), "Disruption"),
    "Terminated by a shutdown": (
        pod(JOB, ended(143), phase="Failed", reason="Terminated"),
        "Disruption",
    ),
    "Preempting": (pod(JOB, ended(143), phase="Failed", reason="Preempting"), "Disruption"),
    "OutOfnvidia.com/gpu": (refused("OutOfnvidia.com/gpu"), "Disruption"),
    "UnexpectedAdmissionError": (refused("UnexpectedAdmissionError"), "Disruption"),
    "NodeAffinity": (refused("NodeAffinity"), "Disruption"),
    "TopologyAffinityError": (refused("TopologyAffinityError"), "Disruption"),
    "a word of a newer kubelet": (refused("PodOSNotSupported"), "Disruption"),
    "ContainerStatusUnknown": (exits(137, reason="ContainerStatusUnknown"), "Disruption"),
    "deleted, and killed at the end of its grace": (deleting(exits(137)), "Disruption"),
    "deleted, and saved": (deleting(says("Stopped", 75)), "Disruption"),
    "failed, and deleted since": (deleting(exits(137), 0.5, 0, "foregroundDeletion"), "Transient"),
    "deleted before it ran": (deleting(pod(JOB, phase="Failed")), "Disruption"),
    "gone": (None, "Disruption"),
    "Evicted for its own limit": (
        evicted("Pod ephemeral local storage usage exceeds the total limit of containers 10Gi. "),
        "Transient",
    ),
    "Evicted for its container's": (
        evicted('Container pytorch exceeded its local ephemeral storage limit "10Gi". '),
        "Transient",
    ),
    "Evicted for its volume's": (
        evicted('Usage of EmptyDir volume "shm" exceeds the limit "1Gi". '),
        "Transient",
    ),
    "Evicted for what its node lacks": (
        evicted(
            "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: "
            "9Gi. Container pytorch was using 12Gi, request is 0, has larger consumption of "
            "ephemeral-storage. "
        ),
        "Disruption",
    ),
    "DeadlineExceeded, and killed": (
        pod(JOB, ended(137), phase="Failed", reason="DeadlineExceeded"),
        "Permanent",
    ),
    "DeadlineExceeded, and saved": (says("Stopped", 75, reason="DeadlineExceeded"), "Permanent"),
    "a sidecar failed": (
        pod(
            JOB,
            phase="Failed",
            containerStatuses=[
                {"name": "istio-proxy", "state": ended(1)},
                {"name": "pytorch", "state": ended()},
            ],
        ),
        "Transient",
    ),
    "an init container failed": (
        pod(JOB, phase="Failed", initContainerStatuses=[{"name": "proxy", "state": ended(3)}]),
        "Transient",
    ),
}


def workload_of(raw: Raw | None) -> Workload:
    found = seen(Snapshot(training=JOB, pods=(raw,) if raw else ())).training
    assert found is not None
    return found


def ended_with(raw: Raw | None, *, again: bool = False) -> Ended:
    workload = workload_of(raw)
    return Ended(failure(workload, 1, ()), workload.pod, again)


@pytest.mark.parametrize(("raw", "kind"), KINDS.values(), ids=KINDS)
def test_what_an_end_means(raw: Raw | None, kind: FailureKind) -> None:
    assert case_of(ended_with(raw)).kind == kind


def test_a_workload_that_was_deleted() -> None:
    assert case_of(Ended(lost("PyTorchJob", "x", 1))).kind == "Disruption"


def test_a_loss_that_is_not_finite_at_the_same_step_will_not_be() -> None:
    assert case_of(ended_with(says("NonFiniteLoss", 70), again=True)).kind == "Permanent"
    assert case_of(ended_with(says("GpuFailed", 71), again=True)).kind == "Transient"


def test_each_row_decides_something() -> None:
    decided = {case_of(ended_with(raw)).what for raw, _ in KINDS.values()}
    decided.add(case_of(ended_with(says("NonFiniteLoss", 70), again=True)).what)
    assert decided == {case.what for case in CASES}


@pytest.mark.parametrize("reason", FAILURES)
def test_each_reason_has_a_kind(reason: str) -> None:
    assert case_of(Ended(FailureStatus(reason=reason, attempt=1))).kind in (
        "Disruption",
        "Transient",
        "Permanent",
    )


@pytest.mark.parametrize("code", sorted(TRANSIENT))
def test_what_is_tried_again_in_place_is_tried_again_elsewhere(code: int) -> None:
    assert case_of(ended_with(exits(code))).kind == "Transient"


def test_the_documents_say_the_same_of_each_exit_code() -> None:
    said: dict[str, str] = {}
    for line in (ROOT / "docs" / "recovery.md").read_text("utf-8").splitlines():
        row = re.match(r"\| (Disruption|Transient|Permanent) \|.*?exit code ([0-9, ]+)", line)
        if row:
            said |= dict.fromkeys(re.findall(r"\d+", row[2]), row[1])
    assert {name: case_of(ended_with(exits(int(name)))).kind for name in said} == said
    own = [getattr(errors, name) for name in dir(errors) if name.startswith("EXIT_")]
    unsaid = {EXIT_OK, EXIT_SOFTWARE}  # the latter's words are named one by one
    assert {int(name) for name in said} >= {*own, *TRANSIENT} - unsaid


def test_a_deadline_is_told_although_the_trainer_says_that_it_was_stopped() -> None:
    told = failure(workload_of(says("Stopped", 75, reason="DeadlineExceeded")), 1, ())
    assert told.reason == "DeadlineExceeded"
    assert "raise spec.scheduling.activeDeadlineSeconds" in (told.message or "")


def test_a_job_that_its_controller_refuses_has_no_pod_that_is_gone() -> None:
    said = condition("Failed", "PyTorchJobFailedValidation", "PyTorchJob x-1 is not valid.")
    workload = seen(Snapshot(training=pytorchjob(said))).training
    assert workload is not None
    failed = failure(workload, 1, ())
    assert (failed.reason, failed.message) == (
        "Error",
        "x-1 was refused before it had a pod: PyTorchJob x-1 is not valid",
    )
    assert case_of(Ended(failed)).kind == "Transient"
