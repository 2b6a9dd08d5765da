"""The two volume claims: the namespace's shared cache, and the run's own output.

Both are ReadWriteMany: the cache because runs share it, the output because prep runs on a CPU
node and training on a GPU node, perhaps in another zone, where a ReadWriteOnce volume that was
bound for the first would keep the second from ever starting.
"""

from qinstruct_operator.core.children.metadata import (
    Manifest,
    labels,
    owner_references,
    shared_labels,
)
from qinstruct_operator.core.plan.types import Claim, Plan


def build_cache_claim(plan: Plan) -> Manifest | None:
    """The shared cache, or None when the user brings one. Never owned: it outlives every run."""
    claim = plan.cache_claim
    if claim.size is None:
        return None
    return _claim(plan, claim, {"labels": shared_labels("storage")})


def build_output_claim(plan: Plan) -> Manifest | None:
    """The run's claim, or None when the user brings one. Owned only where it is not retained."""
    claim = plan.output_claim
    if claim.size is None:
        return None
    owner = owner_references(plan) if claim.owned else {}
    return _claim(plan, claim, {"labels": labels(plan, "storage"), **owner})


def _claim(plan: Plan, claim: Claim, meta: Manifest) -> Manifest:
    storage_class = {"storageClassName": claim.storage_class} if claim.storage_class else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim.name, "namespace": plan.namespace, **meta},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": claim.size}},
            **storage_class,
        },
    }
