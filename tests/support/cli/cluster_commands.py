"""The command line with a fake cluster, and helpers that write what the operator would."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from qinstruct_operator.cli import main
from qinstruct_operator.cluster import connect as connect_module
from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.constants import LABEL_ATTEMPT, LABEL_COMPONENT, LABEL_RUN, PREP_CONTAINER
from qinstruct_operator.core.children.pod import environment
from qinstruct_operator.kinds import POD, TRAINING
from support.fake_cluster.cluster import FakeCluster
from support.kinds import TRAINING_CONTAINER
from support.operator_documents import document

TEAM = "team"
TIME = "2026-01-01T00:00:00Z"
EVIL = "\x1b]0;owned\x07\x1b[31m[bold]red[/bold]\u202e"
"""A title, a colour, markup, and a sign that turns the text around."""
TAMED = "[bold]red[/bold]?"
"""What may be left of it."""

UNREACHABLE = ClusterError("no answer from https://cluster.example: refused")

_CONTAINERS = {"prep": PREP_CONTAINER, "train": TRAINING_CONTAINER}


class CommandLine:
    """`qinstruct` with this cluster behind it.

    Attributes:
        contexts: what `--context` said, a value a connection.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.contexts: list[str | None] = []

        @asynccontextmanager
        async def connect(*, context: str | None = None) -> AsyncIterator[FakeCluster]:
            self.contexts.append(context)
            yield self.cluster

        monkeypatch.setattr(connect_module, "connect", connect)

    def __call__(self, *arguments: str) -> int:
        return main(arguments)


def condition(
    type_: str, status: str = "True", reason: str = "Because", message: str = "it is so"
) -> dict[str, Any]:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": TIME,
    }


TRAINING_STATUS: dict[str, Any] = {
    "phase": "Training",
    "progress": "43%",
    "eta": "1h12m",
    "attempt": 2,
    "queue": "gpus",
    "node": "gpu-a",
    "gpuHours": 12.34,
    "gpuSeconds": {
        "queued": 7200,
        "starting": 1800,
        "productive": 42444,
        "saving": 20,
        "lost": 160,
    },
    "goodput": "95%",
    "conditions": [condition("Accepted"), condition("Running", reason="Training")],
    "prep": {"stage": "fetch", "item": "labels", "done": 5, "total": 10, "unit": "files"},
    "training": {
        "step": 430,
        "steps": 1000,
        "loss": 1.25,
        "samplesPerSecond": 12.5,
        "tokensPerSecond": 9000,
        "restarts": 1,
        "lostSeconds": 37.5,
    },
    "checkpoint": {"step": 400, "time": TIME},
}
COMPLETE = {"phase": "Complete", "conditions": [condition("Complete")], "model": "x-output:/model"}
FAILED = {"phase": "Failed", "conditions": [condition("Failed", reason="BadData")]}


def add(cluster: FakeCluster, manifest: Resource, status: dict[str, Any] | None = None) -> None:
    """Create an object, and let its controller write its status."""
    assert asyncio.run(cluster.create(manifest))
    if status is not None:
        kinds = {"QInstructTraining": TRAINING, "Pod": POD}
        meta = manifest["metadata"]
        cluster.set_status(kinds[manifest["kind"]], meta["namespace"], meta["name"], status)


def add_run(
    cluster: FakeCluster,
    name: str = "x",
    status: dict[str, Any] | None = None,
    *,
    namespace: str = TEAM,
    **spec: Any,
) -> None:
    """A run, and what the operator says of it."""
    manifest = document(name, **spec)
    manifest["metadata"]["namespace"] = namespace
    add(cluster, manifest, status)


def add_pod(
    cluster: FakeCluster,
    name: str,
    component: str,
    state: dict[str, Any],
    *,
    attempt: int | None = None,
    conditions: tuple[dict[str, Any], ...] = (),
    created: str = TIME,
) -> None:
    """A pod of the run x, with its container in a state."""
    labels = {LABEL_RUN: "x", LABEL_COMPONENT: component}
    labels |= {LABEL_ATTEMPT: str(attempt)} if attempt else {}
    container = _CONTAINERS[component]
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": TEAM, "labels": labels},
        "spec": {"containers": [{"name": container, "image": "x", "env": environment()}]},
    }
    add(cluster, manifest, pod_status(component, state, conditions))
    cluster.edit(POD, TEAM, name, lambda pod: pod["metadata"].update(creationTimestamp=created))


def pod_status(
    component: str, state: dict[str, Any], conditions: tuple[dict[str, Any], ...] = ()
) -> dict[str, Any]:
    """A pod's status, by the state of its container; none: it has none yet."""
    statuses = [{"name": _CONTAINERS[component], "state": state}] if state else []
    phase = "Running" if "running" in state else "Pending"
    if "terminated" in state:
        phase = "Failed" if state["terminated"].get("exitCode") else "Succeeded"
    return {"phase": phase, "conditions": list(conditions), "containerStatuses": statuses}


def while_waiting(monkeypatch: pytest.MonkeyPatch, happen: Callable[[], None]) -> None:
    """Let something happen in the cluster, instead of time passing, whenever a command waits."""
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds:
            await asyncio.to_thread(happen)  # where it may run a loop of its own
        await real(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)


RUNNING: dict[str, Any] = {"running": {"startedAt": TIME}}
ENDED: dict[str, Any] = {"terminated": {"exitCode": 0}}


def print_lines(cluster: FakeCluster, pod: str, component: str, *lines: str) -> None:
    """Let a pod print lines."""
    cluster.write_log(TEAM, pod, _CONTAINERS[component], *lines)


def end_log(cluster: FakeCluster, pod: str, component: str) -> None:
    """Nothing more will come of a pod's log."""
    cluster.end_log(TEAM, pod, _CONTAINERS[component])
