"""Runs on trial: each in a namespace of its own, with its own operator behind its own proxy."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from cluster.clients.operator_process import Operator, install, operator_process
from cluster.clients.proxy import FaultProxy, fault_proxy
from cluster.clients.run_invariants import Witness, witness
from cluster.harness.api_request import ask, runs_path
from cluster.harness.kwok import Behaviour, a100, cpu_node
from cluster.harness.testcluster import TestCluster

SIDE_BY_SIDE: Final = 6
"""How many trials find nodes at once."""

_SAMPLE: Final = Path(__file__).parents[3] / "manifests" / "samples" / "run-7b-after.yaml"


@dataclass(frozen=True)
class Trials:
    """Trials on one cluster.

    Attributes:
        name: of every run.
        token: the operator's.
        witness: has seen all of them.
    """

    cluster: TestCluster
    name: str
    token: str
    witness: Witness

    def create_namespaces(self, names: Iterable[str]) -> None:
        """Make room for some trials, all at once."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.cluster.api.apply(
            *(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n, "labels": labels}}
                for n in names
            )
        )

    @contextmanager
    def operator(
        self, namespace: str, environment: dict[str, str] | None = None
    ) -> Iterator[tuple[FaultProxy, Operator]]:
        """An operator that looks at one namespace, through a proxy."""
        api, folder = self.cluster.api, self.cluster.folder / f"operator-{namespace}"
        with fault_proxy(api.url, api.ca) as proxy:
            kubeconfig = api.kubeconfig_for(self.token, proxy.url)
            with operator_process(
                folder, kubeconfig, namespace=namespace, environment=environment
            ) as operator:
                yield proxy, operator

    def create_run(self, namespace: str) -> None:
        """The published 7B run."""
        sample: dict[str, Any] = yaml.safe_load(_SAMPLE.read_text("utf-8"))
        document = sample | {"metadata": {"name": self.name, "namespace": namespace}}
        answer = ask(self.cluster.api, "POST", runs_path(namespace), document)
        if not answer.ok:
            raise RuntimeError(f"run {namespace}/{self.name}: {answer.content}")


@contextmanager
def trials(cluster: TestCluster, name: str, behaviour: Behaviour) -> Iterator[Trials]:
    """Install the operator's account, say how the runs' pods live, and watch until the end.

    There are nodes enough for some trials side by side, until the end.
    """
    token = install(cluster.api)
    for component in ("prep", "train"):
        cluster.kwok.behave(name, component, behaviour)
    nodes = [
        *(cpu_node(f"trial-cpu-{number}") for number in range(SIDE_BY_SIDE)),
        *(a100(f"trial-gpu-{number}", 40) for number in range(SIDE_BY_SIDE)),
    ]
    cluster.kwok.add_nodes(*nodes)
    try:
        with witness(cluster) as seen:
            yield Trials(cluster, name, token, seen)
    finally:
        cluster.kubectl("delete", "node", *(node["metadata"]["name"] for node in nodes))
