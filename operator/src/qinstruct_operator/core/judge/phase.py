"""The phase of a run: its conditions in one word, for people. Pure."""

from collections.abc import Mapping

from qinstruct_operator.constants import (
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
    CONDITION_SCHEDULED,
)
from qinstruct_operator.core.judge import reasons
from qinstruct_operator.core.judge.judged import Judged


def phase(judged: Mapping[str, Judged]) -> str:
    """The first of the conditions that is worth saying."""
    prepared, scheduled, running = (
        judged[each] for each in (CONDITION_PREPARED, CONDITION_SCHEDULED, CONDITION_RUNNING)
    )
    if judged[CONDITION_COMPLETE].is_true:
        return "Complete"
    if judged[CONDITION_FAILED].is_true:
        return "Failed"
    if running.is_true:
        return running.reason
    first = next((each for each in (prepared, scheduled) if not each.is_true), running)
    return "Rejected" if first.reason == reasons.NOT_ACCEPTED else first.reason
