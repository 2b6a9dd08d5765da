"""The conditions in a status: found by their type, and what they say of a run's end."""

import pytest

from qinstruct_operator.api.status import Condition, Status
from qinstruct_operator.constants import (
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
)
from qinstruct_operator.core.condition_list import find_condition, is_finished, is_true


def status_with(type_: str, status: str) -> Status:
    condition = {
        "type": type_,
        "status": status,
        "reason": "Any",
        "message": "",
        "lastTransitionTime": "2026-03-01T12:00:00Z",
    }
    return Status(conditions=(Condition.model_validate(condition),))


@pytest.mark.parametrize("type_", [CONDITION_COMPLETE, CONDITION_FAILED, CONDITION_PREPARED])
def test_what_is_there_and_true(type_: str) -> None:
    assert is_true(status_with(type_, "True"), type_)
    for status in ("False", "Unknown"):
        assert not is_true(status_with(type_, status), type_)
    assert not is_true(Status(), type_)
    assert find_condition(Status(), type_) is None


@pytest.mark.parametrize(
    ("type_", "finished"),
    [(CONDITION_COMPLETE, True), (CONDITION_FAILED, True), (CONDITION_PREPARED, False)],
)
def test_finished_is_complete_or_failed(type_: str, finished: bool) -> None:
    assert is_finished(status_with(type_, "True")) == finished
    assert not is_finished(status_with(type_, "False"))
    assert not is_finished(Status())
