"""Where the GPUs' time went, in buckets that add up to the GPU-hours. Pure.

What the GPU-hours have grown by since the status was written goes into the bucket of what the run
did meanwhile: each change of the phase is written, so that it is the phase which the status says,
unless so much has come that nobody looked, and steps were taken. Nothing else is remembered, and no
pass can be missed or seen twice.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

from qinstruct_operator.api.status import (
    MAX_INTEGER,
    GpuSecondsStatus,
    HeldStatus,
    Status,
    TrainingStatus,
)
from qinstruct_operator.constants import CONDITION_FAILED, CONDITION_SCHEDULED
from qinstruct_operator.core.judge import reasons
from qinstruct_operator.core.judge.evidence import Evidence
from qinstruct_operator.core.judge.gpu_hours import NEWS_GPU_HOURS, gpus_of
from qinstruct_operator.core.judge.judged import Judged
from qinstruct_operator.core.judge.phase import phase
from qinstruct_operator.core.judge.progress import TrainingSeen, percent_text, training_progress
from qinstruct_operator.core.judge.recovery import recorded
from qinstruct_operator.core.times import parse_time, past_time, time_text
from qinstruct_trainer.contract.errors import STALLED

Bucket = Literal["starting", "productive", "saving", "lost", "stalled"]
HELD: Final[tuple[Bucket, ...]] = ("productive", "starting", "saving", "lost", "stalled")
"""Of the time in which GPUs were held, as it is shown."""

_HOUR: Final = 3600
# Where so much comes at once, there was nothing else to be written, or nobody looked.
_LONG: Final = NEWS_GPU_HOURS * _HOUR
# By phase; from the node to the first step it has many others.
_BUCKETS: Final[Mapping[str, Bucket]] = MappingProxyType(
    {
        **dict.fromkeys(
            (reasons.TRAINING, reasons.FINISHING, reasons.FINISHED, reasons.COMPLETE), "productive"
        ),
        **dict.fromkeys((reasons.RESTARTING, reasons.RECOVERING, reasons.FAILED), "lost"),
        **dict.fromkeys(
            (
                reasons.SILENT,
                reasons.STUCK,
                reasons.NODE_LOST,
                reasons.SIDECAR_RUNNING,
                reasons.NO_CONTROLLER,
            ),
            "stalled",
        ),
        **dict.fromkeys(
            (reasons.STARTING, reasons.INITIALIZING, reasons.BLOCKED, reasons.LOADING), "starting"
        ),
        reasons.IMAGE_UNAVAILABLE: "starting",
        **dict.fromkeys((reasons.STOPPING, reasons.DELETING), "saving"),
    }
)
# While GPUs are not asked for.
_NOT_WAITING: Final = frozenset(
    {reasons.WAITING_FOR_DATA, reasons.NOT_ACCEPTED, reasons.SUSPENDED, reasons.FAILED}
)


def gpu_seconds(
    evidence: Evidence,
    judged: Mapping[str, Judged],
    hours: float | None,
    held: HeldStatus | None,
) -> GpuSecondsStatus | None:
    """The buckets, with what has come to them since the status before was written.

    Args:
        evidence: of this pass.
        judged: the conditions.
        hours: GPU-hours of all pods so far.
        held: the newest of these pods.
    """
    before = evidence.run.status.gpu_seconds
    gpus = gpus_of(evidence.run.plan, evidence.seen.training) or 0
    waits = gpus > 0 and _waits(evidence, judged)
    if before is None and hours is None and not waits:
        return None
    counted = before or GpuSecondsStatus()
    growth = 0 if hours is None else _seconds(hours * _HOUR) - _sum(counted)
    counted = _with_wait(counted, gpus, growth, waits, evidence.now)
    counted = _grown(counted, _bucket(evidence, phase(judged), held, growth), growth)
    counted = _with_saves(counted, evidence, gpus)
    counted = _with_restarts(counted, evidence, held, gpus)
    return _with_loss(counted, evidence)


def goodput_text(seconds: GpuSecondsStatus | None) -> str | None:
    """The productive part of all GPU-seconds that were held; None before there are any."""
    return percent_text(seconds.productive, _sum(seconds)) if seconds else None


def _sum(counted: GpuSecondsStatus) -> int:
    return sum(getattr(counted, bucket) for bucket in HELD)


def _seconds(value: float) -> int:
    return round(min(value, MAX_INTEGER))


def _waits(evidence: Evidence, judged: Mapping[str, Judged]) -> bool:
    """Whether GPUs are wanted, and none are had; in a queue spec.suspend has no effect."""
    scheduled = judged[CONDITION_SCHEDULED]
    if evidence.run.suspend and scheduled.reason != reasons.QUEUED:
        return False
    is_wanted = scheduled.reason not in _NOT_WAITING and not judged[CONDITION_FAILED].is_true
    return scheduled.status == "False" and is_wanted


def _with_wait(
    counted: GpuSecondsStatus, gpus: int, growth: int, waits: bool, now: datetime
) -> GpuSecondsStatus:
    """What was waited since the last look; GPUs that a pod has held meanwhile were not waited for.

    By whole seconds, so that many looks add up to the same as one.
    """
    since = past_time(counted.waiting_since, now) if counted.waiting_since else None
    this_second = parse_time(time_text(now)) or now
    waited = gpus * (this_second - since).total_seconds() - max(growth, 0) if since else 0
    return counted.model_copy(
        update={
            "queued": _seconds(counted.queued + max(waited, 0)),
            # By a clock that went back no time is waited twice.
            "waiting_since": time_text(max(now, since or now)) if waits else None,
        }
    )


def _bucket(evidence: Evidence, phase: str, held: HeldStatus | None, growth: int) -> Bucket:
    """What the GPUs were held for since the status was written."""
    previous, steps = evidence.run.status, _new_steps(evidence)
    if previous.gpu_seconds is None and previous.gpu_hours and previous.training:
        return "productive"  # hours of an older operator
    was = previous.phase if _is_same_pod(previous, held) else None
    if was and steps is not None and steps > 0 and growth >= _LONG:
        return "productive"  # whatever it was that ended meanwhile
    if was == reasons.TRAINING and steps is not None and steps <= 0:
        ended_by = _ended_by(evidence, phase)
        if ended_by is None:
            return "stalled" if growth >= _LONG else "productive"
        return "stalled" if ended_by in (STALLED, reasons.SILENT) else "lost"
    return _BUCKETS.get(was or "") or _BUCKETS.get(phase) or "starting"


def _is_same_pod(previous: Status, held: HeldStatus | None) -> bool:
    return bool(previous.held and held and previous.held.pod == held.pod)


def _new_steps(evidence: Evidence) -> int | None:
    """How far training is beyond where the status has it, or else beyond where it began.

    Below zero where it went on from an earlier step; None where nobody says.
    """
    reached, counted = _reached(evidence), evidence.run.status.gpu_seconds
    last = counted.last_step if counted else None
    if last is None:
        last = _training(evidence).first_step
    return None if reached is None or last is None else reached - last


def _ended_by(evidence: Evidence, phase: str) -> str | None:
    """Why no steps are taken any more; None while they may be."""
    if evidence.failure:
        return evidence.failure.reason
    if evidence.training and evidence.training.restarting:
        return evidence.training.restarting.reason
    return phase if phase == reasons.SILENT else None


def _grown(counted: GpuSecondsStatus, bucket: Bucket, seconds: int) -> GpuSecondsStatus:
    """With so many more in a bucket; what is too many, by another clock, is taken from all."""
    if seconds >= 0:
        return counted.model_copy(update={bucket: getattr(counted, bucket) + seconds})
    kept: dict[str, int] = {}
    left = -seconds
    for each in dict.fromkeys((bucket, *HELD)):
        taken = min(getattr(counted, each), left)
        left, kept[each] = left - taken, getattr(counted, each) - taken
    return counted.model_copy(update=kept)


def _moved(
    counted: GpuSecondsStatus, seconds: float, to: Bucket, taken_for: Bucket = "productive"
) -> GpuSecondsStatus:
    """What was taken for something else, as much as there is of that."""
    there = getattr(counted, taken_for)
    moved = _seconds(min(max(seconds, 0), there))
    return counted.model_copy(
        update={taken_for: there - moved, to: _seconds(getattr(counted, to) + moved)}
    )


def _with_saves(counted: GpuSecondsStatus, evidence: Evidence, gpus: int) -> GpuSecondsStatus:
    """What the trainer has stood still for, of checkpoints that the status does not have yet.

    One that takes so long that no step came meanwhile was taken for a hang.
    """
    blocked = [gpus * seconds for seconds in _blocked_seconds(evidence)]
    long = min(sum(each for each in blocked if each >= _LONG), counted.stalled)
    return _moved(_moved(counted, long, "saving", "stalled"), sum(blocked) - long, "saving")


def _blocked_seconds(evidence: Evidence) -> list[float]:
    """Of each new checkpoint; at most since the one before it, or since the container started."""
    known, training = evidence.run.status.checkpoint, evidence.seen.training
    pod = training.pod if training else None
    until = parse_time(known.time) if known else None
    new = [
        each
        for each in _training(evidence).saves
        if until is None or each.time >= until.timestamp() + 1
    ]
    began = until or (pod.container.started if pod and pod.container else None)
    before = [began.timestamp() if began else 0.0, *(each.time for each in new)]
    return [
        min(each.blocked_seconds or 0.0, max(each.time - last, 0.0))
        for last, each in zip(before, new, strict=False)
    ]


def _with_restarts(
    counted: GpuSecondsStatus, evidence: Evidence, held: HeldStatus | None, gpus: int
) -> GpuSecondsStatus:
    """What restarts in place have cost that no pass saw: all their steps are taken again by now."""
    previous, now = evidence.run.status, _training(evidence).status
    is_known = previous.gpu_seconds and _is_same_pod(previous, held)
    before = (is_known and previous.training) or TrainingStatus()
    if now is None or (_new_steps(evidence) or 0) <= 0:
        return counted
    if (now.restarts or 0) <= (before.restarts or 0):
        return counted
    return _moved(counted, gpus * ((now.lost_seconds or 0) - (before.lost_seconds or 0)), "lost")


def _with_loss(counted: GpuSecondsStatus, evidence: Evidence) -> GpuSecondsStatus:
    """Steps that are to be taken again: their part of the time that all have taken.

    The productive time is that of the steps from the first to the last one. Where a process goes
    on from an earlier one, or an attempt has ended after another than the checkpoint's, those in
    between are lost; a failure takes back none of those before the first one.
    """
    reached, record = _reached(evidence), evidence.recovery and evidence.recovery.failure
    if reached is None:
        return counted
    first, last = counted.first_step, counted.last_step
    if first is None or last is None:
        first = min(_training(evidence).first_step or 0, reached)
        last = reached
    kept = reached
    if record:
        kept = max(reached - (record.lost_steps or 0), min(first, reached))
    if record and recorded(evidence.run.status, record.attempt) is None:
        last = max(last, reached)  # steps that no pass has seen
    lost = counted.productive * (last - kept) / max(last - first, 1)
    return _moved(counted, lost, "lost").model_copy(
        update={"first_step": min(first, kept), "last_step": kept}
    )


def _training(evidence: Evidence) -> TrainingSeen:
    """What the log says of training."""
    return evidence.training or training_progress(())


def _reached(evidence: Evidence) -> int | None:
    """Steps that are done, those included that a failure takes back; None where nobody says."""
    if evidence.recovery:
        return evidence.recovery.failure.step
    status = _training(evidence).status
    return status.step if status else None
