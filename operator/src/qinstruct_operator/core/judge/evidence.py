"""The input of all conditions: what was observed, with the log and the failure read. Pure."""

from dataclasses import dataclass
from typing import Self

from qinstruct_operator.api.status import FailureStatus
from qinstruct_operator.core.judge.failure import failure
from qinstruct_operator.core.judge.observe import Observed
from qinstruct_operator.core.judge.progress import (
    PrepSeen,
    TrainingSeen,
    prep_progress,
    training_progress,
)
from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_operator.core.run import Run


@dataclass(frozen=True)
class Evidence:
    """What the conditions are computed from.

    Attributes:
        run: with its status as it was read.
        prepared: says that status, or the children show it.
        prep, training: progress by the log; None where that workload is not the current one.
        failure: of the workload that has failed.
    """

    run: Run
    seen: Observed
    prepared: bool
    prep: PrepSeen | None
    training: TrainingSeen | None
    failure: FailureStatus | None

    @property
    def output_claim(self) -> str | None:
        """The claim that the training workload has mounted; before there is one, the plan's."""
        made, plan = self.seen.made, self.run.plan
        return (made and made.output_claim) or (plan and plan.output_claim.name) or None

    @classmethod
    def of(cls, run: Run, seen: Observed) -> Self:
        """The evidence from one pass's observation."""
        prepared = run.was_prepared or seen.is_prepared
        child = seen.training if prepared else seen.prep
        lines = seen.log if child else ()  # without a child it is the log of another run's
        return cls(
            run=run,
            seen=seen,
            prepared=prepared,
            prep=None if prepared else prep_progress(lines),
            training=training_progress(lines) if prepared and seen.training else None,
            failure=_failure(run, child, run.attempt if prepared else None, lines)
            if child and child.has_failed
            else None,
        )


def _failure(
    run: Run, child: Workload, attempt: int | None, lines: tuple[str, ...]
) -> FailureStatus:
    """The failure; for a deleted pod the one that was recorded before it was deleted."""
    before = run.status.failure
    if child.pod is None and before is not None and before.attempt == attempt:
        return before
    return failure(child, attempt, lines)
