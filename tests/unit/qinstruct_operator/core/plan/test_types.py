"""Memory of the GPUs that a plan may get."""

import pytest

from qinstruct_operator.catalog.gpus import A100_40, A100_80, GpuClass
from qinstruct_operator.core.plan.types import GpuPlan


@pytest.mark.parametrize(
    ("gpu_class", "product", "gigabytes", "is_enough"),
    [
        (A100_40, None, 40, True),  # the least that `auto` may get
        (A100_80, None, 80, True),
        (A100_40, "NVIDIA-H200", 141, True),
        (A100_80, "NVIDIA-A100-SXM4-80GB", 80, True),
        (A100_80, "NVIDIA-A100-SXM4-40GB", 40, False),
    ],
)
def test_the_memory_of_a_gpu_is_the_products_or_the_classes(
    gpu_class: GpuClass, product: str | None, gigabytes: int, is_enough: bool
) -> None:
    gpu = GpuPlan(8, gpu_class, product, strict=False, allow_larger=True)
    assert (gpu.gigabytes, gpu.is_large_enough) == (gigabytes, is_enough)
