"""Conditions: set one, keep when it last changed, and sum them up in one word. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
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
from qinstruct_operator.core.judge import failure, waiting
from qinstruct_operator.core.judge.progress import time_text

CONDITIONS: Final = (
    CONDITION_ACCEPTED,
    CONDITION_PREPARED,
    CONDITION_SCHEDULED,
    CONDITION_RUNNING,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
)
"""Every run has all of these, in the order in which they come true."""

ACCEPTED: Final = "Accepted"
INVALID_SPEC: Final = "InvalidSpec"
NAME_TAKEN: Final = "NameTaken"
NOT_ACCEPTED: Final = "NotAccepted"
PREPARING: Final = "Preparing"
WAITING_FOR_RUN: Final = "WaitingForRun"
RETRYING: Final = "Retrying"
STOPPING: Final = "Stopping"
SIDECAR_RUNNING: Final = "SidecarRunning"
PREPARED: Final = "Prepared"
WAITING_FOR_DATA: Final = "WaitingForData"
SCHEDULED: Final = "Scheduled"
WAITING_FOR_NODE: Final = "WaitingForNode"
LOADING: Final = "Loading"
TRAINING: Final = "Training"
FINISHING: Final = "Finishing"
FINISHED: Final = "Finished"
IN_PROGRESS: Final = "InProgress"
COMPLETE: Final = "Complete"
FAILED: Final = "Failed"

REASONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        CONDITION_ACCEPTED: (ACCEPTED, INVALID_SPEC, NAME_TAKEN),
        CONDITION_PREPARED: (
            PREPARED,
            NOT_ACCEPTED,
            *waiting.REASONS,
            PREPARING,
            WAITING_FOR_RUN,
            RETRYING,
            STOPPING,
            SIDECAR_RUNNING,
            FAILED,
        ),
        CONDITION_SCHEDULED: (SCHEDULED, WAITING_FOR_DATA, NOT_ACCEPTED, *waiting.REASONS, FAILED),
        CONDITION_RUNNING: (
            LOADING,
            TRAINING,
            FINISHING,
            WAITING_FOR_DATA,
            WAITING_FOR_NODE,
            *waiting.REASONS,
            STOPPING,
            SIDECAR_RUNNING,
            FINISHED,
            FAILED,
        ),
        CONDITION_COMPLETE: (COMPLETE, IN_PROGRESS, FAILED),
        CONDITION_FAILED: (IN_PROGRESS, *failure.REASONS),
    }
)
"""Every reason of a condition; a newer trainer may give `Failed` others."""

_MESSAGE_CHARS = 8192


@dataclass(frozen=True)
class Judged:
    """What one condition is now."""

    status: Literal["True", "False"]
    reason: str
    message: str


def yes(reason: str, message: str) -> Judged:
    """It holds."""
    return Judged("True", reason, message)


def no(reason: str, message: str) -> Judged:
    """It does not hold."""
    return Judged("False", reason, message)


def find(status: Status, type_: str) -> Condition | None:
    """The condition of a type."""
    return next((each for each in status.conditions if each.type == type_), None)


def is_true(status: Status, type_: str) -> bool:
    """Whether a condition is there and holds."""
    condition = find(status, type_)
    return condition is not None and condition.status == "True"


def is_finished(status: Status) -> bool:
    """Whether the run has ended, one way or the other; it then stays as it is."""
    return is_true(status, CONDITION_COMPLETE) or is_true(status, CONDITION_FAILED)


def conditions(
    previous: Status, judged: Mapping[str, Judged], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The complete list; a time changes only with its condition's status."""
    return tuple(
        Condition(
            type=type_,
            status=judged[type_].status,
            reason=judged[type_].reason,
            message=judged[type_].message[:_MESSAGE_CHARS],
            last_transition_time=_since(find(previous, type_), judged[type_], now),
            observed_generation=generation,
        )
        for type_ in CONDITIONS
    )


def phase(judged: Mapping[str, Judged]) -> str:
    """The conditions in one word, for people: the first that is worth saying."""
    prepared, scheduled, running = (
        judged[each] for each in (CONDITION_PREPARED, CONDITION_SCHEDULED, CONDITION_RUNNING)
    )
    if judged[CONDITION_COMPLETE].status == "True":
        return "Complete"
    if judged[CONDITION_FAILED].status == "True":
        return "Failed"
    if running.status == "True":
        return running.reason
    first = next((each for each in (prepared, scheduled) if each.status == "False"), running)
    return "Rejected" if first.reason == NOT_ACCEPTED else first.reason


def _since(before: Condition | None, now_is: Judged, now: datetime) -> str:
    if before is not None and before.status == now_is.status:
        return before.last_transition_time
    return time_text(now)
