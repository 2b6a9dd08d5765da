"""Runs on a real API server, from `kubectl apply` to their end.

Everything is real except the nodes: kwok simulates GPU nodes and the containers on them.
"""

import json
from itertools import pairwise
from typing import Any

import pytest

from cluster.clients.runs import FOR_EVER, PREP, STEP, Runs, lines
from cluster.clients.watch import open_watch
from cluster.harness.kwok import Behaviour
from cluster.harness.processes import wait_until
from qinstruct_operator.core.condition_list import CONDITIONS
from support.operator_documents import SAMPLES

pytestmark = pytest.mark.cluster

PUBLISHED = ("run-7b-mix", "run-13b-mix", "run-7b-after", "run-13b-after")


def transitions(statuses: list[dict[str, Any]], type_: str) -> list[str]:
    """The values that the status of one condition had, in order."""
    seen: list[str] = []
    for status in statuses:
        value = next(each["status"] for each in status["conditions"] if each["type"] == type_)
        if not seen or seen[-1] != value:
            seen.append(value)
    return seen


def test_the_four_published_runs_at_once(runs: Runs) -> None:
    for name in PUBLISHED:
        runs.behave(name, "prep", Behaviour(run_for="4s"), logs=lines({**PREP, "done": 86}))
        logs = lines({**STEP, "step": 190}, {**STEP, "step": 430})
        runs.behave(name, "train", Behaviour(run_for="6s"), logs=logs)
        runs.kubectl("apply", "-f", str(SAMPLES / f"{name}.yaml"))
    for name in PUBLISHED:
        runs.wait_phase(name, "Complete", seconds=120)
    claims = runs.names("pvc")
    assert claims == {f"PersistentVolumeClaim/{name}-output" for name in PUBLISHED} | {
        "PersistentVolumeClaim/qinstruct-cache"
    }
    for name in PUBLISHED:
        statuses = runs.statuses(name)
        for type_ in CONDITIONS:
            expected = {
                "Accepted": ["True"],
                "Running": ["False", "True", "False"],
                "Failed": ["False"],
            }.get(type_, ["False", "True"])
            assert transitions(statuses, type_) == expected, (name, type_)
        trues = [
            {c["type"] for c in status["conditions"] if c["status"] == "True"}
            for status in statuses
        ]
        for earlier, later in pairwise(CONDITIONS[:3]):
            assert all(earlier in true for true in trues if later in true), (name, later)
        generations = {c["observedGeneration"] for status in statuses for c in status["conditions"]}
        assert generations == {1}
        last = statuses[-1]
        assert last["model"] == f"{name}-output:/model"
        assert (last["progress"], last["attempt"]) == ("100%", 1)
        assert {status.get("progress") for status in statuses} >= {"fetch 43%", "43%"}
        assert last["training"]["loss"] == 1.25
        assert ("13b" not in name) or last["node"].startswith("gpu-80-")


def test_prep_ends_before_the_pytorchjob_exists(runs: Runs) -> None:
    runs.behave("one", "prep", Behaviour(run_for="1s"))
    with open_watch(
        runs.cluster.api, f"/apis/kubeflow.org/v1/namespaces/{runs.namespace}/pytorchjobs"
    ) as jobs:
        runs.apply("one", {"size": "7B", "strategy": "after"})
        runs.wait_phase("one", "Complete")
        created = jobs.of("one-1")[0]["metadata"]["creationTimestamp"]
    (prep,) = runs.get("jobs")
    assert prep["status"]["completionTime"] <= created


def test_a_7b_run_takes_the_40_gb_node_while_it_is_free(runs: Runs) -> None:
    runs.behave("small", "train", FOR_EVER)
    wait_until(lambda: is_free(runs, "gpu-40-0"), "pods of earlier tests have left gpu-40-0")
    runs.apply("small", {"size": "7B", "strategy": "after"})
    runs.wait("small", "Scheduled", "True", "Scheduled")
    assert runs.statuses("small")[-1]["node"] == "gpu-40-0"
    runs.kubectl("delete", "qit", "small")


def is_free(runs: Runs, node: str) -> bool:
    """Whether no pod of any namespace uses the node."""
    holds = f"spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed"
    return not runs.get("pods", "--all-namespaces", f"--field-selector={holds}")


