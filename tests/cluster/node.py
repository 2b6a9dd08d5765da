"""This machine as a node of a test cluster: a real kubelet and containerd, real pods.

    with real_cluster(images) as cluster: ...

Needs root and three packages of Debian or Ubuntu; `why_not` says in a sentence what is missing.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cluster import control_plane, node_image, node_namespaces, node_storage, pki, training_operator
from cluster.control_plane import NODE_NAME, ControlPlane, answers
from cluster.node_namespaces import Namespaces
from cluster.processes import Processes, free_port, wait_until
from cluster.programs import program

_PACKAGES: Final = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
_PLUGIN_FOLDERS: Final = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_PLUGINS: Final = ("bridge", "host-local", "loopback")
_SANDBOX_IMAGE: Final = "test.qinstruct.dev/sandbox:1"
_POD_SUBNET: Final = "10.244.0.0/24"  # in the node's own network namespace: nobody else sees it


@dataclass(frozen=True)
class RealCluster:
    """A cluster whose one node is this machine.

    Attributes:
        api: the control plane, with kubectl.
        processes: every program by name: those of the control plane, training-operator,
            containerd, kubelet, local-path-provisioner.
        volumes: has the folder of each volume, `<volume's name>_<namespace>_<claim>`.
    """

    api: ControlPlane
    processes: Processes
    volumes: Path

    def folder_of(self, namespace: str, claim: str) -> Path:
        """Where a claim's files are on this machine, once it is bound."""
        (found,) = self.volumes.glob(f"*_{namespace}_{claim}")
        return found


def why_not() -> str | None:
    """Why this machine cannot run a real node, in a sentence; None when it can."""
    missing = {program: package for program, package in _PACKAGES.items() if not _has(program)}
    if _plugins() is None:
        missing["the CNI plugin bridge"] = "containernetworking-plugins"
    if missing:
        packages = " ".join(dict.fromkeys(missing.values()))
        return f"a real node needs {next(iter(missing))}: apt-get install {packages}"
    return node_namespaces.why_not() or node_image.why_not()


@contextmanager
def real_cluster(*images: str) -> Iterator[RealCluster]:
    """A control plane, a training-operator, and this machine as the node `real-0`.

    Args:
        images: names of the images that pods will ask for; all are the same (`node_image`).
    """
    processes = Processes(Path(tempfile.mkdtemp(prefix="qinstruct-real-")))
    try:
        namespaces = node_namespaces.start(processes)
        try:
            api = control_plane.start(processes, namespaces.machine_address)
            training_operator.start(api)
            _start_containerd(processes, namespaces, images)
            _start_kubelet(api, namespaces)
            volumes = node_storage.start(api, _SANDBOX_IMAGE)
            processes.wait("training-operator")
            yield RealCluster(api, processes, volumes)
        finally:
            namespaces.end()
    finally:
        processes.close()
        shutil.rmtree(processes.folder)


def _has(name: str) -> bool:
    return shutil.which(name) is not None


def _plugins() -> Path | None:
    """The folder of the CNI plugins: Debian's, or the one that most others use."""
    has_all = (f for f in _PLUGIN_FOLDERS if all((f / name).exists() for name in _PLUGINS))
    return next(has_all, None)


def _start_containerd(processes: Processes, namespaces: Namespaces, images: Iterable[str]) -> None:
    folder = processes.folder / "containerd"
    networks = folder / "cni"
    networks.mkdir(parents=True)
    (networks / "10-pods.conflist").write_text(json.dumps(_network(folder)), "utf-8")
    default = json.loads(namespaces.run("ctr", "oci", "spec"))
    spec = folder / "container.json"
    spec.write_text(json.dumps(node_image.runtime_spec(default)), "utf-8")
    config = folder / "config.toml"
    config.write_text(
        _CONTAINERD.format(
            folder=folder, plugins=_plugins(), spec=spec, networks=networks, sandbox=_SANDBOX_IMAGE
        ),
        "utf-8",
    )
    ctr = ("ctr", f"--address={folder / 'containerd.sock'}", "--namespace=k8s.io")
    processes.start(
        "containerd",
        namespaces.command("containerd", f"--config={config}", "--log-level=warn"),
        ready=lambda: _succeeds(namespaces, *ctr, "version"),
    )
    image = folder / "image.tar"
    image.write_bytes(node_image.archive([_SANDBOX_IMAGE, *images]))
    namespaces.run(*ctr, "images", "import", image)


_CONTAINERD: Final = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox}"
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  restrict_oom_score_adj = true  # lowering it needs a capability that virtual machines can lack
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"  # copies; the image is tiny, and overlayfs cannot lie on overlayfs
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      base_runtime_spec = "{spec}"
"""


def _network(folder: Path) -> dict[str, Any]:
    ranges = [[{"subnet": _POD_SUBNET}]]
    addresses = {"type": "host-local", "dataDir": str(folder / "addresses"), "ranges": ranges}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}


def _succeeds(namespaces: Namespaces, *words: str) -> bool:
    try:
        namespaces.run(*words)
    except RuntimeError:
        return False
    return True


def _start_kubelet(api: ControlPlane, namespaces: Namespaces) -> None:
    folder = api.folder / "kubelet"
    folder.mkdir()
    address = namespaces.node_address
    serving = pki.leaf(api.folder / "pki", api.authority, "kubelet", f"IP:{address}")
    health = free_port()
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{api.folder}/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{namespaces.cgroup}",
        "enforceNodeAllocatable": ["pods"],
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(api.ca)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "healthzBindAddress": address,
        "healthzPort": health,
        "podLogsDir": str(api.folder / "pod-logs"),
        # A machine that tests run on may be rather full; the pods need little.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    kubeconfig = api.kubeconfig_for(api.tokens[f"system:node:{NODE_NAME}"])
    command = (
        program("kubelet"),
        f"--config={folder / 'config.json'}",
        f"--kubeconfig={kubeconfig}",
        f"--root-dir={folder}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={address}",
    )
    api.processes.start(
        "kubelet",
        namespaces.command(*command),
        ready=lambda: answers(f"http://{address}:{health}/healthz"),
    )
    wait_until(lambda: _node_is_ready(api), f"node {NODE_NAME} is ready")


def _node_is_ready(api: ControlPlane) -> bool:
    path = "{.items[*].status.conditions[?(@.type=='Ready')].status}"
    return api.kubectl("get", "nodes", f"--output=jsonpath={path}") == "True"
