"""A pod that starts: since when, and what its kubelet said last; and what keeps it suspended."""

from datetime import timedelta

import pytest

from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.core.judge.waiting import why_waiting
from support.observed import (
    NOW,
    SUSPENDED,
    Raw,
    at_time,
    condition,
    event,
    pod,
    prep_job,
    pytorchjob,
    seen,
    waiting,
    warning,
)

JOB = pytorchjob()
SCHEDULED = at_time(condition("PodScheduled"), 20)
POD = pod(JOB, waiting(), SCHEDULED)
PULLING = event(POD, "Pulling", 'Pulling image "trainer:1"', "2026-03-01T11:41:00Z")
SINCE = "x-1-master-0 starts on node gpu-1 since 2026-03-01T11:40:00Z"
SAID = '; its kubelet said last, at 2026-03-01T11:41:00Z: Pulling: Pulling image "trainer:1"'
LONG = "; that is long: look at `kubectl describe pod x-1-master-0` and the kubelet of node gpu-1"


def said(raw: Raw, *events: Raw, minutes: float = 0) -> tuple[str, str]:
    workload = seen(Snapshot(training=JOB, pods=(raw,), events=events)).training
    assert workload is not None
    why = why_waiting(workload, {}, NOW + timedelta(minutes=minutes))
    return why.reason, why.message


CASES = {
    "nothing is known but since when": (POD, (), 0, SINCE),
    "the kubelet pulls": (POD, (PULLING,), 0, SINCE + SAID),
    "the newest word counts": (
        POD,
        (event(POD, "Created", "Created", "2026-03-01T11:40:30Z"), PULLING),
        0,
        SINCE + SAID,
    ),
    "the scheduler's word is no kubelet's": (
        POD,
        (event(POD, "Scheduled", "on gpu-1", "2026-03-01T11:59:00Z", by="default-scheduler"),),
        0,
        SINCE,
    ),
    "nor is one about another pod": (
        POD,
        (event(pod(JOB, uid="b"), "Pulled", "Pulled", "2026-03-01T11:59:00Z"),),
        0,
        SINCE,
    ),
    "for long": (POD, (PULLING,), 11, SINCE + SAID + LONG),
    "for days, and its events are deleted": (POD, (), 5 * 24 * 60, SINCE + LONG),
    "nobody says when it got its node": (
        pod(JOB, waiting()),
        (PULLING,),
        999,
        "x-1-master-0 starts on node gpu-1" + SAID,
    ),
}


@pytest.mark.parametrize(("raw", "events", "minutes", "want"), CASES.values(), ids=CASES)
def test_since_when_it_starts(raw: Raw, events: tuple[Raw, ...], minutes: float, want: str) -> None:
    assert said(raw, *events, minutes=minutes) == ("Starting", want)


def test_a_warning_of_the_kubelet_is_more_than_its_last_word() -> None:
    failing = warning(POD, "FailedMount", "no such share", "2026-03-01T11:40:10Z")
    assert said(POD, failing, PULLING)[0] == "Blocked"


@pytest.mark.parametrize(
    ("job", "way_out"),
    [
        (
            prep_job(SUSPENDED),
            'kubectl patch job x-prep --type=merge --patch \'{"spec":{"suspend":false}}\'',
        ),
        (
            pytorchjob(SUSPENDED),
            "kubectl patch pytorchjob x-1 --type=merge --patch "
            '\'{"spec":{"runPolicy":{"suspend":false}}}\'',
        ),
    ],
)
def test_what_was_suspended_by_hand_is_resumed_by_hand(job: Raw, way_out: str) -> None:
    found = seen(Snapshot(prep=job) if job["kind"] == "Job" else Snapshot(training=job))
    workload = found.prep or found.training
    assert workload is not None
    why = why_waiting(workload, {}, NOW)
    assert why.reason == "Suspended"
    assert f"`{way_out}`" in why.message
    assert "kueue.x-k8s.io/queue-name" in why.message
