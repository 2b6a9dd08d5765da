"""What the size of a run decides: shapes of the network, GPUs, requests, documented hours."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Network:
    """Shape of the language model; the sizes that memory arithmetic needs.

    Attributes:
        parameters: of the language model, trained (the published configs of Vicuna-v1.5).
        hidden, layers, heads: its shape.
    """

    parameters: int
    hidden: int
    layers: int
    heads: int


@dataclass(frozen=True)
class GpuClass:
    """Which GPUs are enough, in the words of each kind of node label.

    Attributes:
        gigabytes: nominal memory of one GPU, in units of 1e9 bytes.
        above_mebibytes: `nvidia.com/gpu.memory` must be greater than this (GFD).
        below_mebibytes: and less than this, where larger GPUs are not allowed.
        product: the product that the published run used (GFD).
        gke: values of `cloud.google.com/gke-accelerator`.
        instance_types: values of `node.kubernetes.io/instance-type` (EKS, AKS, OCI, HyperPod).
    """

    gigabytes: int
    above_mebibytes: int
    below_mebibytes: int
    product: str
    gke: tuple[str, ...]
    instance_types: tuple[str, ...]


@dataclass(frozen=True)
class Requests:
    """What a pod asks for; memory is also the limit, and /dev/shm counts towards it."""

    cpu: str
    memory: str
    shared_memory: str
    scratch: str


@dataclass(frozen=True)
class Size:
    """Everything that one value of `spec.size` decides. None: the size uses no GPU.

    Attributes:
        hours: documented hours by strategy (Q-Instruct's README, on 8 GPUs of the class).
        grace_seconds: from SIGTERM to SIGKILL: a step, and a checkpoint at 1 GB/s and half that.
        train, prep: requests of the two pods; `train` for 8 GPUs, scaled with their number.
    """

    network: Network | None
    gpu: GpuClass | None
    hours: MappingProxyType[str, float]
    grace_seconds: int
    train: Requests
    prep: Requests


A100_40: Final = GpuClass(
    gigabytes=40,
    above_mebibytes=38000,  # 40960 today, 39538 with older drivers
    below_mebibytes=79000,
    product="NVIDIA-A100-SXM4-40GB",
    gke=("nvidia-tesla-a100",),
    instance_types=("p4d.24xlarge", "ml.p4d.24xlarge", "Standard_ND96asr_v4", "BM.GPU4.8"),
)
A100_80: Final = GpuClass(
    gigabytes=80,
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

# The smallest node of 8 A100 that clouds offer has 96 CPUs and 680 GB (GKE a2-highgpu-8g);
# the kubelet and daemons keep a share, so ask for 80 CPUs and 560 GiB.
_GPU_TRAIN = Requests(cpu="80", memory="560Gi", shared_memory="64Gi", scratch="50Gi")
# Prep decodes images on every core it gets and streams checkpoints shard by shard (10 GB each).
_GPU_PREP = Requests(cpu="8", memory="32Gi", shared_memory="1Gi", scratch="20Gi")


SIZES: Final = MappingProxyType(
    {
        "7B": Size(
            network=Network(parameters=6_738_000_000, hidden=4096, layers=32, heads=32),
            gpu=A100_40,
            hours=MappingProxyType({"mix": 18.0, "after": 3.0}),
            grace_seconds=600,
            train=_GPU_TRAIN,
            prep=_GPU_PREP,
        ),
        "13B": Size(
            network=Network(parameters=13_016_000_000, hidden=5120, layers=40, heads=40),
            gpu=A100_80,
            hours=MappingProxyType({"mix": 21.0, "after": 3.5}),
            grace_seconds=600,
            train=_GPU_TRAIN,
            prep=_GPU_PREP,
        ),
        "Tiny": Size(
            network=None,
            gpu=None,
            hours=MappingProxyType({"mix": 0.1, "after": 0.1}),
            grace_seconds=120,
            train=Requests(cpu="2", memory="4Gi", shared_memory="512Mi", scratch="1Gi"),
            prep=Requests(cpu="1", memory="2Gi", shared_memory="256Mi", scratch="1Gi"),
        ),
    }
)
"""Every size by its name in the API."""

GPUS_PER_DOCUMENTED_RUN: Final = 8
"""The documented hours, and the requests of a training pod, are for this many GPUs."""

TINY_DEADLINE_SECONDS: Final = 3600
"""Default longest attempt of a run without GPUs; it takes minutes."""
