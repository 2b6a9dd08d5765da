"""The operator under test as a process, started with kopf as in a pod, stopped or killed."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from cluster.harness.control_plane import LOOPBACK, ControlPlane, answers
from cluster.harness.processes import Processes, free_port
from qinstruct_operator.constants import GROUP, PLURAL
from qinstruct_operator.readiness import PATH as READY_PATH

NAMESPACE: Final = "qinstruct-system"
ACCOUNT: Final = "qinstruct-operator"
_MANIFESTS: Final = Path(__file__).parents[3] / "manifests"
_MODULES: Final = ("qinstruct_operator.handlers", "cluster.clients.kopf_settings")
_NAME: Final = "operator"


def install(control_plane: ControlPlane, folder: str = "base") -> str:
    """Install what `kubectl apply -k manifests/FOLDER` does, less the pod; the account's token."""
    text = control_plane.kubectl("kustomize", _MANIFESTS / folder)
    manifests = [one for one in yaml.safe_load_all(text) if one["kind"] != "Deployment"]
    control_plane.apply(*manifests)
    control_plane.kubectl("wait", "--for=condition=Established", f"crd/{PLURAL}.{GROUP}")
    return control_plane.token(NAMESPACE, ACCOUNT)


@dataclass(frozen=True)
class Operator:
    """A process that runs, or has run and can be started again with the same command.

    Attributes:
        health: URL of its liveness endpoint.
        ready: URL of its readiness endpoint.
    """

    processes: Processes
    health: str
    ready: str

    def why_not_ready(self) -> list[str]:
        """What its readiness endpoint says; empty where it is ready."""
        try:
            with urllib.request.urlopen(self.ready, timeout=5) as answer:
                status, said = answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            status, said = error.code, json.load(error)
        assert status == (503 if said["notReady"] else 200)
        return list(said["notReady"])

    def start(self) -> None:
        """Start it again; returns when its liveness endpoint answers."""
        self.processes.resume(_NAME)

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does (SIGKILL); it is gone on return."""
        self.processes.stop(_NAME)

    def stop(self) -> None:
        """Ask it to end (SIGTERM), as a kubelet does."""
        self.processes.stop(_NAME, grace=30)

    @property
    def pid(self) -> int:
        """Its process id, while it runs."""
        return self.processes.pid(_NAME)

    @property
    def log(self) -> str:
        """Its output, over all its starts."""
        return self.processes.log(_NAME).read_text("utf-8", errors="replace")


@contextmanager
def operator_process(
    folder: Path,
    kubeconfig: Path,
    *,
    namespaces: Collection[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Operator]:
    """A running operator; it is killed at the end.

    Args:
        folder: takes its log, `operator.log`.
        kubeconfig: who it is, and where the API server is.
        namespaces: the only ones that it watches; none: all.
        environment: variables beside those of this process, e.g. `QINSTRUCT_WORKERS`, or those of
            `kopf_settings`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    processes = Processes(folder)
    health = f"http://{LOOPBACK}:{free_port()}/healthz"
    ready = f"{LOOPBACK}:{free_port()}"
    command = [
        *(sys.executable, "-m", "kopf", "run", f"--liveness={health}"),
        *(f"--module={module}" for module in _MODULES),
        *([f"--namespace={one}" for one in namespaces] or ["--all-namespaces"]),
    ]
    tests = str(Path(__file__).parents[2])
    paths = [tests, *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        processes.start(
            _NAME,
            command,
            environment={
                "KUBECONFIG": str(kubeconfig),
                "PYTHONPATH": os.pathsep.join(paths),
                "QINSTRUCT_READY_ADDRESS": ready,
                "KUBERNETES_SERVICE_HOST": "",  # should the tests themselves run in a pod
                **(environment or {}),
            },
            ready=lambda: answers(health),
        )
        yield Operator(processes, health, f"http://{ready}{READY_PATH}")
    finally:
        processes.close()
