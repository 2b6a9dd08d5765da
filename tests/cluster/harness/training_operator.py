"""The training-operator outside its cluster, with its own CRD, RBAC rules and admission webhook."""

import base64
from pathlib import Path
from typing import Any, Final

import yaml

from cluster.harness import pki
from cluster.harness.control_plane import LOOPBACK, ControlPlane, answers
from cluster.harness.processes import free_port
from cluster.harness.programs import module_dir, program

_NAMESPACE: Final = "kubeflow"
_SECRET: Final = "training-operator-webhook-cert"
# The operator reads its certificates below the temporary folder, which is ours; but it starts only
# when this file exists, whatever is in it. Never removed: another cluster may be starting.
_MARKER: Final = Path("/tmp/k8s-webhook-server/serving-certs/tls.crt")


def crd() -> Path:
    """The definition of PyTorchJob."""
    return _manifests() / "crds" / "kubeflow.org_pytorchjobs.yaml"


def start(control_plane: ControlPlane) -> None:
    """Start it as the process `training-operator`, which is soon ready."""
    ports = {name: free_port() for name in ("webhook", "health", "metrics")}
    temporary = control_plane.folder / "training-operator-tmp"
    certificates = _certificates(temporary)
    if not _MARKER.exists():  # it may be another user's
        _MARKER.parent.mkdir(parents=True, exist_ok=True)
        _MARKER.touch()
    base = _manifests()
    control_plane.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}},
        _secret(certificates),
        *_rbac(base / "rbac"),
        _webhook(base / "webhook" / "manifests.yaml", ports["webhook"]),
        files=(crd(), base / "rbac" / "role.yaml"),
    )
    kubeconfig = control_plane.kubeconfig_for(control_plane.token(_NAMESPACE, "training-operator"))
    health = f"{LOOPBACK}:{ports['health']}"
    control_plane.processes.start(
        "training-operator",
        (
            program("training-operator.v1"),
            f"--kubeconfig={kubeconfig}",
            "--enable-scheme=pytorchjob",
            f"--webhook-server-port={ports['webhook']}",
            f"--metrics-bind-address={LOOPBACK}:{ports['metrics']}",
            f"--health-probe-bind-address={health}",
            "--zap-log-level=info",
        ),
        environment={"MY_POD_NAMESPACE": _NAMESPACE, "TMPDIR": str(temporary)},
        ready=lambda: answers(f"http://{health}/readyz"),
        wait=False,
    )


def _manifests() -> Path:
    module = module_dir("training-operator", "github.com/kubeflow/training-operator")
    return module / "manifests" / "base"


def _certificates(temporary: Path) -> dict[str, bytes]:
    """By the names that the operator's secret and its folder have for them."""
    folder = temporary / "k8s-webhook-server" / "serving-certs"
    service = f"DNS:training-operator.{_NAMESPACE}.svc"
    pki.training_operator_pairs(folder, service, f"IP:{LOOPBACK}")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _secret(certificates: dict[str, bytes]) -> dict[str, Any]:
    data = {name: base64.b64encode(content).decode() for name, content in certificates.items()}
    metadata = {"name": _SECRET, "namespace": _NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def _rbac(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Account and binding, with the namespace that kustomize would have added."""
    account = yaml.safe_load((folder / "service-account.yaml").read_text("utf-8"))
    account["metadata"]["namespace"] = _NAMESPACE
    binding = yaml.safe_load((folder / "cluster-role-binding.yaml").read_text("utf-8"))
    binding["subjects"][0]["namespace"] = _NAMESPACE
    return account, binding


def _webhook(file: Path, port: int) -> dict[str, Any]:
    """The configuration of the real webhook, called by address instead of by service.

    There is no network of services here. The operator itself fills in the certificate authority.
    """
    content: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    (webhook,) = [one for one in content["webhooks"] if "pytorchjob" in one["name"]]
    path = webhook["clientConfig"]["service"]["path"]
    webhook["clientConfig"] = {"url": f"https://{LOOPBACK}:{port}{path}"}
    metadata = {"name": "validator.training-operator.kubeflow.org"}
    return content | {"metadata": metadata, "webhooks": [webhook]}
