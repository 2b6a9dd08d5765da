"""Which children are due, and when the next pass is."""

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from qinstruct_operator.api import parse
from qinstruct_operator.api.status import Status
from qinstruct_operator.core.backends import BACKENDS
from qinstruct_operator.core.children import build_children
from qinstruct_operator.core.decide import Action, Apply, Create, decide, requeue_after
from qinstruct_operator.core.judge.observe import Snapshot, observe
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.core.plan.types import Owner, Plan
from qinstruct_operator.core.run import Run
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
    training,
    waiting,
)
from support.operator_documents import UID

PLAN = plan()
PREP, DONE, JOB = prep_job(), prep_job(COMPLETE), pytorchjob()
PREPARED = status_of(snapshot_of(prep=DONE))
CONFIG, CACHE, OUTPUT, PREP_JOB, PYTORCHJOB = (
    "ConfigMap x-config",
    "PersistentVolumeClaim qinstruct-cache",
    "PersistentVolumeClaim x-output",
    "Job x-prep",
    "PyTorchJob x-1",
)
CLAIMS = {"x-output": claim(), "qinstruct-cache": claim("qinstruct-cache")}
OWN_CLAIMS = plan(data={"claimName": "data"}, output={"claimName": "mine"})


def orphaned(raw: Raw) -> Raw:
    """A pod after `kubectl delete --cascade=orphan` of its workload."""
    return raw | {"metadata": raw["metadata"] | {"ownerReferences": []}}


