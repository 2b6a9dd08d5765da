"""What follows from the end of an attempt, and that it follows whatever the status has lost."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_operator.api.status import AttemptFailure, RecoveryStatus, Status
from qinstruct_operator.core.attempts import Spent
from qinstruct_operator.core.condition_list import is_finished
from qinstruct_operator.core.decide import Create, decide, requeue_after
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import observe
from qinstruct_operator.core.judge.transitions import is_news
from qinstruct_operator.core.times import parse_time
from qinstruct_operator.settings import Settings
from support.attempts import CLAIMS, DONE, after, due, failed, known, run_with, workload
from support.observed import (
    NOW,
    condition_reasons,
    config_map,
    ended,
    failed_event,
    lines,
    message,
    pod,
    running,
    snapshot_of,
    step_event,
)


def test_a_failure_that_may_pass_ends_the_attempt_and_not_the_run() -> None:
    status = after(failed())
    assert status.phase == "Recovering"
    assert condition_reasons(status) == {
        "Accepted": ("True", "Accepted"),
        "Prepared": ("True", "Prepared"),
        "Scheduled": ("False", "Recovering"),
        "Running": ("False", "WaitingForNode"),
        "Complete": ("False", "InProgress"),
        "Failed": ("False", "InProgress"),
    }
    recovery = known(status)
    begins = recovery.next_attempt_time
    assert message(status, "Scheduled") == (
        f"attempt 2 begins at {begins}, from the checkpoint after step 40 (retry 1 of 3): attempt "
        "1 failed (Killed): rank 3 was killed"
    )
    assert (recovery.retries, recovery.disruptions) == (1, 0)
    assert recovery.failures == (
        AttemptFailure(
            attempt=1,
            kind="Transient",
            reason="Killed",
            exit_code=137,
            time="2026-03-01T11:50:00Z",
            node="gpu-1",
            step=43,
            lost_steps=3,
        ),
    )
    assert "2026-03-01T11:50:22Z" <= str(begins) <= "2026-03-01T11:50:30Z"
    assert (status.attempt, status.node, status.eta, status.progress) == (1, None, None, "21%")
    assert status.training is not None
    assert status.training.samples_per_second is None


def test_the_next_attempt_begins_once_that_is_written_and_its_time_has_come() -> None:
    snapshot = failed()
    assert due(snapshot, Status()) == []
    status = after(snapshot)
    assert due(snapshot, status) == ["x-2"]
    assert due(snapshot, status, minutes=-9.9) == []
    run = run_with(status)
    seen = observe(run, snapshot)
    (*_, made) = decide(run, seen, NOW)
    assert isinstance(made, Create)
    meta = made.child.manifest["metadata"]
    assert meta["labels"]["qinstruct.dev/attempt"] == "2"
    assert meta["annotations"]["qinstruct.dev/retries"] == "1"
    begun = judge(run, observe(run, snapshot.with_created(made.child, made.child.manifest | {
        "metadata": meta | {"uid": "uid-x-2"}})), NOW)  # fmt: skip
    assert (begun.attempt, begun.phase, begun.failure) == (2, "Pending", None)
    assert known(begun).next_attempt_time is None
    assert known(begun).failures == known(status).failures


def test_an_operator_looks_again_when_the_time_has_come() -> None:
    snapshot = failed()
    status = after(snapshot)
    begins = parse_time(known(status).next_attempt_time or "")
    assert begins is not None
    seen = observe(run_with(status), snapshot)
    usual = Settings(progress_seconds=10)
    # Afterwards something keeps the attempt from beginning, as a pod that does not end.
    for before, wait in ((60.0, 10.0), (4.0, 4.0), (0.2, 1.0), (0.0, 10.0), (-60.0, 10.0)):
        now = begins - timedelta(seconds=before)
        assert requeue_after(status, seen, usual, now) == wait


@pytest.mark.parametrize(
    ("code", "spec", "begins"),
    [
        (78, {}, False),
        (137, {"maxRetries": 0}, False),
        (137, {"maxRetries": 1}, True),
        (143, {"maxRetries": 0}, True),
        (143, {"maxDisruptions": 0}, False),
        (137, {"maxDisruptions": 0}, True),
    ],
)
def test_retries_and_disruptions_have_limits_of_their_own(
    code: int, spec: dict[str, int], begins: bool
) -> None:
    status = after(failed(code, log=()), recovery=spec)
    assert is_finished(status) != begins
    assert (known(status).next_attempt_time is not None) == begins
    assert due(failed(code, log=()), status, recovery=spec) == (["x-2"] if begins else [])


def test_the_last_failure_says_that_no_more_are_tried() -> None:
    spent = Spent(retries=3, disruptions=1)
    status = after(failed(attempt=5, spent=spent))
    assert status.phase == "Failed"
    assert message(status, "Failed") == (
        "rank 3 was killed; no attempt more is left (spec.recovery.maxRetries is 3)"
    )
    assert (known(status).retries, known(status).disruptions) == (4, 1)
    alone = after(failed(), recovery={"maxRetries": 0})
    assert message(alone, "Failed") == "rank 3 was killed"


def test_an_attempt_whose_workload_was_deleted_was_disturbed() -> None:
    there = snapshot_of(training=workload(1), config=config_map(), claims=CLAIMS)
    gone = snapshot_of(config=config_map(), claims=CLAIMS)
    before = after(there)
    status = after(gone, before)
    assert (status.attempt, status.phase) == (1, "Recovering")
    assert known(status).disruptions == 1
    assert known(status).failures[0].reason == "WorkloadDeleted"
    assert (
        "is gone: deleted, or cleaned up before its end was read; another attempt goes on from"
        in (message(status, "Scheduled"))
    )
    assert due(gone, before, minutes=30) == []
    assert due(gone, status, minutes=30) == ["x-2"]
    last = after(gone, before, recovery={"maxDisruptions": 0})
    assert condition_reasons(last)["Failed"] == ("True", "WorkloadDeleted")
    assert condition_reasons(last)["Scheduled"] == ("False", "Failed")
    assert condition_reasons(last)["Running"] == ("False", "Failed")


def test_a_pod_that_outlives_its_deleted_workload_is_waited_for() -> None:
    job = workload(1)
    there = snapshot_of(training=job, pods=(pod(job, running()),), claims=CLAIMS)
    left = snapshot_of(pods=(pod(job, running()),), config=config_map(), claims=CLAIMS)
    status = after(left, after(there))
    assert condition_reasons(status)["Scheduled"] == ("False", "PodRemains")
    assert status.recovery is None
    over = replace(left, pods=(pod(job, ended()),))
    assert known(after(over, status)).failures[0].reason == "WorkloadDeleted"


def test_a_pod_tells_of_an_attempt_that_nothing_else_tells_of() -> None:
    """The status was wiped, and the workload deleted: its pod was made after the run."""
    orphan = pod(workload(3), ended(143), name="x-3-master-0")
    orphan["metadata"]["labels"] = {"qinstruct.dev/attempt": "3"}
    snapshot = snapshot_of(prep=DONE, pods=(orphan,), config=config_map(), claims=CLAIMS)
    status = after(snapshot)
    assert (status.attempt, known(status).disruptions) == (3, 3)
    assert due(snapshot, status, minutes=30) == ["x-4"]
    orphan["metadata"]["creationTimestamp"] = "2026-03-01T10:59:59Z"  # of an earlier run
    assert due(snapshot, after(snapshot)) == ["x-1"]


def test_a_loss_that_is_not_finite_twice_at_one_step_ends_the_run() -> None:
    log = lines(step_event(43), failed_event("NonFiniteLoss", "loss nan", 70))
    first = after(failed(70, log=log))
    assert first.phase == "Recovering"
    spent = Spent(retries=1)
    assert after(failed(70, 2, log, spent), first).phase == "Failed"
    later = lines(step_event(44), failed_event("NonFiniteLoss", "loss nan", 70))
    assert after(failed(70, 2, later, spent), first).phase == "Recovering"


def test_a_verdict_stands_when_its_pod_is_cleaned_up() -> None:
    full = failed()
    status = after(full)
    bare = replace(full, pods=(), log=())
    cleaned = after(bare, status)
    assert cleaned.recovery == status.recovery
    assert due(bare, cleaned) == ["x-2"]


def test_history_is_bounded() -> None:
    status = None
    for attempt in range(1, 15):
        spent = Spent(disruptions=attempt - 1)
        status = after(failed(143, attempt, (), spent), status)
    assert status is not None
    assert [each.attempt for each in known(status).failures] == [*range(5, 15)]
    assert known(status).disruptions == 14


def test_a_workload_that_lives_has_no_failure() -> None:
    """Typed by a person, or the verdict was another's: the record goes, and what it cost."""
    status = after(failed())
    job = workload(1)
    lives = snapshot_of(training=job, pods=(pod(job, running()),))
    assert after(lives, status).recovery is None


