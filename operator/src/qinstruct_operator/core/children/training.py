"""The training workload of one attempt: our pod, inside the kind that the run's backend is."""

from collections.abc import Sequence

from qinstruct_operator.constants import (
    ANNOTATION_AVOIDED,
    ANNOTATION_ISTIO,
    ANNOTATIONS_STAY,
    LABEL_ATTEMPT,
    LABEL_QUEUE,
)
from qinstruct_operator.core import names
from qinstruct_operator.core.attempts import NOTHING, Spent
from qinstruct_operator.core.backends import BACKENDS
from qinstruct_operator.core.children.metadata import Manifest, labels, metadata, optional
from qinstruct_operator.core.children.pod import (
    container_security,
    environment,
    pod_security,
    volume_mounts,
    volumes,
)
from qinstruct_operator.core.children.resources import resources, train_requests
from qinstruct_operator.core.children.scheduling import (
    affinity,
    train_node_selector,
    train_tolerations,
)
from qinstruct_operator.core.plan.types import Plan
from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.launch import train_command


def build_training(
    plan: Plan, attempt: int, spent: Spent = NOTHING, avoided: Sequence[str] = ()
) -> Manifest:
    """The workload, e.g. a kubeflow.org/v1 PyTorchJob; it says itself what was before it.

    Args:
        plan: of the run.
        attempt: number of the attempt.
        spent: what the attempts before it have used up.
        avoided: names of nodes that its pod must not go to.
    """
    backend = BACKENDS[plan.backend]
    meta = metadata(plan, names.training_name(plan.name, attempt), "train")
    attempt_label = {LABEL_ATTEMPT: str(attempt)}
    queue_label = optional(**{LABEL_QUEUE: plan.queue_name})
    kept_from = optional(**{ANNOTATION_AVOIDED: ",".join(avoided)})
    notes = meta.get("annotations", {}) | spent.annotations() | kept_from
    template = {
        "metadata": {
            "labels": labels(plan, "train") | attempt_label,
            "annotations": {ANNOTATION_ISTIO: "false", **dict(ANNOTATIONS_STAY)},
        },
        "spec": _pod(plan, backend.container, avoided),
    }
    return {
        "apiVersion": backend.kind.api_version,
        "kind": backend.kind.kind,
        "metadata": {
            **meta,
            "labels": meta["labels"] | attempt_label | queue_label,
            **optional(annotations=notes),
        },
        "spec": backend.build_spec(
            template, plan.num_processes, plan.spec.scheduling.ttl_seconds_after_finished
        ),
    }


def _pod(plan: Plan, container: str, avoided: Sequence[str]) -> Manifest:
    requests = train_requests(plan)
    scheduling = plan.spec.scheduling
    return {
        "automountServiceAccountToken": False,
        # The pod's own deadline, not the workload's: the kubelet keeps it to the second, counts
        # no time in the queue, and sends SIGTERM, so that a checkpoint is saved.
        "activeDeadlineSeconds": plan.deadline_seconds,
        "terminationGracePeriodSeconds": plan.size.grace_seconds,
        "securityContext": pod_security(),
        **optional(
            priorityClassName=scheduling.priority_class_name,
            schedulerName=scheduling.scheduler_name,
            nodeSelector=train_node_selector(plan),
            affinity=affinity(plan, avoided),
            tolerations=train_tolerations(plan),
        ),
        "containers": [
            {
                "name": container,
                "image": plan.settings.trainer_image,
                "command": train_command(
                    "python",
                    plan.settings.config_path / output_files.RUN_CONFIG,
                    plan.num_processes,
                ),
                "env": [*environment(), *_nccl(plan)],
                "resources": resources(requests, plan.gpu.per_node if plan.gpu else 0),
                "securityContext": container_security(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": volume_mounts(plan, fills_cache=False),
            }
        ],
        "volumes": volumes(plan, requests),
    }


def _nccl(plan: Plan) -> list[Manifest]:
    return [{"name": "NCCL_DEBUG", "value": "WARN"}] if plan.gpu else []
