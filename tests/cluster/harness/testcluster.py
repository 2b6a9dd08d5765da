"""One test cluster: a real control plane and training-operator, with nodes simulated by kwok.

Our own CustomResourceDefinition is installed, the operator is not.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from cluster.harness import control_plane, kwok, training_operator
from cluster.harness.control_plane import LOOPBACK, ControlPlane
from cluster.harness.kwok import Kwok, a100, cpu_node
from cluster.harness.processes import Processes

PROGRAMS_USED: Final = (
    *("etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler"),
    *("training-operator.v1", "kwok"),
)
"""What has to be built for it."""

_CRDS: Final = Path(__file__).parents[3] / "crds"


@dataclass(frozen=True)
class OwnCluster:
    """A cluster of its own: own ports, own data, own processes; several can run at once.

    Attributes:
        api: the control plane, with kubectl, tokens and the audit log.
    """

    api: ControlPlane

    @property
    def processes(self) -> Processes:
        """Every program by name: those of the control plane and whatever was started with it."""
        return self.api.processes

    @property
    def folder(self) -> Path:
        """Logs and data of all programs."""
        return self.api.folder

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """What kubectl prints as administrator; `-f -` reads `stdin`."""
        return self.api.kubectl(*arguments, stdin=stdin)

    def create_namespace(self, name: str) -> None:
        """A namespace under the pod security standard `restricted`."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": name, "labels": labels}
        self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


@dataclass(frozen=True)
class TestCluster(OwnCluster):
    """A cluster with nodes simulated by kwok; training-operator, kwok and kwok-helper run too.

    Attributes:
        kwok: the fake nodes, and how the pods on them behave.
    """

    __test__: ClassVar = False  # pytest would take it for tests

    kwok: Kwok

    @classmethod
    def start(cls, address: str = LOOPBACK) -> "TestCluster":
        """Start it; about seven seconds when the programs are built.

        Args:
            address: see `control_plane.start`.
        """
        processes = Processes(Path(tempfile.mkdtemp(prefix="qinstruct-cluster-")))
        try:
            crds = (*_CRDS.glob("qinstruct.dev_*.yaml"), training_operator.crd())
            api = control_plane.start(processes, address, crds)
            training_operator.start(api)
            nodes = kwok.start(api)
            nodes.add_nodes(
                a100("gpu-40-0", 40), a100("gpu-80-0", 80), a100("gpu-80-1", 80), cpu_node("cpu-0")
            )
            processes.wait("training-operator")
        except BaseException as error:
            processes.close()
            error.add_note(f"logs: {processes.folder}")
            raise
        return cls(api, nodes)

    def stop(self, *, keep_logs: bool = False) -> None:
        """End every program and remove what they wrote, or of that etcd's files alone."""
        self.processes.close()
        shutil.rmtree(self.folder / "etcd" if keep_logs else self.folder)

    def stop_program(self, name: str) -> None:
        """Kill a program (SIGKILL)."""
        self.processes.stop(name)

    def start_program(self, name: str) -> None:
        """Start a killed program again, on its ports and data; returns when it is ready."""
        self.processes.resume(name)

    def bounce(self, name: str) -> None:
        """Kill a program and start it again."""
        self.stop_program(name)
        self.start_program(name)
