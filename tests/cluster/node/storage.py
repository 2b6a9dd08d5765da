"""Dynamic ReadWriteMany volumes on a real node: folders, made by local-path-provisioner."""

import json
from pathlib import Path
from typing import Any, Final

from cluster.harness.control_plane import ControlPlane
from cluster.harness.programs import program

_NAME: Final = "local-path-provisioner"
_NAMESPACE: Final = "local-path-storage"
_SETUP: Final = 'mkdir -m 0777 -p "$VOL_DIR"'  # as its own example: pods write as any user
_TEARDOWN: Final = 'rm -rf "$VOL_DIR"'


def start(api: ControlPlane, image: str) -> Path:
    """Start it as a process, with its class as the cluster's default; the folder of all volumes.

    Args:
        api: the control plane.
        image: of the short pods that make and remove a folder; has `sh`.
    """
    volumes = api.folder / "volumes"
    volumes.mkdir()
    api.apply(*_manifests())
    # It can hand the same volume to several nodes only when it is told that the folder is shared.
    config, pod = api.folder / "provisioner.json", api.folder / "provisioner-pod.json"
    config.write_text(json.dumps({"sharedFileSystemPath": str(volumes)}), "utf-8")
    pod.write_text(json.dumps(_pod(image)), "utf-8")
    command = (
        program(_NAME),
        "start",
        f"--config={config}",
        f"--helper-pod-file={pod}",
        f"--helper-image={image}",
        f"--kubeconfig={api.admin_kubeconfig}",
        f"--namespace={_NAMESPACE}",
        "--configmap-name=local-path-config",
        "--service-account-name=default",
    )
    api.processes.start(_NAME, command)
    return volumes


def _manifests() -> list[dict[str, Any]]:
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "local-path-config", "namespace": _NAMESPACE},
            "data": {"setup": _SETUP, "teardown": _TEARDOWN},
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "local-path", "annotations": default},
            "provisioner": "rancher.io/local-path",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        },
    ]


def _pod(image: str) -> dict[str, Any]:
    container = {"name": "helper-pod", "image": image, "imagePullPolicy": "IfNotPresent"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {"containers": [container]},
    }
