"""The one word for people."""

import pytest

from qinstruct_operator.constants import (
    CONDITION_ACCEPTED,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
    CONDITION_SCHEDULED,
)
from qinstruct_operator.core.judge.judged import Judged, no, yes
from qinstruct_operator.core.judge.phase import phase

FRESH = {
    CONDITION_ACCEPTED: yes("Accepted", "fine"),
    CONDITION_PREPARED: no("Preparing", "at work"),
    CONDITION_SCHEDULED: no("WaitingForData", "not yet"),
    CONDITION_RUNNING: no("WaitingForData", "not yet"),
    CONDITION_COMPLETE: no("InProgress", "not yet"),
    CONDITION_FAILED: no("InProgress", "not yet"),
}


PHASES = {
    "nothing worth saying but the first that is missing": ({}, "Preparing"),
    "refused before preparation": ({CONDITION_PREPARED: no("NotAccepted", "")}, "Rejected"),
    "refused after preparation": (
        {CONDITION_PREPARED: yes("Prepared", ""), CONDITION_SCHEDULED: no("NotAccepted", "")},
        "Rejected",
    ),
    "prepared, no node": (
        {CONDITION_PREPARED: yes("Prepared", ""), CONDITION_SCHEDULED: no("Queued", "")},
        "Queued",
    ),
    "a node, not running": (
        {
            CONDITION_PREPARED: yes("Prepared", ""),
            CONDITION_SCHEDULED: yes("Scheduled", ""),
            CONDITION_RUNNING: no("Starting", ""),
        },
        "Starting",
    ),
    "running": (
        {CONDITION_PREPARED: yes("Prepared", ""), CONDITION_RUNNING: yes("Training", "")},
        "Training",
    ),
    "failed": (
        {CONDITION_RUNNING: no("Failed", ""), CONDITION_FAILED: yes("BadData", "")},
        "Failed",
    ),
    "complete": (
        {CONDITION_RUNNING: no("Finished", ""), CONDITION_COMPLETE: yes("Complete", "")},
        "Complete",
    ),
}


@pytest.mark.parametrize(("changes", "want"), PHASES.values(), ids=PHASES)
def test_phase(changes: dict[str, Judged], want: str) -> None:
    assert phase(FRESH | changes) == want
