"""A read that failed changes nothing that was known, and makes nothing certain.

The states are those of `support.status_cases`: any of them may have been judged before, any may be
the present one, and any of its reads may fail.
"""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any, Final, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qinstruct_operator.api.status import Condition, Status
from qinstruct_operator.core.condition_list import find_condition, is_finished
from qinstruct_operator.core.decide import decide
from qinstruct_operator.core.judge.observe import Part, Snapshot
from qinstruct_operator.core.judge.reasons import WAITING
from qinstruct_operator.core.judge.transitions import is_news, transition_events
from qinstruct_operator.errors import Violation
from support.observed import (
    COMPLETE,
    JOB_FAILED,
    NOW,
    SUCCEEDED,
    claim,
    condition_reasons,
    config_map,
    ended,
    failed_event,
    lines,
    message,
    plan,
    pod,
    prep_event,
    prep_job,
    pytorchjob,
    run_of,
    running,
    seen,
    snapshot_of,
    start_event,
    status_of,
    waiting,
    waiting_event,
    warning,
)
from support.status_cases import disturbed, prep, training
from support.status_cases.case import Case
from support.unread import SAID, TRAINS, drop

PLAN = plan()
CASES: Final[dict[str, Case]] = prep.CASES | training.CASES | disturbed.CASES
PARTS: Final[tuple[Part, ...]] = get_args(Part)
LATER: Final = NOW + timedelta(seconds=10)

PREP, DONE, JOB = prep_job(), prep_job(COMPLETE), pytorchjob()
CLAIMS = {"x-output": claim(), "qinstruct-cache": claim("qinstruct-cache")}


def judged(
    case: Case, previous: Status | None, *unread: Part, now: datetime | None = None
) -> Status:
    """The state of a case, by default ten seconds after an earlier status."""
    return status_of(
        drop(case.snapshot, *unread),
        previous,
        made=PLAN,
        violations=case.violations,
        refused=case.refused,
        now=now or (LATER if previous else NOW),
    )


def judged_before(case: Case) -> Status:
    earlier = judged(replace(case, snapshot=case.previous), None) if case.previous else None
    return judged(case, earlier)


BEFORE: Final = {name: judged_before(case) for name, case in CASES.items()}
UNFINISHED: Final = [name for name, status in BEFORE.items() if not is_finished(status)]


def known(status: Status) -> dict[str, Any]:
    """All that a status says, but for messages and for what it calls unread."""
    said: dict[str, Any] = status.model_dump(exclude={"conditions", "unread"})
    return said | {
        each.type: (each.status, each.reason, each.last_transition_time)
        for each in status.conditions
    }


@pytest.mark.parametrize("name", UNFINISHED)
def test_nothing_that_was_known_changes(name: str) -> None:
    """The same state, read again but for any of its parts."""
    before, case = BEFORE[name], CASES[name]
    for unread in every_choice():
        after = status_of(
            drop(case.snapshot, *unread),
            before,
            made=PLAN,
            violations=case.violations,
            refused=case.refused,
            now=LATER if case.previous else NOW,
        )
        assert (unread, known(after)) == (unread, known(before))
        assert transition_events(run_of(before, PLAN), after, NOW) == ()


def every_choice() -> list[tuple[Part, ...]]:
    chosen = product((False, True), repeat=len(PARTS))
    return [
        tuple(part for part, is_unread in zip(PARTS, each, strict=True) if is_unread)
        for each in chosen
        if any(each)
    ]


