"""The cluster that a contract suite is run against, and the objects that the suite uses."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from qinstruct_operator.cluster.port import Cluster, Resource
from qinstruct_operator.kinds import TRAINING, Kind

RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
ABSENT_KIND = Kind("absent.example/v1", "Absent")
ABSENT_IN_GROUP = Kind("batch/v1", "Absent")


@dataclass(frozen=True)
class Target:
    """The cluster that a behaviour is run against.

    Attributes:
        cluster: the one under test.
        other: the same server, written to as another field manager.
        namespace: exists, is empty, and is nobody else's.
        delete: deletes an object; returns when it and all that it owned are gone.
    """

    cluster: Cluster
    other: Cluster
    namespace: str
    delete: Callable[[Kind, str], Awaitable[None]]


Behaviour = Callable[[Target], Coroutine[Any, Any, None]]

COLLECTED: list[Behaviour] = []


def behaviour(function: Behaviour) -> Behaviour:
    """Add a function to the suite."""
    COLLECTED.append(function)
    return function


def config_map(target: Target, name: str = "notes", **data: str) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": target.namespace},
        "data": data,
    }


def training(target: Target, name: str = "run") -> Resource:
    return {
        "apiVersion": TRAINING.api_version,
        "kind": TRAINING.kind,
        "metadata": {"name": name, "namespace": target.namespace, "labels": {"team": "vision"}},
        "spec": {"size": "Tiny", "strategy": "mix"},
    }


def job(target: Target, image: str = "example/prep:1") -> Resource:
    pod = {"restartPolicy": "Never", "containers": [{"name": "prep", "image": image}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "prep", "namespace": target.namespace},
        "spec": {"suspend": True, "template": {"spec": pod}},
    }


def pytorchjob(target: Target, image: str = "example/trainer:1") -> Resource:
    pod = {"containers": [{"name": "pytorch", "image": image}]}
    master = {"replicas": 1, "restartPolicy": "Never", "template": {"spec": pod}}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "train", "namespace": target.namespace},
        "spec": {
            "runPolicy": {"suspend": True},
            "pytorchReplicaSpecs": {"Master": master},
        },
    }


def pod(target: Target, name: str = "pod") -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": target.namespace},
        "spec": {
            # No node has it: the pod stays as it was made.
            "nodeSelector": {"test.example/nowhere": "true"},
            "automountServiceAccountToken": False,
            "containers": [
                {"name": "main", "image": "example/main:1", "securityContext": RESTRICTED}
            ],
        },
    }


def event(target: Target, name: str, about: str, kind: str = "Warning") -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": target.namespace},
        "involvedObject": {"kind": "Pod", "name": about, "namespace": target.namespace},
        "type": kind,
        "reason": "Tested",
        "message": "a test says so",
    }


def version(resource: Resource | None) -> str:
    assert resource is not None
    return str(resource["metadata"]["resourceVersion"])


async def found(target: Target, kind: Kind, name: str) -> Resource:
    resource = await target.cluster.get(kind, target.namespace, name)
    assert resource is not None
    return resource


def names(resources: tuple[Resource, ...]) -> list[str]:
    return [resource["metadata"]["name"] for resource in resources]


def condition(kind: str) -> Resource:
    return {
        "type": kind,
        "status": "True",
        "reason": "Tested",
        "message": "a test says so",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def reference(owner: Resource) -> Resource:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
