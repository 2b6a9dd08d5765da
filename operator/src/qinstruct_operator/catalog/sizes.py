"""What `spec.size` decides: network shape, GPU class, requests, documented hours."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from qinstruct_operator.catalog.gpus import A100_40, A100_80, GpuClass
from qinstruct_trainer.contract.config import Strategy

WEIGHT_BYTES: Final = 2
GRADIENT_BYTES: Final = 2
OPTIMIZER_BYTES: Final = 12
"""Bytes a trained parameter: bf16 weights and gradients; fp32 master weights, two Adam moments."""

STATE_BYTES: Final = WEIGHT_BYTES + GRADIENT_BYTES + OPTIMIZER_BYTES
"""Bytes a parameter in the memory of all GPUs together."""

CHECKPOINT_BYTES: Final = WEIGHT_BYTES + OPTIMIZER_BYTES
"""Bytes a parameter in a checkpoint: gradients are not saved."""

PIXEL_BYTES: Final = 3 * 336 * 336
"""Bytes of an image that is stored decoded, as CLIP-L/336 takes it; of size Tiny fewer."""


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
class Requests:
    """What a pod asks for; memory is also the limit, and /dev/shm counts towards it."""

    cpu: str
    memory: str
    shared_memory: str
    scratch: str


@dataclass(frozen=True)
class SizeFacts:
    """Everything that one value of `spec.size` decides. None: the size uses no GPU.

    Attributes:
        hours: documented hours by strategy (Q-Instruct's README, on 8 GPUs of the class).
        grace_seconds: from SIGTERM to SIGKILL: a step, the checkpoint that is just being written,
            and the last one, at 1 GB/s and nearly half that.
        train, prep: requests of the two pods; `train` for 8 GPUs, scaled with their number.
    """

    network: Network | None
    gpu: GpuClass | None
    hours: MappingProxyType[Strategy, float]
    grace_seconds: int
    train: Requests
    prep: Requests


# The smallest node of 8 A100 that clouds offer has 96 CPUs and 680 GB (GKE a2-highgpu-8g);
# the kubelet and daemons keep a share, so ask for 80 CPUs and 560 GiB.
_GPU_TRAIN = Requests(cpu="80", memory="560Gi", shared_memory="64Gi", scratch="50Gi")
# Prep decodes images on every core it gets and streams checkpoints shard by shard (10 GB each).
_GPU_PREP = Requests(cpu="8", memory="32Gi", shared_memory="1Gi", scratch="20Gi")


SIZES: Final = MappingProxyType(
    {
        "7B": SizeFacts(
            network=Network(parameters=6_738_000_000, hidden=4096, layers=32, heads=32),
            gpu=A100_40,
            hours=MappingProxyType({"mix": 18.0, "after": 3.0}),
            grace_seconds=600,
            train=_GPU_TRAIN,
            prep=_GPU_PREP,
        ),
        "13B": SizeFacts(
            network=Network(parameters=13_016_000_000, hidden=5120, layers=40, heads=40),
            gpu=A100_80,
            hours=MappingProxyType({"mix": 21.0, "after": 3.5}),
            grace_seconds=600,
            train=_GPU_TRAIN,
            prep=_GPU_PREP,
        ),
        "Tiny": SizeFacts(
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