@settings(deadline=None, max_examples=500)
@example(
    "training, with a container beside it", "the container runs and has said nothing", {"node"}
)
@given(
    st.sampled_from([None, *UNFINISHED]),
    st.sampled_from(list(CASES)),
    st.sets(st.sampled_from(PARTS), min_size=1),
)
def test_nothing_unknown_becomes_certain(
    earlier: str | None, present: str, lost: set[Part]
) -> None:
    """Each condition is what it is in truth, or what it was before, or Unknown."""
    previous, case = BEFORE[earlier] if earlier else None, CASES[present]
    unread = tuple(sorted(lost))
    truth, status = judged(case, previous), judged(case, previous, *unread)
    for each in status.conditions:
        allowed = {"Unknown", status_in(truth, each), status_in(previous, each)}
        if "node" in unread and "; not known anew since" in each.message:
            # The pod's own word, with the doubt beside it.
            allowed.add("False" if each.reason in WAITING else "True")
        assert each.status in allowed, (each, truth)
    if status.failure:
        assert status.failure.reason in told_reasons(truth, previous)
    assert status.node in {truth.node, previous.node if previous else None}
    assert status.eta in {truth.eta, previous.eta if previous else None}

    run = run_of(previous, PLAN, case.violations)
    whole, partial = (
        decide(run, seen(each), NOW) for each in (case.snapshot, drop(case.snapshot, *unread))
    )
    assert set(map(str, partial)) <= set(map(str, whole))

    # At the same moment: after ten seconds a verdict no longer waits for its log.
    again = judged(case, status, *unread, now=LATER if previous else NOW)
    assert not is_news(status, again)
    healed = judged(case, status)
    if not is_finished(status):
        assert condition_reasons(healed) == condition_reasons(judged(case, previous))
        assert healed.unread is None


def status_in(status: Status | None, condition: Condition) -> str:
    found = find_condition(status, condition.type) if status else None
    return found.status if found else "Unknown"


def told_reasons(*statuses: Status | None) -> set[str]:
    return {each.failure.reason for each in statuses if each and each.failure} | {"Error"}


KEPT: Final[dict[str, tuple[Snapshot, Part, str, tuple[str, str]]]] = {
    "training, without its log": (TRAINS, "log", "Running", ("True", "Training")),
    "training, without its pods": (TRAINS, "pods", "Running", ("True", "Training")),
    "training, without the PyTorchJob": (TRAINS, "training", "Scheduled", ("True", "Scheduled")),
    "another run's unit": (
        Snapshot(prep=PREP, pods=(pod(PREP, running()),), log=lines(waiting_event("run-a"))),
        "log",
        "Prepared",
        ("False", "WaitingForRun"),
    ),
    "a refused pod": (
        Snapshot(prep=PREP, events=(warning(PREP, "FailedCreate", "exceeded quota"),)),
        "events",
        "Prepared",
        ("False", "PodRefused"),
    ),
    "a claim that is not bound": (
        snapshot_of(
            config=config_map(),
            claims={"x-output": claim(phase="Pending")},
            prep=PREP,
            pods=(pod(PREP, node=None),),
            events=(warning(claim(), "ProvisioningFailed", "no such class"),),
        ),
        "support",
        "Prepared",
        ("False", "ClaimPending"),
    ),
    "a name that is taken": (
        snapshot_of(config=config_map(owner=None, ours=False), claims=CLAIMS),
        "support",
        "Accepted",
        ("False", "NameTaken"),
    ),
}


@pytest.mark.parametrize("case", KEPT.values(), ids=KEPT)
def test_what_was_known_is_kept_and_says_since_when(
    case: tuple[Snapshot, Part, str, tuple[str, str]],
) -> None:
    snapshot, unread, type_, want = case
    before = status_of(snapshot, made=PLAN)
    assert condition_reasons(before)[type_] == want
    later = [before]
    for minute in (1, 2):
        now = NOW + timedelta(minutes=minute)
        later.append(status_of(drop(snapshot, unread), later[-1], made=PLAN, now=now))
    assert condition_reasons(later[2])[type_] == want
    note = f"; not known anew since 2026-03-01T12:01:00Z: {SAID[unread]}"
    assert message(later[2], type_) == message(before, type_) + note
    assert not is_news(later[1], later[2])
    healed = status_of(snapshot, later[2], made=PLAN)
    assert message(healed, type_) == message(before, type_)


