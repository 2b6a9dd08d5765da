"""What a pod asks of its node: CPUs, memory, GPUs."""

from dataclasses import replace

from qinstruct_operator.catalog.sizes import GPUS_PER_DOCUMENTED_RUN, Requests
from qinstruct_operator.constants import GPU_RESOURCE
from qinstruct_operator.core.children.metadata import Manifest
from qinstruct_operator.core.plan.types import Plan


def prep_requests(plan: Plan) -> Requests:
    """The size's requests, or what the user asks for instead."""
    full, asked = plan.size.prep, plan.spec.prep.resources
    return replace(full, cpu=asked.cpu or full.cpu, memory=asked.memory or full.memory)


def train_requests(plan: Plan) -> Requests:
    """The size's requests, in proportion to the number of GPUs."""
    full = plan.size.train
    if plan.gpu is None:
        return full
    return Requests(
        cpu=_share(full.cpu, plan.gpu.per_node),
        memory=_share(full.memory, plan.gpu.per_node),
        shared_memory=_share(full.shared_memory, plan.gpu.per_node),
        scratch=full.scratch,
    )


def resources(requests: Requests, num_gpus: int = 0) -> Manifest:
    """Requests and limits; no CPU limit, so that idle cores may be used."""
    gpus = {GPU_RESOURCE: str(num_gpus)} if num_gpus else {}
    return {
        "requests": {"cpu": requests.cpu, "memory": requests.memory, **gpus},
        "limits": {"memory": requests.memory, **gpus},
    }


def _share(amount: str, num_gpus: int) -> str:
    """An amount for 8 GPUs, for another number of them: `560Gi` and 4 make `280Gi`."""
    digits = amount.rstrip("Gi")
    return f"{int(digits) * num_gpus // GPUS_PER_DOCUMENTED_RUN}{amount[len(digits) :]}"
