"""Conditions: complete, with the times of their changes, and one word for people."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

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
from qinstruct_operator.core.times import parse_time
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


LOOKS = st.lists(st.tuples(st.booleans(), st.integers(-300, 3600)), max_size=20)


@given(LOOKS)
def test_no_time_goes_back_though_the_clock_does(looks: list[tuple[bool, int]]) -> None:
    """By no more than the clocks of a cluster may differ."""
    status, newest, last = Status(conditions=renewed_conditions(Status(), FRESH, 1, NOW)), NOW, NOW
    for holds, seconds in looks:
        newest = max(newest, newest + timedelta(seconds=seconds))
        now = newest + timedelta(seconds=min(seconds, 0))
        judged = FRESH | {CONDITION_PREPARED: (yes if holds else no)("Because", "it is so")}
        before = find_condition(status, CONDITION_PREPARED)
        status = Status(conditions=renewed_conditions(status, judged, 1, now))
        after = find_condition(status, CONDITION_PREPARED)
        assert before
        assert after
        since = parse_time(after.last_transition_time)
        assert since
        assert last <= since <= newest
        assert (since == last) or before.status != after.status
        last = since


def test_a_sentence_has_an_end() -> None:
    judged = FRESH | {CONDITION_PREPARED: no("Blocked", "y" * 1_000_000)}
    made = Status(conditions=renewed_conditions(Status(), judged, 1, NOW))
    blocked = find_condition(made, CONDITION_PREPARED)
    assert blocked is not None
    assert blocked.message == "y" * 8192
