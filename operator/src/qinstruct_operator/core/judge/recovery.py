"""What follows from the end of an attempt: another one and when, or the end of the run. Pure.

All of it is computed from what exists, the status and the run's uid, so that an operator that is
started again, or loses the status, comes to the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from qinstruct_operator.api.spec_operations import Recovery as Policy
from qinstruct_operator.api.status import (
    MAX_ATTEMPT,
    MAX_FAILURES,
    AttemptFailure,
    FailureStatus,
    RecoveryStatus,
    Status,
)
from qinstruct_operator.core.attempts import Spent, avoided_nodes, limit, wait_seconds
from qinstruct_operator.core.judge import reasons
from qinstruct_operator.core.judge.failure_kinds import Ended, case_of
from qinstruct_operator.core.judge.observe import Observed
from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_operator.core.run import Run
from qinstruct_operator.core.times import parse_time, past_time, time_text
from qinstruct_trainer.contract.errors import (
    KILLED,
    STALLED,
    GpuError,
    NonFiniteLossError,
    PeerLostError,
)

_OF_A_MACHINE: Final = (
    GpuError.reason,
    PeerLostError.reason,
    NonFiniteLossError.reason,
    KILLED,
    STALLED,
    reasons.ERROR,
)
_FIELDS: Final = {"Transient": "maxRetries", "Disruption": "maxDisruptions"}


@dataclass(frozen=True)
class Recovery:
    """What follows from the end of an attempt.

    Attributes:
        failure: of that attempt, as the status keeps it.
        spent: so far, it included.
        limit: how many of its kind there may be.
        begins: when the next attempt does; None: the run has failed.
        avoided: names of nodes that the next attempt is kept from.
        is_recorded: the status says it already; only then may the next attempt begin, so that
            none is forgotten if the operator dies in between.
    """

    failure: AttemptFailure
    spent: Spent
    limit: int
    begins: datetime | None
    is_recorded: bool
    avoided: tuple[str, ...] = ()

    def is_due(self, now: datetime) -> bool:
        """Whether the next attempt may begin."""
        return self.is_recorded and self.begins is not None and self.begins <= now

    @property
    def which(self) -> str:
        """Which of how many it is, as a clause."""
        word = "disruption" if self.failure.kind == "Disruption" else "retry"
        return f"{word} {self.spent.count(self.failure.kind)} of {self.limit}"

    @property
    def exhausted(self) -> str:
        """That no attempt of its kind is left, as a clause; empty where that is not why it ends."""
        if self.begins is not None or not self.limit:
            return ""
        field = _FIELDS[self.failure.kind]
        return f"no attempt more is left (spec.recovery.{field} is {self.limit})"


@dataclass(frozen=True)
class Reached:
    """How far training was: steps done, and those that the newest checkpoint has."""

    step: int | None = None
    saved: int | None = None

    @property
    def lost(self) -> int | None:
        """Steps that have to be done again."""
        return None if self.step is None else max(self.step - (self.saved or 0), 0)


def recovery(
    run: Run, seen: Observed, failure: FailureStatus, reached: Reached, now: datetime
) -> Recovery:
    """What follows from the end of the present attempt.

    Args:
        run: with its status before.
        seen: its training workload has ended badly, or is gone.
        failure: why.
        reached: how far it was.
        now: the current time.
    """
    known = recorded(run.status, seen.attempt)
    record = _record(run, seen, failure, reached, now)
    spent = _before(run, seen).with_one(record.kind)
    policy = _policy(run, seen)
    most, count = limit(policy, record.kind), spent.count(record.kind)
    wait = timedelta(seconds=wait_seconds(policy, run.uid, seen.attempt, count))
    # No run ends by a limit that may be another: that of the pin was not read.
    may_go_on = count <= most or "support" in seen.unread
    goes_on = record.kind != "Permanent" and may_go_on and seen.attempt < MAX_ATTEMPT
    return Recovery(
        failure=record,
        spent=spent,
        limit=most,
        begins=(parse_time(record.time) or now) + wait if goes_on else None,
        is_recorded=known == record,
        avoided=_avoided(seen, (*recorded_before(run.status, seen.attempt), record)),
    )


def _avoided(seen: Observed, failures: Sequence[AttemptFailure]) -> tuple[str, ...]:
    """By failures that a machine can be the cause of.

    Who deletes an attempt lets the next one go anywhere: it is the way out where no other node is.
    """
    deleted = [each.attempt for each in failures if each.reason == reasons.WORKLOAD_DELETED]
    counted = [
        each.node
        for each in failures
        if each.kind == "Transient"
        and each.reason in _OF_A_MACHINE
        and each.node
        and each.attempt > max(deleted, default=0)
    ]
    return avoided_nodes(counted, seen.training.avoided if seen.training else ())


def recorded(status: Status, attempt: int) -> AttemptFailure | None:
    """How a status says that an attempt ended."""
    failures = status.recovery.failures if status.recovery else ()
    return next((each for each in failures if each.attempt == attempt), None)


def recorded_before(status: Status, attempt: int) -> tuple[AttemptFailure, ...]:
    """How it says that those before an attempt ended."""
    failures = status.recovery.failures if status.recovery else ()
    return tuple(each for each in failures if each.attempt < attempt)


def recovery_status(
    run: Run, seen: Observed, recovery: Recovery | None, now: datetime
) -> RecoveryStatus | None:
    """What a status says of it: beside an attempt that is under way what was before that."""
    before = run.status.recovery
    if recovery is None and (seen.training is None or seen.may_hide_children):
        return before
    failures = tuple(
        # By a clock that went back it is yet to come.
        each if past_time(each.time, now) else each.model_copy(update={"time": time_text(now)})
        for each in recorded_before(run.status, seen.attempt)
        # A time that cannot be is refused by the server, and with it the whole status.
        if parse_time(each.time)
    )
    spent = recovery.spent if recovery else _before(run, seen)
    if recovery is None and not failures and not spent.total:
        return None
    begins = recovery.begins if recovery else None
    return RecoveryStatus(
        retries=spent.retries,
        disruptions=spent.disruptions,
        next_attempt_time=time_text(begins) if begins else None,
        failures=(*failures, *([recovery.failure] if recovery else []))[-MAX_FAILURES:],
    )


def _policy(run: Run, seen: Observed) -> Policy:
    """As it was when the run was pinned; an edit since has no effect."""
    if seen.pin is not None:
        try:
            return Policy.model_validate(seen.pin.spec.get("recovery", {}))
        except ValidationError:  # edited, or of another version
            pass
    return run.spec.recovery if run.spec else Policy()


def _record(
    run: Run, seen: Observed, failure: FailureStatus, reached: Reached, now: datetime
) -> AttemptFailure:
    known, training = recorded(run.status, seen.attempt), seen.training
    pod = training.pod if training else None
    since = (past_time(known.time, now) if known else None) or _ended(training, now)
    if known and pod is None:
        # All that is left of it is what is written: that stands.
        return known.model_copy(update={"time": time_text(since)})
    again = any(
        (each.reason, each.step) == (failure.reason, reached.step)
        for each in recorded_before(run.status, seen.attempt)
    )
    return AttemptFailure(
        attempt=seen.attempt,
        kind=case_of(Ended(failure, pod, again)).kind,
        reason=failure.reason,
        exit_code=failure.exit_code,
        time=time_text(since),
        node=pod.node if pod else run.status.node,
        step=reached.step,
        lost_steps=reached.lost,
    )


def _ended(training: Workload | None, now: datetime) -> datetime:
    """When the workload had its verdict; of one that is gone, or has no time that can be, now."""
    ended = training.ended if training else None
    return ended if ended and ended <= now else now


def _before(run: Run, seen: Observed) -> Spent:
    """What was spent before the present attempt: what it says itself, or the status if more."""
    spent, known = Spent.of_status(run.status), recorded(run.status, seen.attempt)
    if known:
        spent = spent.with_one(known.kind, -1)
    return spent.at_least(seen.spent).before(seen.attempt)
