"""A test cluster with this machine as its node: a real kubelet and containerd, real pods.

Needs root and a few packages of Debian or Ubuntu; `why_not` says in a sentence what is missing.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.harness import control_plane, needs, training_operator
from cluster.harness.processes import Processes
from cluster.harness.testcluster import OwnCluster
from cluster.node import containerd as node_containerd
from cluster.node import images as node_images
from cluster.node import kubelet as node_kubelet
from cluster.node import namespaces as node_namespaces
from cluster.node import storage as node_storage
from cluster.node.namespaces import Namespaces

_CRDS: Final = Path(__file__).parents[3] / "crds"
_PACKAGES: Final = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}


@dataclass(frozen=True)
class RealCluster(OwnCluster):
    """A cluster whose only node is this machine.

    Its programs are also training-operator, containerd, kubelet, local-path-provisioner.

    Attributes:
        volumes: where the volumes' files are.
    """

    namespaces: Namespaces
    volumes: Path

    @classmethod
    def start(cls) -> "RealCluster":
        """Start it; some ten seconds when programs and images are built and nobody else works."""
        archives = [node_images.archive(image) for image in ("base", *node_images.TARGETS)]
        processes = Processes(Path(tempfile.mkdtemp(prefix="qinstruct-real-")))
        try:
            namespaces = node_namespaces.start(processes)
            crds = (*_CRDS.glob("qinstruct.dev_*.yaml"), training_operator.crd())
            api = control_plane.start(processes, namespaces.machine_address, crds)
            training_operator.start(api)
            socket = node_containerd.start(processes, namespaces, archives)
            node_kubelet.start(api, namespaces, socket)
            volumes = node_storage.start(api, node_images.BASE)
            processes.wait("training-operator")
        except BaseException as error:
            processes.close()
            error.add_note(f"logs: {processes.folder}")
            raise
        return cls(api, namespaces, volumes)

    def stop(self, *, keep_logs: bool = False) -> None:
        """End every program and every pod, and remove what they wrote."""
        self.namespaces.end()
        self.processes.close()
        if not keep_logs:
            shutil.rmtree(self.folder)

    def files_of(self, namespace: str, claim: str) -> Path:
        """Where this machine finds the files of a claim that is bound."""
        (found,) = self.volumes.glob(f"*_{namespace}_{claim}")
        return found


def why_not() -> str | None:
    """Why this machine cannot or must not run a real node, in a sentence; None when it can."""
    if reason := needs.left_out():
        return reason
    missing = {name: package for name, package in _PACKAGES.items() if shutil.which(name) is None}
    if node_containerd.plugin_folder() is None:
        missing["the CNI plugin bridge"] = "containernetworking-plugins"
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        return f"a real node needs {next(iter(missing))}: `apt-get install {packages}`"
    return node_namespaces.why_not() or node_images.why_not()
