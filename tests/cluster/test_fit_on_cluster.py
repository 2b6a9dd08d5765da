"""The real scheduler agrees with `core.fit` about which nodes can run a run's pods."""

import copy
import json
from contextlib import suppress
from typing import Any

import pytest

from cluster.harness.kwok import a100, cpu_node
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.core.fit.nodes import node_fit, pods_of, read_node
from support.operator_documents import document, plan

pytestmark = pytest.mark.cluster


def relabelled(node: dict[str, Any], **changes: str | None) -> dict[str, Any]:
    """A node with labels `nvidia.com/gpu.<name>` changed; None: without it."""
    labels = node["metadata"]["labels"]
    for name, value in changes.items():
        key = f"nvidia.com/gpu.{name.replace('_', '-')}"
        labels[key] = value
        if value is None:
            del labels[key]
    return node


def resized(node: dict[str, Any], **resources: str) -> dict[str, Any]:
    for part in ("capacity", "allocatable"):
        node["status"][part] = node["status"][part] | resources
    return node


def tainted(node: dict[str, Any], key: str, effect: str) -> dict[str, Any]:
    node["spec"]["taints"].append({"key": key, "effect": effect})
    return node


def cordoned(node: dict[str, Any]) -> dict[str, Any]:
    node["spec"]["unschedulable"] = True
    return node


def labelled(node: dict[str, Any], **labels: str) -> dict[str, Any]:
    node["metadata"]["labels"] |= {key.replace("__", "/"): value for key, value in labels.items()}
    return node


ZOO: dict[str, dict[str, Any]] = {
    "a40": a100("x", 40),
    "a80": a100("x", 80),
    "a80-four": a100("x", 80, gpus=4),
    "a80-cordoned": cordoned(a100("x", 80)),
    "a80-lean": resized(a100("x", 80), memory="480Gi"),
    "a80-slow": resized(a100("x", 80), cpu="79900m"),
    "a80-broken-gpu": resized(a100("x", 80), **{"nvidia.com/gpu": "7"}),
    "a80-foreign": tainted(a100("x", 80), "team", "NoSchedule"),
    "a80-evicting": tainted(a100("x", 80), "team", "NoExecute"),
    "a80-disliked": tainted(a100("x", 80), "team", "PreferNoSchedule"),
    "a80-shared": relabelled(a100("x", 80), sharing_strategy="time-slicing"),
    "a80-unshared": relabelled(a100("x", 80), sharing_strategy=None),
    "a80-unlabelled": relabelled(
        a100("x", 80), memory=None, product=None, count=None, family=None, sharing_strategy=None
    ),
    "a80-odd-memory": relabelled(a100("x", 80), memory="much"),
    "volta": relabelled(a100("x", 80), family="volta"),
    "huge": relabelled(a100("x", 80), memory="99999999999999999999"),
    "gke": labelled(
        relabelled(a100("x", 80), memory=None),
        **{"cloud.google.com__gke-accelerator": "nvidia-a100-80gb"},
    ),
    "a80-arm": labelled(a100("x", 80), **{"kubernetes.io__arch": "arm64"}),
    "cpu": cpu_node("x"),
    "cpu-arm": labelled(cpu_node("x"), **{"kubernetes.io__arch": "arm64"}),
    "cpu-small": resized(cpu_node("x"), memory="31Gi"),
}
SPECS: dict[str, dict[str, Any]] = {
    "13B": {"size": "13B"},
    "7B": {"size": "7B"},
    "7B-no-larger": {"size": "7B", "gpu": {"allowLarger": False}},
    "7B-strict": {"size": "7B", "gpu": {"strict": True}},
    "13B-tolerant": {
        "size": "13B",
        "scheduling": {"tolerations": [{"key": "team", "operator": "Exists"}]},
    },
}


def called(name: str, node: dict[str, Any]) -> dict[str, Any]:
    """A copy of the node with another name."""
    made = copy.deepcopy(node)
    made["metadata"]["name"] = name
    made["metadata"]["labels"]["kubernetes.io/hostname"] = name
    return made


def pinned(name: str, spec: dict[str, Any], node: str, namespace: str) -> dict[str, Any]:
    """A pod of the spec that can run on one node only; without volumes, which are not compared."""
    spec = copy.deepcopy(spec) | {"restartPolicy": "Never", "volumes": []}
    spec["nodeSelector"] = spec.get("nodeSelector", {}) | {"kubernetes.io/hostname": node}
    for container in spec["containers"]:
        container["volumeMounts"] = []
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def verdicts(cluster: TestCluster, namespace: str) -> dict[str, bool]:
    """Whether each pod is scheduled, for the pods that the scheduler has decided about."""
    found = json.loads(cluster.kubectl("-n", namespace, "get", "pods", "-o", "json"))
    return {
        pod["metadata"]["name"]: condition["status"] == "True"
        for pod in found["items"]
        for condition in pod["status"].get("conditions", ())
        if condition["type"] == "PodScheduled"
    }


@pytest.mark.parametrize("name", SPECS)
def test_the_scheduler_agrees(test_cluster: TestCluster, namespace: str, name: str) -> None:
    pods = pods_of(plan(document(**SPECS[name])))
    nodes = {f"{namespace}-{kind}": node for kind, node in ZOO.items()}
    try:
        test_cluster.kwok.add_nodes(*(called(name, node) for name, node in nodes.items()))
        raw = json.loads(test_cluster.kubectl("get", "nodes", *nodes, "-o", "json"))["items"]
        want: dict[str, bool] = {}
        made = []
        for node in map(read_node, raw):
            fit = node_fit(pods, node)
            for spec, reasons, component in (
                (pods.train, fit.train, "train"),
                (pods.prep, fit.prep, "prep"),
            ):
                pod = f"{node.name}-{component}"
                made.append(pinned(pod, spec, node.name, namespace))
                want[pod] = not (reasons or fit.now)
        test_cluster.api.apply(*made)
        # The scheduler may judge a pod before it has heard of its node, and judges it again then.
        with suppress(TimeoutError):
            wait_until(lambda: verdicts(test_cluster, namespace) == want, "verdicts", 60)
        assert verdicts(test_cluster, namespace) == want
        assert set(want.values()) == {True, False}
    finally:
        test_cluster.kubectl("delete", "node", "--ignore-not-found", *nodes)
