"""A status that somebody has edited: whatever it says, a pass goes on, and makes nothing twice."""

import json
from datetime import timedelta
from typing import Any, Final, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_operator.api.read_status import read_status
from qinstruct_operator.api.status import Status
from qinstruct_operator.core.condition_list import CONDITIONS, is_finished
from qinstruct_operator.core.decide import decide, requeue_after
from qinstruct_operator.core.judge.claims import content_lost
from qinstruct_operator.core.judge.goodput import HELD
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import Part, Snapshot, observe
from qinstruct_operator.core.judge.reasons import REASONS
from qinstruct_operator.core.judge.transitions import is_news, transition_events
from qinstruct_operator.core.run import Run
from qinstruct_operator.core.times import past_time
from qinstruct_operator.reconcile import status_json
from qinstruct_operator.settings import Settings
from support.observed import NOW, claim, config_map, ended, pod, running, snapshot_of, training
from support.status_cases import disturbed, prep
from support.status_cases import training as training_cases
from support.status_cases.case import DONE, JOB, JOB_LOST, Case

CASES: Final[dict[str, Case]] = prep.CASES | training_cases.CASES | disturbed.CASES
CLAIMS: Final = {"x-output": claim(), "qinstruct-cache": claim("qinstruct-cache")}
SNAPSHOTS: Final = [
    *(case.snapshot for case in CASES.values()),
    Snapshot(),
    snapshot_of(prep=DONE, config=config_map(), claims=CLAIMS),
    snapshot_of(prep=DONE, config=config_map(), claims=CLAIMS | {"x-output": None}),
    Snapshot(unread={"pods": "pods is forbidden", "log": "no answer"}),
]

TIMES: Final = st.sampled_from(
    [
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "2026-03-01T11:30:00Z",
        "2026-03-01T12:00:00.123456Z",
        "2026-03-01T12:04:00Z",
        "2026-03-01T12:06:00Z",
        "2026-13-45T99:99:99Z",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59.999999Z",
        "0000-00-00T00:00:00Z",
        "tomorrow",
        "",
    ]
)
TEXTS: Final = st.text(max_size=20) | st.just("; not known anew since ") | st.just("a" * 300)
COUNTS: Final = st.sampled_from([-1, 0, 1, 2, 7, 99999, 100000, 2**31, 2**53, 2**63 - 1])
FLOATS: Final = st.sampled_from([-1.0, 0.0, 1e-300, 2.67, 1e15, 1.7e308]) | COUNTS
WORDS: Final = st.sampled_from(sorted({each for all_ in REASONS.values() for each in all_})) | TEXTS
CONDITION: Final = st.fixed_dictionaries(
    {
        "type": st.sampled_from([*CONDITIONS, "Other"]),
        "status": st.sampled_from(["True", "False", "Unknown", "maybe"]),
        "reason": WORDS,
        "message": TEXTS,
        "lastTransitionTime": TIMES,
    },
    optional={"observedGeneration": COUNTS},
)
UNREAD: Final = st.fixed_dictionaries(
    {"what": st.sampled_from([*get_args(Part), "moon"]), "since": TIMES, "message": TEXTS}
)
ATTEMPT: Final = st.fixed_dictionaries(
    {
        "attempt": st.integers(0, 4) | COUNTS,
        "kind": st.sampled_from(["Disruption", "Transient", "Permanent", "Other"]),
        "reason": WORDS,
        "time": TIMES,
    },
    optional={"exitCode": COUNTS, "node": TEXTS, "step": COUNTS, "lostSteps": COUNTS},
)
FIELDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "observedGeneration": COUNTS,
    "conditions": st.lists(CONDITION, max_size=6, unique_by=lambda each: each["type"]),
    "phase": TEXTS,
    "progress": TEXTS,
    "eta": TEXTS,
    "attempt": COUNTS,
    "queue": TEXTS,
    "image": TEXTS,
    "node": TEXTS,
    "gpuHours": FLOATS,
    "held": st.fixed_dictionaries({"pod": TEXTS, "earlierHours": FLOATS}),
    "gpuSeconds": st.fixed_dictionaries(
        {},
        optional=dict.fromkeys((*HELD, "queued", "firstStep", "lastStep"), COUNTS)
        | {"waitingSince": TIMES},
    ),
    "goodput": TEXTS,
    "prep": st.fixed_dictionaries(
        {}, optional={"stage": TEXTS, "item": TEXTS, "done": COUNTS, "total": COUNTS}
    ),
    "training": st.fixed_dictionaries(
        {}, optional={"step": COUNTS, "steps": COUNTS, "loss": FLOATS, "samplesPerSecond": FLOATS}
    ),
    "checkpoint": st.fixed_dictionaries({"step": COUNTS, "time": TIMES}),
    "failure": st.fixed_dictionaries(
        {"reason": WORDS},
        optional={"message": TEXTS, "exitCode": COUNTS, "attempt": COUNTS, "logTail": TEXTS},
    ),
    "recovery": st.fixed_dictionaries(
        {},
        optional={
            "retries": COUNTS,
            "disruptions": COUNTS,
            "nextAttemptTime": TIMES,
            "failures": st.lists(ATTEMPT, max_size=11, unique_by=lambda each: each["attempt"]),
        },
    ),
    "unread": st.lists(UNREAD, max_size=4, unique_by=lambda each: each["what"]),
    "model": TEXTS,
}
STATUSES: Final = st.fixed_dictionaries({}, optional=FIELDS)


