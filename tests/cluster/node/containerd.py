"""containerd on a real node: its configuration, the pods' network and the images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cluster.harness.processes import Processes
from cluster.node import images as node_images
from cluster.node.kept_root import kept_root
from cluster.node.namespaces import Namespaces

_NAME: Final = "containerd"
_PLUGIN_FOLDERS: Final = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))  # Debian's; most others'
_PLUGINS: Final = ("bridge", "host-local", "loopback")
_CONFIG: Final = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox_image}"
  disable_apparmor = true  # it would load a profile into the kernel, and leave it there
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true  # to lower it takes a capability that root can lack
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/networks"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      base_runtime_spec = "{folder}/container.json"
"""


def plugin_folder() -> Path | None:
    """The folder of the CNI plugins, if they are installed."""
    complete = (f for f in _PLUGIN_FOLDERS if all((f / name).exists() for name in _PLUGINS))
    return next(complete, None)


def start(processes: Processes, namespaces: Namespaces, archives: Sequence[Path]) -> Path:
    """Start it with the images of these archives; its socket."""
    folder = processes.folder / _NAME
    networks = folder / "networks"
    networks.mkdir(parents=True)
    (networks / "10-pods.conflist").write_text(
        json.dumps(_network(folder, namespaces.pod_subnet)), "utf-8"
    )
    default = json.loads(namespaces.run("ctr", "oci", "spec"))
    del default["process"]["rlimits"]  # to raise them takes a capability that root can lack
    (folder / "container.json").write_text(json.dumps(default), "utf-8")
    config = folder / "config.toml"
    # Copies work everywhere, and take seconds and gigabytes for each container.
    snapshotter = "overlayfs" if node_images.can_overlay(folder) else "native"
    filled = _CONFIG.format(
        folder=folder,
        plugins=plugin_folder(),
        sandbox_image=node_images.BASE,
        snapshotter=snapshotter,
    )
    config.write_text(filled, "utf-8")

    socket = folder / "containerd.sock"
    ctr = ("ctr", f"--address={socket}", "--namespace=k8s.io")
    with kept_root(archives, snapshotter) as kept:
        has_images = kept.has()
        if has_images:
            kept.give(folder / "root")
        processes.start(
            _NAME,
            namespaces.command("containerd", f"--config={config}", "--log-level=warn"),
            ready=lambda: namespaces.succeeds(*ctr, "version"),
        )
        if not has_images:
            for archive in archives:
                namespaces.run(*ctr, "images", "import", archive)
            processes.stop(_NAME)
            kept.take(folder / "root")
            processes.resume(_NAME)
    return socket


def _network(folder: Path, subnet: str) -> dict[str, Any]:
    """A bridge; there is no way further than this machine: what a pod needs it has, or it fails."""
    addresses = {
        "type": "host-local",
        "dataDir": str(folder / "addresses"),
        "ranges": [[{"subnet": subnet}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}
