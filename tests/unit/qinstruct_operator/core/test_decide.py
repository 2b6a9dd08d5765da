"""Which children are due, and when to look again."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from qinstruct_operator.api.status import Status
from qinstruct_operator.core.children import build
from qinstruct_operator.core.decide import due, requeue_after
from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.settings import Settings
from support.observed import (
    COMPLETE,
    JOB_FAILED,
    NOW,
    OTHER_UID,
    SUCCEEDED,
    claim,
    condition,
    config_map,
    ended,
    plan,
    pod,
    prep_job,
    pytorchjob,
    running,
    seen,
    status_of,
    waiting,
)

PLAN = plan()
PREP, DONE, JOB = prep_job(), prep_job(COMPLETE), pytorchjob()
PREPARED = status_of(Snapshot(prep=DONE))
CONFIG, CACHE, OUTPUT, PREP_JOB, PYTORCHJOB = (
    "ConfigMap x-config",
    "PersistentVolumeClaim qinstruct-cache",
    "PersistentVolumeClaim x-output",
    "Job x-prep",
    "PyTorchJob x-1",
)
CLAIMS = {"x-output": claim(), "qinstruct-cache": claim("qinstruct-cache")}
OWN_CLAIMS = plan(data={"claimName": "data"}, output={"claimName": "mine"})


@dataclass(frozen=True)
class Case:
    snapshot: Snapshot
    want: tuple[str, ...] = ()
    previous: Status | None = None
    plan: Plan = PLAN


CASES = {
    "nothing is there": Case(Snapshot(), (CONFIG, CACHE, OUTPUT, PREP_JOB)),
    "a cache that other runs made": Case(
        Snapshot(claims={"qinstruct-cache": claim("qinstruct-cache")}), (CONFIG, OUTPUT, PREP_JOB)
    ),
    "claims that the user brings": Case(Snapshot(), (CONFIG, PREP_JOB), plan=OWN_CLAIMS),
    "the configuration goes with its workload": Case(
        Snapshot(config=config_map(), claims=CLAIMS), (CONFIG, PREP_JOB)
    ),
    "prep waits, all is there": Case(Snapshot(config=config_map(), prep=PREP, claims=CLAIMS)),
    "prep waits, somebody deleted the rest": Case(Snapshot(prep=PREP), (CONFIG, CACHE, OUTPUT)),
    "prep waits on its node": Case(
        Snapshot(prep=PREP, pods=(pod(PREP, waiting()),), claims=CLAIMS), (CONFIG,)
    ),
    "prep runs: what it has mounted is its own": Case(
        Snapshot(prep=PREP, pods=(pod(PREP, running()),))
    ),
    "prep has ended, the Job does not know yet": Case(
        Snapshot(prep=PREP, pods=(pod(PREP, ended()),))
    ),
    "prep has failed": Case(Snapshot(prep=prep_job(condition("Failed")))),
    "prep is done": Case(
        Snapshot(prep=DONE, config=config_map(), claims=CLAIMS), (CONFIG, PYTORCHJOB)
    ),
    "prep is done, its claim is deleted": Case(
        Snapshot(prep=DONE, claims={"qinstruct-cache": claim("qinstruct-cache")}),
        (CONFIG, OUTPUT, PYTORCHJOB),
    ),
    "prepared, by the status alone": Case(
        Snapshot(claims=CLAIMS), (CONFIG, PYTORCHJOB), previous=PREPARED
    ),
    "the second attempt": Case(
        Snapshot(claims=CLAIMS),
        (CONFIG, "PyTorchJob x-2"),
        previous=PREPARED.model_copy(update={"attempt": 2}),
    ),
    "training waits, all is there": Case(
        Snapshot(config=config_map(), training=JOB, claims=CLAIMS), previous=PREPARED
    ),
    "training waits, its configuration is deleted": Case(
        Snapshot(training=JOB, claims=CLAIMS), (CONFIG,), previous=PREPARED
    ),
    "training runs": Case(Snapshot(training=JOB, pods=(pod(JOB, running()),)), previous=PREPARED),
    "training has succeeded": Case(Snapshot(training=pytorchjob(SUCCEEDED)), previous=PREPARED),
    "training has failed, its pod is gone": Case(
        Snapshot(training=pytorchjob(JOB_FAILED)), previous=PREPARED
    ),
    "complete, and all is deleted": Case(
        Snapshot(), previous=status_of(Snapshot(training=pytorchjob(SUCCEEDED)), PREPARED)
    ),
    "failed, and all is deleted": Case(
        Snapshot(), previous=status_of(Snapshot(training=pytorchjob(JOB_FAILED)), PREPARED)
    ),
    "leftovers of an earlier run": Case(Snapshot(prep=prep_job(owner=OTHER_UID))),
    "a claim that goes with an earlier run": Case(
        Snapshot(claims={"x-output": claim(owner=OTHER_UID)})
    ),
    "a PyTorchJob of an earlier run": Case(Snapshot(prep=DONE, training=pytorchjob(owner="x"))),
    "a name that another has": Case(Snapshot(config=config_map(owner=None, ours=False))),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_due(case: Case) -> None:
    manifests = due(case.plan, case.previous or Status(), seen(case.snapshot))
    assert tuple(f"{each['kind']} {each['metadata']['name']}" for each in manifests) == case.want


def test_what_is_due_is_what_render_shows() -> None:
    first = due(PLAN, Status(), seen(Snapshot()))
    then = due(PLAN, PREPARED, seen(Snapshot(claims=CLAIMS)))
    assert (*first, then[-1]) == build(PLAN)
    assert then[0] == first[0]


SETTINGS = Settings(progress_seconds=10, waiting_seconds=15)
WAITS = Snapshot(prep=PREP)


def test_a_finished_run_is_not_looked_at() -> None:
    snapshot = Snapshot(training=pytorchjob(SUCCEEDED))
    assert requeue_after(status_of(snapshot, PREPARED), seen(snapshot), SETTINGS, NOW) is None


def test_a_container_at_work_is_looked_at_for_its_log() -> None:
    for state in (running(), ended()):
        snapshot = Snapshot(prep=PREP, pods=(pod(PREP, state),))
        assert requeue_after(status_of(snapshot), seen(snapshot), SETTINGS, NOW) == 10


def test_a_run_that_waits_long_is_looked_at_less_often() -> None:
    status = status_of(WAITS)
    for seconds, want in ((0, 15), (179, 15), (180, 60), (10**6, 60)):
        later = NOW + timedelta(seconds=seconds)
        assert requeue_after(status, seen(WAITS), SETTINGS, later) == want
    changed = status_of(replace(WAITS, prep=DONE), status, now=NOW + timedelta(hours=1))
    assert requeue_after(changed, seen(WAITS), SETTINGS, NOW + timedelta(hours=1)) == 15


def test_a_time_that_is_none_does_not_stop_the_looks() -> None:
    (first, *others) = status_of(WAITS).conditions
    never = first.model_copy(update={"last_transition_time": "2026-13-45T99:99:99Z"})
    for conditions in ((never,), (never, *others)):
        status = Status(conditions=conditions)
        assert requeue_after(status, seen(WAITS), SETTINGS, NOW) == 15
