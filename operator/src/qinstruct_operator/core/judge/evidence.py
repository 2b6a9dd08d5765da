"""The evidence of one look at a run: what was observed, with its log and its failure read. Pure."""

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
    """What every judgement reads.

    Attributes:
        run: with its status as it was read.
        prepared: by that status or by the children.
        prep, training: how far the log says that they are; None where they are not at work.
        failure: of the workload that has failed.
    """

    run: Run
    seen: Observed
    prepared: bool
    prep: PrepSeen | None
    training: TrainingSeen | None
    failure: FailureStatus | None

    @classmethod
    def of(cls, run: Run, seen: Observed) -> Self:
        """The evidence of one look."""
        prepared = run.was_prepared or seen.is_prepared
        child = seen.training if prepared else seen.prep
        lines = seen.log if child else ()  # of somebody else's otherwise
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
    """The failure; of a pod that is gone, what was seen of it while it was there."""
    before = run.status.failure
    if child.pod is None and before is not None and before.attempt == attempt:
        return before
    return failure(child, attempt, lines)
