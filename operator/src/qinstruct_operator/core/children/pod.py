"""What the prep pod and the training pod share: security, environment, volumes.

The pods pass Pod Security "restricted" and need nothing of the API server.
"""

from typing import Final

from qinstruct_operator.catalog.sizes import Requests
from qinstruct_operator.constants import USER_ID
from qinstruct_operator.core import names
from qinstruct_operator.core.children.metadata import Manifest
from qinstruct_operator.core.plan.types import Plan
from qinstruct_trainer.contract.events import WRITER_ENV

OUTPUT_VOLUME: Final = "output"
"""Name of the volume that receives checkpoints and the model."""

_SCRATCH = "/tmp"


def pod_security() -> Manifest:
    """Security context of a pod; `fsGroup` makes the claims writable for our user."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": USER_ID,
        "fsGroupChangePolicy": "OnRootMismatch",  # not a chown of 700,000 images at each start
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """Security context of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def environment() -> list[Manifest]:
    """Variables of both containers: every cache is below the scratch folder."""
    return [
        # Nobody knows it before there is a pod; each has another, and its object says it.
        {"name": WRITER_ENV, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "HOME", "value": _SCRATCH},
        {"name": "USER", "value": "qinstruct"},  # getpass.getuser() fails without passwd entry
        {"name": "PYTHONUNBUFFERED", "value": "1"},
        {"name": "XDG_CACHE_HOME", "value": f"{_SCRATCH}/cache"},
        {"name": "HF_HOME", "value": f"{_SCRATCH}/huggingface"},
        {"name": "MPLCONFIGDIR", "value": f"{_SCRATCH}/matplotlib"},
        {"name": "TORCH_EXTENSIONS_DIR", "value": f"{_SCRATCH}/torch-extensions"},
        {"name": "TORCHINDUCTOR_CACHE_DIR", "value": f"{_SCRATCH}/torch-inductor"},
        {"name": "TRITON_CACHE_DIR", "value": f"{_SCRATCH}/triton"},
    ]


def volumes(plan: Plan, requests: Requests) -> list[Manifest]:
    """Volumes of both pods."""
    return [
        {"name": "config", "configMap": {"name": names.config_name(plan.name)}},
        {"name": "cache", "persistentVolumeClaim": {"claimName": plan.cache_claim.name}},
        {"name": OUTPUT_VOLUME, "persistentVolumeClaim": {"claimName": plan.output_claim.name}},
        {"name": "scratch", "emptyDir": {"sizeLimit": requests.scratch}},
        # The default of 64 MB kills loader processes; this memory counts towards the limit.
        {
            "name": "shared-memory",
            "emptyDir": {"medium": "Memory", "sizeLimit": requests.shared_memory},
        },
    ]


def volume_mounts(plan: Plan, *, fills_cache: bool) -> list[Manifest]:
    """Where the volumes are seen; only prep may write to what other runs share."""
    settings = plan.settings
    return [
        {"name": "config", "mountPath": str(settings.config_path), "readOnly": True},
        {
            "name": "cache",
            "mountPath": str(settings.cache_path),
            **({} if fills_cache else {"readOnly": True}),
        },
        {"name": OUTPUT_VOLUME, "mountPath": str(settings.output_path)},
        {"name": "scratch", "mountPath": _SCRATCH},
        {"name": "shared-memory", "mountPath": "/dev/shm"},
    ]
