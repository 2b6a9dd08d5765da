"""A pod that has ended badly, with the failure that must be told."""

from dataclasses import dataclass

from qinstruct_operator.api.status import FailureStatus
from qinstruct_operator.core.judge.failure import failure
from qinstruct_operator.core.judge.observe import Snapshot
from support.observed import JOB_FAILED, Raw, pytorchjob, seen

JOB = pytorchjob(JOB_FAILED)
LOG_SAYS_MORE = "the log says more: `qinstruct logs`"
AGAIN = "create the run again: it goes on from what it has saved"


@dataclass(frozen=True)
class Case:
    pod: Raw | None
    want: FailureStatus
    log: tuple[str, ...] = ()


def want(
    reason: str, message: str, exit_code: int | None = None, log_tail: str | None = None
) -> FailureStatus:
    return FailureStatus(
        reason=reason, message=message, exit_code=exit_code, attempt=1, log_tail=log_tail
    )


def check(case: Case) -> None:
    """Judge the pod of a case."""
    workload = seen(Snapshot(training=JOB, pods=(case.pod,) if case.pod else ())).training
    assert workload is not None
    assert workload.has_failed or case.want.exit_code == 0
    assert failure(workload, 1, case.log) == case.want
