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
from qinstruct_trainer.contract.object_urls import CREDENTIALS

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
        "QINSTRUCT_MAX_BANDWIDTH": settings.prep_max_bandwidth,
    }
    return [{"name": name, "value": value} for name, value in values.items() if value]


def _credentials(plan: Plan) -> list[Manifest]:
    """What downloads need of the run's Secret: each variable by its name.

    `envFrom` would let a Secret set any variable, also those that programs are loaded by. The
    kubelet reads the Secret, the operator never does; a token without its Secret or key is no pod.
    """
    secret = plan.spec.data.token_secret_ref
    if secret is None:
        return []
    sources = plan.prep_config.sources
    addresses = [url for source in sources for url in (source.url, *source.mirrors)]
    schemes = [each for each in CREDENTIALS if any(url.startswith(f"{each}:") for url in addresses)]
    # An endpoint of one's own stands beside the token or key that is for it alone. Whoever has
    # keys of a store needs no token; what is missing then, the store's refusal says.
    names = ["HF_ENDPOINT", *(name for scheme in schemes for name in CREDENTIALS[scheme])]
    may_lack_token = {"optional": True} if schemes else {}
    return [
        _variable("HF_TOKEN", secret.name, secret.key, **may_lack_token),
        *(_variable(name, secret.name, name, optional=True) for name in names),
    ]


def _net_and_credentials(plan: Plan) -> list[Manifest]:
    """Each variable once: what the installation says of the hub stands above a run's Secret."""
    net = _net(plan.settings)
    names = {each["name"] for each in net}
    return [*net, *(each for each in _credentials(plan) if each["name"] not in names)]


def _variable(name: str, secret: str, key: str, **optional: bool) -> Manifest:
    reference = {"name": secret, "key": key, **optional}
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


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
                "env": [*environment(), *_net_and_credentials(plan)],
                "resources": resources(requests),
                "securityContext": container_security(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": volume_mounts(plan, fills_cache=True),
            }
        ],
        "volumes": volumes(plan, requests),
    }
