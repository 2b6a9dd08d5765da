"""What the ranks of a try are told of the tries before it, in one variable of the environment.

The supervisor writes it and rank 0 counts on. A value that is not ours is as good as none.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

RESTARTS_ENV: Final = "QINSTRUCT_RESTARTS"

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Restarts(BaseModel):
    """The restarts in place so far.

    Args:
        count: How many.
        failed_at: Unix time of the failure whose steps have not all been taken again yet.
        step: The last step that was taken before it; 0: none.
        lost_seconds: What the earlier ones have cost, as `Step.lost_seconds`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = Field(ge=1)
    failed_at: Seconds
    step: int = Field(ge=0)
    lost_seconds: Seconds = 0.0

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self | None:
        """Those of this process; None in the first try."""
        try:
            return cls.model_validate_json(environment.get(RESTARTS_ENV, ""))
        except ValidationError:
            return None


def after_failure(
    before: Restarts | None, failed_at: float, step: int | None, lost_seconds: float | None
) -> Restarts:
    """One restart more.

    Args:
        before: What the try that failed was told.
        failed_at: Unix time of its failure.
        step: The last step that it took; None where that is not known.
        lost_seconds: What its last step said of the restarts before.
    """
    if before is None:
        return Restarts(count=1, failed_at=failed_at, step=max(0, step or 0))
    if step is None or step <= before.step:  # the earlier failure is not made up for
        return before.model_copy(update={"count": before.count + 1})
    return Restarts(
        count=before.count + 1, failed_at=failed_at, step=step, lost_seconds=lost_seconds or 0.0
    )
