"""The conditions of a status: find them, and update them with their transition times. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from qinstruct_operator.api.status import Condition, Status
from qinstruct_operator.constants import (
    CONDITION_ACCEPTED,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
    CONDITION_SCHEDULED,
)
from qinstruct_operator.core.times import time_text

CONDITIONS: Final = (
    CONDITION_ACCEPTED,
    CONDITION_PREPARED,
    CONDITION_SCHEDULED,
    CONDITION_RUNNING,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
)
"""Every run has all of these, in the order in which they come true."""

_MESSAGE_CHARS = 8192


@dataclass(frozen=True)
class Judged:
    """The new value of one condition."""

    status: Literal["True", "False"]
    reason: str
    message: str

    @property
    def is_true(self) -> bool:
        """Whether it holds."""
        return self.status == "True"


def yes(reason: str, message: str) -> Judged:
    """It holds."""
    return Judged("True", reason, message)


def no(reason: str, message: str) -> Judged:
    """It does not hold."""
    return Judged("False", reason, message)


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


def renewed_conditions(
    previous: Status, judged: Mapping[str, Judged], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The complete list; a time changes only with its condition's status."""
    return tuple(
        Condition(
            type=type_,
            status=judged[type_].status,
            reason=judged[type_].reason,
            message=judged[type_].message[:_MESSAGE_CHARS],
            last_transition_time=_since(find_condition(previous, type_), judged[type_], now),
            observed_generation=generation,
        )
        for type_ in CONDITIONS
    )


def _since(before: Condition | None, now_is: Judged, now: datetime) -> str:
    if before is not None and before.status == now_is.status:
        return before.last_transition_time
    return time_text(now)
