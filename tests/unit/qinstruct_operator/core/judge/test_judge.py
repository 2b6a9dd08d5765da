"""The verdict on every state of a run."""

import pytest

from qinstruct_operator.api.status import Status
from qinstruct_operator.constants import CONDITION_FAILED
from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.core.judge.reasons import REASONS
from support.observed import message, plan, pod, pytorchjob, running, status_of, told
from support.status_cases import prep as status_cases_prep
from support.status_cases import training as status_cases_training
from support.status_cases.case import Case
from support.status_docs import tables

CASES = status_cases_prep.CASES | status_cases_training.CASES


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_verdict(case: Case) -> None:
    before = status_of(case.previous) if case.previous else None
    status = status_of(case.snapshot, before, violations=case.violations, refused=case.refused)
    assert (status.phase, told(status)) == (case.phase, case.conditions)
    for name, want in case.fields.items():
        assert (name, getattr(status, name)) == (name, want)
    if case.says:
        type_, sentence = case.says
        assert message(status, type_) == sentence
    assert Status.model_validate_json(status.model_dump_json()) == status


def test_every_reason_is_in_a_case() -> None:
    seen = {
        (type_, reason) for case in CASES.values() for type_, (_, reason) in case.conditions.items()
    }
    possible = {(type_, reason) for type_, all_ in REASONS.items() for reason in all_}
    assert seen <= possible
    # Reasons to wait and to fail have tables of their own.
    assert {reason for _, reason in possible - seen} <= {
        "PodRefused", "ClaimPending", "Blocked", "Unschedulable", "Queued", "Starting",
        "Pending", "Refused", "ImageUnavailable", *REASONS[CONDITION_FAILED],
    }  # fmt: skip


def test_a_finished_run_stays_as_it_is() -> None:
    for case in CASES.values():
        if case.phase in ("Complete", "Failed"):
            done = status_of(case.snapshot)
            for other in CASES.values():
                assert status_of(other.snapshot, done, refused=other.refused) == done


def test_a_run_without_gpus_uses_none() -> None:
    job = pytorchjob()
    snapshot = Snapshot(training=job, pods=(pod(job, running()),))
    status = status_of(snapshot, made=plan(size="Tiny", strategy="mix"))
    assert (status.phase, status.gpu_hours) == ("Loading", None)


def test_the_queue_is_the_planned_one() -> None:
    queued = plan(scheduling={"queueName": "gpus"})
    assert status_of(Snapshot(), made=queued).queue == "gpus"


def test_the_documents_say_the_same_statuses() -> None:
    said = {
        (condition, row["reason"]): row["status"].split(", ")
        for condition, rows in tables().items()
        for row in rows
        if condition in REASONS
    }
    for case in CASES.values():
        for type_, (status, reason) in case.conditions.items():
            assert status in said.get((type_, reason), ["False"])
