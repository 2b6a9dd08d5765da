"""The conditions in every state of a run, and the documents' table of them."""

import pytest

from qinstruct_operator.constants import CONDITION_FAILED
from qinstruct_operator.core.judge.reasons import REASONS
from support.observed import condition_reasons, message, status_of
from support.status_cases import disturbed, prep, training
from support.status_cases.case import Case
from support.status_docs import tables

CASES = prep.CASES | training.CASES | disturbed.CASES


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_conditions(case: Case) -> None:
    before = status_of(case.previous) if case.previous else None
    status = status_of(case.snapshot, before, violations=case.violations, refused=case.refused)
    assert condition_reasons(status) == case.conditions
    if case.says:
        type_, sentence = case.says
        assert message(status, type_) == sentence


def test_every_reason_is_in_a_case() -> None:
    seen = {
        (type_, reason) for case in CASES.values() for type_, (_, reason) in case.conditions.items()
    }
    possible = {(type_, reason) for type_, all_ in REASONS.items() for reason in all_}
    assert seen <= possible
    # Reasons to wait and to fail have tables of their own.
    assert {reason for _, reason in possible - seen} <= {
        "PodRefused", "ClaimPending", "Blocked", "Unschedulable", "Queued", "Suspended", "Starting",
        "Pending", "PodRemains", "Refused", "EditIgnored", "ImageUnavailable", "NoController",
        "Gated", "Initializing", "ClaimLost", "ClaimMismatch", "ClaimNotAllowed",
        *REASONS[CONDITION_FAILED],
    }  # fmt: skip


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