OTHER_JOB = child("PyTorchJob", "x-1") | {"metadata": {"uid": OTHER_UID, "name": "x-1"}}
OLD_POD = pod(OTHER_JOB, running())


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
    "the second attempt": Case(
        snapshot_of(claims=CLAIMS),
        (CONFIG, "PyTorchJob x-2"),
        previous=PREPARED.model_copy(update={"attempt": 2}),
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
    "pods of another attempt have ended": Case(
        snapshot_of(
            claims=CLAIMS, pods=(pod(PREP, ended()), pod(JOB, ended(), name="x-1-master-0"))
        ),
        (CONFIG, "PyTorchJob x-2"),
        previous=PREPARED.model_copy(update={"attempt": 2}),
    ),
    "a pod of the last attempt still saves": Case(
        snapshot_of(claims=CLAIMS, pods=(pod(JOB, running()),)),
        previous=PREPARED.model_copy(update={"attempt": 2}),
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
    actions = decide(run, observe(run, case.snapshot))
    assert tuple(_name(action) for action in actions) == case.want
    # Only what is there already is applied; the rest is created and left alone.
    applied = [action.child.id for action in actions if isinstance(action, Apply)]
    assert applied == [CONFIG_ID] * (CONFIG_ID in case.snapshot.support and bool(actions))


def test_nothing_is_done_for_a_refused_spec() -> None:
    run = run_of(violations=[Violation("spec.a", 1, "is bad", "use 2")])
    assert decide(run, seen(snapshot_of())) == ()


def _name(action: Action) -> str:
    kind, name = action.child.id
    return f"{kind.kind} {name}"


def pinned_run(attempt: int = 1, **spec: Any) -> Run:
    """A run whose first attempt was made, as another operator finds it, with another spec."""
    settings = Settings(
        trainer_image="newer:2", prep_image="newer:2", cache_path=Path("/c"), output_path=Path("/o")
    )
    status = PREPARED.model_copy(update={"attempt": attempt, "image": "first:1"})
    return replace(Run.read(training(**spec), settings), status=status)


FIRST = plan(gpu={"perNode": 4}, training={"microBatchSize": 4}, scheduling={"queueName": "gpus"})
FIRST_CONFIG = config_map() | {"data": build_children(FIRST).config.manifest["data"]}
THEN = snapshot_of(config=FIRST_CONFIG, claims=CLAIMS)


@pytest.mark.parametrize("attempt", [1, 2])
@pytest.mark.parametrize(
    "spec", [{}, {"gpu": {"perNode": 16}}, {"gpu": {"nodes": 2}}, {"size": "13B"}]
)
def test_training_that_is_made_again_is_made_from_the_same(
    attempt: int, spec: dict[str, Any]
) -> None:
    """Whatever spec, settings and version there are by now; also where that is refused."""
    run = pinned_run(attempt, **spec)
    (action,) = decide(run, observe(run, THEN))
    assert isinstance(action, Create)  # the configs stay as they are
    owner = Owner("x", UID, generation=1)
    settings = replace(FIRST.settings, trainer_image="first:1")
    made = build_children(replace(FIRST, settings=settings, owner=owner), attempt)
    assert action.child.manifest == made.training.manifest


@pytest.mark.parametrize(("size", "gpus"), [("7B", 4), ("13B", 2), ("Tiny", 3)])
def test_as_many_processes_are_started_as_the_configs_of_then_expect(size: str, gpus: int) -> None:
    """Their number may have been a default, and another version has another one."""
    data = build_children(make_plan(parse(training(size=size)), Settings())).config.manifest["data"]
    then = json.loads(data["run.json"]) | {"world_size": gpus}
    config = config_map() | {"data": data | {"run.json": json.dumps(then)}}
    run = pinned_run(size=size)
    claims = CLAIMS | {"qinstruct-cache-tiny": claim("qinstruct-cache-tiny")}
    (action,) = decide(run, observe(run, snapshot_of(config=config, claims=claims)))
    assert action.child.manifest["spec"]["nprocPerNode"] == str(gpus)
    (container,) = template_of(action)["spec"]["containers"]
    assert f"--nproc-per-node={gpus}" in container["command"]
    held = container["resources"]["limits"].get("nvidia.com/gpu")
    assert held == (None if size == "Tiny" else str(gpus))


def prepared_run(**spec: Any) -> Run:
    """A run whose data an earlier version has prepared, and that another one finds."""
    status = PREPARED.model_copy(update={"image": "first:1"})
    return replace(pinned_run(**spec), status=status)


SAME: dict[str, Any] = {
    "gpu": {"perNode": 4},
    "training": {"microBatchSize": 4},
    "scheduling": {"queueName": "gpus"},
}


def test_training_is_made_by_the_version_that_prepared_its_data() -> None:
    run = prepared_run(**SAME)
    (action,) = decide(run, observe(run, THEN))
    assert isinstance(action, Create)
    settings = replace(FIRST.settings, trainer_image="first:1")
    made = build_children(replace(FIRST, settings=settings, owner=Owner("x", UID, generation=1)))
    assert action.child.manifest == made.training.manifest


def test_a_spec_that_was_changed_meanwhile_is_planned_anew_for_the_same_data() -> None:
    """prepared.json names folders on the claims by their paths of then."""
    run = prepared_run(**SAME | {"gpu": {"perNode": 8}})
    config, made = decide(run, observe(run, THEN))
    assert isinstance(config, Apply)
    assert json.loads(config.child.manifest["data"]["run.json"])["world_size"] == 8
    assert json.loads(config.child.manifest["data"]["prep.json"])["cache"] == "/cache"
    (container,) = template_of(made)["spec"]["containers"]
    assert container["image"] == "newer:2"
    mounted = {each["mountPath"] for each in container["volumeMounts"]}
    assert mounted >= {"/cache", "/output"}


def test_prep_that_is_due_again_is_that_of_today() -> None:
    """It builds what another version would not read, and its configs go with it."""
    run = replace(pinned_run(**SAME), status=Status())
    config, job = decide(run, observe(run, THEN))
    assert isinstance(config, Apply)
    assert json.loads(config.child.manifest["data"]["prep.json"])["cache"] == "/c"
    annotations = job.child.manifest["metadata"]["annotations"]
    assert annotations["qinstruct.dev/trainer-image"] == "newer:2"


@pytest.mark.parametrize(("image", "made"), [("newer:2", [CONFIG]), ("first:1", [])])
def test_a_lost_config_is_made_again_only_by_the_version_of_the_image(
    image: str, made: list[str]
) -> None:
    settings = replace(FIRST.settings, trainer_image=image)
    children = build_children(replace(FIRST, settings=settings))
    annotations = children.prep.manifest["metadata"]["annotations"]
    prep = PREP | {"metadata": PREP["metadata"] | {"annotations": annotations}}
    job = JOB | {"spec": children.training.manifest["spec"]}
    for run, there in (
        (replace(pinned_run(**SAME), status=Status()), snapshot_of(prep=prep, claims=CLAIMS)),
        (pinned_run(**SAME), snapshot_of(training=job, claims=CLAIMS)),
    ):
        assert [_name(each) for each in decide(run, observe(run, there))] == made


def test_without_a_pin_training_is_made_from_what_there_is() -> None:
    """The ConfigMap was deleted, or is of a version that kept no spec."""
    run = pinned_run()
    for config, first in ((None, Create), (config_map(), Apply)):
        actions = decide(run, observe(run, snapshot_of(config=config, claims=CLAIMS)))
        assert [type(action) for action in actions] == [first, Create]
        (container,) = template_of(actions[-1])["spec"]["containers"]
        assert container["image"] == "newer:2"


def template_of(action: Action) -> dict[str, Any]:
    return BACKENDS["PyTorchJob"].pod_template(action.child.manifest)


def test_what_may_still_change_takes_effect_when_training_is_made() -> None:
    config = config_map() | {"data": build_children(plan()).config.manifest["data"]}
    changed: dict[str, Any] = {"gpu": {"perNode": 16}, "scheduling": {"queueName": "gpus"}}
    run = replace(Run.read(training(**changed), Settings()), status=PREPARED)
    actions = decide(run, observe(run, snapshot_of(config=config, claims=CLAIMS)))
    made = build_children(replace(plan(**changed), owner=Owner("x", UID, generation=1)))
    assert [action.child.manifest for action in actions] == [
        made.config.manifest,
        made.training.manifest,
    ]


def test_what_is_due_is_what_render_shows() -> None:
    first = decide(run_of(), seen(snapshot_of()))
    then = decide(run_of(PREPARED), seen(snapshot_of(claims=CLAIMS)))
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
