"""Conditions: complete, with the times of their changes, and one word for people."""

from datetime import timedelta

from qinstruct_operator.api.status import Condition, Status
from qinstruct_operator.constants import (
    CONDITION_ACCEPTED,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
    CONDITION_SCHEDULED,
)
from qinstruct_operator.core.condition_list import CONDITIONS, find_condition
from qinstruct_operator.core.judge.judged import no, renewed_conditions, yes
from support.observed import NOW

LATER = NOW + timedelta(minutes=7)
FRESH = {
    CONDITION_ACCEPTED: yes("Accepted", "fine"),
    CONDITION_PREPARED: no("Preparing", "at work"),
    CONDITION_SCHEDULED: no("WaitingForData", "not yet"),
    CONDITION_RUNNING: no("WaitingForData", "not yet"),
    CONDITION_COMPLETE: no("InProgress", "not yet"),
    CONDITION_FAILED: no("InProgress", "not yet"),
}


def test_the_list_is_complete_and_in_order() -> None:
    made = renewed_conditions(Status(), FRESH, 3, NOW)
    assert made == tuple(
        Condition(
            type=type_,
            status=FRESH[type_].status,
            reason=FRESH[type_].reason,
            message=FRESH[type_].message,
            last_transition_time="2026-03-01T12:00:00Z",
            observed_generation=3,
        )
        for type_ in CONDITIONS
    )


def test_a_time_changes_with_the_status_alone() -> None:
    before = Status(conditions=renewed_conditions(Status(), FRESH, 1, NOW))
    judged = FRESH | {
        CONDITION_ACCEPTED: yes("Accepted", "another sentence"),
        CONDITION_PREPARED: yes("Prepared", "done"),
        CONDITION_SCHEDULED: no("Pending", "another reason"),
    }
    times = {
        each.type: each.last_transition_time
        for each in renewed_conditions(before, judged, 2, LATER)
    }
    old, new = "2026-03-01T12:00:00Z", "2026-03-01T12:07:00Z"
    assert times == dict.fromkeys(CONDITIONS, old) | {CONDITION_PREPARED: new}


def test_a_sentence_has_an_end() -> None:
    judged = FRESH | {CONDITION_PREPARED: no("Blocked", "y" * 1_000_000)}
    made = Status(conditions=renewed_conditions(Status(), judged, 1, NOW))
    blocked = find_condition(made, CONDITION_PREPARED)
    assert blocked is not None
    assert blocked.message == "y" * 8192
