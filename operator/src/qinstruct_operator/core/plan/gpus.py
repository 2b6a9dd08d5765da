"""How many GPUs a run gets, and which. Pure."""

from qinstruct_operator.api.spec import Spec
from qinstruct_operator.catalog.recipes import TINY_PROCESSES
from qinstruct_operator.catalog.sizes import SIZES
from qinstruct_operator.core.plan.types import GpuPlan


def gpu_plan(spec: Spec) -> GpuPlan | None:
    """The GPUs of the training pod; None for a size that trains on CPUs."""
    gpu_class = SIZES[spec.size].gpu
    if gpu_class is None:
        return None
    return GpuPlan(
        per_node=spec.gpu.per_node,
        gpu_class=gpu_class,
        product=None if spec.gpu.product == "auto" else spec.gpu.product,
        strict=spec.gpu.strict,
        allow_larger=spec.gpu.allow_larger,
    )


def num_processes(gpu: GpuPlan | None) -> int:
    """Processes that torchrun starts: one a GPU."""
    return gpu.per_node if gpu else TINY_PROCESSES
