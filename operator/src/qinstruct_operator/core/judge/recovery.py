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
from qinstruct_operator.core.untyped_json import number
from qinstruct_trainer.contract.errors import (
    STALLED,
    GpuError,
    NonFiniteLossError,
    PeerLostError,
)

_OF_A_MACHINE: Final = (
    GpuError.reason,
    PeerLostError.reason,
    NonFiniteLossError.reason,
    STALLED,
)  # Killed and Error are as often a limit or a bug
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
        count = self.spent.count(self.failure.kind)
        if count > self.limit and self.failure.reason == reasons.WORKLOAD_DELETED:
            return f"one after the last {word}, as it may have ended well"
        return f"{word} {count} of {self.limit}"

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
    may_go_on = count <= most or _goes_on_beyond(run, seen, record.reason)
    goes_on = record.kind != "Permanent" and may_go_on and seen.attempt < MAX_ATTEMPT
    return Recovery(
        failure=record,
        spent=spent,
        limit=most,
        begins=(parse_time(record.time) or now) + wait if goes_on else None,
        is_recorded=known == record,
        avoided=_avoided(
            seen, (*recorded_before(run.status, seen.attempt), record)[-MAX_FAILURES:]
        ),
    )


def may_be_deleted(run: Run, seen: Observed) -> bool:
    """Whether another attempt follows where somebody deletes the present one, which waits."""
    most, spent = limit(_policy(run, seen), "Disruption"), _before(run, seen)
    return spent.disruptions < most or _goes_on_beyond(run, seen, reasons.WORKLOAD_DELETED)


def _goes_on_beyond(run: Run, seen: Observed, reason: str) -> bool:
    """Whether an attempt that ended so is followed by another one though its limit is used up.

    What is cleaned up by time may have ended well, unseen: then the next one finds the model and
    ends at once. Not after another that vanished, so that this has an end.
    """
    if "support" in seen.unread:  # by a limit that may be another: that of the pin was not read
        return True
    last = recorded(run.status, seen.attempt - 1)
    vanished_before = last is not None and last.reason == reasons.WORKLOAD_DELETED
    return reason == reasons.WORKLOAD_DELETED and not vanished_before and _is_cleaned_up(run, seen)


def _is_cleaned_up(run: Run, seen: Observed) -> bool:
    """Whether its workloads are deleted some time after their end."""
    if seen.pin is not None:
        return number(seen.pin.spec, "scheduling", "ttlSecondsAfterFinished") is not None
    return run.spec is not None and run.spec.scheduling.ttl_seconds_after_finished is not None


def _avoided(seen: Observed, failures: Sequence[AttemptFailure]) -> tuple[str, ...]:
    """By failures that a machine can be the cause of, unless the run came further there since.

    Who deletes an attempt that waits for a node lets the next one go anywhere: it is the way out
    where no other node is.
    """
    forgiven = [
        each.attempt
        for each in failures
        if each.reason == reasons.WORKLOAD_DELETED and each.node is None
    ]
    counted = [
        each
        for each in failures
        if each.kind == "Transient"
        and each.reason in _OF_A_MACHINE
        and each.attempt > max(forgiven, default=0)
    ]
    nodes = [
        each.node
        for n, each in enumerate(counted)
        if each.node
        and all(
            (later.step or 0) <= (each.step or 0)
            for later in counted[n:]
            if later.node == each.node
        )
    ]
    return avoided_nodes(nodes, seen.training.avoided if seen.training else ())


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
