"""Kubeflow's PyTorchJob: a Master alone, so that no init container is injected. Pure."""

from typing import Any, Final

from qinstruct_operator.core.backends.base import Backend, ConditionTypes
from qinstruct_operator.kinds import Kind


def _build_spec(
    template: dict[str, Any], num_processes: int, seconds_to_live: int | None
) -> dict[str, Any]:
    """Retries are ours: the PyTorchJob's own counters do not work (training-operator 1.9)."""
    clean_up = {} if seconds_to_live is None else {"ttlSecondsAfterFinished": seconds_to_live}
    return {
        "nprocPerNode": str(num_processes),
        "runPolicy": {"backoffLimit": 0, "cleanPodPolicy": "None", **clean_up},
        "pytorchReplicaSpecs": {
            "Master": {"replicas": 1, "restartPolicy": "Never", "template": template}
        },
    }


def _pod_template(manifest: dict[str, Any]) -> dict[str, Any]:
    template: dict[str, Any] = manifest["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
    return template


PYTORCHJOB: Final = Backend(
    kind=Kind("kubeflow.org/v1", "PyTorchJob"),
    container="pytorch",  # the training-operator refuses any other name
    conditions=ConditionTypes(
        succeeded="Succeeded",
        suspend_path=("spec", "runPolicy", "suspend"),
        controller="the training-operator",
    ),
    install=(
        'kubectl apply --server-side -k "github.com/kubeflow/training-operator.git/'
        'manifests/overlays/standalone?ref=v1.9.4"'
    ),
    build_spec=_build_spec,
    pod_template=_pod_template,
)