def test_a_count_that_somebody_types_grows_once() -> None:
    """Beside an attempt that is gone, where nothing but the status can say which it was."""
    typed = RecoveryStatus(retries=1, next_attempt_time="0001-01-01T00:00:00Z")
    gone = snapshot_of(prep=DONE, config=config_map(), claims=CLAIMS)
    status = after(gone, Status(recovery=typed))
    assert (status.attempt, Spent.of_status(status)) == (2, Spent(1, 1))
    assert after(gone, status) == status


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "2026-13-45T99:99:99Z"])
def test_a_time_that_cannot_be_delays_nothing(time: str) -> None:
    status = after(failed())
    typed = known(status).failures[0].model_copy(update={"time": time})
    edited = known(status).model_copy(update={"failures": (typed,), "next_attempt_time": time})
    mended = after(failed(), status.model_copy(update={"recovery": edited}))
    assert mended.recovery == status.recovery


LOSSES: list[dict[str, Any]] = [
    {},
    {"recovery": None},
    {"attempt": None},
    {"attempt": None, "recovery": None, "training": None, "checkpoint": None, "failure": None},
]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([1, 71, 75, 137, 143]), min_size=1, max_size=6),
    st.lists(st.sampled_from(LOSSES), min_size=18, max_size=18),
)
def test_the_same_attempts_follow_whatever_the_status_loses(
    codes: list[int], losses: list[dict[str, Any]]
) -> None:
    """Attempts fail one after the other, and the status loses parts of itself between two looks."""
    spec = {"recovery": {"maxRetries": 100, "maxDisruptions": 100}}
    lost, status, spent = iter(losses), Status(), Spent()
    for attempt, code in enumerate(codes, 1):
        snapshot = failed(code, attempt, (), spent)
        for _ in range(3):
            status = after(snapshot, status, **spec)
            assert not is_news(status, after(snapshot, status, **spec))
            expected = spent.with_one("Disruption" if code in (75, 143) else "Transient")
            assert Spent.of_status(status) == expected
            assert due(snapshot, status, minutes=60, **spec) == [f"x-{attempt + 1}"]
            status = status.model_copy(update=next(lost))
        spent = expected
