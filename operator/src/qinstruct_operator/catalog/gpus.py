"""The GPUs that a run may use: products and their memory, and the classes that sizes ask for."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

PRODUCT_GIGABYTES: Final = MappingProxyType(
    {
        "NVIDIA-A100-SXM4-40GB": 40,
        "NVIDIA-A100-PCIE-40GB": 40,
        "NVIDIA-A100-SXM4-80GB": 80,
        "NVIDIA-A100-80GB-PCIe": 80,
        "NVIDIA-H100-80GB-HBM3": 80,
        "NVIDIA-H100-PCIe": 80,
        "NVIDIA-H200": 141,
        "NVIDIA-B200": 180,
    }
)
"""Memory of one GPU in units of 1e9 bytes, by the product name of GPU feature discovery."""


@dataclass(frozen=True)
class GpuClass:
    """A class of GPUs that a size may ask for, as each kind of node label writes it.

    Attributes:
        above_mebibytes: `nvidia.com/gpu.memory` must be greater than this (GFD).
        below_mebibytes: and less than this, where larger GPUs are not allowed.
        product: the product that the published run used (GFD).
        gke: values of `cloud.google.com/gke-accelerator`.
        instance_types: values of `node.kubernetes.io/instance-type` (EKS, AKS, OCI, HyperPod).
    """

    above_mebibytes: int
    below_mebibytes: int
    product: str
    gke: tuple[str, ...]
    instance_types: tuple[str, ...]

    @property
    def gigabytes(self) -> int:
        """Nominal memory of one GPU, in units of 1e9 bytes."""
        return PRODUCT_GIGABYTES[self.product]


A100_40: Final = GpuClass(
    above_mebibytes=38000,  # 40960 today, 39538 with older drivers
    below_mebibytes=79000,
    product="NVIDIA-A100-SXM4-40GB",
    gke=("nvidia-tesla-a100",),
    instance_types=("p4d.24xlarge", "ml.p4d.24xlarge", "Standard_ND96asr_v4", "BM.GPU4.8"),
)
A100_80: Final = GpuClass(
    above_mebibytes=79000,
    below_mebibytes=90000,
    product="NVIDIA-A100-SXM4-80GB",
    gke=("nvidia-a100-80gb",),
    instance_types=(
        "p4de.24xlarge",
        "ml.p4de.24xlarge",
        "Standard_ND96amsr_A100_v4",
        "BM.GPU.A100-v2.8",
    ),
)

GPU_CLASSES: Final = (A100_40, A100_80)
"""Every class, the smallest memory first."""


def larger_classes(gpu_class: GpuClass) -> tuple[GpuClass, ...]:
    """The classes with more memory than this one."""
    return tuple(each for each in GPU_CLASSES if each.gigabytes > gpu_class.gigabytes)


def smaller_classes(gpu_class: GpuClass) -> tuple[GpuClass, ...]:
    """The classes with less memory than this one."""
    return tuple(each for each in GPU_CLASSES if each.gigabytes < gpu_class.gigabytes)
