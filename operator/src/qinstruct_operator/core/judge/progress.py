"""Progress: parse the events in a log's last lines into numbers and short texts. Pure.

A container may print anything: lines that are not our events are skipped.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import TypeVar

from qinstruct_operator.api.status import (
    MAX_INTEGER,
    MAX_SOURCES,
    CheckpointStatus,
    PrepStatus,
    SourceStatus,
    TrainingStatus,
)
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
from qinstruct_trainer.contract.sources import Sources, after_event

E = TypeVar("E")
_DAY = 86400
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
        first_step: steps that were done when its processes, or the latest of them, began to train.
        saves: these events, oldest first.
    """

    status: TrainingStatus | None
    checkpoint: CheckpointStatus | None
    eta_seconds: float | None
    exported: bool
    restarting: Restarting | None = None
    first_step: int | None = None
    saves: tuple[Checkpoint, ...] = ()


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
    newest, sources = events[-1], _newest_sources(events)
    if isinstance(newest, PrepWaiting):
        waiting = PrepStatus(
            stage=newest.stage,
            item=_name(newest.item),
            waiting_for=one_line(newest.owner)[:253],
            sources=_source_statuses(sources, None),
        )
        return PrepSeen(waiting, None)
    rate = _rate(newest, events)
    eta = _time_left(newest.total, newest.done, rate)
    status = PrepStatus(
        stage=newest.stage,
        item=_name(newest.item),
        done=_count(newest.done),
        total=_known_count(newest.total),
        unit=newest.unit,
        sources=_source_statuses(sources, eta),
        downloads_eta=eta_text(_downloads_eta(newest, sources, rate)),
    )
    return PrepSeen(status, eta)


def without_etas(prep: PrepStatus) -> PrepStatus:
    """How far preparation is, less what is true only while a pod is at work."""
    rows = prep.sources and tuple(each.model_copy(update={"eta": None}) for each in prep.sources)
    return prep.model_copy(update={"sources": rows, "downloads_eta": None})


def with_all_ready(prep: PrepStatus) -> PrepStatus:
    """How far preparation was when nobody looked any more, now that it has succeeded."""
    rows = without_etas(prep).sources
    ready = rows and tuple(each if each.state == "Cached" else _ready(each) for each in rows)
    return prep.model_copy(update={"sources": ready, "downloads_eta": None})


def training_progress(events: Sequence[Event]) -> TrainingSeen:
    """Steps, loss, throughput, newest checkpoint; after a restart in place, those since then."""
    before, since = _at_restart(events)
    step = _newest(since, Step)
    status = _training_status(step, _newest(since, Start)) or without_rates(
        _training_status(_newest(before, Step), _newest(before, Start))
    )
    saves = tuple(each for each in events if isinstance(each, Checkpoint))
    start = _newest(events, Start)
    is_restarting = before and not any(isinstance(each, Step | Start) for each in since)
    return TrainingSeen(
        status=_with_restarts(status, events),
        checkpoint=CheckpointStatus(step=_count(saves[-1].step), time=_time(saves[-1].time))
        if saves
        else None,
        eta_seconds=_finite(step.eta_seconds) if step else None,
        exported=_newest(since, Exported) is not None,
        restarting=_newest(before, Restarting) if is_restarting else None,
        first_step=_count(start.step) if start else None,
        saves=saves,
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


def _rate(newest: PrepProgress, events: Sequence[PrepProgress | PrepWaiting]) -> float | None:
    """Of the same stage and item over these events, each second.

    Where nothing is done yet no rate begins: what comes next may be there from an earlier attempt.
    """
    same = [
        event
        for event in events
        if isinstance(event, PrepProgress)
        and (event.stage, event.item) == (newest.stage, newest.item)
        and event.done > 0
    ]
    if not same:
        return None
    done = _count(newest.done) - _count(same[0].done)
    seconds = newest.time - same[0].time
    return done / seconds if done > 0 and seconds > 0 else None


def _time_left(total: int | None, done: int, rate: float | None) -> float | None:
    if total is None or not rate:
        return None
    return _finite((_count(total) - _count(done)) / rate)


def _newest_sources(events: Sequence[PrepProgress | PrepWaiting]) -> Sources | None:
    """How far each source is: where that was said last, and what the events after it change."""
    said = [number for number, event in enumerate(events) if event.sources is not None]
    if not said:
        return None
    later = events[said[-1] + 1 :]
    named = ((_name(each.name), each) for each in events[said[-1]].sources or ())
    by_name = {name: each for name, each in named if name}  # the API takes each name once
    return reduce(after_event, later, tuple(by_name.values())[:MAX_SOURCES])


def _source_statuses(sources: Sources | None, eta: float | None) -> tuple[SourceStatus, ...] | None:
    """As the status has them; the time left belongs to the one that is worked on."""
    if sources is None:
        return None
    return tuple(
        SourceStatus(
            name=_name(each.name),
            state=each.state,
            done=_known_count(each.done),
            total=_known_count(each.total),
            unit=each.unit,
            eta=eta_text(eta) if each.state in ("Fetching", "Extracting") else None,
        )
        for each in sources
    )


def _downloads_eta(
    newest: PrepProgress, sources: Sources | None, rate: float | None
) -> float | None:
    """Of all sources, at the rate of the one that is fetched; None where one's size is unknown."""
    if sources is None or (newest.stage, newest.unit) != ("fetch", "bytes"):
        return None
    left = [each for each in sources if each.state in ("Waiting", "Fetching")]
    if any(each.total is None or each.unit != "bytes" for each in left):
        return None
    # None is below zero: what has come may be more than was published.
    num_bytes = sum(max(0, _count(each.total or 0) - _count(each.done or 0)) for each in left)
    return _time_left(num_bytes, 0, rate)


def _ready(source: SourceStatus) -> SourceStatus:
    done = source.done if source.done is None or source.total is None else source.total
    return source.model_copy(update={"state": "Ready", "done": done})


def _name(text: str) -> str:
    return one_line(text)[:256]


def _known_count(value: int | None) -> int | None:
    return None if value is None else _count(value)


def _count(value: int) -> int:
    """A count as the API takes it."""
    return min(max(value, 0), MAX_INTEGER)


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
