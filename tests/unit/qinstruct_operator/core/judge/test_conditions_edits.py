"""Edits of a run that have no effect: the server refuses them, and else the conditions say so."""

from dataclasses import replace
from typing import Any

import pytest

from qinstruct_operator.core.children import build_children
from qinstruct_operator.core.children.config_map import build_config_map
from qinstruct_operator.core.decide import decide
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import observe
from qinstruct_operator.core.run import Run
from qinstruct_operator.settings import Settings
from support.observed import (
    COMPLETE,
    NOW,
    SUCCEEDED,
    config_map,
    message,
    plan,
    pod,
    prep_job,
    pytorchjob,
    running,
    snapshot_of,
    status_of,
    training,
)

YES, NO = "True", "False"

AS_MADE: dict[str, Any] = {"gpu": {"perNode": 8}, "checkpoint": {"everyMinutes": 5}}
CONFIG = config_map() | {"data": build_config_map(plan(**AS_MADE))["data"]}
TRAINS: dict[str, Any] = {"training": pytorchjob(), "pods": (pod(pytorchjob(), running()),)}
WAITS = {"training": pytorchjob()}
PREPARES = {"prep": prep_job(), "pods": (pod(prep_job(), running()),)}
AGAIN = "change it back, or delete the run and create it again"
IGNORED = f"when x-1 was made, and has no effect on it; {AGAIN}"
UNFIXED = f"when the run was created, and cannot change; {AGAIN}"
EDITS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, str, str]]] = {
    "none": (AS_MADE, TRAINS, (YES, "Accepted", "the spec is a run that this version can train")),
    "a default that is said": (
        AS_MADE | {"scheduling": {"tolerations": []}},
        TRAINS,
        (YES, "Accepted", "the spec is a run that this version can train"),
    ),
    "of a run that trains": (
        AS_MADE | {"gpu": {"perNode": 4}, "training": {"microBatchSize": 8}},
        TRAINS,
        (
            YES,
            "EditIgnored",
            f"spec.gpu.perNode 4: was 8 {IGNORED}\n"
            f"spec.training.microBatchSize 8: was not given {IGNORED}",
        ),
    ),
    "to what is refused, of a run that waits": (
        AS_MADE | {"gpu": {"perNode": 8, "nodes": 2}},
        WAITS,
        (YES, "EditIgnored", f"spec.gpu.nodes 2: was 1 {IGNORED}"),
    ),
    "of training, while prep is at work": (
        AS_MADE | {"gpu": {"perNode": 16}, "scheduling": {"queueName": "gpus"}},
        PREPARES,
        (YES, "Accepted", "the spec is a run that this version can train"),
    ),
    "of prep, while it is at work": (
        AS_MADE | {"prep": {"queueName": "cpus"}},
        PREPARES,
        (NO, "InvalidSpec", f"spec.prep.queueName cpus: was not given {UNFIXED}"),
    ),
    "of the data, before training exists": (
        AS_MADE | {"data": {"missingImages": "Drop"}},
        {"prep": prep_job(COMPLETE)},
        (NO, "InvalidSpec", f'spec.data.missingImages Drop: was "Fail" {UNFIXED}'),
    ),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_that_the_server_let_through(case: str) -> None:
    spec, there, want = EDITS[case]
    run = Run.read(training(**spec), Settings())
    snapshot = snapshot_of(config=CONFIG, **there)
    seen = observe(run, snapshot)
    (accepted, *_) = judge(run, seen, NOW).conditions
    assert (accepted.status, accepted.reason, accepted.message) == want
    if want[0] == NO:
        assert decide(run, seen, NOW) == ()


def test_a_newer_version_that_refuses_the_spec_says_so_and_lets_training_be() -> None:
    run = Run.read(training(gpu={"nodes": 2}), Settings())
    (accepted, *_) = judge(run, observe(run, snapshot_of(**TRAINS)), NOW).conditions
    assert (accepted.status, accepted.reason) == (YES, "Accepted")
    assert accepted.message == (
        "x-1 goes on as it was made, but what the spec says now is refused: spec.gpu.nodes 2: is "
        "not supported yet in this version; remove it"
    )


def test_the_status_is_of_what_the_workload_was_made_from() -> None:
    """A spec that is refused meanwhile takes neither the model nor the queue from the status."""
    as_made = plan(output={"claimName": "mine"}, scheduling={"queueName": "gpus"})
    job = pytorchjob(SUCCEEDED, queue="gpus") | {
        "spec": build_children(as_made).training.manifest["spec"]
    }
    prepared = status_of(snapshot_of(prep=prep_job(COMPLETE)))
    edited = training(gpu={"nodes": 2}, scheduling={"queueName": "others"})
    run = replace(Run.read(edited, Settings(trainer_image="other:2")), status=prepared)
    status = judge(run, observe(run, snapshot_of(training=job)), NOW)
    assert (status.model, status.queue, status.attempt) == ("mine:/model", "gpus", 1)
    assert status.image == Settings().trainer_image
    assert message(status, "Complete").endswith("of claim mine")


def test_an_attempt_is_counted_when_its_workload_exists() -> None:
    """By it the server knows until when the spec can change."""
    done = snapshot_of(prep=prep_job(COMPLETE))
    assert status_of(done, refused="exceeded quota").attempt is None
    assert status_of(snapshot_of(training=pytorchjob()), status_of(done)).attempt == 1
