"""The Job that runs a command of a cache in the cluster, where the cache's claim is. Pure."""

from collections.abc import Sequence
from typing import Final

from qinstruct_operator.constants import ANNOTATION_ISTIO
from qinstruct_operator.core.children.metadata import Manifest, shared_labels
from qinstruct_operator.core.children.pod import container_security, pod_security
from qinstruct_operator.settings import Settings

_COMPONENT: Final = "cache"
_DAY: Final = 86_400
_MEMORY: Final = "1Gi"  # measured 60 MB; a manifest of 200,000 files takes some more


def build_cache_job(
    settings: Settings, claim: str, command: str, arguments: Sequence[str]
) -> Manifest:
    """batch/v1 Job of the prep image, under Pod Security "restricted", without any network need.

    Args:
        settings: The image, the namespace, and where the cache is mounted.
        claim: Name of the cache's claim.
        command: `ls`, `verify` or `prune`; only the last may write.
        arguments: Its options.
    """
    mount = {"name": "cache", "mountPath": str(settings.cache_path)}
    container = {
        "name": _COMPONENT,
        "image": settings.prep_image,
        "command": [
            *("qinstruct", "cache", command, f"--cache={settings.cache_path}", *arguments),
        ],
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "PYTHONUNBUFFERED", "value": "1"}],
        "resources": {
            "requests": {"cpu": "1", "memory": _MEMORY},
            "limits": {"memory": _MEMORY},
        },
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            mount if command == "prune" else mount | {"readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"qinstruct-cache-{command}",
            "namespace": settings.namespace,
            "labels": shared_labels(_COMPONENT),
        },
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": _DAY,
            "template": {
                "metadata": {
                    "labels": shared_labels(_COMPONENT),
                    "annotations": {ANNOTATION_ISTIO: "false"},
                },
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "securityContext": pod_security(),
                    "containers": [container],
                    "volumes": [
                        {"name": "cache", "persistentVolumeClaim": {"claimName": claim}},
                        {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
                    ],
                },
            },
        },
    }