def run_with(status: dict[str, Any]) -> Run:
    return Run.read(training() | {"status": status}, Settings())


def test_every_field_is_edited() -> None:
    assert set(FIELDS) == {str(field.alias) for field in Status.model_fields.values()}


@settings(deadline=None, max_examples=400)
@given(STATUSES, st.sampled_from(SNAPSHOTS))
def test_whatever_a_status_says_a_pass_goes_on(raw: dict[str, Any], snapshot: Snapshot) -> None:
    run = run_with(raw)
    seen = observe(run, snapshot)
    for action in decide(run, seen, NOW):
        is_due = action.child.component == "train"
        assert not is_due or snapshot.training is None or seen.has_attempt_ended(run)
    status = judge(run, seen, NOW)
    transition_events(run, status, NOW)
    wait = requeue_after(status, seen, Settings(), NOW)
    assert wait is None or 0 < wait <= 60
    document = json.loads(json.dumps(status_json(status), allow_nan=False))
    assert read_status({"status": document}) == (status, ())
    if is_finished(run.status):
        return
    times = [each.last_transition_time for each in status.conditions]
    times += [each.since for each in status.unread or ()]
    times += (
        [each.time for each in status.recovery.failures]
        if seen.training and status.recovery
        else []
    )
    assert all(past_time(each, NOW) for each in times), times
    if not is_finished(status):
        again = run_with(document)
        assert not is_news(again.status, judge(again, observe(again, snapshot), NOW))


@pytest.mark.parametrize("held", ["uid-of-another-pod", "uid-x-1-master-0"])
def test_a_pod_that_follows_one_that_spoke_is_silent_in_each_look(held: str) -> None:
    """It has run for 31 minutes without a word; the step is the other pod's."""
    trained = {"step": 7, "steps": 9, "samplesPerSecond": 2.5}
    raw = {"training": trained, "held": {"pod": held, "earlierHours": 1.0}}
    case = CASES["it has never said a word since it started"]
    expected = "Silent" if held == "uid-of-another-pod" else "Loading"
    for _ in range(3):
        run = run_with(raw)
        status = judge(run, observe(run, case.snapshot), NOW)
        assert status.phase == expected
        raw = json.loads(json.dumps(status_json(status)))


def test_a_verdict_does_not_wait_for_a_log_until_the_year_9999() -> None:
    bad = pod(JOB_LOST, ended(78))
    lost = Snapshot(prep=DONE, training=JOB_LOST, pods=(bad,), unread={"log": "no answer"})
    unread = {"what": "log", "since": "9999-12-31T23:59:59Z", "message": "no answer"}
    run = run_with({"unread": [unread]})
    waits = judge(run, observe(run, lost), NOW)
    run = run_with(status_json(waits))
    assert is_finished(judge(run, observe(run, lost), NOW + timedelta(seconds=10)))


def test_a_container_that_starts_again_is_not_known_by_a_time_to_come() -> None:
    trains = Snapshot(prep=DONE, training=JOB, pods=(pod(JOB, running(0)),))
    said = {"type": "Running", "status": "True", "reason": "Training", "message": "x trains"}
    run = run_with({"conditions": [said | {"lastTransitionTime": "9999-12-31T23:59:59Z"}]})
    (running_now,) = (
        each for each in judge(run, observe(run, trains), NOW).conditions if each.type == "Running"
    )
    assert running_now.last_transition_time == "2026-03-01T12:00:00Z"


def test_claims_are_not_lost_because_of_a_time_before_the_run() -> None:
    said = {"type": "Prepared", "status": "True", "reason": "Prepared", "message": "done"}
    run = run_with({"conditions": [said | {"lastTransitionTime": "0001-01-01T00:00:00Z"}]})
    seen = observe(run, snapshot_of(claims=CLAIMS))
    assert content_lost(run, seen) == ""
    assert decide(run, seen, NOW)


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59Z", "2026-13-45T99:99:99Z"])
def test_a_time_that_cannot_be_is_mended(when: str) -> None:
    """The server refuses it, so that no status could be written any more."""
    snapshot = Snapshot(prep=DONE, unread={"log": "no answer"})
    first = status_json(judge(run_with({}), observe(run_with({}), snapshot), NOW))
    for each in (*first["conditions"], *first["unread"]):
        each |= {"lastTransitionTime": when} if "type" in each else {"since": when}
    later = NOW + timedelta(hours=1)
    run = run_with(first)
    mended = judge(run, observe(run, snapshot), later)
    assert {each.last_transition_time for each in mended.conditions} == {"2026-03-01T13:00:00Z"}
    assert [each.since for each in mended.unread or ()] == ["2026-03-01T13:00:00Z"]