PHASES = {
    "Preparing": {"prep": FOR_EVER},
    "Starting": {"prep": Behaviour(start_after="100h")},
    "Unschedulable": {},
    "Loading": {"train": FOR_EVER},
    "Complete": {},
    "Failed": {"prep": Behaviour(exit_code=65)},
}


@pytest.mark.parametrize("phase", PHASES)
def test_deleting_a_run_leaves_its_output_and_the_cache_alone(runs: Runs, phase: str) -> None:
    for component, behaviour in PHASES[phase].items():
        runs.behave("gone", component, behaviour)
    spec: dict[str, Any] = {"size": "7B", "strategy": "after"}
    if phase == "Unschedulable":
        spec["scheduling"] = {"nodeSelector": {"rack": "nowhere"}}
    runs.apply("gone", spec)
    runs.wait_phase("gone", phase)
    runs.kubectl("delete", "qit", "gone")
    left = {
        "PersistentVolumeClaim/gone-output",
        "PersistentVolumeClaim/qinstruct-cache",
        "ConfigMap/kube-root-ca.crt",
    }
    kinds = "pods,jobs,pytorchjobs,configmaps,persistentvolumeclaims,services,qit"
    wait_until(lambda: runs.names(kinds) == left, "only the claims are left")


def test_an_output_without_retain_is_deleted_with_its_run(runs: Runs) -> None:
    runs.behave("gone", "prep", FOR_EVER)
    runs.apply("gone", {"size": "7B", "strategy": "after", "output": {"retain": False}})
    runs.wait_phase("gone", "Preparing")
    runs.kubectl("delete", "qit", "gone")
    left = {"PersistentVolumeClaim/qinstruct-cache"}
    wait_until(lambda: runs.names("pvc,pods") == left, "only the cache is left")


def test_a_new_run_waits_until_the_children_of_its_deleted_namesake_are_gone(runs: Runs) -> None:
    runs.behave("again", "prep", FOR_EVER)
    runs.apply("again", {"size": "7B", "strategy": "after"})
    runs.wait_phase("again", "Preparing")
    runs.kubectl("delete", "qit", "again", "--wait=false")
    runs.behave("again", "prep", Behaviour(run_for="300ms"))
    runs.apply("again", {"size": "7B", "strategy": "mix"})
    runs.wait_phase("again", "Complete", 90)
    assert runs.get("qit")[0]["spec"]["strategy"] == "mix"


def test_a_deleted_child_is_created_again(runs: Runs) -> None:
    runs.behave("healed", "prep", Behaviour(start_after="100h"))
    runs.apply("healed", {"size": "7B", "strategy": "after"})
    runs.wait_phase("healed", "Starting")
    runs.behave("healed", "prep", Behaviour(run_for="300ms"))
    runs.kubectl("delete", "job", "healed-prep")
    runs.wait_phase("healed", "Complete")


def test_a_foreign_training_workload_is_told_before_preparation(runs: Runs) -> None:
    container = {"name": "pytorch", "image": "theirs"}
    master = {"replicas": 1, "template": {"spec": {"containers": [container]}}}
    foreign = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "mine-1"},
        "spec": {
            "runPolicy": {"suspend": True},
            "pytorchReplicaSpecs": {"Master": master},
        },
    }
    runs.kubectl("create", "-f", "-", stdin=json.dumps(foreign))
    runs.apply("mine", {"size": "7B", "strategy": "after"})
    assert "PyTorchJob mine-1" in runs.wait("mine", "Accepted", "False", "NameTaken")
    assert runs.get("jobs") == []
    runs.kubectl("delete", "pytorchjob", "mine-1")
    runs.wait_phase("mine", "Complete", 90)


def test_a_foreign_object_with_the_name_of_a_child_is_left_alone(runs: Runs) -> None:
    runs.kubectl("create", "configmap", "mine-config", "--from-literal=prep.json=precious")
    runs.apply("mine", {"size": "7B", "strategy": "after"})
    message = runs.wait("mine", "Accepted", "False", "NameTaken")
    assert "ConfigMap mine-config" in message
    assert runs.get("jobs") == []
    (kept,) = (one for one in runs.get("cm") if one["metadata"]["name"] == "mine-config")
    assert kept["data"] == {"prep.json": "precious"}