UNKNOWN: Final[dict[str, tuple[Snapshot, Part, str, tuple[str, str]]]] = {
    "the prep Job": (Snapshot(prep=DONE), "prep", "Prepared", ("Unknown", "Unreadable")),
    "the PyTorchJob": (TRAINS, "training", "Running", ("Unknown", "Unreadable")),
    "its end": (
        Snapshot(prep=DONE, training=pytorchjob(SUCCEEDED)),
        "training",
        "Complete",
        ("Unknown", "Unreadable"),
    ),
    "the pods of a failed one": (
        Snapshot(training=pytorchjob(JOB_FAILED), pods=(pod(JOB, running()),)),
        "pods",
        "Failed",
        ("Unknown", "Unreadable"),
    ),
    "the pods": (TRAINS, "pods", "Scheduled", ("Unknown", "Unreadable")),
    "the prep pods": (
        Snapshot(prep=PREP, pods=(pod(PREP, running()),)),
        "pods",
        "Prepared",
        ("False", "Unreadable"),
    ),
    "the log of a container that runs": (TRAINS, "log", "Running", ("True", "Unreadable")),
    "the names": (
        snapshot_of(config=config_map(), claims=CLAIMS),
        "support",
        "Accepted",
        ("Unknown", "Unreadable"),
    ),
    "what the prep Job needs": (
        snapshot_of(config=config_map(), claims=CLAIMS),
        "support",
        "Prepared",
        ("False", "Unreadable"),
    ),
    "what the PyTorchJob needs": (
        snapshot_of(config=config_map(), claims=CLAIMS, prep=DONE),
        "support",
        "Scheduled",
        ("False", "Unreadable"),
    ),
}


