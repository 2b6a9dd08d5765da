"""What a user changes or deletes by hand while a run is under way, on a real API server."""

import json
from typing import Any

import pytest

from cluster.clients.runs import FOR_EVER, Runs
from cluster.harness.control_plane import KubectlError
from cluster.harness.kwok import Behaviour
from cluster.harness.processes import wait_until
from qinstruct_operator.constants import LABEL_COMPONENT, LABEL_RUN

pytestmark = pytest.mark.cluster

SPEC: dict[str, Any] = {"size": "7B", "strategy": "after"}
TOLERATION = {"key": "sku", "operator": "Exists"}
SOON = Behaviour(run_for="300ms")


def edit(runs: Runs, name: str, **spec: Any) -> None:
    runs.kubectl("patch", "qit", name, "--type=merge", "-p", json.dumps({"spec": spec}))


def pods(runs: Runs, name: str, component: str) -> list[dict[str, Any]]:
    return runs.get("pods", f"--selector={LABEL_RUN}={name},{LABEL_COMPONENT}={component}")


def test_an_orphaned_training_pod_keeps_a_second_one_away(runs: Runs) -> None:
    runs.behave("orphan", "prep", SOON)
    runs.behave("orphan", "train", FOR_EVER)
    runs.apply("orphan", SPEC | {"recovery": {"backoffSeconds": 1}})
    runs.wait("orphan", "Running", "True", "Loading", 60)
    (pod,) = pods(runs, "orphan", "train")
    runs.kubectl("delete", "pytorchjob", "orphan-1", "--cascade=orphan")
    said = runs.wait("orphan", "Scheduled", "False", "PodRemains")
    assert f"(orphan-1-master-0 on node {pod['spec']['nodeName']})" in said
    assert runs.get("pytorchjobs") == []
    runs.behave("orphan", "train", SOON)
    runs.kubectl("delete", "pod", "orphan-1-master-0")
    runs.wait_phase("orphan", "Complete")
    (again,) = pods(runs, "orphan", "train")
    assert again["metadata"]["uid"] != pod["metadata"]["uid"]


def test_an_orphaned_prep_pod_keeps_a_second_one_away(runs: Runs) -> None:
    runs.behave("early", "prep", FOR_EVER)
    runs.apply("early", SPEC)
    runs.wait("early", "Prepared", "False", "Preparing")
    runs.kubectl("delete", "job", "early-prep", "--cascade=orphan")
    assert "early-prep-" in runs.wait("early", "Prepared", "False", "PodRemains")
    assert runs.get("jobs") == []
    runs.behave("early", "prep", SOON)
    runs.end_pod("early", "prep")
    runs.wait("early", "Prepared", "True", "Prepared")


def test_a_run_made_again_waits_for_the_pod_of_the_earlier_one(runs: Runs) -> None:
    """Nothing but the pod is left of it, so the first pass finds no child of that name."""
    runs.behave("again", "prep", SOON)
    runs.behave("again", "train", FOR_EVER)
    runs.apply("again", SPEC)
    runs.wait("again", "Running", "True", "Loading", 60)
    runs.kubectl("delete", "pytorchjob", "again-1", "--cascade=orphan")
    runs.kubectl("delete", "qit", "again")
    kinds = "jobs,configmaps,pytorchjobs"
    wait_until(
        lambda: runs.names(kinds) == {"ConfigMap/kube-root-ca.crt"}, "its children are collected"
    )
    runs.kubectl("delete", "pvc", "again-output", "--wait=false")
    runs.apply("again", SPEC)
    assert "again-1-master-0" in runs.wait("again", "Prepared", "False", "PodRemains")
    assert runs.names(kinds) == {"ConfigMap/kube-root-ca.crt"}
    runs.behave("again", "train", SOON)
    runs.kubectl("delete", "pod", "again-1-master-0")
    runs.wait_phase("again", "Complete", 90)


def test_what_prep_is_made_from_cannot_change_and_what_training_is_made_from_can(
    runs: Runs,
) -> None:
    runs.behave("soft", "prep", FOR_EVER)
    runs.behave("soft", "train", FOR_EVER)
    runs.apply("soft", SPEC | {"training": {"microBatchSize": 4}})
    runs.wait("soft", "Prepared", "False", "Preparing")
    with pytest.raises(KubectlError, match=r"spec\.prep: Forbidden: cannot change after creation"):
        edit(runs, "soft", prep={"tolerations": [TOLERATION]})
    edit(runs, "soft", scheduling={"tolerations": [TOLERATION]}, gpu={"perNode": 4},
         checkpoint={"everyMinutes": 7})  # fmt: skip
    runs.end_pod("soft", "prep")
    runs.wait("soft", "Scheduled", "True", "Scheduled", 60)
    (pod,) = pods(runs, "soft", "train")
    assert any(each.get("key") == "sku" for each in pod["spec"]["tolerations"])
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["requests"]["nvidia.com/gpu"] == "4"
    (config,) = (one for one in runs.get("cm") if one["metadata"]["name"] == "soft-config")
    written = json.loads(config["data"]["run.json"])
    assert (written["world_size"], written["checkpoint"]["every_minutes"]) == (4, 7)


def test_a_run_that_waits_for_a_node_or_trains_cannot_change(runs: Runs) -> None:
    runs.behave("fixed", "prep", SOON)
    runs.behave("fixed", "train", FOR_EVER)
    runs.apply("fixed", SPEC | {"scheduling": {"nodeSelector": {"rack": "nowhere"}}})
    runs.wait("fixed", "Scheduled", "False", "Unschedulable", 60)
    late = "Forbidden: cannot change once the training workload exists or the run has ended"
    with pytest.raises(KubectlError, match=rf"spec\.scheduling: {late}"):
        edit(runs, "fixed", scheduling={"tolerations": [TOLERATION]})
    runs.apply("fixed", SPEC | {"scheduling": {"nodeSelector": {"rack": "nowhere"}}})
    runs.kubectl("label", "qit", "fixed", "team=vision")
    runs.kubectl("delete", "qit", "fixed")

    runs.behave("busy", "prep", SOON)
    runs.behave("busy", "train", FOR_EVER)
    runs.apply("busy", SPEC)
    runs.wait("busy", "Running", "True", "Loading", 60)
    for field, value in (
        ("gpu", {"perNode": 4}),
        ("tracking", {"tensorboard": True}),
        ("backend", "Job"),
    ):
        with pytest.raises(KubectlError, match=rf"spec\.{field}: {late}"):
            edit(runs, "busy", **{field: value})
    runs.end_pod("busy", "train")
    runs.wait_phase("busy", "Complete")
    with pytest.raises(KubectlError, match=rf"spec\.gpu: {late}"):
        edit(runs, "busy", gpu={"perNode": 4})
    assert runs.statuses("busy")[-1]["model"] == "busy-output:/model"
