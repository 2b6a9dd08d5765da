"""What stands of an attempt, and of what its run was made from, whatever happens to both."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from qinstruct_operator.api.status import MAX_ATTEMPT, Status
from qinstruct_operator.core.attempts import Spent
from qinstruct_operator.core.decide import Create, decide
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import observe
from qinstruct_operator.core.run import Run
from qinstruct_operator.reconcile import status_json
from qinstruct_operator.settings import Settings
from support.attempts import (
    CLAIMS,
    DONE,
    KILLED,
    after,
    due,
    failed,
    known,
    pinned,
    run_with,
    workload,
)
from support.observed import (
    CONFIG_ID,
    JOB_FAILED,
    NOW,
    at_time,
    condition_reasons,
    config_map,
    ended,
    failed_event,
    lines,
    message,
    pod,
    snapshot_of,
    training,
)


def test_the_policy_is_that_of_the_pin() -> None:
    """As condition Accepted says: an edit has no effect."""
    never, always = {"maxRetries": 0}, {"maxRetries": 100}
    made = pinned(failed(), recovery=never)
    status = after(made, recovery=always)
    assert condition_reasons(status)["Accepted"] == ("True", "EditIgnored")
    assert status.phase == "Failed"
    assert after(pinned(failed(), recovery=always), recovery=never).phase == "Recovering"
    assert after(failed(), recovery=never).phase == "Failed"  # nothing says what it was made from
    refused = Run.read(training(nothing=1), Settings())
    assert refused.spec is None
    assert judge(refused, observe(refused, made), NOW).phase == "Failed"


def test_a_pin_whose_policy_cannot_be_read_leaves_that_of_the_spec() -> None:
    made = pinned(failed())
    data = made.support[CONFIG_ID]["data"]  # type: ignore[index]
    spec = json.loads(data["spec.json"]) | {"recovery": {"maxRetries": "many"}}
    config = config_map() | {"data": data | {"spec.json": json.dumps(spec)}}
    edited = replace(made, support={**made.support, CONFIG_ID: config})
    assert after(edited, recovery={"maxRetries": 0}).phase == "Failed"


def test_no_run_ends_by_a_policy_that_was_not_read() -> None:
    unread = replace(failed(), support={}, unread={"support": "no answer"})
    status = after(unread, recovery={"maxRetries": 0})
    assert condition_reasons(status)["Failed"] == ("False", "InProgress")
    assert due(unread, after(failed())) == []


def test_the_number_in_a_status_counts_by_itself() -> None:
    """An older operator wrote no more."""
    gone = snapshot_of(prep=DONE, config=config_map(), claims=CLAIMS)
    status = after(gone, Status(attempt=5))
    assert (status.attempt, Spent.of_status(status)) == (5, Spent(0, 5))
    assert due(gone, status, minutes=60) == ["x-6"]


def test_steps_are_lost_once() -> None:
    """An attempt that ends before it has said anything is not at the step of the one before."""
    first = after(failed())
    begun = after(snapshot_of(training=workload(2, spent=Spent(1))), first)
    assert begun.training is not None
    assert begun.training.step == 43
    status = after(failed(137, 2, (), Spent(1)), begun)
    assert [(each.step, each.lost_steps) for each in known(status).failures] == [
        (43, 3),
        (None, None),
    ]
    begun = after(snapshot_of(training=workload(3, spent=Spent(2))), status)
    assert known(after(failed(137, 3, (), Spent(2)), begun)).failures[-1].step is None


def test_a_run_that_has_saved_nothing_is_not_told_of_a_checkpoint() -> None:
    status = after(failed(log=lines(failed_event("Killed", "rank 3 was killed", 137))))
    assert ", from its newest checkpoint, if it has saved one (retry" in message(
        status, "Scheduled"
    )


def test_history_stays_when_a_clock_goes_back() -> None:
    first = after(failed())
    there = snapshot_of(training=workload(2, spent=Spent(1)))
    run, early = run_with(first), NOW - timedelta(hours=1)
    status = judge(run, observe(run, there), early)
    assert known(status).failures == (
        known(first).failures[0].model_copy(update={"time": "2026-03-01T11:00:00Z"}),
    )
    run = run_with(status)
    assert judge(run, observe(run, there), early).recovery == status.recovery


def test_the_record_stands_when_its_workload_is_cleaned_up() -> None:
    """With the words of what happened, its exit code and its log, not that of the clean-up."""
    status = after(failed())
    gone = snapshot_of(prep=DONE, config=config_map(), claims=CLAIMS)
    cleaned = after(gone, status)
    assert (cleaned.failure, cleaned.recovery) == (status.failure, status.recovery)
    assert message(cleaned, "Scheduled") == message(status, "Scheduled")
    wiped = after(gone, status.model_copy(update={"failure": None}))
    assert wiped.failure is not None
    assert (wiped.failure.reason, wiped.failure.exit_code) == ("Killed", 137)
    assert "deleted" not in message(wiped, "Scheduled")


def test_a_pinned_run_goes_on_whatever_its_spec_says_now() -> None:
    """Its failed attempt is gone, and this version refuses the spec."""
    status = after(failed())
    gone = pinned(snapshot_of(prep=DONE, config=config_map(), claims=CLAIMS))
    raw = training(nothing=1) | {"status": status_json(status)}
    run = Run.read(raw, Settings())
    assert run.violations
    seen = observe(run, gone)
    assert [each.child.id[1] for each in decide(run, seen, NOW) if isinstance(each, Create)] == [
        "x-2"
    ]
    told = judge(run, seen, NOW)
    assert told.phase == "Recovering"
    assert condition_reasons(told)["Accepted"] == ("True", "Accepted")
    assert message(told, "Accepted").startswith("x-1 goes on as it was made, but what the spec")
    bare = replace(gone, support={**gone.support, CONFIG_ID: config_map()})
    seen = observe(run, bare)
    assert decide(run, seen, NOW) == ()
    assert condition_reasons(judge(run, seen, NOW))["Accepted"] == ("False", "InvalidSpec")


def test_no_attempt_has_a_number_that_fits_into_no_name() -> None:
    job = workload(MAX_ATTEMPT, at_time(JOB_FAILED, 10))
    last = snapshot_of(training=job, pods=(pod(job, ended(137)),), log=KILLED, config=config_map())
    status = after(last)
    assert status.phase == "Failed"
    assert due(last, status, minutes=60) == []


def test_what_was_cleaned_up_unseen_is_ended_by_no_limit_but_a_second_one_is() -> None:
    """It may have ended well: then the next attempt finds the model, and ends at once."""
    none_left: dict[str, Any] = {"recovery": {"maxDisruptions": 0}}
    clean_up = none_left | {"scheduling": {"ttlSecondsAfterFinished": 3600}}
    there = snapshot_of(prep=DONE, training=workload(1), config=config_map(), claims=CLAIMS)
    gone = snapshot_of(prep=DONE, config=config_map(), claims=CLAIMS)
    before = after(there)
    assert after(pinned(gone, **none_left), before).phase == "Failed"
    gone = pinned(gone, **clean_up)
    first = after(gone, before)
    assert first.phase == "Recovering"
    assert "(one after the last disruption, as it may have ended well)" in message(
        first, "Scheduled"
    )
    assert due(gone, first, minutes=30) == ["x-2"]
    second = replace(there, training=workload(2, spent=Spent(disruptions=1)))
    again = after(gone, after(pinned(second, **clean_up), first))
    assert (again.phase, again.attempt) == ("Failed", 2)
    disturbed = pinned(failed(143, 2, (), Spent(disruptions=1)), **clean_up)
    assert after(disturbed, first).phase == "Failed"
