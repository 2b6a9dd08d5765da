"""Progress: parse the events in a log's last lines into numbers and short texts. Pure.

A container may print anything: lines that are not our events are skipped.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from qinstruct_operator.api.status import CheckpointStatus, PrepStatus, TrainingStatus
from qinstruct_operator.core.judge.pods import Pod
from qinstruct_operator.core.times import time_text
from qinstruct_trainer.contract.events import (
    Checkpoint,
    Event,
    Exported,
    PrepProgress,
    PrepWaiting,
    Restarting,
    Start,
    Step,
    parse_line,
)
from qinstruct_trainer.contract.safe_text import one_line

E = TypeVar("E")
_DAY = 86400
_MAX_COUNT = 2**53  # what every reader of JSON keeps exactly
_MAX_DAYS = 99


@dataclass(frozen=True)
class PrepSeen:
    """How far preparation is; eta_seconds of the present stage, None where it is unknown."""

    status: PrepStatus
    eta_seconds: float | None


@dataclass(frozen=True)
class TrainingSeen:
    """How far training is.

    Attributes:
        status: None before training has started.
        checkpoint: newest of these events.
        exported: the model is written; only the evaluation is left.
        restarting: its processes have failed and are started again in place, since this event.
    """

    status: TrainingStatus | None
    checkpoint: CheckpointStatus | None
    eta_seconds: float | None
    exported: bool
    restarting: Restarting | None = None


def read_events(lines: Iterable[str], pod: Pod | None) -> tuple[Event, ...]:
    """The events in the log of a pod: what its container has written itself.

    A name in its data, an answer of a server or a library can print such a line too, but cannot
    know the pod's uid.
    """
    if pod is None:
        return ()
    read = (parse_line(line, pod.writer) for line in lines)
    return tuple(event for event in read if event is not None)


def prep_progress(said: Sequence[Event]) -> PrepSeen | None:
    """The stage that prep works on, from the newest event; None while there is none."""
    events = [event for event in said if isinstance(event, PrepProgress | PrepWaiting)]
    if not events:
        return None
    newest = events[-1]
    if isinstance(newest, PrepWaiting):
        waiting = PrepStatus(
            stage=newest.stage,
            item=one_line(newest.item)[:256],
            waiting_for=one_line(newest.owner)[:253],
        )
        return PrepSeen(waiting, None)
    status = PrepStatus(
        stage=newest.stage,
        item=one_line(newest.item)[:256],
        done=_count(newest.done),
        total=None if newest.total is None else _count(newest.total),
        unit=newest.unit,
    )
    return PrepSeen(status, _prep_eta(newest, events))


def training_progress(events: Sequence[Event]) -> TrainingSeen:
    """Steps, loss, throughput, newest checkpoint; after a restart in place, those since then."""
    before, since = _at_restart(events)
    step = _newest(since, Step)
    status = _training_status(step, _newest(since, Start)) or without_rates(
        _training_status(_newest(before, Step), _newest(before, Start))
    )
    saved = _newest(events, Checkpoint)
    is_restarting = before and not any(isinstance(each, Step | Start) for each in since)
    return TrainingSeen(
        status=_with_restarts(status, events),
        checkpoint=CheckpointStatus(step=_count(saved.step), time=_time(saved.time))
        if saved
        else None,
        eta_seconds=_finite(step.eta_seconds) if step else None,
        exported=_newest(since, Exported) is not None,
        restarting=_newest(before, Restarting) if is_restarting else None,
    )


def restarting_text(event: Restarting) -> str:
    """What a pod does whose processes have failed, to be put behind its name."""
    return (
        f"starts its processes again in place, retry {event.retry} of {event.retries}, from the "
        f"last checkpoint: {one_line(event.message)} ({one_line(event.reason)})"
    )


def restarts_text(training: TrainingStatus | None) -> str:
    """`2 restarts in place (1m lost)`; empty where there was none."""
    if training is None or not training.restarts:
        return ""
    lost = eta_text(training.lost_seconds)
    return (
        f"{training.restarts} restart{'s' if training.restarts > 1 else ''} in place"
        f"{f' ({lost} lost)' if lost else ''}"
    )


def newest_time(events: Sequence[Event]) -> datetime | None:
    """Time of the newest event, by the clock of its node; None where there is none."""
    return _moment(events[-1].time) if events else None


def without_rates(training: TrainingStatus | None) -> TrainingStatus | None:
    """How far training is, less what is true only while a pod takes steps."""
    rates = {"samples_per_second": None, "tokens_per_second": None}
    return training.model_copy(update=rates) if training else None


def percent_text(done: int | None, total: int | None) -> str | None:
    """`43%`, rounded down so that 100% means all; None where the total is unknown."""
    return f"{min(100, 100 * done // total)}%" if total and done is not None else None


def eta_text(seconds: float | None) -> str | None:
    """`45s`, `12m`, `3h05m`, `2d04h`, at most `99d23h`; None where it is unknown."""
    if seconds is None:
        return None
    whole = min(max(0, math.ceil(seconds)), (_MAX_DAYS + 1) * _DAY - 1)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < _DAY:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // _DAY}d{whole % _DAY // 3600:02}h"


def _newest(events: Sequence[Event], kind: type[E]) -> E | None:
    return next((event for event in reversed(events) if isinstance(event, kind)), None)


def _at_restart(events: Sequence[Event]) -> tuple[Sequence[Event], Sequence[Event]]:
    """The events up to the newest restart in place, and those since; all of them without one."""
    last = max((n for n, each in enumerate(events, 1) if isinstance(each, Restarting)), default=0)
    return events[:last], events[last:]


def _with_restarts(status: TrainingStatus | None, events: Sequence[Event]) -> TrainingStatus | None:
    """How often its processes were started again: each of several kinds of events says that."""
    told = [each for each in events if isinstance(each, Restarting | Start | Step)]
    if not told or status is None:
        return status
    newest, step = told[-1], _newest(events, Step)
    count = newest.retry if isinstance(newest, Restarting) else newest.restarts
    lost = step.lost_seconds if step else None
    return status.model_copy(
        update={
            "restarts": None if count is None else max(1, _count(count)),
            "lost_seconds": None if lost is None else _finite(lost, 1),
        }
    )


def _training_status(step: Step | None, start: Start | None) -> TrainingStatus | None:
    if step is None:
        if start is None:
            return None
        return TrainingStatus(step=_count(start.step), steps=_count(start.steps))
    return TrainingStatus(
        step=_count(step.step),
        steps=_count(step.steps),
        loss=_finite(step.loss, 4),
        samples_per_second=_finite(step.samples_per_second, 1),
        tokens_per_second=_finite(step.tokens_per_second, 1),
    )


def _prep_eta(newest: PrepProgress, events: list[PrepProgress | PrepWaiting]) -> float | None:
    """From the rate of the same stage and item over these events."""
    same = [
        event
        for event in events
        if isinstance(event, PrepProgress)
        and (event.stage, event.item) == (newest.stage, newest.item)
    ]
    done = _count(newest.done) - _count(same[0].done)
    seconds = newest.time - same[0].time
    if newest.total is None or done <= 0 or seconds <= 0:
        return None
    return _finite((_count(newest.total) - _count(newest.done)) * seconds / done)


def _count(value: int) -> int:
    """A count as the API takes it."""
    return min(max(value, 0), _MAX_COUNT)


def _finite(value: float, digits: int | None = None) -> float | None:
    if not math.isfinite(value):
        return None
    return value if digits is None else round(value, digits)


def _time(seconds: float) -> str:
    return time_text(_moment(seconds) or datetime.fromtimestamp(0, UTC))


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
