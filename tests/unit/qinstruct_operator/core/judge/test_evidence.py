"""What is read of a log and of a failed workload, by how far the run is."""

import pytest

from qinstruct_operator.api.status import FailureStatus, Status
from qinstruct_operator.core.judge.evidence import Evidence
from qinstruct_operator.core.judge.observe import Snapshot
from support.observed import (
    COMPLETE,
    JOB_FAILED,
    NOW,
    ended,
    failed_event,
    lines,
    pod,
    prep_event,
    prep_job,
    pytorchjob,
    run_of,
    running,
    seen,
    start_event,
    status_of,
    step_event,
)

LOG = lines(prep_event(10), start_event(), step_event(3))
PREP, DONE, JOB = prep_job(), prep_job(COMPLETE), pytorchjob()
LOST = pytorchjob(JOB_FAILED)
OF_PREP, OF_JOB = (pod(PREP, running()),), (pod(JOB, running()),)


def evidence_of(snapshot: Snapshot, previous: Status | None = None) -> Evidence:
    return Evidence.of(run_of(previous), seen(snapshot), NOW)


@pytest.mark.parametrize(
    ("snapshot", "prepared", "reads_prep", "reads_training"),
    [
        (Snapshot(prep=PREP, pods=OF_PREP, log=LOG), False, True, False),
        (Snapshot(prep=DONE, pods=OF_PREP, log=LOG), True, False, False),
        (Snapshot(prep=DONE, training=JOB, pods=OF_JOB, log=LOG), True, False, True),
        (Snapshot(training=JOB, pods=OF_JOB, log=LOG), True, False, True),
        (Snapshot(log=LOG), False, False, False),  # the log of another run's container
    ],
    ids=["prep", "prepared", "training", "training after a clean-up", "no workload"],
)
def test_a_log_is_read_as_that_of_the_workload_at_work(
    snapshot: Snapshot, prepared: bool, reads_prep: bool, reads_training: bool
) -> None:
    evidence = evidence_of(snapshot)
    assert evidence.prepared == prepared
    assert (evidence.prep is not None) == reads_prep
    assert (evidence.training is not None) == reads_training
    assert bool(evidence.training and evidence.training.status) == reads_training


def test_prepared_stays_so_when_the_prep_job_is_deleted() -> None:
    assert evidence_of(Snapshot(), status_of(Snapshot(prep=DONE))).prepared


def test_a_failure_has_the_attempt_of_training_and_none_of_prep() -> None:
    bad = lines(failed_event("BadData", "record 7 is broken", 65))
    of_prep = evidence_of(Snapshot(prep=PREP, pods=(pod(PREP, ended(65)),), log=bad)).failure
    of_training = evidence_of(
        Snapshot(training=LOST, pods=(pod(LOST, ended(65)),), log=bad)
    ).failure
    assert of_prep
    assert of_training
    assert (of_prep.reason, of_prep.attempt) == ("BadData", None)
    assert (of_training.reason, of_training.attempt) == ("BadData", 1)


def test_a_workload_at_work_has_not_failed() -> None:
    assert evidence_of(Snapshot(training=JOB, pods=(pod(JOB, running()),))).failure is None


@pytest.mark.parametrize(("attempt", "kept"), [(1, True), (None, False)])
def test_the_failure_of_a_deleted_pod_is_kept_for_its_own_attempt(
    attempt: int | None, kept: bool
) -> None:
    before = FailureStatus(reason="OutOfMemory", message="lower it", attempt=attempt)
    failure = evidence_of(Snapshot(training=LOST), Status(failure=before)).failure
    assert failure
    assert (failure == before) == kept
    assert (failure.reason == "PodLost") != kept
