"""The runs of a namespace, seen with kubectl and a watch."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluster.clients.watch import Watch, open_watch
from cluster.harness.api_request import runs_path
from cluster.harness.kwok import Behaviour
from cluster.harness.kwok_helper import POD_UID
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import OwnCluster, TestCluster
from qinstruct_operator.constants import LABEL_COMPONENT, LABEL_RUN

FOR_EVER = Behaviour(run_for="100h")
STEP = {
    "event": "step",
    "steps": 1000,
    "loss": 1.25,
    "learning_rate": 2e-5,
    "gradient_norm": 1.0,
    "tokens": 100_000,
    "seconds": 10.0,
    "samples_per_second": 12.8,
    "tokens_per_second": 10_000.0,
    "eta_seconds": 8100.0,
    "memory_bytes": 1,
}
PREP = {"event": "prep", "stage": "fetch", "item": "coco", "total": 200, "unit": "bytes"}


def lines(*events: dict[str, Any]) -> list[str]:
    """A log as the trainer in a pod writes it."""
    first = {"v": 1, "writer": POD_UID}
    return [json.dumps({**first, "time": 1_800_000_000.0 + i, **e}) for i, e in enumerate(events)]


class WatchedRuns:
    """The runs of one namespace, seen with kubectl and a watch."""

    def __init__(self, cluster: OwnCluster, namespace: str, watch: Watch) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.watch = watch

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def get(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", *arguments, "-o", "json"))[
            "items"
        ]
        return found

    def names(self, kinds: str) -> set[str]:
        return {f"{one['kind']}/{one['metadata']['name']}" for one in self.get(kinds)}

    def apply(self, name: str, spec: dict[str, Any]) -> None:
        document = {
            "apiVersion": "qinstruct.dev/v1alpha1",
            "kind": "QInstructTraining",
            "metadata": {"name": name},
            "spec": spec,
        }
        self.kubectl("apply", "-f", "-", stdin=json.dumps(document))

    def statuses(self, name: str) -> list[dict[str, Any]]:
        return [status for one in self.watch.of(name) if (status := one.get("status"))]

    def condition(self, name: str, type_: str) -> dict[str, Any]:
        for status in reversed(self.statuses(name)):
            return next(each for each in status["conditions"] if each["type"] == type_)
        return {}

    def wait(self, name: str, type_: str, status: str, reason: str, seconds: float = 30) -> str:
        """Wait until a condition has this status and reason; its message."""

        def holds() -> bool:
            found = self.condition(name, type_)
            return (found.get("status"), found.get("reason")) == (status, reason)

        wait_until(holds, f"{name}: {type_} {status}/{reason}", seconds)
        message: str = self.condition(name, type_)["message"]
        return message

    def wait_phase(self, name: str, phase: str, seconds: float = 60) -> None:
        def holds() -> bool:
            statuses = self.statuses(name)
            return bool(statuses) and statuses[-1].get("phase") == phase

        wait_until(holds, f"{name} is {phase}", seconds)


class Runs(WatchedRuns):
    """Those of a cluster where kwok plays their pods."""

    cluster: TestCluster

    def behave(self, run: str, component: str, *args: Any, **kwargs: Any) -> None:
        self.cluster.kwok.behave(run, component, *args, namespace=self.namespace, **kwargs)

    def end_pod(self, run: str, component: str) -> None:
        """Let the one pod of a run's component end well, whatever was configured before."""
        labels = f"{LABEL_RUN}={run},{LABEL_COMPONENT}={component}"
        (pod,) = self.get("pods", f"--selector={labels}")
        name = pod["metadata"]["name"]
        self.cluster.kwok.change(name, self.namespace, Behaviour(run_for="300ms"))


@contextmanager
def runs_of(cluster: TestCluster, namespace: str) -> Iterator[Runs]:
    """The runs of a namespace, watched until the end of the block."""
    with open_watch(cluster.api, runs_path(namespace)) as watch:
        yield Runs(cluster, namespace, watch)
