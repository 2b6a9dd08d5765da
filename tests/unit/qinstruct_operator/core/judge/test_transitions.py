"""Events: which changes have one, how severe it is, and that none is posted twice."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from qinstruct_operator.api.status import GpuSecondsStatus, Status
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import Part, Snapshot, observe
from qinstruct_operator.core.judge.transitions import is_news, transition_events
from qinstruct_operator.core.run import Run
from qinstruct_operator.errors import Violation
from support.observed import (
    COMPLETE,
    JOB_FAILED,
    NOW,
    RUN,
    SUCCEEDED,
    Raw,
    condition,
    condition_reasons,
    deleting,
    ended,
    failed_event,
    lines,
    plan,
    pod,
    prep_job,
    pytorchjob,
    run_of,
    running,
    snapshot_of,
    start_event,
    status_of,
    step_event,
    waiting,
)

PREP, DONE, JOB = prep_job(), prep_job(COMPLETE), pytorchjob()
LOST = pytorchjob(JOB_FAILED)
LOG = lines(start_event(), step_event(43))
NOTHING = status_of(Snapshot())
PREPARED = status_of(Snapshot(prep=DONE))
SCHEDULED = status_of(Snapshot(training=JOB, pods=(pod(JOB, waiting()),)), PREPARED)


def posted_events(previous: Status, status: Status) -> list[tuple[str, str]]:
    return [
        (each["type"], each["reason"]) for each in transition_events(run_of(previous), status, NOW)
    ]


def failed(reason: str) -> Status:
    log = lines(failed_event(reason, "why", 70))
    return status_of(Snapshot(training=LOST, pods=(pod(LOST, ended(70)),), log=log), PREPARED)


CASES: dict[str, tuple[Status, Status, list[tuple[str, str]]]] = {
    "a new run": (Status(), NOTHING, [("Normal", "Accepted")]),
    "nothing new": (NOTHING, NOTHING, []),
    "the same in other words": (
        NOTHING,
        NOTHING.model_copy(
            update={
                "conditions": tuple(
                    each.model_copy(update={"message": "other"}) for each in NOTHING.conditions
                )
            }
        ),
        [],
    ),
    "a spec with faults": (
        Status(),
        status_of(Snapshot(), violations=[Violation("spec.a", 1, "is bad", "use 2")]),
        [("Warning", "InvalidSpec")],
    ),
    "a refused child": (
        NOTHING,
        status_of(Snapshot(), NOTHING, refused="apply Job team/x-prep: no"),
        [("Warning", "Refused")],
    ),
    "an image that is not there": (
        NOTHING,
        status_of(Snapshot(prep=PREP, pods=(pod(PREP, waiting("ErrImagePull")),)), NOTHING),
        [("Warning", "ImageUnavailable")],
    ),
    "prep starts": (
        NOTHING,
        status_of(Snapshot(prep=PREP, pods=(pod(PREP, running(10)),)), NOTHING),
        [("Normal", "Preparing")],
    ),
    "prep is tried again": (
        NOTHING,
        status_of(Snapshot(prep=PREP, pods=(pod(PREP, ended(69)),)), NOTHING),
        [("Warning", "Retrying")],
    ),
    "prepared": (NOTHING, PREPARED, [("Normal", "Prepared")]),
    "no node": (
        PREPARED,
        status_of(
            Snapshot(
                training=JOB,
                pods=(
                    pod(
                        JOB, None, condition("PodScheduled", message="0/3", status="False"),
                        node=None,
                    ),
                ),
            ),
            PREPARED,
        ),
        [("Warning", "Unschedulable")],
    ),
    "a node": (PREPARED, SCHEDULED, [("Normal", "Scheduled")]),
    "several steps at once": (
        NOTHING,
        status_of(Snapshot(prep=DONE, training=JOB, pods=(pod(JOB, running(10)),)), NOTHING),
        [("Normal", "Prepared"), ("Normal", "Scheduled"), ("Normal", "Loading")],
    ),
    "complete": (
        SCHEDULED,
        status_of(Snapshot(training=pytorchjob(SUCCEEDED)), SCHEDULED),
        [("Normal", "Complete")],
    ),
    "failed": (SCHEDULED, failed("BadData"), [("Warning", "BadData")]),
    "failed, by a name that is silent elsewhere": (
        SCHEDULED,
        failed("Failed"),
        [("Warning", "Failed")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after", "want"), CASES.values(), ids=CASES)
def test_which_events_are_posted(
    before: Status, after: Status, want: list[tuple[str, str]]
) -> None:
    assert posted_events(before, after) == want


def test_the_whole_event() -> None:
    (event,) = transition_events(run_of(Status()), NOTHING, NOW)
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "x.3415ae4479b99df8", "namespace": "team"},
        "involvedObject": {
            "apiVersion": "qinstruct.dev/v1alpha1",
            "kind": "QInstructTraining",
            "namespace": "team",
            "name": "x",
            "uid": RUN.uid,
            "resourceVersion": "7",
        },
        "type": "Normal",
        "reason": "Accepted",
        "message": "the spec is a run that this version can train",
        "source": {"component": "qinstruct-operator"},
        "reportingComponent": "qinstruct-operator",
        "firstTimestamp": "2026-03-01T12:00:00Z",
        "lastTimestamp": "2026-03-01T12:00:00Z",
        "count": 1,
    }


def test_a_message_fits_an_event() -> None:
    violations = [Violation(f"spec.{n}", "v" * 80, "is bad" * 9, "use 2") for n in range(20)]
    (event,) = transition_events(
        run_of(Status()), status_of(Snapshot(), violations=violations), NOW
    )
    assert len(event["message"]) == 1024


def names(previous: Status, status: Status, run: Run = RUN) -> set[str]:
    events = transition_events(replace(run, status=previous), status, NOW)
    return {each["metadata"]["name"] for each in events}


def test_two_operators_tell_a_change_once() -> None:
    """Each has read another version of the run, and with it other numbers and other messages."""
    changed = replace(RUN, resource_version="8")
    numbers = NOTHING.model_copy(update={"progress": "43%", "gpu_hours": 1.5, "node": "gpu-2"})
    (reworded,) = (
        NOTHING.model_copy(
            update={
                "conditions": tuple(
                    each.model_copy(update={"message": "other", "observed_generation": 9})
                    for each in NOTHING.conditions
                )
            }
        ),
    )
    half = NOTHING.model_copy(
        update={"conditions": (*NOTHING.conditions[:-1], SCHEDULED.conditions[-1])}
    )
    told = names(NOTHING, PREPARED)
    assert told
    for before in (numbers, reworded, half):
        assert names(before, PREPARED, changed) == told


def test_a_change_that_comes_again_is_told_again() -> None:
    later = NOW + timedelta(minutes=7)
    waits = status_of(Snapshot(training=JOB), SCHEDULED, now=NOW + timedelta(minutes=5))
    placed = Snapshot(training=JOB, pods=(pod(JOB, waiting()),))
    again = status_of(placed, waits, now=later)
    first, second = names(PREPARED, SCHEDULED), names(waits, again)
    assert len(first) == len(second) == 1
    assert first != second
    assert not names(SCHEDULED, failed("BadData")) & first


def test_a_status_that_nobody_could_read_is_no_event() -> None:
    lost = Snapshot(unread={"training": "get PyTorchJob team/x-1: HTTP 503"})
    assert posted_events(Status(), status_of(lost)) == []
    held = status_of(Snapshot(prep=DONE, unread={"support": "get ConfigMap: forbidden"}), NOTHING)
    assert posted_events(NOTHING, held) == [("Normal", "Prepared"), ("Warning", "Unreadable")]


TRAINS = status_of(Snapshot(training=JOB, pods=(pod(JOB, running()),), log=LOG), PREPARED)


@pytest.mark.parametrize(
    ("change", "want"),
    [
        ({}, False),
        ({"gpu_hours": (TRAINS.gpu_hours or 0) + 0.02}, False),
        ({"gpu_seconds": GpuSecondsStatus(queued=7200), "goodput": "3%"}, False),
        ({"gpu_hours": (TRAINS.gpu_hours or 0) + 1}, True),
        ({"gpu_hours": None}, True),
        ({"eta": "1s"}, True),
        ({"progress": "99%"}, True),
        ({"observed_generation": 2}, True),
        ({"conditions": PREPARED.conditions}, True),
    ],
)
def test_gpu_hours_alone_are_written_by_the_hour(change: dict[str, Any], want: bool) -> None:
    assert TRAINS.gpu_hours == 4.0
    assert is_news(TRAINS, TRAINS.model_copy(update=change)) is want


TRAINS_NOW = status_of(Snapshot(training=JOB, pods=(pod(JOB, running()),), log=LOG), PREPARED)
GONE = Snapshot(training=JOB, pods=(pod(JOB, running()),), node=())


def test_a_node_that_is_lost_is_told_once() -> None:
    lost = status_of(GONE, TRAINS_NOW)
    assert condition_reasons(lost)["Running"] == ("Unknown", "NodeLost")
    assert posted_events(TRAINS_NOW, lost) == [("Warning", "NodeLost")]
    assert posted_events(lost, status_of(GONE, lost)) == []
    back = status_of(Snapshot(training=JOB, pods=(pod(JOB, running()),), log=LOG), lost)
    assert posted_events(lost, back) == [("Normal", "Training")]


@pytest.mark.parametrize("part", ["training", "pods", "node"])
def test_what_cannot_be_read_is_not_told(part: Part) -> None:
    unread = {part: "forbidden"}
    for before in (Status(), PREPARED, TRAINS_NOW, status_of(GONE, TRAINS_NOW)):
        after = status_of(Snapshot(unread=unread), before)
        assert ("Warning", "NodeLost") not in posted_events(before, after)


def suspended(by_spec: bool, queue: str | None = None) -> Raw:
    raw = pytorchjob(queue=queue) | {"spec": {"runPolicy": {"suspend": True}}}
    mark = {"annotations": {"qinstruct.dev/suspended": "true"}} if by_spec else {}
    return raw | {"metadata": raw["metadata"] | mark}


def suspending(suspend: bool, snapshot: Snapshot, previous: Status, refused: str = "") -> Status:
    run = replace(run_of(previous), spec=plan(suspend=suspend).spec)
    return judge(run, replace(observe(run, snapshot), refused=refused), NOW)


HELD, BY_HAND = suspended(by_spec=True), suspended(by_spec=False)
IS_HELD = suspending(True, Snapshot(training=HELD), TRAINS)
HELD_BACK = suspending(True, Snapshot(prep=DONE), PREPARED)
NOT_OURS = suspending(False, Snapshot(training=BY_HAND), TRAINS)
LEFT = snapshot_of(training=HELD, pods=(pod(HELD, ended(75), phase="Failed"),))
ENDS = suspending(True, Snapshot(training=HELD, pods=(deleting(pod(HELD, running())),)), TRAINS)
SUSPENSIONS: dict[str, tuple[bool, Status, Status, list[tuple[str, str]]]] = {
    "suspended": (True, TRAINS, IS_HELD, [("Normal", "Suspended")]),
    "suspended by a person": (False, TRAINS, NOT_OURS, [("Warning", "Suspended")]),
    "by a person, and by its spec": (
        True,
        TRAINS,
        suspending(True, Snapshot(training=BY_HAND), TRAINS),
        [("Normal", "Suspended")],
    ),
    "to go on when its pod is gone": (
        False,
        ENDS,
        suspending(False, LEFT, ENDS),
        [("Normal", "Suspended")],
    ),
    "it goes on": (
        False,
        IS_HELD,
        suspending(False, Snapshot(training=JOB), IS_HELD),
        [("Normal", "Resumed")],
    ),
    "it begins": (
        False,
        HELD_BACK,
        suspending(False, Snapshot(training=JOB), HELD_BACK),
        [("Normal", "Resumed")],
    ),
    "a person let it go on": (
        False,
        NOT_OURS,
        suspending(False, Snapshot(training=JOB), NOT_OURS),
        [],
    ),
    "refused": (
        False,
        IS_HELD,
        suspending(False, Snapshot(training=HELD), IS_HELD, refused="may not patch"),
        [("Warning", "Refused")],
    ),
    "in a queue by now": (
        False,
        IS_HELD,
        suspending(False, Snapshot(training=suspended(True, queue="gpus")), IS_HELD),
        [("Normal", "Queued")],
    ),
    "its output is lost": (
        False,
        IS_HELD,
        suspending(False, snapshot_of(training=HELD, claims={"x-output": None}), IS_HELD),
        [("Warning", "ClaimLost")],
    ),
    "it is being deleted": (
        False,
        IS_HELD,
        suspending(False, Snapshot(training=deleting(HELD)), IS_HELD),
        [("Normal", "Deleting")],
    ),
    "its name is taken": (
        False,
        HELD_BACK,
        suspending(
            False, Snapshot(prep=DONE, in_the_way=pytorchjob(owner=None, ours=False)), HELD_BACK
        ),
        [("Warning", "NameTaken")],
    ),
}


@pytest.mark.parametrize(
    ("suspend", "before", "after", "want"), SUSPENSIONS.values(), ids=SUSPENSIONS
)
def test_what_is_told_of_a_suspension(
    suspend: bool, before: Status, after: Status, want: list[tuple[str, str]]
) -> None:
    run = replace(run_of(before), spec=plan(suspend=suspend).spec)
    events = transition_events(run, after, NOW)
    assert before.conditions != after.conditions
    assert [(each["type"], each["reason"]) for each in events] == want
