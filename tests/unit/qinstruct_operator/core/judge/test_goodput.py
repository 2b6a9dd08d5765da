"""Where the GPUs' time went: what fills which bucket, and that they add up whatever happens."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_operator.api.read_status import read_status
from qinstruct_operator.api.status import GpuSecondsStatus, HeldStatus, Status, TrainingStatus
from qinstruct_operator.core.judge.goodput import HELD, goodput_text
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import Snapshot, observe
from qinstruct_operator.reconcile import status_json
from qinstruct_trainer.contract.events import Event
from support.observed import (
    NOW,
    SUSPENDED,
    Raw,
    at_time,
    condition,
    ended,
    failed_event,
    lines,
    node,
    plan,
    pod,
    pytorchjob,
    restarting_event,
    run_of,
    running,
    saved_event,
    start_event,
    status_of,
    step_event,
)
from support.status_cases import disturbed, prep
from support.status_cases import training as training_cases
from support.status_cases.case import DONE, JOB, JOB_LOST, PREP, Case

BUCKETS = (*HELD, "queued")
CASES: dict[str, Case] = prep.CASES | training_cases.CASES | disturbed.CASES
HOLDS = at_time(condition("PodScheduled"), 0)  # from NOW on: 480 GPU-seconds a minute


def at(
    minute: int,
    *log: Event | str,
    state: Raw | None = None,
    job: Raw = JOB,
    **read: Any,
) -> Snapshot:
    """How a pod of eight GPUs stands some minutes after it got its node; it runs from then on."""
    old = [each for each in log if isinstance(each, str)]
    new = [each for each in log if not isinstance(each, str)]
    there = pod(job, state or running(0), HOLDS, startTime="2026-03-01T12:00:00Z")
    said = (*old, *lines(*new, until=NOW + timedelta(minutes=minute)))
    return Snapshot(prep=DONE, training=job, pods=(there,), log=said, **read)


def story(*pages: tuple[int, Snapshot], status: Status | None = None) -> Status:
    for minute, snapshot in pages:
        status = status_of(snapshot, status, now=NOW + timedelta(minutes=minute))
        assert status.gpu_hours is None or held(status) == round(status.gpu_hours * 3600)
    assert status is not None
    return status


def buckets(status: Status) -> dict[str, int]:
    """Those that are not empty, in GPU-minutes of eight GPUs."""
    assert status.gpu_seconds is not None
    found = {each: getattr(status.gpu_seconds, each) for each in BUCKETS}
    return {bucket: round(seconds / 480) for bucket, seconds in found.items() if seconds}


def held(status: Status) -> int:
    return sum(getattr(status.gpu_seconds, each) for each in HELD) if status.gpu_seconds else 0


SAVED = saved_event(100).model_copy(update={"blocked_seconds": 180.0})
BEGUN = lines(start_event(), step_event(10), until=NOW + timedelta(minutes=6))
TRAINED = (
    *BEGUN,
    *lines(step_event(100), SAVED, step_event(150), until=NOW + timedelta(minutes=36)),
)
LOADS = (3, at(3))
BEGINS = (6, at(6, *BEGUN))
TRAINS = (36, at(36, *TRAINED))
HANGS = restarting_event(reason="Stalled")
GOES_ON = start_event(100, restarts=1)
WENT_ON = step_event(170, restarts=1, lost_seconds=240.0)
WENT_FURTHER = step_event(190, restarts=1, lost_seconds=240.0)
LONG_SAVE = saved_event(150).model_copy(update={"blocked_seconds": 780.0})
ABSURD_SAVE = saved_event(160).model_copy(update={"blocked_seconds": 1e12})
FAILED = failed_event("GpuFailed", "why", 71)
OVER: Raw = {"job": JOB_LOST, "state": ended(71, ran=(0, -39))}

LATER = "2026-03-01T13:09:00Z"
CUT_OFF = node("Unknown", "NodeStatusUnknown", "Kubelet stopped posting.", minutes=-39)

STORIES: dict[str, tuple[list[tuple[int, Snapshot]], dict[str, int]]] = {
    "from the node to the first step": ([LOADS, BEGINS], {"starting": 6}),
    "steps, and what a checkpoint has held up": (
        [LOADS, BEGINS, TRAINS],
        {"starting": 6, "productive": 27, "saving": 3},
    ),
    "the same checkpoint is seen again": (
        [LOADS, BEGINS, TRAINS, (36, at(36, *TRAINED)), (39, at(39, *TRAINED, step_event(160)))],
        {"starting": 6, "productive": 30, "saving": 3},
    ),
    "export and evaluation": (
        [LOADS, BEGINS, TRAINS, (39, at(39, step_event(200))), (42, at(42, step_event(200)))],
        {"starting": 6, "productive": 33, "saving": 3},
    ),
    "a rank hangs, and its processes are started again": (
        [LOADS, BEGINS, TRAINS, (42, at(42, *TRAINED, HANGS))],
        {"starting": 6, "productive": 27, "saving": 3, "stalled": 6},
    ),
    "a rank was killed, and its processes are started again": (
        [LOADS, BEGINS, TRAINS, (39, at(39, *TRAINED, restarting_event()))],
        {"starting": 6, "productive": 27, "saving": 3, "lost": 3},
    ),
    "the steps since the checkpoint are taken again": (
        # 150 steps took 27 minutes.
        [
            *(LOADS, BEGINS, TRAINS, (42, at(42, *TRAINED, HANGS))),
            (45, at(45, *TRAINED, HANGS, start_event(100, restarts=1))),
        ],
        {"starting": 6, "productive": 18, "saving": 3, "stalled": 6, "lost": 3 + 9},
    ),
    "the attempt has failed, and its steps since the checkpoint are lost": (
        [LOADS, BEGINS, TRAINS, (42, at(42, *TRAINED, FAILED, **OVER))],
        {"starting": 6, "productive": 18, "saving": 3, "lost": 3 + 9},
    ),
    "the same is seen again": (
        [
            LOADS,
            BEGINS,
            TRAINS,
            *[(minute, at(42, *TRAINED, FAILED, **OVER)) for minute in (42, 42)],
        ],
        {"starting": 6, "productive": 18, "saving": 3, "lost": 3 + 9},
    ),
    "nobody looked before the attempt had failed": (
        [(42, at(42, *TRAINED, FAILED, **OVER))],
        {"lost": 39},
    ),
    "nobody looked while it trained": (
        [LOADS, TRAINS],
        {"starting": 3, "productive": 30, "saving": 3},
    ),
    "nobody looked while it went on after a failure": (
        [
            *(LOADS, BEGINS, TRAINS, (42, at(42, *TRAINED, HANGS))),
            (90, at(90, *TRAINED, HANGS, GOES_ON, step_event(190, restarts=1))),
        ],
        {"starting": 6, "productive": 27 + 48, "saving": 3, "stalled": 6},
    ),
    "nobody looked while its processes were started again, which is seen more than once": (
        [
            *(LOADS, BEGINS, TRAINS, (45, at(45, *TRAINED, HANGS, GOES_ON, WENT_ON))),
            (48, at(48, *TRAINED, HANGS, GOES_ON, WENT_ON, WENT_ON)),
            (51, at(51, *TRAINED, HANGS, GOES_ON, WENT_ON, WENT_FURTHER)),
        ],
        {"starting": 6, "productive": 27 + 5 + 6, "saving": 3, "lost": 4},
    ),
    "a restart that was seen costs what was seen": (
        [
            *(LOADS, BEGINS, TRAINS, (42, at(42, *TRAINED, HANGS))),
            (45, at(45, *TRAINED, HANGS, GOES_ON)),
            (48, at(48, *TRAINED, HANGS, GOES_ON, WENT_ON)),
        ],
        {"starting": 6, "productive": 18 + 3, "saving": 3, "stalled": 6, "lost": 3 + 9},
    ),
    "a checkpoint that takes longer than an hour of GPUs": (
        [
            *(LOADS, BEGINS, TRAINS, (48, at(48, *TRAINED))),
            (49, at(49, *TRAINED, LONG_SAVE, step_event(160))),
        ],
        {"starting": 6, "productive": 27, "saving": 3 + 13},
    ),
    "a checkpoint that says it took longer than there was time": (
        [*(LOADS, BEGINS, TRAINS), (45, at(45, *TRAINED, ABSURD_SAVE, step_event(160)))],
        {"starting": 6, "productive": 27, "saving": 3 + 9},
    ),
    "it takes no step for an hour, and nobody knows what time it is there": (
        [LOADS, BEGINS, TRAINS, (96, at(36, *TRAINED))],
        {"starting": 6, "productive": 27, "saving": 3, "stalled": 60},
    ),
    "its node is lost": (
        [LOADS, BEGINS, TRAINS, (90, at(36, state=running(0), node=(CUT_OFF,)))],
        {"starting": 6, "productive": 27 + 3, "saving": 3},
    ),
    "nobody looked before it trained": ([TRAINS], {"productive": 33, "saving": 3}),
    "it is asked to stop, and saves": (
        [
            *(LOADS, BEGINS, TRAINS),
            (39, at(39, *TRAINED, job=pytorchjob(SUSPENDED))),
            (42, at(42, *TRAINED, job=pytorchjob(SUSPENDED))),
        ],
        {"starting": 6, "productive": 30, "saving": 3 + 3},
    ),
    "it says nothing, and does nothing": (
        [LOADS, BEGINS, TRAINS, (69, at(36, *TRAINED, node=(node(lastHeartbeatTime=LATER),)))],
        {"starting": 6, "productive": 27, "saving": 3, "stalled": 33},
    ),
}


@pytest.mark.parametrize(("pages", "want"), STORIES.values(), ids=STORIES)
def test_what_the_time_went_into(pages: list[tuple[int, Snapshot]], want: dict[str, int]) -> None:
    status = story(*pages)
    assert buckets(status) == want
    assert status.goodput == f"{100 * want.get('productive', 0) // sum(want.values())}%"


@pytest.mark.parametrize(
    ("phase", "bucket"),
    [
        ("NoController", "stalled"),
        ("Deleting", "saving"),
        ("Unschedulable", "productive"),  # no GPUs are held so: as the phase of now
    ],
)
def test_what_each_phase_counts_as(phase: str, bucket: str) -> None:
    before = story(LOADS, BEGINS, TRAINS)
    after = story((39, at(39, *TRAINED)), status=before.model_copy(update={"phase": phase}))
    was, now = buckets(before), buckets(after)
    assert {each: now[each] - was.get(each, 0) for each in now} == dict.fromkeys(now, 0) | {
        bucket: 3
    }


NO_POD = Snapshot(prep=DONE, training=JOB)
IN_QUEUE = Snapshot(prep=DONE, training=pytorchjob(SUSPENDED, queue="gpus"))
BY_HAND = Snapshot(prep=DONE, training=pytorchjob(SUSPENDED))
WAITS: dict[str, tuple[list[tuple[int, Snapshot]], dict[str, int]]] = {
    "since the data are prepared": ([(-6, Snapshot(prep=DONE)), (-3, NO_POD)], {"queued": 3}),
    "in a queue": ([(-9, IN_QUEUE), (0, IN_QUEUE)], {"queued": 9}),
    "until a pod has its node, not until that is seen": (
        [(-9, NO_POD), (3, at(3))],
        {"queued": 9, "starting": 3},
    ),
    "for another attempt": (
        [LOADS, BEGINS, TRAINS, *[(at_, at(42, *TRAINED, FAILED, **OVER)) for at_ in (42, 48)]],
        {"starting": 6, "productive": 18, "saving": 3, "lost": 12, "queued": 6},
    ),
    "not for data": ([(-9, Snapshot(prep=PREP)), (0, NO_POD)], {}),
    "not while it is suspended": ([(-9, NO_POD), (-6, BY_HAND), (0, BY_HAND)], {"queued": 3}),
    "by a clock that goes back": ([(0, NO_POD), (-3, NO_POD), (0, NO_POD)], {}),
    "by a clock that goes back, once": (
        [(-3, NO_POD), (0, NO_POD), (-3, NO_POD), (0, NO_POD)],
        {"queued": 3},
    ),
}


@pytest.mark.parametrize(("pages", "want"), WAITS.values(), ids=WAITS)
def test_what_is_waited_for_gpus(pages: list[tuple[int, Snapshot]], want: dict[str, int]) -> None:
    assert buckets(story(*pages)) == want


@pytest.mark.parametrize(
    ("snapshot", "suspend", "want"),
    [
        (CASES["an output claim from before that is too small"].snapshot, False, True),
        (CASES["an output claim from before that is too small"].snapshot, True, False),
        (IN_QUEUE, True, True),  # Kueue's is what counts there
    ],
)
def test_what_its_user_holds_back_waits_for_no_gpus(
    snapshot: Snapshot, suspend: bool, want: bool
) -> None:
    run = replace(run_of(made=plan()), spec=plan(suspend=suspend).spec)
    status = judge(run, observe(run, snapshot), NOW)
    assert status.phase in ("ClaimMismatch", "Queued")
    assert (status.gpu_seconds is not None and status.gpu_seconds.waiting_since is not None) == want


def test_nothing_is_counted_before_gpus_are_wanted_nor_where_there_are_none() -> None:
    assert status_of(Snapshot(prep=PREP)).gpu_seconds is None
    tiny = plan(size="Tiny", strategy="mix")
    trains = status_of(Snapshot(prep=DONE, training=JOB, pods=(pod(JOB, running()),)), made=tiny)
    assert (trains.gpu_seconds, trains.goodput) == (None, None)


def with_steps(productive: int, first: int, last: int) -> Status:
    seconds = GpuSecondsStatus(productive=productive, first_step=first, last_step=last)
    return Status(
        phase="Training",
        gpu_hours=productive / 3600,
        held=HeldStatus(pod="another", earlier_hours=0.0),
        gpu_seconds=seconds,
    )


@pytest.mark.parametrize(
    ("before", "begins_at", "lost"),
    [
        (with_steps(36000, 0, 100), 90, 3600),
        (with_steps(36000, 5000, 5100), 5090, 3600),  # the run went on from an earlier one's output
        (with_steps(36000, 5000, 5100), 4000, 36000),  # all its checkpoints are damaged
        (with_steps(36000, 0, 100), 100, 0),
        (with_steps(36000, 0, 100), 130, 0),  # steps that nobody saw
        (with_steps(36000, 0, 0), 0, 0),
    ],
)
def test_the_lost_steps_part_of_the_time_is_lost(before: Status, begins_at: int, lost: int) -> None:
    after = status_of(at(0, start_event(begins_at)), before).gpu_seconds
    assert after is not None
    assert (after.productive, after.lost, after.last_step) == (36000 - lost, lost, begins_at)
    assert before.gpu_seconds
    assert after.first_step == min(before.gpu_seconds.first_step or 0, begins_at)


def test_what_another_pod_did_says_nothing_of_this_one() -> None:
    assert buckets(story((6, at(6)), status=with_steps(4800, 0, 9))) == {
        "productive": 10,
        "starting": 6,
    }


def test_a_status_that_is_lost_begins_anew_with_the_pod_that_there_is() -> None:
    before = story(LOADS, BEGINS, TRAINS)
    assert before.goodput == "75%"
    after = story((39, at(39, *TRAINED)), status=Status())
    assert buckets(after) == {"productive": 36, "saving": 3}


RESTARTED = TrainingStatus(step=170, steps=200, restarts=1, lost_seconds=240.0)


def of_older_operator(status: Status, **values: Any) -> Status:
    """It has the hours alone."""
    return status.model_copy(update={"gpu_seconds": None, "goodput": None} | values)


def test_what_an_older_operator_has_counted_is_productive_once_there_were_steps() -> None:
    older = of_older_operator(story(LOADS, BEGINS, TRAINS), phase="Silent")
    assert buckets(story((39, at(39, *TRAINED)), status=older)) == {"productive": 39}
    failed = story((42, at(42, *TRAINED, FAILED, **OVER)), status=older)
    assert buckets(failed) == {"productive": 26, "lost": 13}  # 50 of 150 steps
    restarted = older.model_copy(update={"training": RESTARTED})
    assert buckets(story((45, at(45, *TRAINED, HANGS, GOES_ON, WENT_ON)), status=restarted)) == {
        "productive": 41,
        "lost": 4,
    }
    loads = of_older_operator(story(LOADS))
    assert buckets(story((6, at(6)), status=loads)) == {"starting": 6}


def test_a_failure_takes_back_no_steps_of_an_earlier_run() -> None:
    log = lines(start_event(5000, 9000), step_event(5050, 9000), until=NOW + timedelta(minutes=36))
    pages = [LOADS, (36, at(36, *log)), (42, at(42, *log, FAILED, **OVER))]
    seconds = story(*pages).gpu_seconds
    assert seconds
    assert (seconds.first_step, seconds.last_step) == (5000, 5000)
    assert (seconds.productive, seconds.lost > 0) == (0, True)


def test_what_another_clock_takes_back_is_taken_from_what_there_is() -> None:
    loads = story((3, at(3)), (30, at(30)), BEGINS)
    assert buckets(loads) == {"starting": 6}
    over = {"job": JOB_LOST, "state": ended(71, ran=(0, -3))}
    failed = story(LOADS, BEGINS, TRAINS, (36, at(36, *TRAINED, FAILED, **over)))
    assert held(failed) == 3 * 480
    assert goodput_text(GpuSecondsStatus(productive=999, lost=1)) == "99%"
    assert goodput_text(GpuSecondsStatus(queued=5)) is None


SNAPSHOTS: Sequence[Snapshot] = [case.snapshot for case in CASES.values()]
LOOKS = st.lists(
    st.tuples(st.sampled_from(SNAPSHOTS), st.integers(-600, 36000), st.integers(0, 9)), max_size=12
)


@given(LOOKS)
def test_they_add_up_to_the_gpu_hours_whatever_is_seen_and_however_often(
    looks: list[tuple[Snapshot, int, int]],
) -> None:
    """States of a run in any order; clocks go back; every tenth time the status is lost."""
    status, now, waited = Status(), NOW, 0
    for snapshot, seconds, luck in looks:
        now += timedelta(seconds=seconds)
        waited += 8 * max(seconds, 0)
        status = status_of(snapshot, Status() if luck == 0 else status, now=now)
        again = status_of(snapshot, status, now=now)
        assert (again.gpu_seconds, again.goodput) == (status.gpu_seconds, status.goodput)
        assert read_status({"status": status_json(status)}) == (status, ())
        if (counted := status.gpu_seconds) is not None:
            assert held(status) == round((status.gpu_hours or 0) * 3600)
            assert counted.queued <= waited
            assert (counted.first_step or 0) <= (counted.last_step or 0)
