"""The conditions in a run's status, as everybody reads them. Pure."""

from typing import Final

from qinstruct_operator.api.status import Condition, Status
from qinstruct_operator.constants import (
    CONDITION_ACCEPTED,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
    CONDITION_SCHEDULED,
)

CONDITIONS: Final = (
    CONDITION_ACCEPTED,
    CONDITION_PREPARED,
    CONDITION_SCHEDULED,
    CONDITION_RUNNING,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
)
"""Every run has all of these, in the order in which they come true."""


def find_condition(status: Status, type_: str) -> Condition | None:
    """The condition of a type."""
    return next((each for each in status.conditions if each.type == type_), None)


def is_true(status: Status, type_: str) -> bool:
    """Whether a condition is there and holds."""
    condition = find_condition(status, type_)
    return condition is not None and condition.status == "True"


def is_finished(status: Status) -> bool:
    """Whether the run has ended, one way or the other; it then stays as it is."""
    return is_true(status, CONDITION_COMPLETE) or is_true(status, CONDITION_FAILED)
