"""Runs that share nothing: each has a namespace, an operator and a proxy of its own."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from cluster.clients.fault_rules import Kill, Moment, Rule
from cluster.clients.operator_process import Operator, install, operator_process
from cluster.clients.proxy import FaultProxy, fault_proxy
from cluster.clients.run_observer import RunObserver, observe_runs
from cluster.harness.api_request import runs_path, send_request
from cluster.harness.kwok import Behaviour, a100, cpu_node
from cluster.harness.testcluster import TestCluster

_MAX_PARALLEL: Final = 6  # runs that find nodes at once
_SAMPLE: Final = Path(__file__).parents[3] / "manifests" / "samples" / "run-7b-after.yaml"

KillPoint = tuple[str, Moment]
"""A write of an operator, by the name that a test gives it, and whether it dies before or after."""

Ended = TypeVar("Ended")


def all_kills(
    kill: Callable[[str, Moment], Ended], kills: Sequence[KillPoint]
) -> dict[KillPoint, Ended | Exception]:
    """What each came to, or why to nothing; several in parallel: most of the time is waiting."""

    def outcome(one: KillPoint) -> Ended | Exception:
        try:
            return kill(*one)
        except (RuntimeError, TimeoutError) as error:
            return error

    with ThreadPoolExecutor(_MAX_PARALLEL) as pool:
        return dict(zip(kills, pool.map(outcome, kills), strict=True))


def kill_at(
    proxy: FaultProxy, operator: Operator, write: tuple[str, str, str, int], moment: Moment
) -> threading.Event:
    """Have an operator killed before or after a write; it is set once that is so."""
    is_dead = threading.Event()

    def kill() -> None:
        operator.kill()
        is_dead.set()

    proxy.add(Rule(Kill(kill, moment), *write))
    return is_dead


@dataclass(frozen=True)
class IsolatedRuns:
    """Isolated runs on one cluster.

    Attributes:
        name: of every run.
        token: the operator's.
        observer: records everything that happens to them.
    """

    cluster: TestCluster
    name: str
    token: str
    observer: RunObserver

    def create_namespaces(self, names: Iterable[str]) -> None:
        """Create the namespaces of several runs in one request."""
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
        """An operator that watches one namespace, through a proxy."""
        api, folder = self.cluster.api, self.cluster.folder / f"operator-{namespace}"
        with fault_proxy(api.url, api.ca) as proxy:
            kubeconfig = api.kubeconfig_for(self.token, proxy.url)
            with operator_process(
                folder, kubeconfig, namespaces=[namespace], environment=environment
            ) as operator:
                yield proxy, operator

    def create_run(self, namespace: str, **spec: Any) -> None:
        """The published 7B run, with these fields of its spec beside."""
        sample: dict[str, Any] = yaml.safe_load(_SAMPLE.read_text("utf-8"))
        document = sample | {"metadata": {"name": self.name, "namespace": namespace}}
        document["spec"] = document["spec"] | spec
        answer = send_request(self.cluster.api, "POST", runs_path(namespace), document)
        if not answer.ok:
            raise RuntimeError(f"run {namespace}/{self.name}: {answer.content}")


@contextmanager
def isolated_runs(cluster: TestCluster, name: str, behaviour: Behaviour) -> Iterator[IsolatedRuns]:
    """Install the operator's account, add nodes, and observe all runs until the end of the block.

    Args:
        name: of every run.
        behaviour: of every pod.
    """
    token = install(cluster.api)
    for component in ("prep", "train"):
        cluster.kwok.behave(name, component, behaviour)
    nodes = [
        *(cpu_node(f"isolated-cpu-{number}") for number in range(_MAX_PARALLEL)),
        *(a100(f"isolated-gpu-{number}", 40) for number in range(_MAX_PARALLEL)),
    ]
    cluster.kwok.add_nodes(*nodes)
    try:
        with observe_runs(cluster) as seen:
            yield IsolatedRuns(cluster, name, token, seen)
    finally:
        cluster.kubectl("delete", "node", *(node["metadata"]["name"] for node in nodes))
