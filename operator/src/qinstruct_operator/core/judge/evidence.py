"""The input of all conditions: what was observed, with the log and the failure read. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from qinstruct_operator.api.status import FailureStatus, Status
from qinstruct_operator.core.judge.failure import failure, going_on, lost
from qinstruct_operator.core.judge.observe import Observed
from qinstruct_operator.core.judge.pods import Pod
from qinstruct_operator.core.judge.progress import (
    PrepSeen,
    TrainingSeen,
    newest_time,
    prep_progress,
    read_events,
    training_progress,
)
from qinstruct_operator.core.judge.recovery import (
    Reached,
    Recovery,
    recorded,
    recorded_before,
    recovery,
)
from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_operator.core.run import Run
from qinstruct_trainer.contract.events import Event


@dataclass(frozen=True)
class Evidence:
    """What the conditions are computed from.

    Attributes:
        run: with its status as it was read.
        prepared: the children show it, or else that status says it.
        prep, training: progress by the log; None where that workload is not the current one.
        failure: of the workload that has failed, or of an attempt that is gone.
        recovery: what follows where an attempt has ended so; None where none has.
        last_word: time of the newest event in the log, by its node's clock; of a container that
            has never written one its start; None where it is not known.
        now: the current time.
    """

    run: Run
    seen: Observed
    prepared: bool
    prep: PrepSeen | None
    training: TrainingSeen | None
    failure: FailureStatus | None
    recovery: Recovery | None
    last_word: datetime | None
    now: datetime

    @property
    def is_recovering(self) -> bool:
        """Whether an attempt has ended, and another is to come."""
        return self.recovery is not None and self.recovery.begins is not None

    @property
    def saved_step(self) -> int | None:
        """Step of the newest checkpoint."""
        return _saved_step(self.run, self.training)

    @property
    def child(self) -> Workload | None:
        """The workload that is under way, or has ended last."""
        return self.seen.training if self.prepared else self.seen.prep

    @property
    def attempt(self) -> int | None:
        """The attempt that it belongs to; None for prep."""
        return self.seen.attempt if self.prepared else None

    @property
    def output_claim(self) -> str | None:
        """The claim that the training workload has mounted; before there is one, the plan's."""
        made, plan = self.seen.made, self.run.plan
        return (made and made.output_claim) or (plan and plan.output_claim.name) or None

    @classmethod
    def of(cls, run: Run, seen: Observed, now: datetime) -> Self:
        """The evidence from one pass's observation."""
        prepared = seen.is_prepared(run)
        child = seen.training if prepared else seen.prep
        # Without a child it is the log of another run's.
        events = read_events(seen.log, child.pod) if child else ()
        training = training_progress(events) if prepared and seen.training else None
        failure = _failure(run, seen, child, prepared)
        follows = (
            recovery(run, seen, failure, _reached(run, seen, training), now)
            if prepared and failure
            else None
        )
        if failure and follows and follows.begins:
            failure = going_on(failure)
        return cls(
            run=run,
            seen=seen,
            prepared=prepared,
            prep=None if prepared else prep_progress(events),
            training=training,
            failure=failure,
            recovery=follows if seen.has_attempt_ended(run) else None,
            last_word=_last_word(run, child, seen, events),
            now=now,
        )


def _failure(
    run: Run, seen: Observed, child: Workload | None, prepared: bool
) -> FailureStatus | None:
    """The failure; the recorded one where its pod is deleted or its log cannot be read."""
    if child is None:
        return _lost(run, seen) if prepared and seen.has_attempt_ended(run) else None
    if not child.has_failed or "pods" in seen.unread:
        return None
    attempt = seen.attempt if prepared else None
    now, before = failure(child, attempt, seen.log), run.status.failure
    if before is None or before.attempt != attempt:
        return now
    same_end = "log" in seen.unread and before.exit_code == now.exit_code
    return before if child.pod is None or same_end else now


def _lost(run: Run, seen: Observed) -> FailureStatus:
    """Of an attempt that is gone; what is written of its end stands."""
    record, before = recorded(run.status, seen.attempt), run.status.failure
    if record and before and (before.attempt, before.reason) == (seen.attempt, record.reason):
        return before
    return lost(run.backend.kind.kind, run.name, seen.attempt, record)


def _reached(run: Run, seen: Observed, training: TrainingSeen | None) -> Reached:
    """How far training was, by its log, or else by the status.

    A status that says the step at which an attempt before ended speaks of that one.
    """
    before, earlier = run.status.training, recorded_before(run.status, seen.attempt)
    if before and before.step in (each.step for each in earlier):
        before = None
    done = (training and training.status) or before
    return Reached(done.step if done else None, _saved_step(run, training))


def _saved_step(run: Run, training: TrainingSeen | None) -> int | None:
    """Step of the newest checkpoint."""
    saved = (training and training.checkpoint) or run.status.checkpoint
    return saved.step if saved else None


def _last_word(
    run: Run, child: Workload | None, seen: Observed, events: tuple[Event, ...]
) -> datetime | None:
    if last := newest_time(events):
        return last
    pod = child.pod if child else None
    if pod is None or pod.container is None or "log" in seen.unread:
        return None
    # A rotated log, or one full of other lines, does not say since when it is silent.
    known = run.status.training
    # Rates are those of the present pod alone.
    paced = known is not None and known.samples_per_second is not None
    has_spoken = paced if child is seen.training else run.status.prep
    is_same_pod = child is not seen.training or is_pod_of(run.status, pod)
    return None if has_spoken and is_same_pod else pod.container.started


def is_pod_of(status: Status, pod: Pod) -> bool:
    """Whether a status speaks of this training pod, whose container is started only once."""
    return status.held is None or status.held.pod == pod.uid  # None: of an older operator
