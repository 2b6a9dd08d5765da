"""What children are made from: the spec, the settings and the configs of then, or of today."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from qinstruct_operator.api import parse
from qinstruct_operator.api.status import Status
from qinstruct_operator.core.attempts import Spent
from qinstruct_operator.core.backends import BACKENDS
from qinstruct_operator.core.children import build_children
from qinstruct_operator.core.decide import Action, Apply, Create, decide
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import observe
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.core.plan.types import Owner
from qinstruct_operator.core.run import Run
from qinstruct_operator.settings import Settings
from support.observed import (
    COMPLETE,
    NOW,
    claim,
    config_map,
    plan,
    prep_job,
    pytorchjob,
    snapshot_of,
    status_of,
    training,
)
from support.operator_documents import UID

PREP, DONE, JOB = prep_job(), prep_job(COMPLETE), pytorchjob()
PREPARED = status_of(snapshot_of(prep=DONE))
LATER = timedelta(minutes=30)  # longer than any wait before another attempt
CONFIG = "ConfigMap x-config"
CLAIMS = {"x-output": claim(), "qinstruct-cache": claim("qinstruct-cache")}


def _name(action: Action) -> str:
    kind, name = action.child.id
    return f"{kind.kind} {name}"


def pinned_run(attempt: int = 1, **spec: Any) -> Run:
    """A run whose attempts are gone, as another operator finds it, with another spec."""
    settings = Settings(
        trainer_image="newer:2", prep_image="newer:2", cache_path=Path("/c"), output_path=Path("/o")
    )
    status = PREPARED.model_copy(update={"attempt": 1, "image": "first:1"})
    run = replace(Run.read(training(**spec), settings), status=status)
    for number in range(1, attempt + 1):  # all of them were deleted, one after the other
        was = judge(run, observe(run, THEN), NOW - LATER)
        run = replace(run, status=was)
        if number < attempt:
            known = was.recovery and was.recovery.model_copy(update={"next_attempt_time": None})
            run = replace(run, status=was.model_copy(update={"recovery": known}))
    return run


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
    (action,) = decide(run, observe(run, THEN), NOW)
    assert isinstance(action, Create)  # the configs stay as they are
    owner = Owner("x", UID, generation=1)
    settings = replace(FIRST.settings, trainer_image="first:1")
    made = build_children(
        replace(FIRST, settings=settings, owner=owner), attempt + 1, Spent(0, attempt)
    )
    assert action.child.manifest == made.training.manifest


@pytest.mark.parametrize(("suspend", "made"), [(True, 0), (False, 1)])
def test_a_suspended_run_makes_no_attempt_whatever_else_its_spec_says(
    suspend: bool, made: int
) -> None:
    run = pinned_run(suspend=suspend, size="99B")
    assert run.spec is None
    assert run.status.phase == ("Suspended" if suspend else "Recovering")
    assert len(decide(run, observe(run, THEN), NOW)) == made


@pytest.mark.parametrize(("size", "gpus"), [("7B", 4), ("13B", 2), ("Tiny", 3)])
def test_as_many_processes_are_started_as_the_configs_of_then_expect(size: str, gpus: int) -> None:
    """Their number may have been a default, and another version has another one."""
    data = build_children(make_plan(parse(training(size=size)), Settings())).config.manifest["data"]
    then = json.loads(data["run.json"]) | {"world_size": gpus}
    config = config_map() | {"data": data | {"run.json": json.dumps(then)}}
    run = pinned_run(size=size)
    claims = CLAIMS | {"qinstruct-cache-tiny": claim("qinstruct-cache-tiny")}
    (action,) = decide(run, observe(run, snapshot_of(config=config, claims=claims)), NOW)
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
    (action,) = decide(run, observe(run, THEN), NOW)
    assert isinstance(action, Create)
    settings = replace(FIRST.settings, trainer_image="first:1")
    made = build_children(replace(FIRST, settings=settings, owner=Owner("x", UID, generation=1)))
    assert action.child.manifest == made.training.manifest


def test_a_spec_that_was_changed_meanwhile_is_planned_anew_for_the_same_data() -> None:
    """prepared.json names folders on the claims by their paths of then."""
    run = prepared_run(**SAME | {"gpu": {"perNode": 8}})
    config, made = decide(run, observe(run, THEN), NOW)
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
    config, job = decide(run, observe(run, THEN), NOW)
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
        assert [_name(each) for each in decide(run, observe(run, there), NOW)] == made


def test_without_a_pin_training_is_made_from_what_there_is() -> None:
    """The ConfigMap was deleted, or is of a version that kept no spec."""
    run = pinned_run()
    for config, first in ((None, Create), (config_map(), Apply)):
        actions = decide(run, observe(run, snapshot_of(config=config, claims=CLAIMS)), NOW)
        assert [type(action) for action in actions] == [first, Create]
        (container,) = template_of(actions[-1])["spec"]["containers"]
        assert container["image"] == "newer:2"


def template_of(action: Action) -> dict[str, Any]:
    return BACKENDS["PyTorchJob"].pod_template(action.child.manifest)


def test_what_may_still_change_takes_effect_when_training_is_made() -> None:
    config = config_map() | {"data": build_children(plan()).config.manifest["data"]}
    changed: dict[str, Any] = {"gpu": {"perNode": 16}, "scheduling": {"queueName": "gpus"}}
    run = replace(Run.read(training(**changed), Settings()), status=PREPARED)
    actions = decide(run, observe(run, snapshot_of(config=config, claims=CLAIMS)), NOW)
    made = build_children(replace(plan(**changed), owner=Owner("x", UID, generation=1)))
    assert [action.child.manifest for action in actions] == [
        made.config.manifest,
        made.training.manifest,
    ]
