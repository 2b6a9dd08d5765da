"""The kubelet of a real node: its configuration, and when the node is ready."""

import json
from pathlib import Path
from typing import Any, Final

from cluster.harness import pki
from cluster.harness.control_plane import NODE_NAME, ControlPlane, answers
from cluster.harness.processes import wait_until
from cluster.harness.programs import program
from cluster.node.namespaces import Namespaces

_NAME: Final = "kubelet"
_HEALTH: Final = 10248  # its own default; in the node's network namespace every port is free


def start(api: ControlPlane, namespaces: Namespaces, runtime: Path) -> None:
    """Start it; returns when the node takes pods.

    Args:
        api: the control plane, which knows the node by name.
        namespaces: where it runs.
        runtime: containerd's socket.
    """
    folder = api.folder / _NAME
    folder.mkdir()
    config = folder / "config.json"
    config.write_text(json.dumps(_config(api, namespaces, runtime)), "utf-8")
    kubeconfig = api.kubeconfig_for(api.tokens[f"system:node:{NODE_NAME}"])
    command = (
        program(_NAME),
        f"--config={config}",
        f"--kubeconfig={kubeconfig}",
        f"--root-dir={folder}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={namespaces.node_address}",
    )
    health = f"http://{namespaces.node_address}:{_HEALTH}/healthz"
    api.processes.start(_NAME, namespaces.command(*command), ready=lambda: answers(health))
    wait_until(lambda: _is_ready(api), f"the node {NODE_NAME} is ready")


def _config(api: ControlPlane, namespaces: Namespaces, runtime: Path) -> dict[str, Any]:
    address = namespaces.node_address
    serving = pki.leaf(api.folder / "pki", api.authority, _NAME, f"IP:{address}")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{runtime}",
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
        "healthzPort": _HEALTH,
        "podLogsDir": str(api.folder / "pod-logs"),
        # The disk of a machine that tests run on may be rather full; the pods need little of it.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
    }


def _is_ready(api: ControlPlane) -> bool:
    path = "{.items[*].status.conditions[?(@.type=='Ready')].status}"
    return api.kubectl("get", "nodes", f"--output=jsonpath={path}") == "True"
