"""Which children are due, and when the next pass is."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from qinstruct_operator.api.status import Status
from qinstruct_operator.core.children import build_children
from qinstruct_operator.core.decide import Action, Apply, decide, requeue_after
from qinstruct_operator.core.judge.observe import Snapshot, observe
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.errors import Violation
from qinstruct_operator.settings import Settings
from support.observed import (
    COMPLETE,
    CONFIG_ID,
    JOB_FAILED,
    NOW,
    OTHER_UID,
    SUCCEEDED,
    Raw,
    child,
    claim,
    condition,
    config_map,
    deleting,
    ended,
    plan,
    pod,
    prep_job,
    pytorchjob,
    run_of,
    running,
    seen,
    snapshot_of,
    status_of,
    waiting,
)

PLAN = plan()
PREP, DONE, JOB = prep_job(), prep_job(COMPLETE), pytorchjob()
PREPARED = status_of(snapshot_of(prep=DONE))
LATER = timedelta(minutes=30)  # longer than any wait before another attempt
CONFIG, CACHE, OUTPUT, PREP_JOB, PYTORCHJOB = (
    "ConfigMap x-config",
    "PersistentVolumeClaim qinstruct-cache",
    "PersistentVolumeClaim x-output",
    "Job x-prep",
    "PyTorchJob x-1",
)
CLAIMS = {"x-output": claim(), "qinstruct-cache": claim("qinstruct-cache")}
TRIED = PREPARED.model_copy(update={"attempt": 1})
OWN_CLAIMS = plan(data={"claimName": "data"}, output={"claimName": "mine"})


def after(snapshot: Snapshot, previous: Status = TRIED, earlier: timedelta = LATER) -> Status:
    """The status that a pass has written so long before `NOW`."""
    return status_of(snapshot, previous, now=NOW - earlier)


def orphaned(raw: Raw) -> Raw:
    """A pod after `kubectl delete --cascade=orphan` of its workload."""
    return raw | {"metadata": raw["metadata"] | {"ownerReferences": []}}


OTHER_JOB = child("PyTorchJob", "x-1") | {"metadata": {"uid": OTHER_UID, "name": "x-1"}}
OLD_POD = pod(OTHER_JOB, running())


FAILED_JOB = pytorchjob(JOB_FAILED)
LOST = snapshot_of(training=FAILED_JOB, pods=(pod(FAILED_JOB, ended(1)),), claims=CLAIMS)


@dataclass(frozen=True)
class Case:
    snapshot: Snapshot
    want: tuple[str, ...] = ()
    previous: Status | None = None
    plan: Plan = PLAN


SMALL = claim() | {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}
CASES = {
    "an output claim from before that is too small": Case(
        snapshot_of(claims=CLAIMS | {"x-output": SMALL})
    ),
    "the same, before training": Case(
        snapshot_of(prep=DONE, claims=CLAIMS | {"x-output": SMALL}), previous=PREPARED
    ),
    "nothing is there": Case(snapshot_of(), (CONFIG, CACHE, OUTPUT, PREP_JOB)),
    "a cache that other runs made": Case(
        snapshot_of(claims={"qinstruct-cache": claim("qinstruct-cache")}),
        (CONFIG, OUTPUT, PREP_JOB),
    ),
    "claims that the user brings": Case(snapshot_of(), (CONFIG, PREP_JOB), plan=OWN_CLAIMS),
    "the configuration goes with its workload": Case(
        snapshot_of(config=config_map(), claims=CLAIMS), (CONFIG, PREP_JOB)
    ),
    "prep waits, all is there": Case(snapshot_of(config=config_map(), prep=PREP, claims=CLAIMS)),
    "prep waits, somebody deleted the rest": Case(snapshot_of(prep=PREP), (CONFIG, CACHE, OUTPUT)),
    "prep waits on its node": Case(
        snapshot_of(prep=PREP, pods=(pod(PREP, waiting()),), claims=CLAIMS), (CONFIG,)
    ),
    "prep runs: what it has mounted is its own": Case(
        snapshot_of(prep=PREP, pods=(pod(PREP, running()),))
    ),
    "prep has ended, the Job does not know yet": Case(
        snapshot_of(prep=PREP, pods=(pod(PREP, ended()),))
    ),
    "prep has failed": Case(snapshot_of(prep=prep_job(condition("Failed")))),
    "prep is done": Case(
        snapshot_of(prep=DONE, config=config_map(), claims=CLAIMS), (CONFIG, PYTORCHJOB)
    ),
    "prep is done, its claim is deleted": Case(
        snapshot_of(prep=DONE, claims=CLAIMS | {"x-output": None})
    ),
    "prepared, and the cache is deleted": Case(
        snapshot_of(claims=CLAIMS | {"qinstruct-cache": None}), previous=PREPARED
    ),
    "prepared, and the output is being deleted": Case(
        snapshot_of(claims=CLAIMS | {"x-output": deleting(claim())}), previous=PREPARED
    ),
    "prepared, and the output has lost its volume": Case(
        snapshot_of(claims=CLAIMS | {"x-output": claim(phase="Lost")}), previous=PREPARED
    ),
    "training waits, and its claim is deleted": Case(
        snapshot_of(training=JOB, claims=CLAIMS | {"x-output": None}), previous=PREPARED
    ),
    "training has begun and was deleted, and so is its claim": Case(
        snapshot_of(claims=CLAIMS | {"x-output": None}),
        previous=PREPARED.model_copy(update={"attempt": 1}),
    ),
    "prepared, by the status alone": Case(
        snapshot_of(claims=CLAIMS), (CONFIG, PYTORCHJOB), previous=PREPARED
    ),
    "training was deleted, and no status says so yet": Case(
        snapshot_of(claims=CLAIMS), previous=TRIED
    ),
    "training was deleted a moment ago": Case(
        snapshot_of(claims=CLAIMS),
        previous=after(snapshot_of(claims=CLAIMS), earlier=timedelta(seconds=1)),
    ),
    "training was deleted": Case(
        snapshot_of(claims=CLAIMS),
        (CONFIG, "PyTorchJob x-2"),
        previous=after(snapshot_of(claims=CLAIMS)),
    ),
    "training has failed": Case(LOST, (CONFIG, "PyTorchJob x-2"), previous=after(LOST)),
    "training has failed a moment ago": Case(
        LOST, previous=after(LOST, earlier=timedelta(seconds=1))
    ),
    "training has failed, and no status says so yet": Case(LOST, previous=TRIED),
    "training has failed, and its claim is deleted": Case(
        replace(LOST, support=snapshot_of(claims=CLAIMS | {"x-output": None}).support),
        previous=after(LOST),
    ),
    "training has failed, and a pod that was made for it after that lives": Case(
        replace(LOST, pods=(*LOST.pods, pod(FAILED_JOB, running(), name="x-1-master-1"))),
        previous=after(LOST),
    ),
    "training has failed, and an earlier pod of it lives": Case(
        replace(
            LOST,
            pods=(
                pod(FAILED_JOB, running(), name="x-1-old", created="2026-03-01T10:00:00Z"),
                *LOST.pods,
            ),
        ),
        previous=after(LOST),
    ),
    "training has failed, and the next name is another's": Case(
        replace(LOST, in_the_way=child("PyTorchJob", "x-2", owner=None, ours=False)),
        previous=after(LOST),
    ),
    "training has failed by its own fault": Case(
        snapshot_of(training=FAILED_JOB, pods=(pod(FAILED_JOB, ended(78)),), claims=CLAIMS),
        previous=TRIED,
    ),
    "training waits, all is there": Case(
        snapshot_of(config=config_map(), training=JOB, claims=CLAIMS), previous=PREPARED
    ),
    "training waits, its configuration is deleted": Case(
        snapshot_of(training=JOB, claims=CLAIMS), (CONFIG,), previous=PREPARED
    ),
    "training runs": Case(
        snapshot_of(training=JOB, pods=(pod(JOB, running()),)), previous=PREPARED
    ),
    "training has succeeded": Case(snapshot_of(training=pytorchjob(SUCCEEDED)), previous=PREPARED),
    "training has failed, its pod is gone": Case(
        snapshot_of(training=pytorchjob(JOB_FAILED)), previous=PREPARED
    ),
    "complete, and all is deleted": Case(
        snapshot_of(), previous=status_of(snapshot_of(training=pytorchjob(SUCCEEDED)), PREPARED)
    ),
    "failed, and all is deleted": Case(
        snapshot_of(), previous=status_of(snapshot_of(training=pytorchjob(JOB_FAILED)), PREPARED)
    ),
    "leftovers of an earlier run": Case(snapshot_of(prep=prep_job(owner=OTHER_UID))),
    "a claim that goes with an earlier run": Case(
        snapshot_of(claims={"x-output": claim(owner=OTHER_UID)})
    ),
    "a PyTorchJob of an earlier run": Case(snapshot_of(prep=DONE, training=pytorchjob(owner="x"))),
    "a pod of an earlier run is at work": Case(snapshot_of(pods=(OLD_POD,))),
    "a pod of an earlier run has not started": Case(
        snapshot_of(prep=DONE, claims=CLAIMS, pods=(pod(pytorchjob(owner="x"), node=None),))
    ),
    "its PyTorchJob was deleted, its pod has no owner": Case(
        snapshot_of(claims=CLAIMS, pods=(orphaned(OLD_POD),)), previous=PREPARED
    ),
    "its prep Job was deleted, its pod is at work": Case(
        snapshot_of(config=config_map(), claims=CLAIMS, pods=(orphaned(pod(PREP, running())),))
    ),
    "an old pod has ended, and has the name that the new one needs": Case(
        snapshot_of(claims=CLAIMS, pods=(orphaned(pod(JOB, ended())),)), previous=PREPARED
    ),
    "its PyTorchJob was deleted, the pods have ended": Case(
        snapshot_of(
            claims=CLAIMS, pods=(pod(PREP, ended()), pod(JOB, ended(), name="x-1-master-0"))
        ),
        (CONFIG, "PyTorchJob x-2"),
        previous=after(snapshot_of(claims=CLAIMS)),
    ),
    "its PyTorchJob was deleted, the pod still saves": Case(
        snapshot_of(claims=CLAIMS, pods=(pod(JOB, running()),)),
        previous=after(snapshot_of(claims=CLAIMS)),
    ),
    "prep waits beside an old pod, somebody deleted a claim": Case(
        snapshot_of(prep=PREP, claims={"qinstruct-cache": claim()}, pods=(OLD_POD,)),
        (CONFIG, OUTPUT),
    ),
    "a name that another has": Case(snapshot_of(config=config_map(owner=None, ours=False))),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_due(case: Case) -> None:
    run = run_of(case.previous, case.plan)
    actions = decide(run, observe(run, case.snapshot), NOW)
    assert tuple(_name(action) for action in actions) == case.want
    # Only what is there already is applied; the rest is created and left alone.
    applied = [action.child.id for action in actions if isinstance(action, Apply)]
    assert applied == [CONFIG_ID] * (CONFIG_ID in case.snapshot.support and bool(actions))


def test_nothing_is_done_for_a_refused_spec() -> None:
    run = run_of(violations=[Violation("spec.a", 1, "is bad", "use 2")])
    assert decide(run, seen(snapshot_of()), NOW) == ()


def _name(action: Action) -> str:
    kind, name = action.child.id
    return f"{kind.kind} {name}"


def test_what_is_due_is_what_render_shows() -> None:
    first = decide(run_of(), seen(snapshot_of()), NOW)
    then = decide(run_of(PREPARED), seen(snapshot_of(claims=CLAIMS)), NOW)
    children = tuple(build_children(PLAN))
    assert tuple(action.child for action in (*first, then[-1])) == children
    assert then[0] == first[0]


SETTINGS = Settings(progress_seconds=10, waiting_seconds=15)
WAITS = snapshot_of(prep=PREP)


def test_a_finished_run_is_not_requeued() -> None:
    taken = snapshot_of(training=pytorchjob(SUCCEEDED))
    assert requeue_after(status_of(taken, PREPARED), seen(taken), SETTINGS, NOW) is None


def test_a_started_container_is_polled_for_its_log() -> None:
    for state in (running(), ended()):
        taken = snapshot_of(prep=PREP, pods=(pod(PREP, state),))
        assert requeue_after(status_of(taken), seen(taken), SETTINGS, NOW) == 10


def test_a_run_that_waits_long_is_requeued_less_often() -> None:
    status = status_of(WAITS)
    for seconds, want in ((0, 15), (179, 15), (180, 30), (10**6, 30)):
        later = NOW + timedelta(seconds=seconds)
        assert requeue_after(status, seen(WAITS), SETTINGS, later) == want
    changed = status_of(replace(WAITS, prep=DONE), status, now=NOW + timedelta(hours=1))
    assert requeue_after(changed, seen(WAITS), SETTINGS, NOW + timedelta(hours=1)) == 15


def test_an_invalid_time_does_not_stop_the_requeues() -> None:
    (first, *others) = status_of(WAITS).conditions
    never = first.model_copy(update={"last_transition_time": "2026-13-45T99:99:99Z"})
    for conditions in ((never,), (never, *others)):
        status = Status(conditions=conditions)
        assert requeue_after(status, seen(WAITS), SETTINGS, NOW) == 15