@pytest.mark.parametrize("case", UNKNOWN.values(), ids=UNKNOWN)
def test_what_was_never_known_is_unknown(
    case: tuple[Snapshot, Part, str, tuple[str, str]],
) -> None:
    snapshot, unread, type_, want = case
    status = status_of(drop(snapshot, unread), made=PLAN)
    assert condition_reasons(status)[type_] == want
    assert message(status, type_).endswith(
        f"; not known anew since 2026-03-01T12:00:00Z: {SAID[unread]}"
    )
    (told,) = status.unread or ()
    assert (told.what, told.since, told.message) == (
        unread, "2026-03-01T12:00:00Z", SAID[unread],
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_pod_that_was_not_read_is_not_said_to_be_gone(name: str) -> None:
    case = CASES[name]
    for each in judged(case, None, "pods").conditions:
        if "; not known anew since" not in each.message:
            assert not re.search(r"was deleted|no pod|pod .*gone|is gone", each.message), each


def test_what_has_succeeded_had_a_node_whoever_may_read_its_pod() -> None:
    done = Snapshot(prep=DONE, training=pytorchjob(SUCCEEDED))
    for before in (None, status_of(TRAINS, made=PLAN)):
        status = status_of(drop(done, "pods"), before, made=PLAN)
        assert condition_reasons(status)["Scheduled"] == ("True", "Scheduled")
        assert message(status, "Scheduled") == "x-1 has succeeded, so its pod had a node"
    assert message(status_of(done, made=PLAN), "Scheduled").endswith("until its pod was deleted")


def test_another_port_in_an_error_is_no_news() -> None:
    before = status_of(drop(TRAINS, "log"), status_of(TRAINS, made=PLAN), made=PLAN)
    other = SAID | {"log": SAID["log"].replace("10250", "41250")}
    after = status_of(drop(TRAINS, "log", said=other), before, made=PLAN)
    assert after.conditions == before.conditions
    changed = SAID | {"log": "read the log of Pod team/x-1-master-0: forbidden"}
    after = status_of(drop(TRAINS, "log", said=changed), before, made=PLAN)
    assert message(after, "Running").endswith("forbidden")


def test_a_log_that_says_nothing_keeps_a_run_in_training() -> None:
    """A log that was just rotated, is full of other lines, or goes with its pod."""
    before = status_of(TRAINS, made=PLAN)
    for log in ((), ("a warning of a library",) * 200):
        after = status_of(replace(TRAINS, log=log), before, made=PLAN)
        assert after == before


def test_a_failure_without_its_log_is_the_one_that_was_read() -> None:
    log = lines(prep_event(1), failed_event("Unavailable", "no route to the mirror", 69))
    failed = Snapshot(prep=PREP, pods=(pod(PREP, ended(69)),), log=log)
    before = status_of(failed, made=PLAN)
    after = status_of(drop(failed, "log"), before, made=PLAN)
    assert after.failure == before.failure
    assert "no route to the mirror" in message(after, "Prepared")
    other = replace(failed, pods=(pod(PREP, ended(74)),))
    assert status_of(drop(other, "log"), before, made=PLAN).failure != before.failure


def test_a_verdict_waits_some_seconds_for_the_last_word_in_the_log() -> None:
    """It is for good: an exit code alone must not stand where the log says more a second later."""
    lost = pytorchjob(JOB_FAILED)
    log = lines(start_event(), failed_event("BadData", "record 7 is broken", 70))
    failed = Snapshot(prep=DONE, training=lost, pods=(pod(lost, ended(70)),), log=log)
    before = status_of(TRAINS, made=PLAN)
    first = status_of(drop(failed, "log"), before, made=PLAN)
    assert condition_reasons(first)["Failed"] == ("False", "InProgress")
    assert message(first, "Failed").endswith(SAID["log"])
    assert condition_reasons(first)["Complete"] == ("False", "InProgress")

    read = status_of(failed, first, made=PLAN, now=NOW + timedelta(seconds=3))
    assert condition_reasons(read)["Failed"] == ("True", "BadData")
    assert read.failure
    assert read.failure.log_tail == "\n".join(log)

    for_good = status_of(drop(failed, "log"), first, made=PLAN, now=LATER)
    assert condition_reasons(for_good)["Failed"] == ("True", "Error")
    assert message(for_good, "Failed").endswith(SAID["log"])
    assert condition_reasons(for_good)["Complete"] == ("False", "Failed")


def test_facts_of_unprepared_data_do_not_outlive_them() -> None:
    before = status_of(Snapshot(prep=PREP), made=PLAN)
    assert condition_reasons(before)["Scheduled"] == ("False", "WaitingForData")
    waits = Snapshot(prep=DONE, training=JOB, pods=(pod(JOB, waiting()),))
    after = status_of(drop(waits, "pods"), before, made=PLAN)
    assert condition_reasons(after)["Scheduled"] == ("Unknown", "Unreadable")


def test_what_a_refused_spec_had_to_wait_for_is_not_kept_when_it_is_corrected() -> None:
    refused = (Violation("spec.output.size", "1Gi", "is too small", "raise it"),)
    before = status_of(Snapshot(), made=PLAN, violations=refused)
    assert condition_reasons(before)["Prepared"] == ("False", "NotAccepted")
    for unread in ("prep", "training"):
        still = status_of(drop(Snapshot(), unread), before, made=PLAN, violations=refused)
        assert condition_reasons(still)["Prepared"] == ("False", "NotAccepted")
        corrected = status_of(drop(Snapshot(), unread), before, made=PLAN)
        assert condition_reasons(corrected)["Prepared"] == ("Unknown", "Unreadable")
        assert condition_reasons(corrected)["Accepted"] == ("Unknown", "Unreadable")


def test_a_run_that_trains_is_not_refused_because_its_workload_is_unread() -> None:
    """Today's spec may be one that this version refuses: it counts only before training."""
    refused = (Violation("spec.output.size", "1Gi", "is too small", "raise it"),)
    before = status_of(TRAINS, made=PLAN, violations=refused)
    after = status_of(drop(TRAINS, "training"), before, made=PLAN, violations=refused)
    assert condition_reasons(before)["Accepted"] == ("True", "Accepted")
    assert condition_reasons(after)["Accepted"] == ("True", "Accepted")


def test_hours_of_a_node_that_is_gone_do_not_grow_while_it_cannot_be_read() -> None:
    gone = replace(TRAINS, pods=(pod(JOB, running(60)),), node=())
    before = status_of(gone, made=PLAN)
    later = NOW + timedelta(hours=4)
    after = status_of(drop(gone, "node"), before, made=PLAN, now=later)
    assert after.gpu_hours == before.gpu_hours
    assert status_of(gone, after, made=PLAN, now=later).gpu_hours == before.gpu_hours
