"""The Job that prepares data and model on a CPU node, before any GPU is asked for."""

from typing import Final

from qinstruct_operator.constants import (
    ANNOTATION_ISTIO,
    ANNOTATION_TRAINER_IMAGE,
    LABEL_QUEUE,
    PREP_CONTAINER,
)
from qinstruct_operator.core import names
from qinstruct_operator.core.children.metadata import Manifest, labels, metadata, optional
from qinstruct_operator.core.children.pod import (
    container_security,
    environment,
    pod_security,
    volume_mounts,
    volumes,
)
from qinstruct_operator.core.children.resources import prep_requests, resources
from qinstruct_operator.core.children.scheduling import prep_node_selector, prep_tolerations
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_DATA
from qinstruct_trainer.contract.launch import prep_command

# Prep resumes, so a retry only costs what was missing.
_RETRIES = 3
FINAL_EXIT_CODES: Final = (EXIT_DATA, EXIT_CONFIG)
"""Exit codes after which a retry would fail in the same way."""

_GRACE_SECONDS = 60  # it saves nothing at the end: finished units are on disk already


def build_prep_job(plan: Plan) -> Manifest:
    """batch/v1 Job; bad data and bad config fail it at once, a disruption costs no retry."""
    meta = metadata(plan, names.prep_name(plan.name), "prep")
    image = {ANNOTATION_TRAINER_IMAGE: plan.settings.trainer_image}
    queue_label = optional(**{LABEL_QUEUE: plan.spec.prep.queue_name})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            **meta,
            "labels": meta["labels"] | queue_label,
            "annotations": meta.get("annotations", {}) | image,
        },
        "spec": {
            "backoffLimit": _RETRIES,
            # The Job's own: it bounds what all of its pods take together.
            "activeDeadlineSeconds": max(1, round(plan.settings.prep_hours * 3600)),
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": PREP_CONTAINER,
                            "operator": "In",
                            "values": list(FINAL_EXIT_CODES),
                        },
                    },
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                ]
            },
            "template": {
                "metadata": {
                    "labels": labels(plan, "prep"),
                    "annotations": {ANNOTATION_ISTIO: "false"},
                },
                "spec": _pod(plan),
            },
        },
    }


def _net(settings: Settings) -> list[Manifest]:
    """How downloads leave the cluster; training reads volumes alone."""
    values = {
        "HTTP_PROXY": settings.prep_proxy,
        "HTTPS_PROXY": settings.prep_proxy,
        "NO_PROXY": settings.prep_no_proxy,
        "HF_ENDPOINT": settings.hub_endpoint,
    }
    return [{"name": name, "value": value} for name, value in values.items() if value]


def _pod(plan: Plan) -> Manifest:
    requests = prep_requests(plan)
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "securityContext": pod_security(),
        **optional(
            priorityClassName=plan.spec.prep.priority_class_name,
            nodeSelector=prep_node_selector(plan),
            tolerations=prep_tolerations(plan),
        ),
        "containers": [
            {
                "name": PREP_CONTAINER,
                "image": plan.settings.prep_image,
                "command": prep_command(
                    "python", plan.settings.config_path / output_files.PREP_CONFIG
                ),
                "env": [*environment(), *_net(plan.settings)],
                "resources": resources(requests),
                "securityContext": container_security(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": volume_mounts(plan, fills_cache=True),
            }
        ],
        "volumes": volumes(plan, requests),
    }
