"""What a condition is judged to be, and the list of conditions that follows. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from qinstruct_operator.api.status import Condition, Status
from qinstruct_operator.core.condition_list import CONDITIONS, find_condition
from qinstruct_operator.core.times import past_time, time_text

_MESSAGE_CHARS = 8192


@dataclass(frozen=True)
class Judged:
    """The new value of one condition."""

    status: Literal["True", "False", "Unknown"]
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


def unknown(reason: str, message: str) -> Judged:
    """Nothing that was read says whether it holds."""
    return Judged("Unknown", reason, message)


def renewed_conditions(
    previous: Status, judged: Mapping[str, Judged], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The complete list; a time changes only with its condition's status, and never goes back."""
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
    # One that cannot be is refused by the server, and judged by all that reads it.
    known = past_time(before.last_transition_time, now) if before else None
    if before is None or known is None:
        return time_text(now)
    if before.status == now_is.status:
        return before.last_transition_time
    return time_text(max(now, known))
